"""Sequential assimilation of all charts: the extended Kalman filter and its smoother in latent space.

Where the window treats the model as perfect, the filter adds process noise at every node, so that old observations
lose weight at the rate at which the model was measured to err. Without process noise, on linear dynamics, it gives
what the window gives. Every observation is taken at its nearest node; with a bound every node minimises Huber's cost.

Charts go through a node together, in blocks that bound the memory. States are scaled by the standard deviations of the
population, in which all entries are of order one and single precision carries covariances without harm.

The smoother goes backwards over what the forward pass kept (modified Bryson-Frazier; Bierman 1977, Factorization
Methods for Discrete Sequential Estimation): lambda and Lambda are the gradient and the information of later rows,

    lambda <- F' ((I - P E)' lambda - e),    Lambda <- F' ((I - P E)' Lambda (I - P E) + E) F,

with E = H' S^-1 H and e = H' S^-1 d of a node's update and F the flow to it. No covariance is inverted.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..dynamics import by_modes, mode_flows, tangent_flow
from ..model import LatentModel
from ..numerics.gaussian import Gaussian
from ..numerics.groups import batches
from ..numerics.modes import without_gradients
from .encode import solves_at_once
from .observed import ObservedValues
from .offsets import Layout
from .update import About, Rows, update

# Numbers of a covariance (chart, state, state) that a block of charts holds, and places of a batch of rows.
BLOCK_NUMBERS, BATCH_ROWS = 2**22, 2**14


class Trajectory(NamedTuple):
    """States along nodes given all observations: mean (node, chart, state), covariance (node, chart, code, code)."""

    mean: Tensor
    covariance: Tensor


class Moments(NamedTuple):
    """Sums over charts and intervals between nodes of second moments given all rows, in units of the population.

    later, lagged, earlier : (state, state) E[x_k x_k'], E[x_k x_(k-1)'] and E[x_(k-1) x_(k-1)'] of states divided by
    standard deviations of the population; count : of the charts' intervals
    """

    later: Tensor
    lagged: Tensor
    earlier: Tensor
    count: int


class Assimilated(NamedTuple):
    """States at the last node, the trajectory where it was asked for, Huber's weights (row,), and the evidence.

    evidence : (chart,) logarithm of the density of the rows, by the filter's innovations (Schweppe 1965); the window,
    which has no innovations, tells none. Rows that count less have it count less. moments : where they were asked for
    """

    end: Gaussian
    trajectory: Trajectory | None
    weight: Tensor
    evidence: Tensor | None = None
    moments: Moments | None = None


@dataclass(frozen=True)
class Problem:
    """What filter and window are given.

    context : (chart, context); prior : of the augmented states (chart, state) at the first node
    rows : in order of charts; nodes : (node,) days, ascending, from zero; group : (row,) offset that a row sees
    bound : misfits of more standard deviations are down-weighted (Huber); smooth : whether the trajectory is wanted
    moments : whether those of neighbouring nodes are, of states that are codes and nothing else
    """

    latent: LatentModel
    context: Tensor
    prior: Gaussian
    rows: ObservedValues
    nodes: NDArray[np.float64]
    layout: Layout
    group: Tensor | None = None
    bound: float = math.inf
    smooth: bool = False
    moments: bool = False

    def part(self, charts: slice) -> "Problem":
        """The problem of some neighbouring charts, numbered from zero, with the form of their rows."""
        ends = torch.tensor([charts.start, charts.stop], device=self.rows.chart.device)
        low, high = torch.searchsorted(self.rows.chart, ends).tolist()
        rows = self.rows.select(slice(low, high))
        rows = replace(rows, chart=rows.chart - charts.start)
        if rows.form is None or not solves_at_once(self.latent.decoder):
            rows = rows.formed(self.latent.decoder)
        rows = rows.distrusted(self.latent.code_prior, self.bound)
        # Forms that change with the codes are whitened when they are made.
        rows = rows.whitened() if solves_at_once(self.latent.decoder) else rows
        prior = Gaussian(self.prior.mean[charts], self.prior.covariance[charts])
        return Problem(
            self.latent, self.context[charts] if self.context.shape[-1] else self.context, prior, rows, self.nodes,
            self.layout, None if self.group is None else self.group[low:high], self.bound, self.smooth, self.moments,
        )  # fmt: skip

    def joined(self, parts: Iterator[Assimilated]) -> Assimilated:
        """Blocks of charts put together, one at a time: their covariances fill the memory once."""
        mean, covariance = (
            torch.empty_like(self.prior.mean),
            self.prior.covariance.new_empty(self.prior.covariance.shape),
        )
        weights, kept, told, first, moments = [], [], [], 0, None
        for part in parts:
            here = slice(first, first + len(part.end.mean))
            mean[here], covariance[here] = part.end.mean, part.end.covariance
            weights.append(part.weight)
            told += [part.evidence] if part.evidence is not None else []
            kept += [part.trajectory] if part.trajectory is not None else []
            if part.moments is not None:
                moments = part.moments if moments is None else _added(moments, part.moments)
            first = here.stop
        path = Trajectory(*(torch.cat(t, dim=1) for t in zip(*kept, strict=True))) if kept else None
        return Assimilated(
            Gaussian(mean, covariance), path, torch.cat(weights), torch.cat(told) if told else None, moments
        )


@without_gradients
def filtered(problem: Problem) -> Assimilated:
    """Filter all charts and, where the problem wants it, smooth them."""
    size = problem.prior.mean.shape[-1]
    kept = len(problem.nodes) if problem.smooth or problem.moments else 1
    together = max(1, BLOCK_NUMBERS // (size * size * (1 + kept // 4)))
    count = len(problem.prior.mean)
    shared = _shared_flows(problem) if problem.latent.dynamics.is_linear else None
    starts = range(0, count, together)
    return problem.joined(
        _Block(problem.part(slice(first, min(first + together, count))), shared).run() for first in starts
    )


class _Step(NamedTuple):
    """What the smoother wants of a node: the flow to it and its transpose, what was predicted, and the update."""

    back: Callable[[Tensor], Tensor] | None
    predicted: Tensor
    information: Tensor
    pull: Tensor


class _Block:
    """A block of charts on its way through the nodes, in scaled states."""

    def __init__(self, problem: Problem, shared: dict[float, Tensor] | None) -> None:
        self.problem, self.layout, self.shared = problem, problem.layout, shared
        self.scale = _scale(problem)
        self.mean = problem.prior.mean / self.scale
        self.covariance = problem.prior.covariance / (self.scale * self.scale[:, None])
        rows = problem.rows
        self.weight = torch.ones_like(rows.value)
        self.evidence = self.mean.new_zeros(len(self.mean)).index_add_(0, rows.chart, -rows.stretched().to(self.mean))
        self.node_of = rows.node + (rows.fraction > 0.5).long()

    def run(self) -> Assimilated:
        """Forwards through all nodes and, where it is wanted, back."""
        problem, steps, means, seen = self.problem, [], [], []
        keeping = problem.smooth or problem.moments
        for node in range(len(problem.nodes)):
            back = self._predict(float(problem.nodes[node] - problem.nodes[node - 1])) if node else None
            size = self.layout.seen
            predicted = self.covariance[:, :size].clone() if keeping else self.covariance
            information, pull = self._condition(node)
            if keeping:
                steps.append(_Step(back, predicted, information, pull))
                means.append(self.mean.clone())
                seen.append(self.covariance.clone())
        trajectory = self._smoothed(steps, means, seen) if problem.smooth else None
        moments = self._moments(steps, means, seen) if problem.moments else None
        covariance = self.covariance * self.scale * self.scale[:, None]
        like, end = problem.prior.mean, self.mean * self.scale
        return Assimilated(
            Gaussian(end.to(like), covariance.to(like)),
            trajectory,
            problem.rows.trusted(self.weight),
            self.evidence,
            moments,
        )

    def _predict(self, days: float) -> Callable[[Tensor], Tensor]:
        """Carry mean and covariance over an interval; returns the transposed flow, for the smoother."""
        if self.shared is None:
            forth, back = self._flow(days)
        else:
            modes = self.shared[round(days, 6)]
            forth, back = (lambda x: by_modes(modes, x)), (lambda x: by_modes(modes.transpose(0, 1), x))
            self.mean = self._on_state(forth, self.mean.unsqueeze(-1)).squeeze(-1)
        carried = self._on_state(forth, self._on_state(forth, self.covariance).mT)
        self.covariance = (carried + carried.mT).mul_(0.5).add_(self._noise(days))
        return lambda x: self._on_state(back, x)

    def _noise(self, days: float) -> Tensor:
        """What the covariance of scaled states gains over an interval."""
        latent = self.problem.latent
        noise = latent.dynamics.noise(latent.process_noise.to(self.mean), days)
        return self.layout.of_state(noise, 0.0) / self.scale / self.scale[:, None]

    def _flow(self, days: float) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Move the mean along the flow; returns products with its Jacobian (chart, state, state) and the transpose."""
        latent, where = self.problem.latent, self.layout.state.to(self.mean.device)
        scale, like = self.scale[where], self.problem.prior.mean
        start = (self.mean[:, where] * scale).to(like)
        tangents = torch.diag(scale).to(like).expand(len(start), -1, -1)
        between = torch.tensor([0.0, days], dtype=like.dtype, device=like.device)
        states, moved = tangent_flow(
            latent.dynamics, self.problem.context, start, tangents, between, latent.method, latent.step_days
        )
        self.mean = self.mean.clone()
        self.mean[:, where] = states[-1].to(self.mean) / scale
        jacobian = moved[-1].to(self.mean) / scale[:, None]
        return (lambda x: jacobian @ x), (lambda x: jacobian.mT @ x)

    def _on_state(self, move: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply a flow to the state's rows of x (chart, augmented state, ...); offsets stay."""
        if not self.layout.offsets:
            return move(x)
        where, moved = self.layout.state.to(x.device), x.clone()
        moved[:, where] = move(x[:, where])
        return moved

    def _condition(self, node: int) -> tuple[Tensor, Tensor]:
        """Condition on the rows of a node; returns information and pull of the update where a smoother wants them."""
        problem, size = self.problem, self.layout.seen
        keeping = problem.smooth or problem.moments
        charts = len(self.mean) if keeping else 0
        information, pull = self.mean.new_zeros(charts, size, size), self.mean.new_zeros(charts, size)
        here = torch.nonzero(self.node_of == node).squeeze(-1)
        # Conditioned in place: nobody else holds what was predicted.
        for batch in batches(problem.rows.chart[here], BATCH_ROWS):
            which, chart = here[batch.row], batch.group
            mean = self.mean[chart]
            about = self._about(mean, which, batch.known)
            rows = about(torch.zeros_like(mean[:, :size]))
            made = update(mean, self.covariance[chart], rows, problem.bound, about, keeping)
            self.mean[chart], self.covariance[chart] = made.mean, made.covariance
            self.weight[which[batch.known]] = made.weight[batch.known].to(self.weight)
            self.evidence[chart] += made.evidence
            if made.information is not None and made.pull is not None:
                information[chart], pull[chart] = made.information, made.pull
        return information, pull

    def _about(self, mean: Tensor, which: Tensor, known: Tensor) -> About:
        """Rows `which` (chart, row) about changes of their charts' means, the same object where nothing changes."""
        decoder, code, size = self.problem.latent.decoder, self.layout.code_size, self.layout.seen
        flat, chart = which[known], torch.nonzero(known)[:, 0]
        values = self.problem.rows.select(flat)
        group = None if self.problem.group is None else self.problem.group[flat]
        held: list[tuple[ObservedValues, Rows]] = []

        def placed(column: Tensor) -> Tensor:
            whole = mean.new_zeros(*known.shape, *column.shape[1:])
            whole[known] = column.to(mean)
            return whole

        def about(change: Tensor) -> Rows:
            codes = (mean[:, :code] + change[:, :code]) * self.scale[:code]
            seen = values.about(decoder, codes.to(values.value)[chart])
            if held and held[0][0] is seen:
                return held[0][1]
            white = seen if seen is values else seen.whitened()
            assert white.form is not None
            seen_by = white.form.operator
            operator = seen_by if group is None else self.layout.operator(seen_by, group, white.unit)
            operator = placed(operator) * self.scale[:size]
            missed = placed(white.value - white.form.offset) - (operator @ mean[:, :size].unsqueeze(-1)).squeeze(-1)
            held[:] = [(seen, Rows(operator, torch.where(known, missed, 0.0), placed(1.0 / white.variance)))]
            return held[0][1]

        return about

    def _smoothed(self, steps: list[_Step], means: list[Tensor], covariances: list[Tensor]) -> Trajectory:
        """Means of states and covariances of codes at all nodes given all rows."""
        code = self.layout.code_size
        where = self.layout.state.to(self.mean.device)
        gradient, later = torch.zeros_like(self.mean), torch.zeros_like(self.covariance)
        found = []
        for node in range(len(steps) - 1, -1, -1):
            step, covariance = steps[node], covariances[node]
            mean = means[node] - (covariance @ gradient.unsqueeze(-1)).squeeze(-1)
            seen = covariance[:, :code]
            spread = seen[..., :code] - seen @ later @ seen.mT
            found.append(((mean * self.scale)[:, where], spread * self.scale[:code] * self.scale[:code, None]))
            if step.back is None:
                break
            gradient, later = self._with_own_rows(step, gradient, later)
            gradient = step.back(gradient.unsqueeze(-1)).squeeze(-1)
            later = step.back(step.back(later).mT)
        like = self.problem.prior.mean
        mean, covariance = zip(*reversed(found), strict=True)
        return Trajectory(torch.stack(mean).to(like), torch.stack(covariance).to(like))

    def _with_own_rows(self, step: _Step, gradient: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and information of the rows after a node with those of its own."""
        size = self.layout.seen
        # (1 - P E)' from the left, E being nothing but in the seen block.
        gradient = gradient.clone()
        gradient[:, :size] -= (step.information @ (step.predicted @ gradient.unsqueeze(-1))).squeeze(-1) + step.pull
        later = later.clone()
        later[..., :size] -= (later @ step.predicted.mT) @ step.information
        later[:, :size] -= step.information @ (step.predicted @ later)
        later[:, :size, :size] += step.information
        return gradient, later

    def _moments(self, steps: list[_Step], means: list[Tensor], covariances: list[Tensor]) -> Moments:
        """Second moments of neighbouring states given all rows; the state is all that is seen.

        With L the information of later rows before a node's own, F the flow to it and P what was predicted, its state
        and the one before have the covariance (1 - P L) F P+, P+ being that before after its own rows.
        """
        size, after = self.mean.shape[-1], None
        assert size == self.layout.seen
        gradient, later = torch.zeros_like(self.mean), torch.zeros_like(self.covariance)
        nothing = self.mean.new_zeros(size, size, dtype=torch.float64)
        total = Moments(nothing, nothing, nothing, 0)
        for node in range(len(steps) - 1, -1, -1):
            step, covariance = steps[node], covariances[node]
            mean = means[node] - (covariance @ gradient.unsqueeze(-1)).squeeze(-1)
            own = (covariance - covariance @ later @ covariance).sum(0) + mean.mT @ mean
            if after is not None:
                lagged = (after[1] @ covariance).sum(0) + after[2].mT @ mean
                total = _added(total, Moments(after[0].double(), lagged.double(), own.double(), len(mean)))
            if step.back is None:
                break
            gradient, later = self._with_own_rows(step, gradient, later)
            # (1 - P L) F, of which the transposed flow is at hand.
            kept = torch.eye(size).to(mean) - step.predicted @ later
            after = own, step.back(kept.mT).mT, mean
            gradient = step.back(gradient.unsqueeze(-1)).squeeze(-1)
            later = step.back(step.back(later).mT)
        return total


def _added(one: Moments, other: Moments) -> Moments:
    return Moments(
        one.later + other.later, one.lagged + other.lagged, one.earlier + other.earlier, one.count + other.count
    )


def _scale(problem: Problem) -> Tensor:
    """(augmented state,) standard deviations of the population and of the offsets' priors."""
    layout = problem.layout
    variance = layout.of_state(torch.diag(problem.latent.state_covariance.diagonal()), 1.0).diagonal().clone()
    offsets = slice(layout.code_size, layout.seen)
    variance[offsets] = problem.prior.covariance.diagonal(dim1=-2, dim2=-1)[:, offsets].amax(0)
    return variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()


def _shared_flows(problem: Problem) -> dict[float, Tensor]:
    """(order, order, code) the flow of linear dynamics between nodes, by the interval in days, in scaled states."""
    latent = problem.latent
    order, code = latent.dynamics.order, latent.dynamics.code_size
    days = sorted({round(float(day), 6) for day in np.diff(problem.nodes)})
    if not days:
        return {}
    modes = mode_flows(latent.dynamics, torch.tensor(days))
    scale = latent.state_covariance.diagonal().sqrt().unflatten(0, (order, code))
    scaled = modes * scale[None, None, :, :] / scale[None, :, None, :]
    return dict(zip(days, scaled, strict=True))
