"""Strong-constraint assimilation of a window: Gauss-Newton with the flow's Jacobian (incremental 4D-Var).

The state at the start of the window minimises

    J(s0) = 1/2 |s0 - m|^2_{S^-1} + 1/2 sum_k |y_k - b(x_k) - Phi(x_k) a(t_k; s0)|^2 / R_k

(Courtier, Thepaut & Hollingsworth 1994, in a space of a few hundred dimensions, where the normal matrix is formed
exactly). The tangent-linear equations are integrated beside the state. The control variable is whitened by the prior,
so that the normal matrix is the identity plus what the observations add. A decoder that is not affine in its code is
linearised anew about every trajectory tried, so that the cost is always that of the decoder itself. With a bound the
squared misfits beyond it give way to Huber's cost (`robust`), by weights that every iteration finds anew.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchdiffeq import odeint

from ..dynamics.integrate import solver_steps
from ..errors import NonFiniteError
from ..numerics.gaussian import Gaussian, cholesky
from .observed import Rows
from .robust import huber_cost, huber_weight

RightHandSide = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Trajectory:
    """States along the nodes of a window: mean (node, state) and covariance (node, state, state).

    weight : (row,) Huber's weights of the observations, 1 where they count in full
    """

    mean: Tensor
    covariance: Tensor
    weight: Tensor

    @property
    def end(self) -> Gaussian:
        """The state at the last node."""
        return Gaussian(self.mean[-1], self.covariance[-1])


class Flow(ABC):
    """A right-hand side that knows a shorter way to its states and Jacobians than integrating them from scratch."""

    @abstractmethod
    def __call__(self, time: Tensor, state: Tensor) -> Tensor:
        """d(state)/dt."""

    @abstractmethod
    def flow(self, initial: Tensor, nodes: Tensor, method: str, step: float) -> tuple[Tensor, Tensor]:
        """States and Jacobians as `tangent_flow` gives them."""


class SharedPropagators(Flow):
    """A linear, autonomous right-hand side without forcing: one set of propagators serves all starts and places."""

    def __init__(self, right: RightHandSide) -> None:
        self.right = right
        self._known: dict[tuple[float, ...], Tensor] = {}

    def __call__(self, time: Tensor, state: Tensor) -> Tensor:
        return self.right(time, state)

    def flow(self, initial: Tensor, nodes: Tensor, method: str, step: float) -> tuple[Tensor, Tensor]:
        """States and Jacobians, integrated once for every spacing of nodes."""
        elapsed = tuple(round(day, 6) for day in (nodes - nodes[0]).tolist())
        if elapsed not in self._known:
            self._known[elapsed] = tangent_flow(self.right, torch.zeros_like(initial), nodes, method, step)[1]
        jacobians = self._known[elapsed]
        return jacobians @ initial, jacobians


def tangent_flow(
    right: RightHandSide, initial: Tensor, nodes: Tensor, method: str, step: float
) -> tuple[Tensor, Tensor]:
    """States (node, state) and Jacobians of the flow (node, state, state) from the first node; nodes in days."""
    if isinstance(right, Flow):
        return right.flow(initial, nodes, method, step)
    size = len(initial)
    identity = torch.eye(size, dtype=initial.dtype, device=initial.device)
    if len(nodes) == 1:
        return initial[None], identity[None]

    def both(time: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        state, tangents = pair
        moved, derivative = _linearised(right, time, state)
        return moved, derivative @ tangents

    # Steps that miss the nodes would be interpolated linearly, an error far above the solver's own.
    options = {} if method == "dopri5" else {"grid_constructor": lambda f, y0, t: solver_steps(t, step)}
    solution = odeint(both, (initial, identity), nodes - nodes[0], method=method, options=options)
    states, jacobians = solution[0], solution[1]
    assert isinstance(jacobians, Tensor)
    return states, jacobians


def _linearised(right: RightHandSide, time: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The right-hand side at a state and its derivative (state, state), by reverse mode.

    The products with the directions carried along are one matrix product then, a third of the time of pushing every
    direction through the right-hand side.
    """
    with torch.enable_grad():
        here = state.detach().requires_grad_()
        moved = right(time, here)
        if not moved.requires_grad:  # it does not depend on the state
            return moved, torch.zeros_like(torch.diag(state))
        rows = torch.eye(len(state), dtype=state.dtype, device=state.device)
        (derivative,) = torch.autograd.grad(moved, here, rows, is_grads_batched=True, materialize_grads=True)
    return moved.detach(), derivative


@torch.no_grad()
def assimilate_window(
    right: RightHandSide,
    prior: Gaussian,
    rows: Rows,
    nodes: Tensor,
    code_size: int,
    iterations: int = 6,
    method: str = "rk4",
    step: float = 1.0,
    bound: float = math.inf,
) -> Trajectory:
    """The posterior trajectory of a window with a perfect model.

    Parameters
    ----------
    right : d(state)/dt; prior : of the state at the first node
    rows : observations; between two nodes the code is interpolated linearly
    nodes : (node,) days, ascending
    code_size : the code is the first `code_size` entries of the state
    bound : misfits of more standard deviations than this are down-weighted (Huber)
    """
    root = cholesky(prior.covariance)
    control = torch.zeros_like(prior.mean)
    states, jacobians = tangent_flow(right, prior.mean, nodes, method, step)
    rows = _relinearised(rows, states, code_size)
    cost = _cost(control, states, rows, code_size, bound)
    identity = torch.eye(len(control), dtype=torch.float64, device=control.device)
    for iteration in range(iterations):
        # Far from the prior everything looks like an outlier: first, misfits are measured against its spread as well.
        normal, gradient, weight = _normal_equations(states, jacobians @ root, rows, code_size, bound, not iteration)
        factor = cholesky(normal + identity)
        descent = torch.cholesky_solve((gradient - control.double()).unsqueeze(-1), factor).squeeze(-1).to(control)
        length = 1.0
        while True:
            trial = control + length * descent
            moved, turned = tangent_flow(right, prior.mean + root @ trial, nodes, method, step)
            seen = _relinearised(rows, moved, code_size)
            new_cost = _cost(trial, moved, seen, code_size, bound)
            if new_cost <= cost * (1 + 1e-6) or length < 1e-3:
                break
            length /= 2
        if not torch.isfinite(new_cost):
            raise NonFiniteError("the analysis left the finite numbers; shorten the window or check the observations")
        borrowed = not iteration and bound < math.inf  # weights that are not the cost's promise no descent
        if new_cost > cost * (1 + 1e-6):  # no length of this step is downhill: rounding is all that is left
            if borrowed:
                continue
            break
        converged = cost - new_cost < 1e-5 * cost
        control, states, jacobians, rows, cost = trial, moved, turned, seen, new_cost
        if bool(converged) and not borrowed:
            break
    # The curvature at the minimum, not at the last linearisation, is the posterior's.
    normal, _, weight = _normal_equations(states, jacobians @ root, rows, code_size, bound, False)
    spread = torch.linalg.solve_triangular(cholesky(normal + identity), root.double().T, upper=False).T.to(control)
    moved_spread = jacobians @ spread
    return Trajectory(states, moved_spread @ moved_spread.mT, weight)


def _relinearised(rows: Rows, states: Tensor, code_size: int) -> Rows:
    """Rows about a trajectory: their prediction there is what the decoder gives, their operator its derivative."""
    return rows if rows.decoder is None else rows.about(rows.along(states[:, :code_size]))


def _predicted(states: Tensor, rows: Rows, code_size: int) -> Tensor:
    return (rows.operator * rows.along(states[:, :code_size])).sum(-1)


def _cost(control: Tensor, states: Tensor, rows: Rows, code_size: int, bound: float) -> Tensor:
    scaled = (rows.innovation - _predicted(states, rows, code_size)).double() / rows.variance.double().sqrt()
    return 0.5 * control.double().square().sum() + huber_cost(scaled, bound).sum()


def _normal_equations(
    states: Tensor, whitened: Tensor, rows: Rows, code_size: int, bound: float, with_spread: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """sum H'R^-1 H and sum H'R^-1 d, H the derivative of the observed values by the control, and the weights in R.

    with_spread : weights of misfits over their spread under the prior, R + H H', instead of over R alone
    """
    size = whitened.shape[-1]
    normal = torch.zeros(size, size, dtype=torch.float64, device=whitened.device)
    gradient = torch.zeros(size, dtype=torch.float64, device=whitened.device)
    misfit = rows.innovation - _predicted(states, rows, code_size)
    weight = torch.ones_like(misfit)
    for node in rows.node.unique().tolist():
        here = rows.node == node
        following = min(node + 1, len(states) - 1)
        operator, fraction = rows.operator[here], rows.fraction[here, None]
        jacobian = (operator * (1 - fraction)) @ whitened[node, :code_size]
        jacobian = jacobian + (operator * fraction) @ whitened[following, :code_size]
        variance = rows.variance[here]
        if bound < math.inf:
            expected = variance + jacobian.square().sum(-1) if with_spread else variance
            weight[here] = huber_weight(misfit[here] / expected.sqrt(), bound)
        weighted = jacobian * (weight[here] / variance)[:, None]
        normal += (weighted.T @ jacobian).double()
        gradient += (weighted.T @ misfit[here]).double()
    return normal, gradient, weight
