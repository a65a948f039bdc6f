"""Space-time covariance of an ocean field along scattered observations, and its maximum-likelihood fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from data_pipeline.layout.globe import EARTH_RADIUS_KM

Array = NDArray[np.float64]
Kernel = Literal["gaussian", "matern32", "exponential"]

LENGTH_BOUNDS_KM = (5.0, 5000.0)
TIME_BOUNDS_DAYS = (0.25, 400.0)


@dataclass(frozen=True)
class Component:
    """One scale of variability: variance [units^2], length scale [km], time scale [days]."""

    variance: float
    length_km: float
    time_days: float


@dataclass(frozen=True)
class Covariance:
    """Sum of separable components, plus white noise and an error common to all observations of a source.

    Each component is variance * k_space(distance / length) * k_time(lag / time). Distances are chords through the
    Earth, which keep every kernel positive definite on the sphere and equal arcs to 0.1 % up to 900 km.
    The exponential in time is the default because it maps and forecasts real along-track sea level better than the
    customary Gaussian, whose smoothness makes it extrapolate trends that the data do not hold.
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
        distance = np.asarray(cdist(positions, other_positions), dtype=np.float64)
        lag = np.abs(times[:, None] - other_times[None, :])
        total = np.zeros(distance.shape)
        for part in self.components:
            space, _ = _kernel(self.space_kernel, distance / part.length_km)
            time, _ = _kernel(self.time_kernel, lag / part.time_days)
            total += part.variance * space * time
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


def fit_covariance(
    time: ArrayLike,
    longitude: ArrayLike,
    latitude: ArrayLike,
    anomaly: ArrayLike,
    *,
    source: ArrayLike | None = None,
    error: ArrayLike | None = None,
    components: int = 2,
    space_kernel: Kernel = "matern32",
    time_kernel: Kernel = "exponential",
    subsets: int = 6,
    subset_size: int = 400,
    iterations: int = 200,
    seed: int = 0,
) -> Covariance:
    """Covariance that maximises the marginal likelihood of observed anomalies, summed over random neighbourhoods.

    time [days], longitude, latitude [degrees], anomaly from the mean field [units] and error [units, standard
    deviation]: (obs,). With `source` (obs,) of integers an error common to each source is fitted too. Components start
    from a small, fast and a large, slow scale. A subset is a random half of the observations nearest to a random one,
    so that it holds both neighbours along a track and crossing tracks. Same seed, same result.
    Raises EmptyDataError with fewer than ten valid observations or none that vary, ConfigError for a wrong number.
    """
    if components not in (1, 2, 3) or subsets < 1 or subset_size < 10:
        raise ConfigError(
            f"fit_covariance got components={components}, subsets={subsets}, subset_size={subset_size}; "
            "give 1 to 3 components, at least 1 subset and a subset_size of at least 10"
        )
    time, longitude, latitude, value, labels, error_variance = valid_observations(
        time, longitude, latitude, anomaly, source, error
    )
    positions = positions_km(longitude, latitude)
    power = float(np.mean(value**2)) if len(value) else 0.0
    if len(value) < 10 or power == 0.0:
        raise EmptyDataError(
            f"{len(value)} observations with variance {power:g} cannot fit a covariance; give at least 10 that vary"
        )

    problems = [
        _Subset.of(positions[i], time[i], value[i], None if source is None else labels[i], error_variance[i])
        for i in _neighbourhoods(positions, time, subsets, subset_size, np.random.default_rng(seed))
    ]
    start, bounds = _start(components, power, source is not None)

    def objective(parameters: Array) -> tuple[float, Array]:
        parts = (problem.loss(parameters, space_kernel, time_kernel, components) for problem in problems)
        losses, gradients = zip(*parts, strict=True)
        count = sum(len(p.value) for p in problems)
        return sum(losses) / count, np.sum(gradients, axis=0) / count

    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}).x
    values = np.exp(found)
    parts = sorted(
        (Component(*map(float, values[3 * i : 3 * i + 3])) for i in range(components)), key=lambda part: part.length_km
    )
    source_variance = 0.0 if source is None else float(values[-1])
    return Covariance(tuple(parts), float(values[3 * components]), source_variance, space_kernel, time_kernel)


def _start(components: int, power: float, with_source: bool) -> tuple[Array, list[tuple[float, float]]]:
    """First guess and bounds of the logarithms of (variance, length, time) of each component, noise[, source]."""
    scales = [(80.0, 10.0), (400.0, 30.0), (1500.0, 60.0)][:components]
    guess = [entry for length, days in scales for entry in (power / components, length, days)]
    bounds = [(1e-6 * power, 1e2 * power), LENGTH_BOUNDS_KM, TIME_BOUNDS_DAYS] * components
    guess += [0.05 * power] * (1 + with_source)
    bounds += [(1e-6 * power, 10.0 * power)] * (1 + with_source)
    return np.log(guess), [(float(np.log(low)), float(np.log(high))) for low, high in bounds]


def _neighbourhoods(
    positions: Array, time: Array, subsets: int, size: int, random: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Indices of `subsets` neighbourhoods: a random half of the 2 * size nearest observations of a random one."""
    tree = KDTree(np.column_stack([positions / 100.0, time / 10.0]))
    nearest = min(2 * size, len(time))
    centres = random.choice(len(time), size=min(subsets, len(time)), replace=False)
    chosen = []
    for centre in centres:
        near = np.atleast_1d(tree.query(tree.data[centre], k=nearest)[1])
        chosen.append(np.sort(random.choice(near, size=min(size, len(near)), replace=False)))
    return chosen


@dataclass(frozen=True)
class _Subset:
    """One neighbourhood with the separations that every evaluation of its likelihood needs."""

    distance: Array
    lag: Array
    value: Array
    same_source: Array | None
    error_variance: Array

    @classmethod
    def of(cls, positions: Array, time: Array, value: Array, source: NDArray | None, error_variance: Array) -> Self:
        same = None if source is None else (source[:, None] == source[None, :]).astype(np.float64)
        distance = np.asarray(cdist(positions, positions), dtype=np.float64)
        return cls(distance, np.abs(time[:, None] - time), value, same, error_variance)

    def loss(self, parameters: Array, space: Kernel, time: Kernel, components: int) -> tuple[float, Array]:
        """Negative log likelihood and its gradient in the logarithms of the parameters."""
        values = np.exp(parameters)
        derivatives: list[Array] = []
        identity = np.eye(len(self.value))
        signal_variance = 0.0
        total = np.diag(self.error_variance)
        for i in range(components):
            variance, length, days = values[3 * i : 3 * i + 3]
            in_space, in_space_slope = _kernel(space, self.distance / length)
            in_time, in_time_slope = _kernel(time, self.lag / days)
            part = variance * in_space * in_time
            derivatives += [part, variance * in_space_slope * in_time, variance * in_space * in_time_slope]
            total += part
            signal_variance += variance
        derivatives.append(values[3 * components] * identity)
        total += derivatives[-1] + 1e-9 * signal_variance * identity
        if self.same_source is not None:
            derivatives.append(values[-1] * self.same_source)
            total += derivatives[-1]
        factor = cho_factor(total, lower=True)
        solved = cho_solve(factor, self.value)
        inverse = cho_solve(factor, identity)
        loss = 0.5 * self.value @ solved + np.log(np.diag(factor[0])).sum() + 0.5 * len(solved) * np.log(2 * np.pi)
        outer = inverse - np.outer(solved, solved)
        return float(loss), np.array([0.5 * np.vdot(outer, derivative) for derivative in derivatives])


def _gaussian(r: Array) -> tuple[Array, Array]:
    k = np.exp(-0.5 * r**2)
    return k, r**2 * k


def _matern32(r: Array) -> tuple[Array, Array]:
    decay = np.exp(-np.sqrt(3.0) * r)
    return (1.0 + np.sqrt(3.0) * r) * decay, 3.0 * r**2 * decay


def _exponential(r: Array) -> tuple[Array, Array]:
    k = np.exp(-r)
    return k, r * k


_KERNELS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "gaussian": _gaussian,
    "matern32": _matern32,
    "exponential": _exponential,
}


def _kernel(name: str, r: Array) -> tuple[Array, Array]:
    """Correlation at scaled separation r and its derivative in the logarithm of the scale."""
    if name not in _KERNELS:
        raise ConfigError(f"{name!r} is no covariance kernel; choose one of {', '.join(_KERNELS)}")
    return _KERNELS[name](r)
