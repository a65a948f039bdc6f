"""How good is a forecast: area-weighted scores by lead time and channel, pooled over all starts.

Arrays of truth and forecast are (start, lead, channel, point), climatologies (channel, point), weights (point,).
Scores are (lead, channel); a score without a single valid pair is NaN. A mask, where given, is boolean like the truth
and says which pairs count: build it once with `common_mask`, so that every method answers the same questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import SchemaError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Scores of one method, each (lead, channel); RMSE and bias in the units of the field.

    area_bias, area_rmse : mean and root of the mean square, over starts, of the area mean's error, never removed
    """

    rmse: Array
    bias: Array
    anomaly_correlation: Array
    area_bias: Array
    area_rmse: Array


def area_weights(latitude: ArrayLike) -> Array:
    """Weights proportional to the area of a cell of a longitude-latitude grid: cos(latitude), latitude in degrees."""
    return np.cos(np.deg2rad(np.asarray(latitude, dtype=np.float64)))


def common_mask(truth: Array, forecasts: Mapping[str, Array]) -> Mask:
    """Pairs where the truth and every forecast are finite; same shape as the truth.

    Raises SchemaError when a forecast has another shape than the truth.
    """
    mask = np.isfinite(truth)
    for method, forecast in forecasts.items():
        _check_same_shape(truth, forecast, f"the forecast of {method}")
        mask &= np.isfinite(forecast)
    return mask


def area_mean(field: Array, weights: Array, mask: Mask | None = None) -> Array:
    """Area mean of every map over its valid points: (..., point) to (...); NaN where a map has none."""
    valid = np.isfinite(field) if mask is None else mask & np.isfinite(field)
    total = np.where(valid, field, 0.0) @ weights
    return ratio(total, valid @ weights)


def remove_area_mean(field: Array, weights: Array, mask: Mask | None = None) -> Array:
    """The field less the area mean of every map over the points that count."""
    return field - area_mean(field, weights, mask)[..., None]


def rmse(truth: Array, forecast: Array, weights: Array, mask: Mask | None = None) -> Array:
    """Root of the mean squared error over starts and points."""
    return np.sqrt(pool((forecast - truth) ** 2, weights, mask))


def bias(truth: Array, forecast: Array, weights: Array, mask: Mask | None = None) -> Array:
    """Mean of forecast minus truth over starts and points."""
    return pool(forecast - truth, weights, mask)


def anomaly_correlation(
    truth: Array, forecast: Array, climatology: Array, weights: Array, mask: Mask | None = None
) -> Array:
    """Uncentred correlation of the anomalies from a climatology; NaN where a forecast has no anomaly."""
    expected, predicted = truth - climatology, forecast - climatology
    mask = valid(expected - predicted, mask)
    covariance = pool(expected * predicted, weights, mask)
    expected_power, predicted_power = pool(expected**2, weights, mask), pool(predicted**2, weights, mask)
    # The climatology as a forecast has no anomaly but rounding, whose correlation would be noise.
    predicted_power = np.where(predicted_power > 1e-24 * expected_power, predicted_power, 0.0)
    return ratio(covariance, np.sqrt(expected_power * predicted_power))


def score_forecasts(
    truth: Array,
    forecasts: Mapping[str, Array],
    climatology: Array,
    weights: Array,
    *,
    without_area_mean: bool = False,
) -> dict[str, Scores]:
    """Scores of several methods on exactly the same pairs.

    truth and each forecast: (start, lead, channel, point); climatology: (channel, point); weights: (point,).
    `without_area_mean` removes the area mean of every map first (for sea level: the steric, basin-wide signal).
    Points whose climatology is missing do not count. Raises SchemaError when shapes do not agree.
    """
    if truth.ndim != 4 or climatology.shape != truth.shape[2:] or weights.shape != truth.shape[3:]:
        raise SchemaError(
            f"scores got truth {truth.shape}, climatology {climatology.shape} and weights {weights.shape}; "
            "they must be (start, lead, channel, point), (channel, point) and (point,): reshape them"
        )
    mask = common_mask(truth, forecasts) & np.isfinite(climatology)

    def anomaly(field: Array) -> Array:
        departure = field - climatology
        return remove_area_mean(departure, weights, mask) if without_area_mean else departure

    expected = anomaly(truth)
    zero = np.zeros_like(climatology)
    scores = {}
    for method, forecast in forecasts.items():
        predicted = anomaly(forecast)
        area = area_mean(forecast - truth, weights, mask)
        known = np.isfinite(area)
        count, area = known.sum(0), np.where(known, area, 0.0)
        scores[method] = Scores(
            rmse=rmse(expected, predicted, weights, mask),
            bias=bias(expected, predicted, weights, mask),
            anomaly_correlation=anomaly_correlation(expected, predicted, zero, weights, mask),
            area_bias=ratio(area.sum(0), count),
            area_rmse=np.sqrt(ratio((area**2).sum(0), count)),
        )
    return scores


def pool(values: Array, weights: Array, mask: Mask | None) -> Array:
    """Weighted mean over starts and points of (start, lead, channel, point)."""
    counted = valid(values, mask)
    total = (np.where(counted, values, 0.0) @ weights).sum(axis=0)
    return ratio(total, (counted @ weights).sum(axis=0))


def valid(values: Array, mask: Mask | None) -> Mask:
    """Which values count: finite, and in the mask if there is one."""
    finite = np.isfinite(values)
    return finite if mask is None else mask & finite


def ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where the denominator is zero (nothing to average)."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def _check_same_shape(truth: Array, other: Array, name: str) -> None:
    if truth.shape != other.shape:
        raise SchemaError(f"{name} has shape {other.shape} but the truth {truth.shape}: give both on the same points")
