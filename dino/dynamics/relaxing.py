"""Codes that relax to the population's mean, every mode at its own rate: what is left where no dynamics are known.

With noise that keeps the population as it is, every code is an Ornstein-Uhlenbeck process of its own, whose
covariance at a lag of t days is s exp(-t / T). It is the model of optimal interpolation with an exponential kernel in
time, in a learned basis. Its forecast is the best one of such codes: never worse than the analysis held still, and at
last the mean.
"""

import torch
from torch import Tensor

from .base import Dynamics


class RelaxingODE(Dynamics):
    """d(code)/dt = -code / T for states (..., code), T = `days` (code,)."""

    is_linear = True
    order = 1
    context_size = 0
    days: Tensor

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.code_size = code_size
        self.register_buffer("rates", torch.ones(1))
        self.register_buffer("days", torch.full((code_size,), 30.0))

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., code)."""
        return -state / self.days

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        return -bundle / self.days.unsqueeze(-1)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Relax `factor` times as fast."""
        self.days.div_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let codes relax at `rate` per day more than they do."""
        self.days.copy_(1 / (1 / self.days + rate).clamp_min(1e-6))

    def noise(self, daily: Tensor, days: float) -> Tensor:
        """The same, exactly: what noise has brought relaxes meanwhile."""
        rate = (1 / self.days.unsqueeze(-1) + 1 / self.days).to(daily)
        return daily * torch.expm1(-days * rate) / torch.expm1(-rate)

    @torch.no_grad()
    def lost(self, days: Tensor) -> Tensor:
        """(time, code) share of the population's variance that noise has brought after `days` (time,)."""
        return -torch.expm1(-2 * days.unsqueeze(-1) / self.days)
