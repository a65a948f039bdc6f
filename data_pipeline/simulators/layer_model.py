"""The layered quasi-geostrophic equations as operators on spectra, and the random forcing."""

import numpy as np

from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from data_pipeline.simulators.spectral import SpectralGrid

GRAVITY_KM_PER_DAY2 = 9.81e-3 * 86400.0**2
KM_PER_DAY = 86.4  # of one metre per second
HYPERVISCOSITY_ORDER = 4  # power of the squared wave number


class QuasiGeostrophicModel:
    """The operators of one configuration. States are spectra of q: (run, layer, *grid.squared.shape)."""

    def __init__(self, config: QuasiGeostrophicConfig, dtype: type = np.float32):
        self.config = config
        self.grid = SpectralGrid(config.grid, config.length_km)
        squared = self.grid.squared
        self.depths, self.stretching = _layers(config)
        self.flow = np.array([config.shear_m_s * KM_PER_DAY, 0.0])[: config.layers]
        self.gradient = config.beta + self.stretching * self.flow[0] * np.array([1.0, -1.0])[: config.layers]
        self.vorticity = _vorticity_matrix(squared, self.stretching)
        invertible = self.vorticity.copy()
        invertible[0, 0] = np.eye(config.layers)  # the mean of psi has no meaning and stays 0
        matrix = np.linalg.inv(invertible)
        matrix[0, 0] = 0
        complex_dtype = np.result_type(dtype, np.complex64)
        # Complex although real: numpy multiplies equal types without a copy.
        self.inversion = np.ascontiguousarray(np.moveaxis(matrix, (-2, -1), (0, 1))).astype(complex_dtype)

        drag = np.zeros(config.layers)
        drag[-1] = 0.0 if config.drag_days is None else 1 / config.drag_days
        linear = 1j * self.grid.kx * self.gradient[:, None, None] - drag[:, None, None] * squared
        kept = self.grid.kept
        self._along_x = (1j * self.grid.kx * kept).astype(complex_dtype)
        self._along_y = (1j * self.grid.ky * kept).astype(complex_dtype)
        self._linear = (linear * kept).astype(complex_dtype)
        self._advection = (1j * self.grid.kx * self.flow[:, None, None] * kept).astype(complex_dtype)
        rate = 0.0 if config.hyperviscosity_hours is None else 24 / config.hyperviscosity_hours
        self.damping = rate * (squared / self.grid.largest**2) ** HYPERVISCOSITY_ORDER
        self.complex_dtype = complex_dtype
        self.metres = 1000 * config.coriolis / GRAVITY_KM_PER_DAY2  # of sea level per km²/day of streamfunction

    def streamfunction(self, state: np.ndarray) -> np.ndarray:
        """Spectra of psi [km²/day] from those of q, same shape."""
        if self.config.layers == 1:
            return self.inversion[0, 0] * state
        return self.inversion[:, 0] * state[:, :1] + self.inversion[:, 1] * state[:, 1:]

    def potential_vorticity(self, streamfunction: np.ndarray) -> np.ndarray:
        """Spectra of q [1/day] from those of psi (run, layer, ky, kx)."""
        state = np.einsum("yxij,rjyx->riyx", self.vorticity, streamfunction) * self.grid.kept
        return state.astype(self.complex_dtype)

    def tendency(self, state: np.ndarray) -> np.ndarray:
        """dq/dt of everything but hyperviscosity."""
        psi = self.streamfunction(state)
        spectra = np.empty((3, *state.shape), state.dtype)
        np.multiply(psi, -self._along_y, out=spectra[0])
        np.multiply(psi, self._along_x, out=spectra[1])
        spectra[2] = state
        u, v, q = self.grid.inverse(spectra)
        u *= q
        v *= q
        out = self.grid.forward(u)
        out *= self._along_x
        meridional = self.grid.forward(v)
        meridional *= self._along_y
        out += meridional
        psi *= self._linear
        out += psi
        out += self._advection * state
        return np.negative(out, out=out)

    def speed(self, state: np.ndarray) -> np.ndarray:
        """Largest |u| + |v| of each run, mean flow included [km/day]."""
        psi = self.streamfunction(state)
        u = self.grid.inverse(-self._along_y * psi) + self.flow.astype(np.float32)[:, None, None]
        v = self.grid.inverse(self._along_x * psi)
        return (np.abs(u) + np.abs(v)).max((1, 2, 3))

    def energy(self, state: np.ndarray) -> np.ndarray:
        """Kinetic plus available potential energy per unit mass of each run [km²/day²]."""
        psi = self.streamfunction(state)
        kinetic = self.grid.mean_square(np.sqrt(self.grid.squared) * psi) @ self.depths
        thickness = psi[:, 0] - psi[:, 1] if self.config.layers == 2 else psi[:, 0]
        return 0.5 * (kinetic + self.depths[0] * self.stretching[0] * self.grid.mean_square(thickness))

    def enstrophy(self, state: np.ndarray) -> np.ndarray:
        """Half the mean squared q of each run, averaged over depth [1/day²]."""
        return 0.5 * self.grid.mean_square(state) @ self.depths

    def sea_level(self, state: np.ndarray) -> np.ndarray:
        """f0 psi1 / g [m], shape (run, grid, grid)."""
        return self.levels(state)[:, 0]

    def levels(self, state: np.ndarray) -> np.ndarray:
        """f0 psi / g [m] of every layer, shape (run, layer, grid, grid): sea level, and what those below would make."""
        psi = self.grid.inverse(self.streamfunction(state))
        return psi * psi.dtype.type(self.metres)


def _layers(config: QuasiGeostrophicConfig) -> tuple[np.ndarray, np.ndarray]:
    """Depth fractions and stretching parameters F [1/km²] of the active layers."""
    total = config.deformation_radius_km**-2
    if config.layers == 1:
        return np.array([1.0]), np.array([total])
    ratio = config.layer_depth_ratio
    return np.array([ratio, 1.0]) / (1 + ratio), total / (1 + ratio) * np.array([1.0, ratio])


def _vorticity_matrix(squared: np.ndarray, stretching: np.ndarray) -> np.ndarray:
    """The matrix (ky, kx, layer, layer) that takes psi to q."""
    layers = len(stretching)
    coupling = np.diag(stretching) if layers == 1 else stretching[:, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return -(squared[:, :, None, None] * np.eye(layers) + coupling)


class Forcing:
    """A random upper-layer tendency in a ring of wave numbers: an Ornstein-Uhlenbeck process, constant over a step."""

    def __init__(self, model: QuasiGeostrophicModel, generators: list[np.random.Generator]):
        config = model.config
        self.generators = generators
        self.memory = config.forcing_memory_days
        self.amplitude = config.forcing_m_per_day / abs(model.metres)
        self.grid, self.wavelength = model.grid, config.forcing_wavelength_km
        self.factor = model.vorticity[..., 0, 0]
        self.push = np.zeros((len(generators), config.layers, *self.factor.shape), model.complex_dtype)
        if self.amplitude:
            self.push[:, 0] = self._noise()

    def draw(self, step: float) -> np.ndarray | None:
        """The tendency of q during the next `step` days, shape of the state; None without forcing."""
        if not self.amplitude:
            return None
        keep = np.exp(-step / self.memory)
        self.push[:, 0] = keep * self.push[:, 0] + np.sqrt(1 - keep**2) * self._noise()
        return self.push

    def _noise(self) -> np.ndarray:
        draws = [self.grid.random_field(generator, self.wavelength) for generator in self.generators]
        return self.amplitude * self.factor * np.stack(draws)
