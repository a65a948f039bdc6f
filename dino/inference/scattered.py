"""Adaptation from sparse, irregular observations: the state at the first time and the coefficients together.

A window in the manner of 4D-Var (`dino.inference.window`) whose unknowns are the waves at its beginning, with what
training says of their sizes, and the environment's weights, with its prior. Observations keep their own times and
places. Gauss-Newton steps solve for both; the inverse Hessian is the posterior (Laplace).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..dynamics.exponential import Exponential
from ..errors import NonFiniteError, ObservationError
from ..numerics.gaussian import cholesky
from .family import Family, Posterior

ITERATIONS, SETTLED = 12, 1e-3
MOST_WAVES = 256  # real numbers of a trajectory's first state that are looked for, those of largest variance
LEFT_OUT = 1e-4  # share of the variance that the others may have
DIFFERENCE = 1e-5  # standard deviations by which sensitivities are found
LOOK = 1.2  # standard deviations of the prior's first directions that a first look goes
AROUND = 4  # nodes through which a state between two of them is interpolated
FEW_TOGETHER = 8  # observations of one moment for which a state there is worth its own product
CHUNK = 64  # observations that are evaluated together
DAMPING = (0.0, 1e-2, 1.0, 100.0)  # shares of the diagonal that are tried in turn until the cost falls


@dataclass(frozen=True)
class Points:
    """Observations of one environment.

    trajectory, channel : (observation,) numbers; time : (observation,); place : (observation, dimension) in the box,
    rows' axis first; value, error : (observation,) with its standard deviation
    """

    trajectory: Tensor
    channel: Tensor
    time: Tensor
    place: Tensor
    value: Tensor
    error: Tensor

    def __post_init__(self) -> None:
        if not len(self.value) or not bool(torch.isfinite(self.value).all() & (self.error > 0).all()):
            raise ObservationError("points want finite values and positive errors, and at least one of them")


class Window:
    """Predictions of points by weights and first states, on nodes that divide the interval of training."""

    def __init__(self, family: Family, points: Points) -> None:
        assert family.population is not None
        assert family.centre is not None
        self.family, self.points, modes, self.centre = family, points, family.primitives.modes, family.centre
        self.step = family.interval / max(family.steps, 2)
        self.start = float(points.time.min())
        self.count = max(int(np.ceil((float(points.time.max()) - self.start) / self.step - 1e-9)), AROUND - 1)
        self.trajectories = int(points.trajectory.max()) + 1
        place = (points.time - self.start) / self.step
        self.first = (place.floor().long() - 1).clamp(0, self.count - AROUND + 1)
        self.shares = lagrange(place - self.first)
        self.together = moments_of(points)
        self.rows = modes.at(points.place)  # (observation, block): a value is the real part of rows times the wave
        variance = family.population / (1.0 if not modes.dimensions else 2.0)
        parts = 1 if not modes.dimensions else 2
        flat = variance.flatten().repeat_interleave(parts).sqrt()
        self.chosen = largest(flat)
        self.spread = flat[self.chosen]

    @property
    def unknowns(self) -> int:
        """Weights of the environment, then numbers of every trajectory's first state, all of variance one."""
        return self.family.prior.directions + self.trajectories * len(self.chosen)

    def states(self, numbers: Tensor) -> Tensor:
        """First states (copy, trajectory, block, channel) of numbers (copy, trajectory, chosen)."""
        modes = self.family.primitives.modes
        shape = (len(modes.weights), len(modes.channels))
        parts = 2 if modes.dimensions else 1
        flat = numbers.new_zeros(*numbers.shape[:2], shape[0] * shape[1] * parts)
        flat[..., self.chosen] = numbers * self.spread
        made = flat.unflatten(-1, (*shape, parts))
        state = torch.view_as_complex(made.contiguous()) if parts == 2 else made[..., 0]
        state[:, :, 0] += self.centre
        return state

    def numbers(self, states: Tensor) -> Tensor:
        """Numbers (trajectory, chosen) of first states (trajectory, block, channel)."""
        about = states.clone()
        about[:, 0] -= self.centre
        flat = torch.view_as_real(about) if about.is_complex() else about.unsqueeze(-1)
        return flat.flatten(1)[:, self.chosen] / self.spread

    def predict(self, unknowns: Tensor) -> Tensor:
        """Values (copy, observation) of unknowns (copy, unknown)."""
        directions = self.family.prior.directions
        numbers = unknowns[:, directions:].unflatten(1, (self.trajectories, -1))
        theta = self.family.prior.coefficients(unknowns[:, :directions])
        stepper = Exponential(self.family.primitives, theta, self.step, self.family.damping)
        time = torch.full((self.trajectories,), self.start, dtype=torch.float64)
        path = [self.states(numbers)]
        for number in range(self.count):
            path.append(stepper(path[-1], time + number * self.step))
        return self._values(torch.stack(path, 2))

    def _values(self, path: Tensor) -> Tensor:
        """Values (copy, observation) on paths (copy, trajectory, node, block, channel)."""
        if self.together is not None:
            return self._values_together(path, self.together)
        made, points, ordered = [], self.points, path.permute(1, 2, 4, 0, 3)
        for first in range(0, len(points.value), CHUNK):
            part = slice(first, first + CHUNK)
            nodes = self.first[part, None] + torch.arange(AROUND)
            near = ordered[points.trajectory[part, None], nodes, points.channel[part, None]]
            states = torch.einsum("oncb,on->cob", near, self.shares[part].to(path.dtype))
            made.append((states * self.rows[part]).sum(-1).real)
        return torch.cat(made, 1)

    def _values_together(self, path: Tensor, groups: list[Tensor]) -> Tensor:
        """`_values` where many observations are of one channel and moment: the states there are made once."""
        made = path.real.new_zeros(len(path), len(self.points.value))
        for rows in groups:
            first, channel = self.first[rows[0]], self.points.channel[rows[0]]
            near = path[:, self.points.trajectory[rows[0]], first : first + AROUND, :, channel]
            state = torch.einsum("cnb,n->cb", near, self.shares[rows[0]].to(path.dtype))
            made[:, rows] = (state @ self.rows[rows].to(path.dtype).T).real
        return made

    def linearised(self, unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """Values (observation,) of unknowns (unknown,), and their derivatives (observation, unknown).

        An observation knows nothing of other trajectories: one copy moves a number of all first states at once.
        """
        directions, size = self.family.prior.directions, len(self.chosen)
        moves = torch.zeros(1 + directions + size, self.unknowns, dtype=torch.float64)
        moves[1 : 1 + directions, :directions] = torch.eye(directions)
        moves[1 + directions :, directions:] = torch.eye(size).repeat(1, self.trajectories)
        made = self.predict(unknowns + DIFFERENCE * moves)
        changes = ((made[1:] - made[:1]) / DIFFERENCE).T
        slopes = torch.zeros(len(changes), self.unknowns, dtype=torch.float64)
        slopes[:, :directions] = changes[:, :directions]
        columns = directions + self.points.trajectory[:, None] * size + torch.arange(size)
        return made[0], slopes.scatter(1, columns, changes[:, directions:])


@dataclass(frozen=True)
class Found:
    """What scattered observations tell: the environment's posterior (one environment), first states (trajectory, block,
    channel) at `time`, and the mean square of whitened misfits."""

    posterior: Posterior
    states: Tensor
    time: float
    misfit: float
    evidence: float


def largest(spread: Tensor) -> Tensor:
    """(number,) places of the numbers of standard deviation `spread` that have all but `LEFT_OUT` of the variance."""
    order = spread.argsort(descending=True)
    share = spread[order].square().cumsum(0) / spread.square().sum()
    return order[: min(MOST_WAVES, int((share < 1 - LEFT_OUT).sum()) + 1)]


@torch.no_grad()
def adapt_scattered(family: Family, points: Points, begin: tuple[Tensor, Tensor] | None = None) -> Found:
    """Coefficients and first states from scattered observations of one environment; see the module.

    begin : weights (direction,) and first states (trajectory, block, channel) from which the descent begins; when
    absent it begins at the mean of both and about it, and the best end is taken
    evidence of what is found is its logarithm, up to what is the same for all families (Laplace)
    Raises NonFiniteError where no start gives a finite prediction.
    """
    window = Window(family, points)
    directions = family.prior.directions
    begins = torch.zeros(1 + 2 * min(2, directions), window.unknowns, dtype=torch.float64)
    for number in range(min(2, directions)):
        begins[1 + 2 * number, number], begins[2 + 2 * number, number] = LOOK, -LOOK
    if begin is not None:
        begins = torch.cat([begin[0], window.numbers(begin[1]).flatten()])[None]
    ends = [descended(window, each) for each in begins]
    if begin is not None and not np.isfinite(ends[0][0]):  # the weights lead nowhere: from the prior's centre
        begins[:, :directions] = 0
        ends.append(descended(window, begins[0]))
    cost, unknowns, factor = min(ends, key=lambda end: end[0])
    if not np.isfinite(cost):
        raise NonFiniteError("no start gives a finite prediction of the points; give points closer in time")
    precision = factor @ factor.T
    # What the environment's weights are known to, whatever the first states are.
    own, mixed, other = (
        precision[:directions, :directions],
        precision[:directions, directions:],
        precision[directions:, directions:],
    )
    marginal = own - mixed @ torch.cholesky_solve(mixed.T, cholesky(other))
    residual = (points.value - window.predict(unknowns[None])[0]) / points.error
    misfit = residual.square().mean()
    posterior = Posterior(family.prior, unknowns[None, :directions], cholesky(marginal)[None], misfit[None], ITERATIONS)
    numbers = unknowns[None, directions:].unflatten(1, (window.trajectories, -1))
    told = -0.5 * cost - float(factor.diagonal().log().sum())
    return Found(posterior, window.states(numbers)[0], window.start, float(misfit), told)


def descended(window: Window, unknowns: Tensor) -> tuple[float, Tensor, Tensor]:
    """Cost, unknowns and factor of the Hessian at the end of damped Gauss-Newton steps."""
    points = window.points

    def cost_of(tried: Tensor) -> float:
        whitened = (points.value - window.predict(tried[None])[0]) / points.error
        made = float(whitened.square().sum() + tried.square().sum())
        return made if np.isfinite(made) else np.inf

    cost, factor = cost_of(unknowns), torch.eye(len(unknowns), dtype=torch.float64)
    for _ in range(ITERATIONS if np.isfinite(cost) else 0):
        values, slopes = window.linearised(unknowns)
        if not bool(torch.isfinite(slopes).all()):
            break
        slopes, left = slopes / points.error[:, None], (points.value - values) / points.error
        hessian = slopes.T @ slopes + torch.eye(len(unknowns), dtype=torch.float64)
        factor = cholesky(hessian)
        downhill = slopes.T @ left - unknowns
        last = cost
        for damping in DAMPING:
            held = cholesky(hessian + torch.diag(damping * hessian.diagonal()))
            tried = unknowns + torch.cholesky_solve(downhill[:, None], held)[:, 0]
            if (new := cost_of(tried)) < cost:
                unknowns, cost = tried, new
                break
        if last - cost < SETTLED * max(cost, 1.0):
            break
    return cost, unknowns, factor


def moments_of(points: Points) -> list[Tensor] | None:
    """Rows (observation,) of each trajectory, channel and time; None where few observations share one."""
    keys = torch.stack([points.trajectory.double(), points.channel.double(), points.time], 1)
    _, place, counts = torch.unique(keys, dim=0, return_inverse=True, return_counts=True)
    if len(counts) * FEW_TOGETHER > len(keys):
        return None
    return list(place.argsort(stable=True).split(counts.tolist()))


def lagrange(place: Tensor) -> Tensor:
    """(observation, node) weights of the cubic through nodes 0, 1, 2, 3 at places (observation,)."""
    nodes = torch.arange(AROUND, dtype=torch.float64)
    columns = []
    for own in range(AROUND):
        others = [node for node in range(AROUND) if node != own]
        columns.append(torch.stack([(place - nodes[o]) / (nodes[own] - nodes[o]) for o in others]).prod(0))
    return torch.stack(columns, 1)
