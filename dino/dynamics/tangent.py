"""States and tangents carried along the flow: the derivative of a trajectory by its start, in batches of charts."""

import torch
from torch import Tensor
from torchdiffeq import odeint

from .base import Dynamics
from .integrate import solver_steps


def tangent_flow(
    dynamics: Dynamics,
    context: Tensor | None,
    initial: Tensor,
    tangents: Tensor,
    nodes: Tensor,
    method: str,
    step: float,
) -> tuple[Tensor, Tensor]:
    """States (node, chart, state) and tangents (node, chart, state, direction) from the first node; nodes in days.

    initial : (chart, state); tangents : (chart, state, direction) at the first node, the identity for a Jacobian
    """
    if len(nodes) == 1:
        return initial[None], tangents[None]

    def both(time: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return dynamics.push(*pair, context)

    # Steps that miss the nodes would be interpolated linearly, an error far above the solver's own.
    options = {"grid_constructor": lambda f, y0, t: solver_steps(t, step)}
    solution = odeint(both, (initial, tangents), nodes - nodes[0], method=method, options=options)
    return solution[0], solution[1]  # type: ignore[return-value]


@torch.no_grad()
def propagators(dynamics: Dynamics, days: Tensor, method: str, step: float) -> Tensor:
    """(time, state, state) what linear dynamics make of a state after `days` (time,), not negative, in any order."""
    like = dynamics.rates
    moments, position = torch.unique(days.to(torch.float64), sorted=True, return_inverse=True)
    nodes = torch.cat([moments.new_zeros(1), moments[moments > 0]])
    identity = torch.eye(dynamics.state_size, dtype=like.dtype, device=like.device)
    start = identity.new_zeros(1, dynamics.state_size)
    _, moved = tangent_flow(dynamics, None, start, identity[None], nodes.to(identity), method, step)
    return moved[(position + int(moments[0] > 0)).to(like.device), 0]
