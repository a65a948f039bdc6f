"""Analyses at past times, on a grid or along tracks, by a model or by optimal interpolation of the same observations.

Every time is analysed with what was observed before and after it: windows are laid around the times that are wanted,
as many together as lie in a third of a window, and the model is smoothed over them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.system.progress import Progress

from ..data.observations import Observations
from ..errors import ConfigError, ObservationError
from ..forecaster import Forecaster
from ..forecasts.currents import with_currents
from ..forecasts.output import Targets, as_dataset
from .fitted_interpolation import fitted_interpolation
from .withheld import of_channel

Array = NDArray[np.float64]
Method = Literal["dino", "optimal-interpolation", "customary-interpolation"]
METHODS: tuple[Method, ...] = ("dino", "optimal-interpolation", "customary-interpolation")

SHARE = 1.0 / 3.0  # of a window, in whose middle times are analysed together
SOURCES = {
    "dino": "smoothed analysis of a latent ODE of a neural field",
    "optimal-interpolation": "optimal interpolation with covariances fitted to the observations",
    "customary-interpolation": "optimal interpolation with one Gaussian scale fitted to the observations",
}


@dataclass(frozen=True)
class _Window:
    """Which of the wanted times are analysed together, and from when to when [days since 1950-01-01]."""

    which: NDArray[np.intp]
    start: float
    end: float


def windows_around(days: Array, length: float, first: float, last: float) -> list[_Window]:
    """Windows of a record from `first` to `last` around times (n,) that it holds; ObservationError for others."""
    if (days < first - 1e-6).any() or (days > last + 1e-6).any():
        raise ObservationError(
            "some times lie outside the record of observations; ask for times inside it, and for later ones from "
            "dino forecast"
        )
    order = np.argsort(days, kind="stable")
    made, begin = [], 0
    while begin < len(order):
        until = int(np.searchsorted(days[order], days[order[begin]] + SHARE * length, side="right"))
        which = order[begin:until]
        middle = (days[which[0]] + days[which[-1]]) / 2
        start = float(np.clip(middle - length / 2, first, max(last - length, first)))
        made.append(_Window(which, start, min(start + length, last)))
        begin = until
    return made


def mapped(
    forecaster: Forecaster, record: Observations, days: Array, target: Targets, method: Method, window: float,
    report: Progress, *, currents: bool = False, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """CF dataset of analyses at times `days` (time,) and the places of a target, with standard deviations.

    window : days of observations around a time. currents : geostrophic currents too, by the model alone.
    Raises ObservationError for times outside the record, EmptyDataError for a window without observations, and what
    an analysis raises.
    """
    if currents and method != "dino":
        raise ConfigError(f"currents are derivatives of the model's field, which {method} has not; leave them out")
    ocean, parts = forecaster.ocean, []
    ocean.cover.check(target.longitude, target.latitude)
    todo = windows_around(days, window, float(record.time[0]), float(record.time[-1]))
    for done, here in enumerate(todo):
        seen, at = record.window(here.start, here.end), days[here.which]
        if method == "dino":
            analysis = forecaster.analyse_observations(seen, here.end, here.end - here.start, smooth=True)
            mean, spread = forecaster.predict(analysis, at, target.longitude, target.latitude)
        else:
            mean, spread = _interpolated(forecaster, seen, here.end, at, target, method, seed)
            analysis = None
        made = as_dataset(ocean.channels, target, at, here.end, mean, spread)
        if currents and analysis is not None:
            made = with_currents(made, forecaster.latent, ocean, analysis, at)
        parts.append(made.drop_vars("forecast_reference_time"))
        report(done + 1, len(todo))
    whole = xr.concat(parts, "time", data_vars="minimal") if len(parts) > 1 else parts[0]
    whole = whole.sortby("time")
    whole.attrs["source"] = SOURCES[method]
    return whole


def mapped_along(
    forecaster: Forecaster, record: Observations, time: Array, longitude: Array, latitude: Array, method: Method,
    window: float, report: Progress, *, seed: int = 0,
) -> tuple[Array, Array]:  # fmt: skip
    """Mean and standard deviation (obs, channel) at points (obs,) that have times of their own; NaN without a place."""
    channels = len(forecaster.ocean.names)
    mean, spread = np.full((2, len(time), channels), np.nan)
    forecaster.ocean.cover.check(longitude, latitude)
    known = np.flatnonzero(np.isfinite(time + longitude + latitude))
    todo = windows_around(time[known], window, float(record.time[0]), float(record.time[-1]))
    for done, here in enumerate(todo):
        seen, which = record.window(here.start, here.end), known[here.which]
        at = time[which], longitude[which], latitude[which]
        if method == "dino":
            analysis = forecaster.analyse_observations(seen, here.end, here.end - here.start, smooth=True)
            mean[which], spread[which] = forecaster.along_track(analysis, *at)
        else:
            for channel in range(channels):
                maker = _maker(seen, here.end, channel, method, seed)
                mean[which, channel], spread[which, channel] = maker(*at)
        report(done + 1, len(todo))
    if method != "dino":
        land = ~_at_sea(forecaster, longitude, latitude)
        mean[land] = spread[land] = np.nan
    return mean, spread


def _interpolated(
    forecaster: Forecaster, seen: Observations, end: float, days: Array, target: Targets, method: Method, seed: int
) -> tuple[Array, Array]:
    """Mean and standard deviation (time, point, channel) of interpolations, NaN over land."""
    shape = len(days), len(target.longitude), len(forecaster.ocean.names)
    mean, spread = np.empty(shape), np.empty(shape)
    for channel in range(shape[2]):
        maker = _maker(seen, end, channel, method, seed)
        for row, day in enumerate(days):
            mean[row, :, channel], spread[row, :, channel] = maker(day, target.longitude, target.latitude)
    land = ~_at_sea(forecaster, target.longitude, target.latitude)
    mean[:, land] = spread[:, land] = np.nan
    return mean, spread


def _maker(
    seen: Observations, end: float, channel: int, method: Method, seed: int
) -> Callable[..., tuple[Array, Array]]:
    part = of_channel(seen, channel)
    return fitted_interpolation(part, None, seed, customary=method == "customary-interpolation")(part, end).predict


def _at_sea(forecaster: Forecaster, longitude: Array, latitude: Array) -> NDArray[np.bool_]:
    """(point,) whether the model has a place at sea there: the same points for all methods."""
    known = np.isfinite(longitude + latitude)
    place = np.where(known, longitude, 0.0), np.where(known, latitude, 0.0)
    return known & forecaster.ocean.background.is_ocean(*place) & forecaster.ocean.cover.holds(longitude, latitude)
