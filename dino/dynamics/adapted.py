"""Dynamics learned in simulation with what another ocean adds to them: a residual network, and a drift.

    d(state)/dt = f(state) + u D_e state + v D_n state + [0, ..., r(state)]

f is frozen. r is a small network in the highest derivative, zero before it is trained: what an environment has of its
own beside what all share (LEADS, Yin et al. 2021, arXiv 2106.04546). u and v are the velocity of a uniform drift, D_e
and D_n the eastward and northward derivatives of the decoded field as matrices on codes: the advection that a
physical model would give, completed by r (APHYNITY, Yin et al. 2021, arXiv 2010.04456). In a drifting frame
everything drifts, tendencies too.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .latent_ode import LatentODE, Swish
from .quadratic import QuadraticODE

DRIFT_UNIT_KM = 10.0  # per day: weights of order one give velocities of the order of eddies' drift


class AdaptedODE(nn.Module):
    """A latent vector field with a residual network and, if `drifts`, a uniform drift; the interface of `LatentODE`.

    base : the dynamics of the simulation
    hidden : width of the residual network
    tiled : whether the context tells latitude and size of a tile, as `tile_context` does
    operators : (2, code, code) eastward and northward derivative [1/km] on the chart with `reference`
    reference : (2,) cosine of latitude and log of size of that chart, as in the context of a tile
    """

    operators: Tensor
    reference: Tensor

    def __init__(self, base: "LatentODE | QuadraticODE | AdaptedODE", hidden: int, drifts: bool) -> None:
        super().__init__()
        self.base, self.drifts = base, drifts
        width = base.state_size + base.context_size
        self.network = nn.Sequential(nn.Linear(width, hidden), Swish(), nn.Linear(hidden, base.code_size))
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.zero_()
        self.drift = nn.Parameter(torch.zeros(2 if drifts else 0))
        size = base.code_size if drifts else 0
        self.register_buffer("operators", torch.zeros(2, size, size))
        self.register_buffer("reference", torch.tensor([1.0, 0.0]))

    is_linear = False

    @property
    def order(self) -> int:
        """Order of the base."""
        return self.base.order

    @property
    def code_size(self) -> int:
        """Length of a code."""
        return self.base.code_size

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return self.base.state_size

    @property
    def context_size(self) -> int:
        """Length of a context."""
        return self.base.context_size

    @property
    def rates(self) -> Tensor:
        """Units of the state's derivatives."""
        return self.base.rates

    def codes(self, states: Tensor) -> Tensor:
        """The code part (..., code) of states (..., state)."""
        return self.base.codes(states)

    def residual(self, state: Tensor, context: Tensor | None = None, amplitude: Tensor | None = None) -> Tensor:
        """r(state) (..., code), in units of the highest derivative's change."""
        inputs = state
        if context is not None and context.shape[-1]:
            inputs = torch.cat([state, context.expand(*state.shape[:-1], -1)], dim=-1)
        push = self.network(inputs)
        return push if amplitude is None else amplitude * push

    def derivative(self, state: Tensor, context: Tensor | None = None, amplitude: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., state), context (..., context), amplitude (..., 1)."""
        moved = self.base.derivative(state, context, amplitude)
        push = self.rates[-1] * self.residual(state, context, amplitude)
        still = push.new_zeros(*push.shape[:-1], self.state_size - self.code_size)
        moved = moved + torch.cat([still, push], dim=-1)
        if not self.drifts:
            return moved
        parts = state.unflatten(-1, (self.order, self.code_size))
        velocity = DRIFT_UNIT_KM * self.drift * self._per_kilometre(context)
        carried = [velocity[..., i, None, None] * (parts @ self.operators[i].T) for i in range(2)]
        return moved + (carried[0] + carried[1]).flatten(-2)

    def _per_kilometre(self, context: Tensor | None) -> Tensor:
        """How much longer a kilometre is in the coordinates of a place than on the reference chart, east and north."""
        if context is None or not context.shape[-1]:
            return self.reference.new_ones(2)
        north = (self.reference[1] - context[..., 3]).exp()
        return torch.stack([north * self.reference[0] / context[..., 1], north], dim=-1)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast; the residual is in the base's units."""
        self.base.change_pace(factor)
        self.drift.mul_(factor)

    def damp(self, rate: float) -> None:
        """Let the base's highest derivative decay at `rate` per day more than it does."""
        self.base.damp(rate)

    def bind(
        self, context: Tensor | None = None, amplitude: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The right-hand side f(time, state) of these places, as an integrator wants it."""
        return lambda time, state: self.derivative(state, context, amplitude)
