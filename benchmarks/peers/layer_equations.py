"""The layered quasi-geostrophic equations of the project's simulator as differentiable functions of torch.

States are spectra of potential vorticity q [1/day], complex (batch, layer, ky, kx), laid out as `SpectralGrid` does.
The simulator's own operators are taken over, so that there is one place where the equations stand.
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from data_pipeline.simulators.layer_model import QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig


class LayerEquations:
    """Tendency, steps and sea level of one configuration, without random forcing.

    dtype : torch.float64 or torch.float32, of fields; spectra are complex numbers of the same precision
    steps_per_day : Runge-Kutta steps; too few blow up, which shows as values that are not finite
    """

    def __init__(
        self, config: QuasiGeostrophicConfig, steps_per_day: int = 2, dtype: torch.dtype = torch.float64
    ) -> None:
        self.config, self.dtype = config, dtype
        self.complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        self.steps_per_day = steps_per_day
        self.model = QuasiGeostrophicModel(config, np.float64)
        grid = self.model.grid
        self.size, self.columns = grid.size, grid.cutoff + 1
        self.metres = float(self.model.metres)
        self._kept = self._spectral(grid.kept)
        self._along_x = self._spectral(1j * grid.kx * grid.kept)
        self._along_y = self._spectral(1j * grid.ky * grid.kept)
        drag = np.zeros(config.layers)
        drag[-1] = 0.0 if config.drag_days is None else 1.0 / config.drag_days
        gradient, flow = (values[:, None, None] for values in (self.model.gradient, self.model.flow))
        on_psi = 1j * grid.kx * gradient - drag[:, None, None] * grid.squared
        self._on_psi = self._spectral(on_psi * grid.kept)
        self._on_q = self._spectral(1j * grid.kx * flow * grid.kept)
        self._inversion = self._spectral(self.model.inversion)
        self._vorticity = self._spectral(np.moveaxis(self.model.vorticity, (-2, -1), (0, 1)) * grid.kept)
        self._half_decay = self._spectral(np.exp(-0.5 / steps_per_day * self.model.damping))

    def forward(self, fields: Tensor) -> Tensor:
        """Spectra (..., size, columns) of real fields (..., size, size)."""
        return torch.fft.fft(torch.fft.rfft(fields, dim=-1)[..., : self.columns], dim=-2)

    def inverse(self, spectra: Tensor) -> Tensor:
        """Real fields (..., size, size) of spectra (..., size, columns)."""
        return torch.fft.irfft(torch.fft.ifft(spectra, dim=-2), n=self.size, dim=-1)

    def streamfunction(self, state: Tensor) -> Tensor:
        """Spectra of psi [km²/day] from those of q, same shape."""
        return torch.einsum("ijyx,bjyx->biyx", self._inversion, state)

    def potential_vorticity(self, psi: Tensor) -> Tensor:
        """Spectra of q [1/day] from those of psi, same shape."""
        return torch.einsum("ijyx,bjyx->biyx", self._vorticity, psi)

    def tendency(self, state: Tensor) -> Tensor:
        """dq/dt [1/day²] of everything but hyperviscosity, same shape as the state."""
        psi = self.streamfunction(state)
        u, v, q = self.inverse(torch.stack([-self._along_y * psi, self._along_x * psi, state]))
        zonal, meridional = self.forward(torch.stack([u * q, v * q]))
        return -(self._along_x * zonal + self._along_y * meridional + self._on_psi * psi + self._on_q * state)

    def step(self, state: Tensor, push: Tensor | None = None) -> Tensor:
        """One fourth-order step; `push`, a constant tendency of q (batch, layer, ky, kx), is added to the equations.

        Hyperviscosity is exact: the stages are those of the state multiplied by its growing inverse.
        """
        length, decay = 1.0 / self.steps_per_day, self._half_decay

        def slope(at: Tensor) -> Tensor:
            return self.tendency(at) if push is None else self.tendency(at) + push

        middle = decay * state
        first = slope(state)
        second = slope(middle + 0.5 * length * decay * first)
        third = slope(middle + 0.5 * length * second)
        fourth = slope(decay * (middle + length * third))
        return decay * (middle + length / 6.0 * (decay * first + 2.0 * (second + third))) + length / 6.0 * fourth

    def sea_level(self, state: Tensor) -> Tensor:
        """Anomaly of sea level [m], real (batch, size, size)."""
        return self.metres * self.inverse(self.streamfunction(state)[:, 0])

    def run(self, state: Tensor, days: int, push: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sea level (batch, days + 1, size * size) [m] at the start and after every day, and the last state."""
        maps = [self.sea_level(state)]
        for _ in range(days):
            for _ in range(self.steps_per_day):
                state = self.step(state, push)
            maps.append(self.sea_level(state))
        return torch.stack(maps, 1).flatten(2), state

    def _spectral(self, values: ArrayLike) -> Tensor:
        return cast(Tensor, torch.as_tensor(np.asarray(values))).to(self.complex_dtype)
