"""Two layers of quasi-geostrophic flow as a latent vector field: the form is given, its numbers are learned.

The decoder has the sea level and a lower layer that no satellite sees, both streamfunctions psi_i up to a unit. Their
potential vorticity and its change (Vallis, Atmospheric and Oceanic Fluid Dynamics, section 6.6)

    q_1 = lap psi_1 + F_1 (psi_2 - psi_1),   q_2 = lap psi_2 + F_2 (psi_1 - psi_2),
    d q_i/dt + J(psi_i, q_i) + U_i dq_i/dx + (beta +- F_i U) dpsi_i/dx = -r lap psi_2 (lower layer) - hyperviscosity,

with U_1 = U, U_2 = 0, are quadratic in psi. Seen through a decoder that is affine in its code they are quadratic in the
code: products are taken at the points of a square grid, inverted for psi wave by wave, and projected on the modes by
least squares. Six numbers, F_1, F_2, U, beta, r and the hyperviscosity, are all that data have to tell.

Other channels are tracers theta of the upper layer, as temperature is, about a large-scale gradient G:

    d theta/dt + J(psi_1, theta) + U dtheta/dx + G dpsi_1/dx = -theta relaxation + mixing lap theta - hyperviscosity,

three more numbers each. They are carried in the same products, and do not act on the flow.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Dynamics
from .layer_numbers import LAYERS, OceanNumbers, names_of
from .layer_operators import Operators

REACH = 1.25  # times the longest training code: how far the equations are stepped
UNBOUNDED = 1e12  # not infinite, of which gradients are no numbers


class LayeredODE(Dynamics):
    """d(code)/dt per day of a code whose channels are a doubly periodic, square ocean of two layers; order one.

    Channels are the upper layer, tracers that it carries, and the lower layer.

    fields : (code + 1, channel, row, column) modes and, last, the mean, at the points of the box, in normalised units
    units : (channel,) of a normalised unit, streamfunction [km²/day] or tracer; length_km : () side of the box, zero
        until `lay`
    numbers : (6 + 3 for every tracer,) float64, those of `OceanNumbers`; pace, decay : () what transfer changes
    extent : () length of a code up to which the equations are stepped, without end until `trust` sets it. A longer code
        moves as the one of that length in its direction, and is pulled back at `pull` per day: steps of a day cannot
        follow a flow twice as strong as the one that was learned from.
    """

    fields: Tensor
    units: Tensor
    length_km: Tensor
    numbers: Tensor
    pace: Tensor
    decay: Tensor
    extent: Tensor
    pull: Tensor
    velocity: Tensor
    gradient: Tensor
    linear: Tensor
    back: Tensor

    order, context_size, is_linear = 1, 0, False

    def __init__(self, code_size: int, points: int, tracers: int = 0) -> None:
        """`points` is the number of points along a side of the grid at which products are taken."""
        super().__init__()
        self.code_size, self.points, self.names = code_size, points, names_of(tracers)
        channels = LAYERS + tracers
        places = channels * points**2
        self.register_buffer("fields", torch.zeros(code_size + 1, channels, points, points))
        self.register_buffer("units", torch.ones(channels, dtype=torch.float64))
        self.register_buffer("length_km", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("numbers", torch.zeros(len(self.names), dtype=torch.float64))
        self.register_buffer("pace", torch.tensor(1.0))
        self.register_buffer("decay", torch.tensor(0.0))
        self.register_buffer("extent", torch.tensor(UNBOUNDED))
        self.register_buffer("pull", torch.tensor(0.0))
        # For the interface only: the state is the code itself, in its own units.
        self.register_buffer("rates", torch.ones(1), persistent=False)
        # Made of the above by `refresh`: velocity of every mode and gradient of what it carries (east and north) at the
        # points, the linear part, and the way back from a product at the points to the code.
        self.register_buffer("velocity", torch.zeros(2, places, code_size + 1), persistent=False)
        self.register_buffer("gradient", torch.zeros(2, places, code_size + 1), persistent=False)
        self.register_buffer("linear", torch.zeros(code_size, code_size + 1), persistent=False)
        self.register_buffer("back", torch.zeros(code_size, places), persistent=False)
        self.register_load_state_dict_post_hook(_refreshed)

    @torch.no_grad()
    def lay(self, fields: Tensor, units: Tensor, length_km: float, numbers: Sequence[float]) -> None:
        """Take modes and mean (code + 1, channel, row, column) at the points, rows northward, and the other buffers."""
        self.fields.copy_(fields)
        self.units.copy_(units)
        self.length_km.fill_(length_km)
        self.take(numbers)

    @torch.no_grad()
    def take(self, numbers: Sequence[float]) -> None:
        """Go on with other numbers, in order of `names`."""
        self.numbers.copy_(torch.tensor(numbers, dtype=torch.float64))
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Make the matrices anew."""
        if float(self.length_km) > 0:
            numbers = OceanNumbers.of(self.numbers.tolist())
            made = Operators(self.fields, self.units, float(self.length_km), numbers).matrices()
            self.velocity[:], self.gradient[:], self.linear[:], self.back[:] = made

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day for states (..., code); the context is taken for the interface and unused."""
        inside = state * self._share(state)
        whole = torch.cat([inside, torch.ones_like(state[..., :1])], dim=-1)
        (east, north), (eastward, northward) = (
            [whole @ part.T for part in pair] for pair in (self.velocity, self.gradient)
        )
        carried = east * eastward + north * northward
        change = self.pace * (whole @ self.linear.T - carried @ self.back.T)
        return change - self.decay * inside + self.pull * (inside - state)

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        state, tangents = bundle[..., 0], bundle[..., 1:]
        share = self._share(state)
        along = (state.unsqueeze(-2) @ tangents) / state.square().sum(-1).clamp_min(1e-30)[..., None, None]
        turned = torch.where(share.unsqueeze(-1) < 1, tangents - state.unsqueeze(-1) * along, tangents)
        kept, moved = share.unsqueeze(-1) * turned, torch.empty_like(bundle)
        moved[..., 0] = self.derivative(state)
        moved[..., 1:] = self.pull * (kept - tangents)
        for row, inside in enumerate(state * share):
            moved[row, :, 1:] += self._jacobian(inside) @ kept[row]
        return moved

    def _share(self, state: Tensor) -> Tensor:
        """(..., 1) of states (..., code), the share of them that lies within the extent."""
        return (self.extent / state.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)

    def _jacobian(self, state: Tensor) -> Tensor:
        """(code, code) of one state (code,) within the extent."""
        size, whole = self.code_size, torch.cat([state, state.new_ones(1)])
        product = state.new_zeros(len(self.velocity[0]), size)
        for velocity, gradient in zip(self.velocity, self.gradient, strict=True):
            product.addcmul_(velocity[:, :size], (gradient @ whole)[:, None])
            product.addcmul_(gradient[:, :size], (velocity @ whole)[:, None])
        jacobian = self.pace * (self.linear[:, :size] - self.back @ product)
        jacobian.diagonal().sub_(self.decay)
        return jacobian

    @torch.no_grad()
    def trust(self, codes: Tensor, interval: float) -> None:
        """Step a little longer codes than codes (..., code) are; pull longer ones back over `interval` days."""
        self.extent.copy_(REACH * codes.norm(dim=-1).max())
        self.pull.fill_(1.0 / interval)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast."""
        for rate in (self.pace, self.decay, self.pull):
            rate.mul_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let the code decay at `rate` per day more than it does."""
        self.decay.add_(rate)


def _refreshed(module: LayeredODE, _: object) -> None:
    module.refresh()
