"""Optimal interpolation of scattered observations, the mapping behind operational altimetry products."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.spatial import KDTree

from .covariance import Covariance, drifting, positions_km, valid_observations

Array = NDArray[np.float64]
MeanField = Callable[[Array, Array], Array]

CELL_TARGETS = 64


class OptimalInterpolation:
    """Objective analysis of Bretherton, Davis & Fandry (1976, Deep-Sea Research 23, 559-582).

    The estimate at a point of space and time is the Gaussian-process mean given all observations near it, past or
    future, and its standard deviation the error of the estimate (of the signal: the noise of a new observation is not
    in it). With up to `exact_below` observations all are used. Beyond, targets are gathered in cells and every
    cell is solved with the union of the `neighbours` observations nearest to each of its targets, near as measured in
    the length and time scale of each component in turn.
    """

    def __init__(
        self,
        covariance: Covariance,
        time: ArrayLike,
        longitude: ArrayLike,
        latitude: ArrayLike,
        value: ArrayLike,
        *,
        mean: float | MeanField | None = None,
        source: ArrayLike | None = None,
        error: ArrayLike | None = None,
        neighbours: int = 200,
        exact_below: int = 1000,
    ) -> None:
        """Observations: time [days], longitude, latitude [degrees], value [units], all (obs,); NaN values are dropped.

        mean: a constant or a function of (longitude, latitude); by default the mean of the observations.
        source: (obs,) integers, one label per mission or per pass, used with the covariance's source variance.
        error: (obs,) standard deviation of each observation, in addition to the white noise.
        Raises SchemaError when lengths differ, EmptyDataError without a valid observation.
        """
        time, longitude, latitude, value, labels, error_variance = valid_observations(
            time, longitude, latitude, value, source, error
        )
        self.covariance = covariance
        self._mean = _mean_field(float(value.mean()) if mean is None else mean)
        self._times = time
        self._positions = positions_km(longitude, latitude)
        self._sources = labels
        self._error_variance = error_variance
        self._innovation = value - self._mean(longitude, latitude)
        self._neighbours = neighbours
        self._exact = len(value) <= max(exact_below, neighbours)
        self._scales = [np.array([part.length_km] * 3 + [part.time_days]) for part in covariance.components]
        points = np.column_stack([self._positions, time])
        self._trees = [KDTree(metric) for metric in self._metrics(points)]

    def predict(self, time: ArrayLike, longitude: ArrayLike, latitude: ArrayLike) -> tuple[Array, Array]:
        """Mean and standard deviation at time [days], longitude, latitude [degrees], which broadcast together.

        A grid is predict(day, longitude[None, :], latitude[:, None]). NaN coordinates give NaN.
        """
        arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (time, longitude, latitude)))
        flat = np.stack([a.ravel() for a in arrays])
        mean, std = np.full((2, flat.shape[1]), np.nan)
        targets = np.flatnonzero(np.isfinite(flat).all(axis=0))
        if len(targets):
            times, lon, lat = flat[:, targets]
            points = np.column_stack([positions_km(lon, lat), times])
            background = self._mean(lon, lat)
            for inside, chosen in self._cells(points):
                increment, variance = self._solve(points[inside], chosen)
                mean[targets[inside]] = background[inside] + increment
                std[targets[inside]] = np.sqrt(variance)
        shape = arrays[0].shape
        return mean.reshape(shape), std.reshape(shape)

    def maps(self, times: ArrayLike, longitude: ArrayLike, latitude: ArrayLike) -> Array:
        """Means (time, *points) at all of several times [days] and places [degrees], which broadcast together.

        Cheaper than `predict` at each time: the places of a cell are solved once, with the observations that are near
        them at the first time or at the last. NaN coordinates give NaN.
        """
        days = np.atleast_1d(np.asarray(times, dtype=np.float64))
        lon, lat = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (longitude, latitude)))
        shape, lon, lat = lon.shape, lon.ravel(), lat.ravel()
        made = np.full((len(days), len(lon)), np.nan)
        targets = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
        if len(targets) and len(days):
            places = positions_km(lon[targets], lat[targets])
            background = self._mean(lon[targets], lat[targets])
            first = np.column_stack([places, np.full(len(places), days.min())])
            for inside, chosen in self._cells(first, days.max()):
                positions, moments = self._positions[chosen], self._times[chosen]
                weights = cho_solve(self._factor(chosen), self._innovation[chosen])
                for row, day in enumerate(days):
                    now = np.full(len(inside), day)
                    cross = self.covariance.between(places[inside], now, positions, moments)
                    made[row, targets[inside]] = background[inside] + cross @ weights
        return made.reshape(len(days), *shape)

    def _factor(self, chosen: NDArray[np.intp]) -> tuple[Array, bool]:
        """Cholesky factor of the covariance of some observations."""
        parts = (self._positions, self._times, self._sources, self._error_variance)
        data = self.covariance.of_observations(*(part[chosen] for part in parts))
        return cho_factor(data, lower=True, overwrite_a=True)

    def _solve(self, points: Array, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        """Increment and error variance at points (target, 4) from the chosen observations."""
        positions, times = self._positions[chosen], self._times[chosen]
        factor = self._factor(chosen)
        weights = cho_solve(factor, self._innovation[chosen])
        increment, variance = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), 1024):
            block = slice(start, start + 1024)
            cross = self.covariance.between(positions, times, points[block, :3], points[block, 3])
            increment[block] = weights @ cross
            gained = np.sum(solve_triangular(factor[0], cross, lower=True, overwrite_b=True) ** 2, axis=0)
            variance[block] = np.maximum(self.covariance.variance - gained, 0.0)
        return increment, variance

    def _cells(self, points: Array, until: float | None = None) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Groups of targets and the observations each is solved with: (indices of targets, of observations).

        until : a later time [days] at which the same places are wanted too
        """
        if self._exact:
            yield np.arange(len(points)), np.arange(len(self._times))
            return
        pending = [np.arange(len(points))]
        while pending:
            inside = pending.pop()
            if len(inside) <= CELL_TARGETS:
                chosen = self._near(points[inside])
                if until is not None:
                    later = np.column_stack([points[inside, :3], np.full(len(inside), until)])
                    chosen = np.union1d(chosen, self._near(later))
                # Scattered targets share few observations: smaller cells are then cheaper.
                if len(inside) == 1 or len(chosen) <= 4 * self._neighbours:
                    yield inside, chosen
                    continue
            widest = int(np.argmax(np.ptp(points[inside], axis=0) / self._scales[0]))
            order = inside[np.argsort(points[inside, widest], kind="stable")]
            pending += np.array_split(order, 2)

    def _near(self, points: Array) -> NDArray[np.intp]:
        """Indices of the observations that are among the nearest of any point, in the metric of any component."""
        per_component = -(-self._neighbours // len(self._trees))
        pairs = zip(self._trees, self._metrics(points), strict=True)
        return np.unique(np.concatenate([tree.query(metric, k=per_component)[1].ravel() for tree, metric in pairs]))

    def _metrics(self, points: Array) -> list[Array]:
        """Points (n, 4) of space and time in the scales of each component, in the frame that travels with it."""
        return [
            np.column_stack([drifting(points[:, :3], points[:, 3], part.drift), points[:, 3]]) / scale
            for part, scale in zip(self.covariance.components, self._scales, strict=True)
        ]


def _mean_field(mean: float | MeanField) -> MeanField:
    if callable(mean):
        return lambda longitude, latitude: np.asarray(mean(longitude, latitude), dtype=np.float64)
    return lambda longitude, latitude: np.full(np.shape(longitude), float(mean))
