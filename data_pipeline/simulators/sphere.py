"""Scalars and winds on the sphere as spherical harmonics, with the transforms of ducc0 (the extra `spherical`)."""

from types import ModuleType

import numpy as np

from data_pipeline.errors import MissingPackageError


def harmonic_transforms() -> ModuleType:
    """`ducc0.sht`, or MissingPackageError that names the extra."""
    try:
        from ducc0 import sht  # GPL-2.0-or-later, hence an extra and imported only where it is used
    except ImportError as error:
        raise MissingPackageError(
            "simulations on the sphere need the package ducc0, which is not installed; "
            'install it with: pip install "dino-ocean[spherical]"'
        ) from error
    return sht


class SphericalGrid:
    """Gaussian rings from north to south, `longitudes` = 2 `latitudes` points each from 0 E, and their spectra.

    A spectrum is complex128 (..., coefficients) up to degree `truncation`, the largest for which quadratic products
    are free of aliasing; order m >= 0, as fields are real. Fields are float64 (latitudes, longitudes).
    """

    def __init__(self, latitudes: int, radius: float) -> None:
        self._sht = harmonic_transforms()
        self.latitudes, self.longitudes, self.radius = latitudes, 2 * latitudes, radius
        self.truncation = (2 * latitudes - 1) // 3
        sine, _ = np.polynomial.legendre.leggauss(latitudes)
        self.latitude = np.arcsin(sine[::-1])[:, None]  # radians, (latitudes, 1)
        self.longitude = (2 * np.pi / self.longitudes * np.arange(self.longitudes))[None, :]
        self.degree = np.concatenate([np.arange(m, self.truncation + 1) for m in range(self.truncation + 1)])
        self.order = np.repeat(np.arange(self.truncation + 1), self.truncation + 1 - np.arange(self.truncation + 1))
        self.laplacian = -self.degree * (self.degree + 1.0) / radius**2
        self._slope = np.sqrt(self.degree * (self.degree + 1.0)) / radius
        self._inverse_slope = 1 / np.where(self._slope > 0, self._slope, np.inf)
        self._grid = {"lmax": self.truncation, "geometry": "GL", "nthreads": 1}
        self._shape = {"ntheta": self.latitudes, "nphi": self.longitudes}

    def forward(self, field: np.ndarray) -> np.ndarray:
        """Spectrum of a field."""
        return self._sht.analysis_2d(map=field[None], spin=0, **self._grid)[0]

    def inverse(self, spectrum: np.ndarray) -> np.ndarray:
        """Field of a spectrum."""
        return self._sht.synthesis_2d(alm=spectrum[None], spin=0, **self._grid, **self._shape)[0]

    def wind(self, vorticity: np.ndarray, divergence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eastward and northward wind from the spectra of its vorticity and divergence."""
        spectra = -self._inverse_slope * np.stack([divergence, vorticity])
        south, east = self._sht.synthesis_2d(alm=spectra, spin=1, **self._grid, **self._shape)
        return east, -south

    def curl_and_divergence(self, east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spectra of the curl and of the divergence of a vector field."""
        gradient, rotation = self._sht.analysis_2d(map=np.stack([-north, east]), spin=1, **self._grid)
        return -self._slope * rotation, -self._slope * gradient

    def mean(self, field: np.ndarray) -> float:
        """Mean over the area of the sphere."""
        return float(self.forward(field)[0].real / np.sqrt(4 * np.pi))

    def on_cells(self, spectrum: np.ndarray, latitudes: int) -> np.ndarray:
        """The field at the centres of `latitudes` x 2 `latitudes` equal cells in degrees, south to north from 180 W."""
        shape = {"ntheta": latitudes, "nphi": 2 * latitudes, "phi0": -np.pi}
        return self._sht.synthesis_2d(alm=spectrum[None], spin=0, **{**self._grid, "geometry": "F1"}, **shape)[0, ::-1]


def cell_axes(latitudes: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes [degrees] of the points of `SphericalGrid.on_cells`."""
    longitude = -180 + 180 / latitudes * np.arange(2 * latitudes)
    return longitude, -90 + 180 / latitudes * (np.arange(latitudes) + 0.5)
