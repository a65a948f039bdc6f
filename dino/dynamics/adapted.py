"""Dynamics learned in simulation with what another ocean adds to them: a residual network, and a drift.

    d(state)/dt = f(state) + u D_e state + v D_n state + [0, ..., r(state)]

f is frozen. r is a small network in the highest derivative, zero before it is trained: what an environment has of its
own beside what all share (LEADS, Yin et al. 2021, arXiv 2106.04546). u and v are the velocity of a uniform drift, D_e
and D_n the eastward and northward derivatives of the decoded field as matrices on codes: the advection that a
physical model would give, completed by r (APHYNITY, Yin et al. 2021, arXiv 2010.04456). In a drifting frame
everything drifts, tendencies too.
"""

import torch
from torch import Tensor, nn

from .base import Dynamics, swish_network, value_and_jacobian, with_context

DRIFT_UNIT_KM = 10.0  # per day: weights of order one give velocities of the order of eddies' drift


class AdaptedODE(Dynamics):
    """A latent vector field with a residual network and, if `drifts`, a uniform drift.

    base : the dynamics of the simulation
    hidden : width of the residual network
    context : names of the context's entries; `cos_latitude` and `log_size` tell how long a kilometre is on a tile
    operators : (2, code, code) eastward and northward derivative [1/km] on the chart with `reference`
    reference : (2,) cosine of latitude and log of size of that chart
    """

    operators: Tensor
    reference: Tensor
    is_linear = False

    def __init__(self, base: Dynamics, hidden: int, drifts: bool, context: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.base, self.drifts, self.context_names = base, drifts, context
        self.order, self.code_size, self.context_size = base.order, base.code_size, base.context_size
        self.network = swish_network([base.state_size + base.context_size, hidden, base.code_size])
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.zero_()
        self.drift = nn.Parameter(torch.zeros(2 if drifts else 0))
        size = base.code_size if drifts else 0
        self.register_buffer("operators", torch.zeros(2, size, size))
        self.register_buffer("reference", torch.tensor([1.0, 0.0]))

    @property
    def rates(self) -> Tensor:  # type: ignore[override]
        """Units of the state's derivatives."""
        return self.base.rates

    def residual(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """r(state) (..., code), in units of the highest derivative's change."""
        return self.network(with_context(state, context))

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., state), context (..., context)."""
        moved = self.base.derivative(state, context) + self._in_highest(self.residual(state, context), -1)
        return moved + self._drifted(state.unsqueeze(-1), context).squeeze(-1) if self.drifts else moved

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        inputs = with_context(bundle[..., 0], context)
        value, jacobian = value_and_jacobian(self.network, inputs, self.state_size)
        added = jacobian @ bundle
        added[..., 0] = value
        moved = self.base.push(bundle, context) + self._in_highest(added, -2)
        return moved + self._drifted(bundle, context) if self.drifts else moved

    def _in_highest(self, push: Tensor, dim: int) -> Tensor:
        """A change of the highest derivative along `dim` as one of the state."""
        shape = list(push.shape)
        shape[dim] = self.state_size - self.code_size
        return torch.cat([push.new_zeros(shape), self.rates[-1] * push], dim=dim)

    def _drifted(self, states: Tensor, context: Tensor | None) -> Tensor:
        """What a drift does to states (..., state, direction), which it moves without turning them."""
        parts = states.unflatten(-2, (self.order, self.code_size))
        velocity = DRIFT_UNIT_KM * self.drift * self._per_kilometre(context)
        carried = [velocity[..., i, None, None, None] * (self.operators[i] @ parts) for i in range(2)]
        return (carried[0] + carried[1]).flatten(-3, -2)

    def _per_kilometre(self, context: Tensor | None) -> Tensor:
        """How much longer a kilometre is in the coordinates of a place than on the reference chart, east and north."""
        if context is None or not self.context_names:
            return self.reference.new_ones(2)
        cosine, size = (context[..., self.context_names.index(name)] for name in ("cos_latitude", "log_size"))
        north = (self.reference[1] - size).exp()
        return torch.stack([north * self.reference[0] / cosine, north], dim=-1)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast; the residual is in the base's units."""
        self.base.change_pace(factor)
        self.drift.mul_(factor)

    def damp(self, rate: float) -> None:
        """Let the base's highest derivative decay at `rate` per day more than it does."""
        self.base.damp(rate)
