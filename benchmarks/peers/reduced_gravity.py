"""A reduced-gravity quasi-geostrophic ocean over a basin, in a periodic box, as differentiable functions of torch.

    dq/dt = -s [J(psi, q) + beta dpsi/dx] - damping q,    q = laplacian(psi) - psi / radius²,    psi = (g / f) sea level

on a beta plane about the basin's middle latitude (Cushman-Roisin and Beckers 2011, Introduction to Geophysical Fluid
Dynamics, chapter 16). s is the share of a grid cell that is sea: over land nothing moves. No flow is kept from crossing
a coast beyond that. The box is wider than the basin, so that its periodic images do not meet.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dino.errors import ConfigError, DomainError
from dino.space.land import is_land

Array = NDArray[np.float64]

GRAVITY, TURN = 9.81, 7.2921e-5  # [m/s²], rotation of the Earth [1/s]
RADIUS_KM = 6371.0
DAY = 86400.0
SUBCELLS = 4  # a side of a cell, that are asked for land
DAMPING = 2.0  # of the shortest wave [1/day], by the eighth power of the wavenumber


@dataclass(frozen=True)
class Box:
    """A periodic box of `rows` by `columns` cells of `cell_km`; its first cell lies about `west`, `south` [degrees]."""

    west: float
    south: float
    latitude: float
    rows: int
    columns: int
    cell_km: float

    @classmethod
    def around(cls, longitude: Array, latitude: Array, cell_km: float, margin_km: float) -> "Box":
        """The box about points with at least half a margin on every side and sides that transform fast."""
        if not len(longitude):
            raise DomainError("no point came; a box wants points to lie about")
        middle = 0.5 * (latitude.min() + latitude.max())
        made = cls(float(longitude.min()), float(latitude.min()), float(middle), 2, 2, cell_km)
        x, y = made.km(longitude, latitude)
        columns, rows = (_fast(int(np.ceil((side.max() + margin_km) / cell_km))) for side in (x, y))
        per_km = np.rad2deg(1.0 / RADIUS_KM)
        west = made.west - 0.5 * (columns * cell_km - x.max()) * per_km / np.cos(np.deg2rad(middle))
        south = made.south - 0.5 * (rows * cell_km - y.max()) * per_km
        return cls(float(west), float(south), float(middle), rows, columns, cell_km)

    def km(self, longitude: Array, latitude: Array) -> tuple[Array, Array]:
        """Distances to the east and north of the first cell's middle, on the plane of the middle latitude."""
        degree = np.deg2rad(1.0) * RADIUS_KM
        return degree * np.cos(np.deg2rad(self.latitude)) * (longitude - self.west), degree * (latitude - self.south)

    def sea(self) -> Array:
        """(row, column) share of every cell that is sea."""
        part = (np.arange(SUBCELLS) + 0.5) / SUBCELLS - 0.5
        per_km = np.rad2deg(1.0 / RADIUS_KM) * self.cell_km
        east = (np.arange(self.columns)[:, None] + part).ravel() * per_km / np.cos(np.deg2rad(self.latitude))
        north = (np.arange(self.rows)[:, None] + part).ravel() * per_km
        land = is_land(self.west + east, (self.south + north)[:, None])
        return 1.0 - land.reshape(self.rows, SUBCELLS, self.columns, SUBCELLS).mean((1, 3))


class ReducedGravity:
    """States are spectra of psi (row, column // 2 + 1) [km²/day], of the waves within two thirds of the highest.

    radius_km : deformation radius; None: nothing moves
    sea : (row, column) share of the cells in which the equations hold; all of every cell when absent
    """

    def __init__(
        self,
        box: Box,
        radius_km: float | None,
        sea: Array | None = None,
        steps_per_day: int = 3,
        damping: float = DAMPING,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if radius_km is not None and radius_km <= 0:
            raise ConfigError(f"a deformation radius of {radius_km} km came; give a positive one, or none")
        self.box, self.radius_km, self.steps_per_day, self.dtype = box, radius_km, steps_per_day, dtype
        rotation = 2.0 * TURN * np.sin(np.deg2rad(box.latitude))
        self.per_metre = GRAVITY / rotation * DAY * 1e-6  # [km²/day] of psi
        self.beta = 2.0 * TURN * np.cos(np.deg2rad(box.latitude)) / RADIUS_KM * DAY  # [1/(km day)]
        kx = 2.0 * np.pi * np.fft.rfftfreq(box.columns, box.cell_km)
        ky = 2.0 * np.pi * np.fft.fftfreq(box.rows, box.cell_km)[:, None]
        highest = 2.0 / 3.0 * np.pi / box.cell_km
        self.squared = kx**2 + ky**2
        self.kept = self.squared < highest**2
        self._kept = self._tensor(self.kept)
        self._gradient = self._tensor(np.stack([1j * kx * np.ones_like(ky), 1j * ky * np.ones_like(kx)]) * self.kept)
        self._laplacian = self._tensor(-self.squared * self.kept)
        if radius_km is not None:
            self._inversion = self._tensor(-1.0 / (self.squared + radius_km**-2) * self.kept)
        rate = damping * (self.squared / highest**2) ** 4
        self._decay = self._tensor(np.exp(-rate / steps_per_day) * self.kept)
        self._sea = None if sea is None else torch.as_tensor(sea, dtype=dtype)

    def forward(self, fields: Tensor) -> Tensor:
        """Spectra of real fields (..., row, column), of the waves that are kept."""
        return torch.fft.rfft2(fields) * self._kept

    def inverse(self, spectra: Tensor) -> Tensor:
        """Real fields (..., row, column) of spectra."""
        return torch.fft.irfft2(spectra, s=(self.box.rows, self.box.columns))

    def tendency(self, psi: Tensor) -> Tensor:
        """dpsi/dt [km²/day²] without damping, same shape."""
        gradient = self._gradient * psi.unsqueeze(-3)
        slopes = self.inverse(torch.cat([gradient, self._gradient * (self._laplacian * psi).unsqueeze(-3)], -3))
        psi_x, psi_y, zeta_x, zeta_y = slopes.unbind(-3)
        # J(psi, psi) = 0: only relative vorticity is carried.
        carried = psi_x * (zeta_y + self.beta) - psi_y * zeta_x
        if self._sea is not None:
            carried = self._sea * carried
        return -self._inversion * self.forward(carried)

    def day(self, psi: Tensor) -> Tensor:
        """The state a day later, by fourth-order Runge-Kutta steps."""
        if self.radius_km is None:
            return psi
        length = 1.0 / self.steps_per_day
        for _ in range(self.steps_per_day):
            first = self.tendency(psi)
            second = self.tendency(psi + 0.5 * length * first)
            third = self.tendency(psi + 0.5 * length * second)
            fourth = self.tendency(psi + length * third)
            psi = self._decay * (psi + length / 6.0 * (first + 2.0 * (second + third) + fourth))
        return psi

    def _tensor(self, values: Array | NDArray[np.complexfloating] | NDArray[np.bool_]) -> Tensor:
        complex_dtype = torch.complex64 if self.dtype == torch.float32 else torch.complex128
        return torch.as_tensor(values).to(complex_dtype if np.iscomplexobj(values) else self.dtype)


def _fast(size: int) -> int:
    """The smallest even number from `size` on without prime factors beyond five."""
    size += size % 2
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2
