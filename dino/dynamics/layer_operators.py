"""The equations of two layers and of what they carry, seen through modes: the matrices of a quadratic form of codes."""

import math

import torch
from torch import Tensor

from .layer_numbers import OceanNumbers

HYPERVISCOSITY_ORDER = 4  # a power of the squared wave number
RIDGE = 1e-10  # of the mean square of a mode: modes that are nearly alike still have a projection


class Operators:
    """The equations as matrices, made in double precision.

    normal : (code + 1, channel, row, column) modes and, last, the mean at the points, in normalised units: the upper
    layer, the tracers, the lower layer; units : (channel,) of a normalised unit
    """

    def __init__(self, normal: Tensor, units: Tensor, length_km: float, numbers: OceanNumbers) -> None:
        self.points, self.numbers, self.tracers = normal.shape[-1], numbers.layers, numbers.tracers
        count, columns = self.points, self.points // 2 + 1
        device, unit = normal.device, 2 * math.pi / length_km
        rows = torch.fft.fftfreq(count, 1 / count, dtype=torch.float64, device=device)[:, None]
        across = torch.arange(columns, dtype=torch.float64, device=device)[None]
        # Products of two short waves come back as long ones. They are weak: keeping more waves is worth more.
        cutoff = (count - 1) // 2
        self.kept = (rows.abs() <= cutoff) & (across <= cutoff)
        self.along_x, self.along_y = 1j * unit * across, 1j * unit * rows
        self.squared = unit**2 * (across.square() + rows.square())
        self.damping = self.numbers.viscosity * (self.squared / (unit * cutoff) ** 2) ** HYPERVISCOSITY_ORDER
        self.normal, self.units = normal.double(), units
        stretching = self.squared.new_tensor([self.numbers.upper, self.numbers.lower])
        self.stretching = stretching[:, None, None]

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Velocity and gradient (2, place, code + 1), linear (code, code + 1), back (code, place)."""
        spectra = torch.fft.rfft2(self.normal * self.units[:, None, None]) * self.kept
        psi, theta = spectra[:, [0, -1]], spectra[:, 1:-1]
        q = -self.squared * psi + self.stretching * (psi.flip(1) - psi)
        # What is carried, and by which flow: the tracers by that of the upper layer.
        carried = torch.cat([q[:, :1], theta, q[:, 1:]], dim=1)
        flow = torch.cat([psi[:, :1].expand(-1, 1 + theta.shape[1], -1, -1), psi[:, 1:]], dim=1)
        velocity = torch.stack([self._at_points(-self.along_y * flow), self._at_points(self.along_x * flow)])
        gradient = torch.stack([self._at_points(self.along_x * carried), self._at_points(self.along_y * carried)])
        projection = self._projection()
        layers = self._inverted(self._linear(psi, q)) - self.damping * psi
        change = torch.cat([layers[:, :1], self._linear_tracers(psi[:, 0], theta), layers[:, 1:]], dim=1)
        return velocity, gradient, projection @ self._at_points(change), self._back(projection)

    def _linear(self, psi: Tensor, q: Tensor) -> Tensor:
        """Change of q by the mean flow, by the planetary gradient and by drag."""
        sign, flow = self.squared.new_tensor([[1.0, -1.0], [self.numbers.flow, 0.0]])[..., None, None]
        drag = self.squared.new_tensor([0.0, self.numbers.drag])[:, None, None]
        planetary = self.numbers.beta + sign * self.stretching * self.numbers.flow
        return drag * self.squared * psi - self.along_x * (planetary * psi + flow * q)

    def _linear_tracers(self, psi: Tensor, theta: Tensor) -> Tensor:
        """Change of tracers by the mean flow, by the flow over their gradient, by relaxation and mixing."""
        if not self.tracers:
            return theta
        gradient, relaxation, mixing = self.squared.new_tensor(self.tracers).T[..., None, None]
        carried = self.numbers.flow * theta + gradient * psi.unsqueeze(1)
        return -self.along_x * carried - (relaxation + mixing * self.squared + self.damping) * theta

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
        return (found.unflatten(1, (len(self.units), -1)) / self.units[:, None]).flatten(1)

    def _back(self, projection: Tensor) -> Tensor:
        """(code, place) from tendencies at the points, of q or of a tracer: the adjoint of what follows, on the
        projection's rows."""
        shape = (-1, len(self.units), self.points, self.points)
        rows = torch.fft.rfft2(projection.view(shape))
        layers = self._inverted(rows[:, [0, -1]], transposed=True)
        whole = torch.cat([layers[:, :1], rows[:, 1:-1] * self.kept, layers[:, 1:]], dim=1)
        return torch.fft.irfft2(whole, s=shape[-2:]).flatten(1)

    def _at_points(self, spectra: Tensor) -> Tensor:
        """(place, code + 1) of spectra (code + 1, layer, row, column)."""
        return torch.fft.irfft2(spectra, s=(self.points, self.points)).flatten(1).T
