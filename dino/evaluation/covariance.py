"""Space-time covariance of an ocean field along scattered observations."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from data_pipeline.layout.globe import EARTH_RADIUS_KM

Array = NDArray[np.float64]
Kernel = Literal["gaussian", "matern32", "exponential"]


@dataclass(frozen=True)
class Component:
    """One scale of variability: variance [units^2], length scale [km], time scale [days].

    drift : degrees of longitude a day by which its patterns travel eastward while they change
    """

    variance: float
    length_km: float
    time_days: float
    drift: float = 0.0


@dataclass(frozen=True)
class Covariance:
    """Sum of separable components, plus white noise and an error common to all observations of a source.

    Each component is variance * k_space(distance / length) * k_time(lag / time), where distances are those in a frame
    that turns with the component's drift: sea level travels, and a map of it is forecast by letting it travel on.
    Distances are chords through the Earth, which keep every kernel positive definite on the sphere and equal arcs to
    0.1 % up to 900 km. The exponential in time maps and forecasts real along-track sea level better than the customary
    Gaussian, whose smoothness makes it extrapolate trends that the data do not hold; of a smooth simulated ocean the
    Gaussian is nearer to the truth.
    """

    components: tuple[Component, ...]
    noise_variance: float
    source_variance: float = 0.0
    space_kernel: Kernel = "matern32"
    time_kernel: Kernel = "exponential"

    @property
    def variance(self) -> float:
        """Variance of the signal."""
        return sum(component.variance for component in self.components)

    def between(self, positions: Array, times: Array, other_positions: Array, other_times: Array) -> Array:
        """Signal covariance (n, m) between positions (n, 3), (m, 3) in km at times (n,), (m,) in days."""
        lag = np.abs(times[:, None] - other_times[None, :])
        total, distances = np.zeros(lag.shape), dict[float, Array]()
        for part in self.components:
            if part.drift not in distances:
                here, there = drifting(positions, times, part.drift), drifting(other_positions, other_times, part.drift)
                distances[part.drift] = np.asarray(cdist(here, there), dtype=np.float64)
            space = kernel(self.space_kernel, distances[part.drift] / part.length_km)
            space *= kernel(self.time_kernel, lag / part.time_days)
            space *= part.variance
            total += space
        return total

    def of_observations(self, positions: Array, times: Array, source: NDArray, error_variance: Array) -> Array:
        """Covariance (n, n) of observed values: of signal, source, white noise and own error."""
        total = self.between(positions, times, positions, times)
        total += self.source_variance * (source[:, None] == source[None, :])
        # A trace of extra noise keeps repeated observations solvable when the noise is nil.
        total[np.diag_indices(len(total))] += self.noise_variance + error_variance + 1e-9 * self.variance
        return total


def positions_km(longitude: ArrayLike, latitude: ArrayLike) -> Array:
    """Points (..., 3) in km on a spherical Earth from longitude and latitude in degrees: no seam and no pole."""
    lon, lat = np.deg2rad(np.asarray(longitude, np.float64)), np.deg2rad(np.asarray(latitude, np.float64))
    return EARTH_RADIUS_KM * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def drifting(positions: Array, times: Array, drift: float) -> Array:
    """Points (n, 3) at times (n,) [days] as a frame has them that turns eastward by `drift` degrees a day."""
    if drift == 0.0:
        return positions
    angle = np.deg2rad(-drift * times)
    x, y, z = positions.T
    return np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z], axis=-1)


def valid_observations(
    time: ArrayLike,
    longitude: ArrayLike,
    latitude: ArrayLike,
    value: ArrayLike,
    source: ArrayLike | None,
    error: ArrayLike | None,
) -> tuple[Array, Array, Array, Array, NDArray, Array]:
    """The finite observations: time, longitude, latitude, value, source label (0 without) and error variance.

    Raises SchemaError unless all are (obs,) of one length, EmptyDataError when none is finite.
    """
    columns = [np.atleast_1d(np.asarray(c, dtype=np.float64)) for c in (time, longitude, latitude, value)]
    count = len(columns[0])
    labels = np.zeros(count, dtype=np.int64) if source is None else np.asarray(source)
    variance = np.zeros(count) if error is None else np.asarray(error, dtype=np.float64) ** 2
    shapes = [c.shape for c in (*columns, labels, variance)]
    if set(shapes) != {(count,)}:
        raise SchemaError(f"the observations have shapes {shapes}; give arrays of one dimension and the same length")
    keep = np.isfinite(np.stack([*columns, variance])).all(axis=0)
    if not keep.any():
        raise EmptyDataError(f"none of the {count} observations is valid; widen the window or the area")
    time, longitude, latitude, value = (c[keep] for c in columns)
    return time, longitude, latitude, value, labels[keep], variance[keep]


def kernel(name: str, r: Array) -> Array:
    """Correlation at scaled separation r; raises ConfigError for a kernel that is none."""
    if name == "gaussian":
        return np.exp(-0.5 * r**2)
    if name == "matern32":
        scaled = np.sqrt(3.0) * r
        return (1.0 + scaled) * np.exp(-scaled)
    if name == "exponential":
        return np.exp(-r)
    raise ConfigError(f"{name!r} is no covariance kernel; choose one of {', '.join(get_args(Kernel))}")


def kernel_slope(name: str, r: Array) -> Array:
    """Derivative of the correlation in the logarithm of the scale, at scaled separation r."""
    if name == "gaussian":
        return r**2 * kernel(name, r)
    if name == "matern32":
        return 3.0 * r**2 * np.exp(-np.sqrt(3.0) * r)
    return r * kernel(name, r)
