"""The covariance of sea level that makes observations most likely, found in random neighbourhoods of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from data_pipeline.errors import ConfigError, EmptyDataError
from data_pipeline.layout.globe import EARTH_RADIUS_KM

from .covariance import (
    Array,
    Component,
    Covariance,
    Kernel,
    drifting,
    kernel,
    kernel_slope,
    positions_km,
    valid_observations,
)

LENGTH_BOUNDS_KM = (5.0, 5000.0)
# A pattern that outlives any record is a standing field; beyond, the likelihood is flat.
TIME_BOUNDS_DAYS = (0.25, 10_000.0)
# Eastward or westward; the unit makes a step in drift about as large as one in the logarithm of a scale.
DRIFT_BOUND_KM_PER_DAY = 30.0
DRIFT_UNIT_KM_PER_DAY = 10.0


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
    travelling: bool = False,
    subsets: int = 6,
    subset_size: int = 400,
    iterations: int = 200,
    seed: int = 0,
) -> Covariance:
    """Covariance that maximises the marginal likelihood of observed anomalies, summed over random neighbourhoods.

    time [days], longitude, latitude [degrees], anomaly from the mean field [units] and error [units, standard
    deviation]: (obs,). With `source` (obs,) of integers an error common to each source is fitted too. Components start
    from a small, fast and a large, slow scale, at rest; `travelling` gives each a drift of its own. A subset is a
    random half of the observations nearest to a random one, so that it holds both neighbours along a track and crossing
    tracks. Same seed, same result.
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
    unit = _degrees_of_longitude(DRIFT_UNIT_KM_PER_DAY, latitude) if travelling else None
    if travelling:
        most = DRIFT_BOUND_KM_PER_DAY / DRIFT_UNIT_KM_PER_DAY
        start, bounds = np.append(start, np.zeros(components)), [*bounds, *[(-most, most)] * components]

    def objective(parameters: Array) -> tuple[float, Array]:
        parts = (problem.loss(parameters, space_kernel, time_kernel, components, unit) for problem in problems)
        losses, gradients = zip(*parts, strict=True)
        count = sum(len(p.value) for p in problems)
        return sum(losses) / count, np.sum(gradients, axis=0) / count

    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}).x
    values = np.exp(found[: 3 * components + 1 + (source is not None)])
    drifts = np.zeros(components) if unit is None else unit * found[-components:]
    parts = sorted(
        (Component(*map(float, (*values[3 * i : 3 * i + 3], drifts[i]))) for i in range(components)),
        key=lambda part: part.length_km,
    )
    source_variance = 0.0 if source is None else float(values[-1])
    return Covariance(tuple(parts), float(values[3 * components]), source_variance, space_kernel, time_kernel)


def at_bounds(covariance: Covariance) -> list[str]:
    """Length and time scales of a fit that lie at a bound of the search, in words."""
    found = []
    for part in covariance.components:
        for value, bounds, words in (
            (part.length_km, LENGTH_BOUNDS_KM, f"length {part.length_km:g} km"),
            (part.time_days, TIME_BOUNDS_DAYS, f"time {part.time_days:g} days"),
        ):
            if not bounds[0] * (1 + 1e-6) < value < bounds[1] * (1 - 1e-6):
                found.append(words)
    return found


def _start(components: int, power: float, with_source: bool) -> tuple[Array, list[tuple[float, float]]]:
    """First guess and bounds of the logarithms of (variance, length, time) of each component, noise[, source]."""
    scales = [(80.0, 10.0), (400.0, 30.0), (1500.0, 60.0)][:components]
    guess = [entry for length, days in scales for entry in (power / components, length, days)]
    bounds = [(1e-6 * power, 1e2 * power), LENGTH_BOUNDS_KM, TIME_BOUNDS_DAYS] * components
    guess += [0.05 * power] * (1 + with_source)
    bounds += [(1e-6 * power, 10.0 * power)] * (1 + with_source)
    return np.log(guess), [(float(np.log(low)), float(np.log(high))) for low, high in bounds]


def _degrees_of_longitude(km: float, latitude: Array) -> float:
    """What a distance eastward is in degrees of longitude at the mean latitude."""
    return float(np.rad2deg(km / (EARTH_RADIUS_KM * np.cos(np.deg2rad(latitude.mean())))))


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
    """One neighbourhood; the separations of what does not drift are kept for every evaluation of its likelihood."""

    positions: Array
    time: Array
    distance: Array
    lag: Array
    value: Array
    same_source: Array | None
    error_variance: Array

    @classmethod
    def of(cls, positions: Array, time: Array, value: Array, source: NDArray | None, error_variance: Array) -> Self:
        same = None if source is None else (source[:, None] == source[None, :]).astype(np.float64)
        distance = np.asarray(cdist(positions, positions), dtype=np.float64)
        return cls(positions, time, distance, np.abs(time[:, None] - time), value, same, error_variance)

    def loss(
        self, parameters: Array, space: Kernel, time: Kernel, components: int, drift_unit: float | None = None
    ) -> tuple[float, Array]:
        """Negative log likelihood and its gradient.

        parameters : logarithms of (variance, length, time) of each component, of noise[, of source]; with `drift_unit`
        [degrees of longitude a day] then the drift of each component in that unit
        """
        drifts = np.zeros(components) if drift_unit is None else drift_unit * parameters[-components:]
        values = np.exp(parameters if drift_unit is None else parameters[:-components])
        derivatives: list[Array] = []
        by_drift: list[Array] = []
        identity = np.eye(len(self.value))
        total = np.diag(self.error_variance)
        for i in range(components):
            variance, length, days = values[3 * i : 3 * i + 3]
            distance = self._distance(float(drifts[i]))
            in_space, in_time = kernel(space, distance / length), kernel(time, self.lag / days)
            space_slope = variance * kernel_slope(space, distance / length) * in_time
            part = variance * in_space * in_time
            derivatives += [part, space_slope, variance * in_space * kernel_slope(time, self.lag / days)]
            if drift_unit is not None:
                by_drift.append(drift_unit * self._drift_slope(float(drifts[i]), distance, space_slope))
            total += part
        derivatives.append(values[3 * components] * identity)
        total += derivatives[-1] + 1e-9 * values[: 3 * components : 3].sum() * identity
        if self.same_source is not None:
            derivatives.append(values[3 * components + 1] * self.same_source)
            total += derivatives[-1]
        factor = cho_factor(total, lower=True)
        solved = cho_solve(factor, self.value)
        outer = cho_solve(factor, identity) - np.outer(solved, solved)
        loss = 0.5 * self.value @ solved + np.log(np.diag(factor[0])).sum() + 0.5 * len(solved) * np.log(2 * np.pi)
        return float(loss), np.array([0.5 * np.vdot(outer, derivative) for derivative in [*derivatives, *by_drift]])

    def _distance(self, drift: float) -> Array:
        """Distances (n, n) [km] in the frame that turns with a component."""
        if drift == 0.0:
            return self.distance
        moved = drifting(self.positions, self.time, drift)
        return np.asarray(cdist(moved, moved), dtype=np.float64)

    def _drift_slope(self, drift: float, distance: Array, space_slope: Array) -> Array:
        """Derivative (n, n) of a component in its drift [per degree a day], from that in the log of its length."""
        x, y, _ = drifting(self.positions, self.time, drift).T
        # The squared distance changes by this much per radian a day.
        squared = 2.0 * (self.time[:, None] - self.time) * (x[:, None] * y - y[:, None] * x)
        by_squared = np.divide(-space_slope, 2.0 * distance**2, out=np.zeros_like(distance), where=distance > 0)
        return np.deg2rad(by_squared * squared)
