"""The spread of forecasts from sparse points, against later points of the same record."""

import numpy as np

from ..errors import EmptyDataError
from ..evaluation.tracks import predict_along_track
from ..forecaster import Forecaster
from ..observations import Observations
from .samples import Samples, split_variance


def samples_of_points(
    forecaster: Forecaster, observations: Observations, ends: list[float], reach: float, held_from: float
) -> Samples:
    """Analyse the window before each of `ends` and compare its forecast with the points of the `reach` days after.

    Only points later than `held_from` are compared with: those before may have trained the model.
    """
    model, length = forecaster.model, forecaster.assimilation.window_days
    parts = []
    for number, end in enumerate(ends):
        seen = _between(observations, end - length, end)
        ahead = _between(observations, np.nextafter(max(end, held_from), np.inf), end + reach)
        if not len(seen) or not len(ahead) or not _inside(forecaster, seen) or not _inside(forecaster, ahead):
            continue
        analysis = forecaster.analyse_observations(seen, end, length)
        mean, deviation = predict_along_track(forecaster, analysis, ahead.time, ahead.longitude, ahead.latitude)
        place = ahead.longitude, ahead.latitude
        unresolved = model.unresolved_variance[None] * model.spread_factor.new_ones(1, len(model.spec.channels))
        explained, rest = (p[0] for p in split_variance(model, deviation[None], unresolved, *place))
        error = np.where(np.isfinite(ahead.error), ahead.error, forecaster.assimilation.default_error)
        parts.append(
            Samples(
                lead=ahead.time - end, start=np.full(len(ahead), number), weight=np.ones(len(ahead)),
                explained=explained, unresolved=rest, squared=np.square(ahead.values - mean), noise=np.square(error),
            )
        )  # fmt: skip
    if not parts:
        raise EmptyDataError("none")
    return Samples.join(parts)


def _between(observations: Observations, start: float, stop: float) -> Observations:
    return observations.select(np.flatnonzero((observations.time >= start) & (observations.time <= stop)))


def _inside(forecaster: Forecaster, observations: Observations) -> bool:
    charts = forecaster.model.cover.charts
    return bool(any(chart.contains(observations.longitude, observations.latitude).any() for chart in charts))
