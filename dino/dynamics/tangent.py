"""States and tangents carried along the flow: the derivative of a trajectory by its start, in batches of charts."""

import torch
from torch import Tensor

from .base import Dynamics
from .coupled import CoupledODE
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
    if isinstance(dynamics, CoupledODE):
        moved = dynamics.flows(nodes - nodes[0]).to(bundle).unsqueeze(1) @ bundle
        return moved[..., 0], moved[..., 1:]
    moved = integrate(lambda time, state: dynamics.push(state, context), bundle, nodes - nodes[0], method, step)
    return moved[..., 0], moved[..., 1:]


@torch.no_grad()
def mode_flows(dynamics: Dynamics, days: Tensor) -> Tensor:
    """(time, order, order, code) what linear dynamics make of every mode's part of a state after `days` (time,).

    Linear dynamics leave every mode to itself: with one small generator a mode the flow is its matrix exponential.
    """
    assert dynamics.is_linear
    size, order, code = dynamics.state_size, dynamics.order, dynamics.code_size
    identity = torch.cat([torch.zeros(size, 1), torch.eye(size)], dim=-1).to(dynamics.rates)
    generator = dynamics.push(identity[None])[0, :, 1:].unflatten(0, (order, code)).unflatten(2, (order, code))
    blocks = generator.diagonal(dim1=1, dim2=3).permute(2, 0, 1).double().contiguous()
    flows = torch.linalg.matrix_exp((blocks * days.to(blocks)[:, None, None, None]).contiguous())
    return flows.permute(0, 2, 3, 1).to(dynamics.rates)


@torch.no_grad()
def by_modes(flow: Tensor, x: Tensor) -> Tensor:
    """A matrix a mode (order, order, code) times the states' rows of x (chart, state, ...)."""
    order, _, code = flow.shape
    weights = flow.view(order, order, code, *[1] * (x.dim() - 2)).to(x)
    moved = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    parts, rows = x.unflatten(1, (order, code)), moved.unflatten(1, (order, code))
    for i in range(order):
        # One pass over the memory a term, which is all that this costs; a sum over an axis takes several times that.
        torch.mul(parts[:, 0], weights[i, 0], out=rows[:, i])
        for j in range(1, order):
            rows[:, i].addcmul_(parts[:, j], weights[i, j])
    return moved
