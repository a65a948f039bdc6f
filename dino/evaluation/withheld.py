"""Withheld observations predicted at their own places and times, by a model and beside it by interpolation.

Predictions inside a split's window are mapping, after it forecasts. Interpolations are fitted to the assimilated
observations of that window alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.system.progress import Progress

from ..data.observations import Observations
from ..data.overflights import overflights
from ..forecaster import Forecaster
from ..inference.errors import error_variance
from .fitted_interpolation import fitted_interpolation
from .splits import Split

Array = NDArray[np.float64]
Predictions = dict[str, Array]
Prepare = Callable[[Observations], Forecaster]
"""The forecaster for some assimilated observations: a run as it is, or a model laid over their sea."""

# Of the model, as it forecasts, and given observations less the mean of their departure from its mean field.
OURS, RECENTRED, HELD = "dino", "dino_recentred", "persistence"
OPTIMAL, CUSTOM, OPTIMAL_HELD = "optimal_interpolation", "customary_interpolation", "optimal_interpolation_persistence"
MEAN, MEAN_FIELD = "mean", "mean_field"
LEAST_DEPARTURE = 1e-3  # of the spread: less is no departure


@dataclass(frozen=True)
class Withheld:
    """What methods predicted of withheld values, in columns of the same points.

    columns : mean of each method, `<method>_std` of the field and `<method>_noise` of a value's own error, all (n,)
    truth, time, lead : (n,), days; line : (n,) overflight within its split; source : (n,) name
    seconds : processor seconds of each method, its fit included
    """

    columns: Mapping[str, Array]
    truth: Array
    time: Array
    lead: Array
    longitude: Array
    latitude: Array
    line: NDArray[np.int64]
    source: NDArray
    seconds: Mapping[str, float]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the table."""
        order = [OURS, RECENTRED, OPTIMAL, CUSTOM, HELD, OPTIMAL_HELD, MEAN_FIELD, MEAN]
        return [name for name in order if name in self.columns]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) points that every method predicts: the only ones that are scored."""
        return np.all([np.isfinite(self.columns[name]) for name in self.methods], axis=0)


def predict_withheld(
    todo: Sequence[Split], prepare: Prepare, window: float, report: Progress, *, channel: int = 0, seed: int = 0
) -> Withheld:
    """Everything predicted of some splits by the model, by both interpolations and by what needs no model."""
    columns: dict[str, list[Array]] = {}
    seconds: dict[str, float] = {}
    lines, first = [], 0
    for done, split in enumerate(todo):
        made = of_model(prepare, split, window, channel, seconds) | of_interpolation(split, channel, seed, seconds)
        for name, column in made.items():
            columns.setdefault(name, []).append(column)
        line = overflights(split.withheld)
        lines.append(line.number + first)
        first += len(line)
        report(done + 1, len(todo))
    points = [split.withheld for split in todo]

    def joined(name: str) -> Array:
        return np.concatenate([getattr(part, name) for part in points])

    return Withheld(
        columns={name: np.concatenate(parts) for name, parts in columns.items()},
        truth=joined("values")[:, channel], time=joined("time"),
        lead=np.concatenate([split.withheld.time - split.end for split in todo]),
        longitude=joined("longitude"), latitude=joined("latitude"), line=np.concatenate(lines),
        source=np.concatenate([np.full(len(split.withheld), split.mission) for split in todo]),
        seconds=seconds,
    )  # fmt: skip


def of_model(
    prepare: Prepare, split: Split, window: float, channel: int = 0, seconds: dict[str, float] | None = None
) -> Predictions:
    """The model as it is and held still; where its mean field was measured elsewhere in time, recentred too."""
    points, began = split.withheld, time.process_time()
    place = points.longitude, points.latitude
    forecaster = prepare(split.seen)
    background = forecaster.ocean.background
    analysis = forecaster.analyse_observations(split.seen, split.end, window, smooth=True)
    ours = forecaster.along_track(analysis, points.time, *place)
    _add(seconds, OURS, began)
    found = {OURS: ours, HELD: forecaster.along_track(analysis, np.minimum(points.time, split.end), *place)}
    field = background.at(*place)
    offset = mean_departure(forecaster, split.seen)
    # A mean field that was estimated from these very observations has no departure from them.
    if abs(offset[channel]) > LEAST_DEPARTURE * forecaster.ocean.spread[channel]:
        seen = replace(split.seen, values=split.seen.values - offset)
        again = forecaster.analyse_observations(seen, split.end, window, smooth=True)
        mean, std = forecaster.along_track(again, points.time, *place)
        found[RECENTRED] = mean + offset, std
    noise = np.sqrt(error_variance(points, forecaster.assimilation.errors)[:, channel])
    made: Predictions = {MEAN_FIELD: field[:, channel]}
    for name, (mean, std) in found.items():
        made |= {name: mean[:, channel], f"{name}_std": std[:, channel], f"{name}_noise": noise}
    return made


def of_interpolation(
    split: Split, channel: int = 0, seed: int = 0, seconds: dict[str, float] | None = None
) -> Predictions:
    """Both interpolations, the fitted one held still too, and the mean of what was assimilated."""
    seen, points = of_channel(split.seen, channel), split.withheld
    place = points.longitude, points.latitude
    made: Predictions = {MEAN: np.full(len(points), seen.values[:, 0].mean())}
    own = np.nan_to_num(points.error[:, channel])
    for name in (OPTIMAL, CUSTOM):
        began = time.process_time()
        fitted = fitted_interpolation(seen, None, seed, customary=name == CUSTOM)
        maker = fitted(seen, split.end)
        made[name], made[f"{name}_std"] = maker.predict(points.time, *place)
        made[f"{name}_noise"] = np.sqrt(fitted.covariance.noise_variance + own**2)
        _add(seconds, name, began)
        if name == OPTIMAL:
            made[OPTIMAL_HELD], _ = maker.predict(np.minimum(points.time, split.end), *place)
    return made


def mean_departure(forecaster: Forecaster, seen: Observations) -> Array:
    """(channel,) mean of the observations less the mean field of the model at their places."""
    return np.nanmean(seen.values - forecaster.ocean.background.at(seen.longitude, seen.latitude), axis=0)


def of_channel(observations: Observations, channel: int) -> Observations:
    """The values of one channel alone, where it has any."""
    known = np.flatnonzero(np.isfinite(observations.values[:, channel]))
    part, one = observations.select(known), slice(channel, channel + 1)
    shared = None if part.correlated_error is None else part.correlated_error[:, one]
    return replace(
        part, values=part.values[:, one], error=part.error[:, one], channels=observations.channels[one],
        correlated_error=shared,
    )  # fmt: skip


def _add(seconds: dict[str, float] | None, name: str, began: float) -> None:
    if seconds is not None:
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - began
