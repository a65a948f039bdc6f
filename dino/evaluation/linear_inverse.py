"""A linear inverse model: the best forecast if the ocean were a few patterns driven by white noise."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from dino.evaluation.baselines import climatology

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearInverseModel:
    """Linear inverse model of Penland & Sardeshmukh (1995, J. Climate 8, 1999-2024).

    The anomaly from the training mean is projected on its leading EOFs, x, and forecast by x(t + lead) =
    G^(lead / lag) x(t) with G = C(lag) C(0)^-1 from the lag covariances of the training maps. What lies outside the
    EOFs is held still: forecast as the mean, as the paper has it, a short record's EOFs would lose to persistence by
    what they cannot represent. Channels are scaled by their standard deviation, so that they weigh alike.

    mean: (channel, point), NaN where missing. patterns: (channel * point, mode), in the units of the field.
    weights: (channel * point,), zero where the model has no data. propagator: (mode, mode) over `lag_days`.
    """

    mean: Array
    patterns: Array
    weights: Array
    propagator: Array
    lag_days: float
    explained_variance: float

    @classmethod
    def fit(
        cls,
        training: Array,
        times: ArrayLike,
        weights: Array,
        *,
        modes: int | None = None,
        explained: float = 0.99,
        lag_days: float = 1.0,
    ) -> Self:
        """Fit on training maps (time, channel, point), times in days and area weights (point,).

        Keeps `modes` EOFs, or as many as explain the fraction `explained` of the variance but at most one for every
        five pairs of maps, since each mode adds a row to the regression. Points not valid at all times are left out.
        Runs can be joined by leaving a gap between their times: pairs are found by time.
        Raises EmptyDataError without usable points or pairs of maps `lag_days` apart, ConfigError for a wrong number.
        """
        times = np.asarray(times, dtype=np.float64)
        if training.ndim != 3 or times.shape != training.shape[:1] or weights.shape != training.shape[2:]:
            raise SchemaError(
                f"the linear inverse model got maps {training.shape}, times {times.shape} and weights {weights.shape}; "
                "they must be (time, channel, point), (time,) and (point,)"
            )
        if (modes is not None and modes < 1) or not 0 < explained <= 1 or lag_days <= 0:
            raise ConfigError(
                f"the linear inverse model got modes={modes}, explained={explained}, lag_days={lag_days}; "
                "give modes of at least 1, explained in (0, 1] and a positive lag"
            )
        earlier, later = _pairs(times, lag_days)
        mean = np.where(np.isfinite(training).all(axis=0), climatology(training), np.nan)
        scale = _channel_scale(training - mean, weights)
        valid = np.isfinite(mean) & (scale > 0)[:, None]
        if not valid.any():
            raise EmptyDataError("no point of the training maps is valid at all times and varies; fill or drop maps")

        metric = np.where(valid, np.sqrt(weights) / np.where(scale > 0, scale, 1.0)[:, None], 0.0).ravel()
        anomaly = np.where(valid, training - mean, 0.0).reshape(len(times), -1)
        left, amplitude, eofs = np.linalg.svd(anomaly * metric, full_matrices=False)
        share = np.cumsum(amplitude**2) / np.sum(amplitude**2)
        enough = int(np.searchsorted(share, explained - 1e-12)) + 1
        wanted = modes if modes is not None else min(enough, max(1, len(earlier) // 5))
        kept = min(wanted, int(np.sum(amplitude > 1e-10 * amplitude[0])))

        states = left[:, :kept] * amplitude[:kept]
        inverse_metric = np.divide(1.0, metric, out=np.zeros_like(metric), where=metric > 0)
        patterns = eofs[:kept].T * inverse_metric[:, None]
        # Regressing the later state on the earlier one is C(lag) C(0)^-1 with both taken over the same pairs.
        propagator = np.linalg.lstsq(states[earlier], states[later], rcond=None)[0].T
        return cls(mean, patterns, metric**2, propagator, lag_days, float(share[kept - 1]))

    def forecast(self, history: Array, leads: ArrayLike) -> Array:
        """Forecast (lead, channel, point) from the last map of a history (time, channel, point), leads in days.

        Points of the last map that are missing are left out of the projection and still forecast.
        """
        state = self._project(history[-1])
        outside = np.nan_to_num((history[-1] - self.mean).ravel() - self.patterns @ state, nan=0.0)
        coefficients = np.stack([power @ state for power in self._powers(leads)])
        anomaly = np.asarray(coefficients @ self.patterns.T + outside, dtype=np.float64)
        return self.mean + anomaly.reshape(-1, *self.mean.shape)

    def _project(self, field: Array) -> Array:
        """Least-squares state of one map (channel, point) on the points it has."""
        anomaly = (field - self.mean).ravel()
        seen = np.isfinite(anomaly) & (self.weights > 0)
        if not seen.any():
            raise EmptyDataError("the last map of the history has no valid point; start from a map that has some")
        root = np.sqrt(self.weights[seen])
        state = np.linalg.lstsq(self.patterns[seen] * root[:, None], anomaly[seen] * root, rcond=None)[0]
        return np.asarray(state, dtype=np.float64)

    def _powers(self, leads: ArrayLike) -> list[Array]:
        """G^(lead / lag) for every lead.

        Growing modes are held neutral: growth is an artefact of a short training record and would ruin long leads. A
        negative real eigenvalue has no real fractional power; its real part is used, which is exact at whole lags.
        """
        values, vectors = np.linalg.eig(self.propagator)
        values = (values / np.maximum(np.abs(values), 1.0)).astype(np.complex128)
        inverse = np.linalg.inv(vectors)
        steps = np.atleast_1d(np.asarray(leads, dtype=np.float64)) / self.lag_days
        return [np.real((vectors * values**step) @ inverse) for step in steps]


def _pairs(times: Array, lag_days: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (earlier, later) of maps that are `lag_days` apart to within one part in a hundred."""
    order = np.argsort(times)
    position = np.searchsorted(times[order], times + lag_days * 0.99)
    candidate = order[np.minimum(position, len(times) - 1)]
    matches = np.abs(times[candidate] - times - lag_days) <= 0.01 * lag_days
    earlier = np.flatnonzero(matches)
    if len(earlier) < 2:
        raise EmptyDataError(
            f"{len(earlier)} pairs of training maps lie {lag_days:g} days apart and at least 2 are needed; "
            "set lag_days to the step of the maps"
        )
    return earlier, candidate[earlier]


def _channel_scale(anomaly: Array, weights: Array) -> Array:
    """Area-weighted standard deviation of every channel, (channel,)."""
    power = np.where(np.isfinite(anomaly), anomaly, 0.0) ** 2
    area = np.isfinite(anomaly).all(axis=0) @ weights
    total = power.mean(axis=0) @ weights
    return np.sqrt(np.divide(total, area, out=np.zeros_like(total), where=area > 0))
