"""Doubly periodic spectral grids: wave numbers, transforms, random fields, one integrating-factor Runge-Kutta step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft


@dataclass(frozen=True)
class SpectralGrid:
    """A square periodic box of `size` x `size` points, dims (y, x), and the spectra that the two-thirds rule keeps.

    A spectrum has shape (..., size, columns): every meridional wave number, and the zonal ones from 0 to `cutoff`.
    """

    size: int
    length: float

    @property
    def cutoff(self) -> int:
        """The largest wave index along an axis for which quadratic products are free of aliasing."""
        return (self.size - 1) // 3

    @property
    def largest(self) -> float:
        """The wave number of `cutoff`, radians per unit of `length`."""
        return 2 * np.pi / self.length * self.cutoff

    @property
    def kx(self) -> np.ndarray:
        """Zonal wave number, shape (1, cutoff + 1), radians per unit of `length`."""
        return (2 * np.pi / self.length * np.arange(self.cutoff + 1))[None, :]

    @property
    def ky(self) -> np.ndarray:
        """Meridional wave number, shape (size, 1)."""
        return (2 * np.pi / self.length * np.fft.fftfreq(self.size, 1 / self.size))[:, None]

    @property
    def squared(self) -> np.ndarray:
        """kx² + ky², shape (size, cutoff + 1)."""
        return self.kx**2 + self.ky**2

    @property
    def kept(self) -> np.ndarray:
        """True where |ky| is within the cutoff, shape (size, 1)."""
        return np.abs(np.fft.fftfreq(self.size, 1 / self.size))[:, None] <= self.cutoff

    def forward(self, field: np.ndarray) -> np.ndarray:
        """Spectra (..., size, cutoff + 1) of real fields (..., size, size); float32 stays single precision."""
        zonal = np.asarray(fft.rfft(field, axis=-1))[..., : self.cutoff + 1]
        return np.asarray(fft.fft(zonal, axis=-2))

    def inverse(self, spectrum: np.ndarray) -> np.ndarray:
        """Real fields (..., size, size) of spectra (..., size, cutoff + 1)."""
        return np.asarray(fft.irfft(fft.ifft(spectrum, axis=-2), n=self.size, axis=-1))

    def on_grid(self, spectrum: np.ndarray, size: int) -> np.ndarray:
        """The band-limited fields (..., size, size) of spectra (..., self.size, cutoff + 1) on another grid."""
        if size == self.size:
            return self.inverse(spectrum)
        other = SpectralGrid(size, self.length)
        padded = np.zeros((*spectrum.shape[:-2], size, other.cutoff + 1), spectrum.dtype)
        rows = np.arange(-self.cutoff, self.cutoff + 1)
        padded[..., rows, : self.cutoff + 1] = (size / self.size) ** 2 * spectrum[..., rows, :]
        return other.inverse(padded)

    def mean_square(self, spectrum: np.ndarray) -> np.ndarray:
        """Domain mean of the squared fields of spectra (..., size, cutoff + 1), by Parseval."""
        weight = np.where(self.kx > 0, 2.0, 1.0)  # a real field: the other half plane mirrors this one
        return (np.abs(spectrum).astype(np.float64) ** 2 * weight).sum((-2, -1)) / self.size**4

    def random_field(self, generator: np.random.Generator, wavelength: float) -> np.ndarray:
        """Spectrum (size, cutoff + 1) of a random field of unit variance in a ring about `wavelength`."""
        spectrum = self.forward(generator.standard_normal((self.size, self.size)))
        centre = 2 * np.pi / wavelength
        spectrum *= np.exp(-0.5 * ((np.sqrt(self.squared) - centre) / (0.25 * centre)) ** 2) * self.kept
        spectrum[0, 0] = 0
        return spectrum / np.sqrt(self.mean_square(spectrum))


def runge_kutta_step(
    state: np.ndarray, tendency: Callable[[np.ndarray], np.ndarray], half_decay: np.ndarray, step: float
) -> np.ndarray:
    """One fourth-order step of d(state)/dt = tendency(state) − λ state, with exp(−λ step / 2) = `half_decay` exact."""
    weight = state.dtype.type(step).real
    first = tendency(state)
    decayed = half_decay * state
    drift = half_decay * first
    second = tendency(decayed + (weight / 2) * drift)
    third = tendency(decayed + (weight / 2) * second)
    second += third
    third *= weight
    third += decayed
    third *= half_decay
    fourth = tendency(third)
    # exp(−λh) y + h/6 (exp(−λh) k1 + 2 exp(−λh/2)(k2 + k3) + k4)
    drift += 2 * second
    drift *= half_decay
    drift += fourth
    drift *= weight / 6
    drift += half_decay * decayed
    return drift
