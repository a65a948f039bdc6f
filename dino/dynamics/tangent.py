"""States and tangents carried along the flow: the derivative of a trajectory by its start, in batches of charts."""

import torch
from torch import Tensor

from .base import Dynamics
from .integrate import integrate


@torch.no_grad()
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
    bundle = torch.cat([initial.unsqueeze(-1), tangents], dim=-1)
    moved = integrate(lambda time, state: dynamics.push(state, context), bundle, nodes - nodes[0], method, step)
    return moved[..., 0], moved[..., 1:]


@torch.no_grad()
def propagators(dynamics: Dynamics, days: Tensor, method: str, step: float) -> Tensor:
    """(time, state, state) what linear dynamics make of a state after `days` (time,), not negative, in any order."""
    like, size = dynamics.rates, dynamics.state_size
    bundle = torch.cat([like.new_zeros(size, 1), torch.eye(size).to(like)], dim=-1)[None]
    return integrate(lambda time, state: dynamics.push(state), bundle, days, method, step)[:, 0, :, 1:]
