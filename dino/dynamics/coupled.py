"""Linear dynamics of codes that push each other: what is learned of motion from the smoothed states of a record.

The flow over t days is exp(t G) with one generator G at all places. A drift turns the sine and the cosine of a wave
into each other, which codes that relax each for itself (`RelaxingODE`) cannot do.
"""

import torch
from torch import Tensor

from .base import Dynamics

DOUBLINGS = 40  # of the days whose noise has come together: more than any code lasts


class CoupledODE(Dynamics):
    """d(code)/dt = G code for states (..., code); generator : (code, code) per day."""

    is_linear = False  # not mode by mode
    order = 1
    context_size = 0
    generator: Tensor

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.code_size = code_size
        self.register_buffer("rates", torch.ones(1))
        self.register_buffer("generator", -torch.eye(code_size) / 30.0)

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., code)."""
        return state @ self.generator.mT

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        return self.generator @ bundle

    @torch.no_grad()
    def flows(self, days: Tensor) -> Tensor:
        """(time, code, code) what becomes of states after `days` (time,), in double precision."""
        return torch.linalg.matrix_exp(self.generator.double() * days.double()[:, None, None])

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast."""
        self.generator.mul_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let codes decay at `rate` per day more than they do."""
        self.generator.diagonal().sub_(rate)

    @torch.no_grad()
    def noise(self, daily: Tensor, days: float) -> Tensor:
        """The same, exactly, of noise that is white in time: P - F P F', P being the covariance that it keeps up."""
        kept, flow = self.stationary(daily), self.flows(torch.tensor([days]))[0].to(self.generator.device)
        lost = kept - flow @ kept @ flow.mT
        return (0.5 * (lost + lost.mT)).to(daily)

    @torch.no_grad()
    def stationary(self, daily: Tensor) -> Tensor:
        """(code, code) covariance of codes that gain `daily` (code, code) a day, in double precision.

        The sum of F^k daily F'^k over all days k, of which every doubling adds as many as there were (Smith 1968).
        """
        flow, total = self.flows(torch.ones(1))[0].to(self.generator.device), daily.double()
        for _ in range(DOUBLINGS):
            more = flow @ total @ flow.mT
            total = total + more
            if float(more.abs().max()) <= 1e-14 * float(total.abs().max()):
                break
            flow = flow @ flow
        return total
