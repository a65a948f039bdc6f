"""Strong-constraint assimilation of a window: Gauss-Newton with the flow's Jacobian (incremental 4D-Var).

The state at the start of the window minimises

    J(s0) = 1/2 |s0 - m|^2_{S^-1} + 1/2 sum_k |y_k - b(x_k) - Phi(x_k) a(t_k; s0)|^2 / R_k

(Courtier, Thepaut & Hollingsworth 1994, in a space of a few hundred dimensions, where the normal matrix is formed
exactly). The tangent-linear equations are integrated beside the state. The control variable is whitened by the prior,
so that the normal matrix is the identity plus what the observations add. A decoder that is not affine in its code is
linearised anew about every trajectory tried, so that the cost is always that of the decoder itself. With a bound the
squared misfits beyond it give way to Huber's cost (`robust`), by weights that every iteration finds anew.

Charts are minimised side by side, each with its own step length, in blocks that bound the memory.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..dynamics import by_modes, mode_flows, tangent_flow
from ..errors import NonFiniteError
from ..numerics.gaussian import Gaussian, cholesky
from ..numerics.groups import batches
from ..numerics.modes import without_gradients
from .filter import BATCH_ROWS, Assimilated, Problem, Trajectory
from .observed import ObservedValues
from .robust import huber_cost, huber_weight

# Numbers of the Jacobians (node, chart, state, state) that a block of charts holds.
BLOCK_NUMBERS = 2**25


@without_gradients
def minimised(problem: Problem, iterations: int = 6) -> Assimilated:
    """The posterior of all charts with a perfect model; between two nodes the code is interpolated linearly."""
    count, size = problem.prior.mean.shape
    together = max(1, BLOCK_NUMBERS // (len(problem.nodes) * size * size))
    starts = range(0, count, together)
    return problem.joined(
        _Block(problem.part(slice(first, min(first + together, count)))).run(iterations) for first in starts
    )


@dataclass
class _Path:
    """Trajectories of some controls (chart, control): states (node, chart, state) and their derivatives by the control.

    rows : linearised about the trajectory; cost : (chart,)
    """

    control: Tensor
    states: Tensor
    whitened: Tensor
    rows: ObservedValues
    cost: Tensor


class _Block:
    """A block of charts that is minimised together."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.layout = problem, problem.layout
        self.root = cholesky(problem.prior.covariance)
        like, nodes = problem.prior.mean, torch.as_tensor(problem.nodes)
        self.nodes = nodes.to(like.dtype).to(like.device)
        self.where = self.layout.state.to(like.device)
        latent = problem.latent
        self.flows = None
        if latent.dynamics.is_linear:
            self.flows = mode_flows(latent.dynamics, nodes)

    def run(self, iterations: int) -> Assimilated:
        """Iterate until no chart gains; then the curvature at the minimum is the posterior's."""
        path, active = self._at(torch.zeros_like(self.problem.prior.mean)), None
        for iteration in range(iterations):
            # Far from the prior everything looks like an outlier: first, misfits are measured against its spread too.
            borrowed = iteration == 0 and self.problem.bound < math.inf
            normal, gradient, _ = self._normal_equations(path, with_spread=iteration == 0)
            descent = torch.cholesky_solve((gradient - path.control.double()).unsqueeze(-1), cholesky(normal))
            step = descent.squeeze(-1).to(path.control)
            if active is not None:
                step = torch.where(active.unsqueeze(-1), step, 0.0)
            trial, better = self._searched(path, step)
            gained = torch.where(better, path.cost - trial.cost, 0.0)
            path = trial
            if not bool(torch.isfinite(path.cost).all()):
                raise NonFiniteError(
                    "the analysis left the finite numbers; shorten the window or check the observations"
                )
            # Weights that are not the cost's promise no descent: after them every chart goes on.
            active = None if borrowed else (gained >= 1e-5 * path.cost) & better
            if active is not None and not bool(active.any()):
                break
        normal, _, weight = self._normal_equations(path, with_spread=False)
        return self._posterior(path, normal, weight)

    def _searched(self, path: _Path, step: Tensor) -> tuple[_Path, Tensor]:
        """The path after a step that is halved, chart by chart, until it lowers the cost; and where it did."""
        length = torch.ones_like(path.cost)
        while True:
            trial = self._at(path.control + length.unsqueeze(-1).to(step) * step)
            better = trial.cost <= path.cost * (1 + 1e-6)
            searching = ~better & (length >= 1e-3)
            if not bool(searching.any()):
                break
            length = torch.where(searching, length / 2, length)
        if bool(better.all()):
            return trial, better
        # No length of their step is downhill for the others: rounding is all that is left.
        return self._at(torch.where(better.unsqueeze(-1), trial.control, path.control)), better

    def _at(self, control: Tensor) -> _Path:
        problem = self.problem
        start = problem.prior.mean + (self.root @ control.unsqueeze(-1)).squeeze(-1)
        states, whitened = self._moved(start, self.root)
        rows = problem.rows.about(problem.latent.decoder, problem.rows.along(states[..., : self.layout.code_size]))
        rows = rows if rows is problem.rows else rows.whitened()
        path = _Path(control, states, whitened, rows, control.new_zeros(len(control), dtype=torch.float64))
        scaled = self._misfit(path).double() / rows.variance.double().sqrt()
        path.cost += 0.5 * control.double().square().sum(-1)
        path.cost.index_add_(0, rows.chart, huber_cost(scaled, problem.bound))
        return path

    def _moved(self, start: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """States and tangents of the augmented state at all nodes; offsets stay."""
        latent, where = self.problem.latent, self.where
        inner = start[:, where], tangents[:, where]
        if self.flows is not None:
            states, turned = (torch.stack([by_modes(flow, part) for flow in self.flows]) for part in inner)
        else:
            states, turned = tangent_flow(
                latent.dynamics, self.problem.context, *inner, self.nodes, latent.method, latent.step_days
            )
        if not self.layout.offsets:
            return states, turned
        whole = start.expand(len(self.nodes), -1, -1).clone(), tangents.expand(len(self.nodes), -1, -1, -1).clone()
        whole[0][:, :, where], whole[1][:, :, where] = states, turned
        return whole

    def _misfit(self, path: _Path) -> Tensor:
        """(row,) values less what the trajectory predicts."""
        rows, size = path.rows, self.layout.seen
        assert rows.form is not None
        operator = self._operator(rows, slice(None))
        return rows.value - rows.form.offset - (operator * rows.along(path.states[..., :size])).sum(-1)

    def _operator(self, rows: ObservedValues, which: Tensor | slice) -> Tensor:
        """(row, seen) operator of some rows, with the columns of offsets."""
        assert rows.form is not None
        group = self.problem.group
        if group is None:
            return rows.form.operator[which]
        unit = None if rows.unit is None else rows.unit[which]
        return self.layout.operator(rows.form.operator[which], group[which], unit)

    def _normal_equations(self, path: _Path, with_spread: bool) -> tuple[Tensor, Tensor, Tensor]:
        """1 + sum H'R^-1 H and sum H'R^-1 d of every chart, H the derivative by the control, and the weights in R.

        with_spread : weights of misfits over their spread under the prior, R + H H', instead of over R alone
        """
        rows, size, bound = path.rows, self.layout.seen, self.problem.bound
        count, controls = path.control.shape
        normal = torch.eye(controls, dtype=torch.float64, device=path.control.device).repeat(count, 1, 1)
        gradient = normal.new_zeros(count, controls)
        misfit, weight = self._misfit(path), torch.ones_like(rows.value)
        last = len(path.states) - 1
        for batch in batches(rows.chart * (last + 1) + rows.node, BATCH_ROWS):
            chart, node = batch.group // (last + 1), batch.group % (last + 1)
            which, known = batch.row, batch.known
            operator = self._operator(rows, which.flatten()).unflatten(0, which.shape)
            fraction = rows.fraction[which].unsqueeze(-1)
            following = (node + 1).clamp_max(last)
            jacobian = (operator * (1 - fraction)) @ path.whitened[node, chart, :size]
            jacobian = jacobian + (operator * fraction) @ path.whitened[following, chart, :size]
            variance, missed = rows.variance[which], misfit[which]
            found = known.to(variance)
            if bound < math.inf:
                expected = variance + jacobian.square().sum(-1) if with_spread else variance
                found = huber_weight(missed / expected.sqrt(), bound) * known
                weight[which[known]] = found[known]
            weighted = jacobian * (found / variance).unsqueeze(-1)
            normal.index_add_(0, chart, (weighted.mT @ jacobian).double())
            gradient.index_add_(0, chart, (weighted.mT @ missed.unsqueeze(-1)).squeeze(-1).double())
        return normal, gradient, weight

    def _posterior(self, path: _Path, normal: Tensor, weight: Tensor) -> Assimilated:
        # The posterior's root is that of the prior turned by C^-T, with C C' the normal matrix.
        factor = cholesky(normal).mT
        identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
        turn = torch.linalg.solve_triangular(factor, identity, upper=True).to(path.control)
        moved = path.whitened[-1] @ turn
        end = Gaussian(path.states[-1], moved @ moved.mT)
        weight = path.rows.trusted(weight)
        if not self.problem.smooth:
            return Assimilated(end, None, weight)
        code = path.whitened[:, :, : self.layout.code_size] @ turn
        return Assimilated(end, Trajectory(path.states[..., self.where], code @ code.mT), weight)
