"""Two layers of quasi-geostrophic flow as a latent vector field: the form is given, its numbers are learned.

The decoder has two channels, the sea level and a lower layer that no satellite sees, both streamfunctions psi_i up to a
unit. Their potential vorticity and its change (Vallis, Atmospheric and Oceanic Fluid Dynamics, section 6.6)

    q_1 = lap psi_1 + F_1 (psi_2 - psi_1),   q_2 = lap psi_2 + F_2 (psi_1 - psi_2),
    d q_i/dt + J(psi_i, q_i) + U_i dq_i/dx + (beta +- F_i U) dpsi_i/dx = -r lap psi_2 (lower layer) - hyperviscosity,

with U_1 = U, U_2 = 0, are quadratic in psi. Seen through a decoder that is affine in its code they are quadratic in the
code: products are taken at the points of a square grid, inverted for psi wave by wave, and projected on the modes by
least squares. Six numbers, F_1, F_2, U, beta, r and the hyperviscosity, are all that data have to tell.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Dynamics

LAYERS, HYPERVISCOSITY_ORDER = 2, 4  # the latter a power of the squared wave number
REACH = 1.25  # times the longest training code: how far the equations are stepped
UNBOUNDED = 1e12  # not infinite, of which gradients are no numbers
RIDGE = 1e-10  # of the mean square of a mode: modes that are nearly alike still have a projection


class LayerNumbers(NamedTuple):
    """The numbers of the equations.

    upper, lower : stretching F_1, F_2 [1/km²]; flow : U [km/day]; beta [1/(km day)]; drag : r [1/day];
    viscosity : damping of the largest wave that the grid keeps [1/day]
    """

    upper: float
    lower: float
    flow: float
    beta: float
    drag: float
    viscosity: float


class LayeredODE(Dynamics):
    """d(code)/dt per day of a code whose two channels are layers of a doubly periodic, square ocean; order one.

    fields : (code + 1, layer, row, column) the modes and, last, the mean, at the points of the box, in normalised units
    units : (layer,) streamfunction [km²/day] of a normalised unit; length_km : () side of the box, zero until `lay`
    numbers : (6,) float64, those of `LayerNumbers`; pace, decay : () what transfer changes
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

    def __init__(self, code_size: int, points: int) -> None:
        """`points` is the number of points along a side of the grid at which products are taken."""
        super().__init__()
        self.code_size, self.points = code_size, points
        places = LAYERS * points**2
        self.register_buffer("fields", torch.zeros(code_size + 1, LAYERS, points, points))
        self.register_buffer("units", torch.ones(LAYERS, dtype=torch.float64))
        self.register_buffer("length_km", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("numbers", torch.zeros(len(LayerNumbers._fields), dtype=torch.float64))
        self.register_buffer("pace", torch.tensor(1.0))
        self.register_buffer("decay", torch.tensor(0.0))
        self.register_buffer("extent", torch.tensor(UNBOUNDED))
        self.register_buffer("pull", torch.tensor(0.0))
        # For the interface only: the state is the code itself, in its own units.
        self.register_buffer("rates", torch.ones(1), persistent=False)
        # Made of the above by `refresh`: velocity and vorticity gradient (east and north) of every mode at the points,
        # the linear part, and the way back from a product at the points to the code.
        self.register_buffer("velocity", torch.zeros(2, places, code_size + 1), persistent=False)
        self.register_buffer("gradient", torch.zeros(2, places, code_size + 1), persistent=False)
        self.register_buffer("linear", torch.zeros(code_size, code_size + 1), persistent=False)
        self.register_buffer("back", torch.zeros(code_size, places), persistent=False)
        self.register_load_state_dict_post_hook(_refreshed)

    @torch.no_grad()
    def lay(self, fields: Tensor, units: Tensor, length_km: float, numbers: LayerNumbers) -> None:
        """Take modes and mean (code + 1, layer, row, column) at the points, rows northward, and the other buffers."""
        self.fields.copy_(fields)
        self.units.copy_(units)
        self.length_km.fill_(length_km)
        self.take(numbers)

    @torch.no_grad()
    def take(self, numbers: LayerNumbers) -> None:
        """Go on with other numbers."""
        self.numbers.copy_(torch.tensor(numbers, dtype=torch.float64))
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Make the matrices anew."""
        if float(self.length_km) > 0:
            self.velocity[:], self.gradient[:], self.linear[:], self.back[:] = _Operators(self).matrices()

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


class _Operators:
    """The equations of a `LayeredODE` as matrices, made in double precision."""

    def __init__(self, ode: LayeredODE) -> None:
        self.points, self.numbers = ode.points, LayerNumbers(*ode.numbers.tolist())
        count, columns = ode.points, ode.points // 2 + 1
        device, unit = ode.fields.device, 2 * math.pi / float(ode.length_km)
        rows = torch.fft.fftfreq(count, 1 / count, dtype=torch.float64, device=device)[:, None]
        across = torch.arange(columns, dtype=torch.float64, device=device)[None]
        # Products of two short waves come back as long ones. They are weak: keeping more waves is worth more.
        cutoff = (count - 1) // 2
        self.kept = (rows.abs() <= cutoff) & (across <= cutoff)
        self.along_x, self.along_y = 1j * unit * across, 1j * unit * rows
        self.squared = unit**2 * (across.square() + rows.square())
        self.damping = self.numbers.viscosity * (self.squared / (unit * cutoff) ** 2) ** HYPERVISCOSITY_ORDER
        self.normal, self.units = ode.fields.double(), ode.units
        stretching = self.squared.new_tensor([self.numbers.upper, self.numbers.lower])
        self.stretching = stretching[:, None, None]

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Velocity and gradient (2, place, code + 1), linear (code, code + 1), back (code, place)."""
        psi = torch.fft.rfft2(self.normal * self.units[:, None, None]) * self.kept
        q = -self.squared * psi + self.stretching * (psi.flip(1) - psi)
        velocity = torch.stack([self._at_points(-self.along_y * psi), self._at_points(self.along_x * psi)])
        gradient = torch.stack([self._at_points(self.along_x * q), self._at_points(self.along_y * q)])
        projection = self._projection()
        change = self._inverted(self._linear(psi, q)) - self.damping * psi
        return velocity, gradient, projection @ self._at_points(change), self._back(projection)

    def _linear(self, psi: Tensor, q: Tensor) -> Tensor:
        """Change of q by the mean flow, by the planetary gradient and by drag."""
        sign, flow = self.squared.new_tensor([[1.0, -1.0], [self.numbers.flow, 0.0]])[..., None, None]
        drag = self.squared.new_tensor([0.0, self.numbers.drag])[:, None, None]
        planetary = self.numbers.beta + sign * self.stretching * self.numbers.flow
        return drag * self.squared * psi - self.along_x * (planetary * psi + flow * q)

    def _inverted(self, q: Tensor, transposed: bool = False) -> Tensor:
        """psi of q wave by wave; the wave of the mean stays zero. transposed : by the transpose of the same matrix."""
        upper, lower = self.stretching
        least = self.squared.clone()
        least[0, 0] = 1.0
        # Of [[-k² - F1, F1], [F2, -k² - F2]] the determinant is k² (k² + F1 + F2).
        share = self.kept / (least * (least + upper + lower))
        share[0, 0] = 0.0
        first, second = (lower, upper) if transposed else (upper, lower)
        one, other = q[:, 0], q[:, 1]
        return -torch.stack(
            [
                share * ((self.squared + lower) * one + first * other),
                share * ((self.squared + upper) * other + second * one),
            ],
            dim=1,
        )

    def _projection(self) -> Tensor:
        """(code, place) least squares of the modes, in normalised units, from streamfunctions at the points."""
        modes = self.normal[:-1].flatten(1)
        gram = modes @ modes.T
        gram.diagonal().add_(RIDGE * gram.diagonal().mean())
        found = torch.cholesky_solve(modes, torch.linalg.cholesky(gram))
        return (found.unflatten(1, (LAYERS, -1)) / self.units[:, None]).flatten(1)

    def _back(self, projection: Tensor) -> Tensor:
        """(code, place) from a tendency of q at the points: the adjoint of what follows, on the projection's rows."""
        shape = (-1, LAYERS, self.points, self.points)
        rows = torch.fft.rfft2(projection.view(shape))
        return torch.fft.irfft2(self._inverted(rows, transposed=True), s=shape[-2:]).flatten(1)

    def _at_points(self, spectra: Tensor) -> Tensor:
        """(place, code + 1) of spectra (code + 1, layer, row, column)."""
        return torch.fft.irfft2(spectra, s=(self.points, self.points)).flatten(1).T
