"""The spread of forecasts from sparse points, calibrated on later points of the same record."""

from collections.abc import Sequence

import numpy as np

from ..data.observations import Observations
from ..errors import EmptyDataError
from ..forecaster import Forecaster
from ..inference.errors import error_variance
from ..model import Start
from .samples import Samples, split_variance
from .spread_factors import Calibration, fit_factors

# Forecasts, points each is compared with, and knots, of which the first is the narrowest as errors grow fastest there.
FORECASTS, POINTS = 16, 2000
EDGES = (0.0, 0.1, 0.25, 0.45, 0.7, 1.0)


def calibrate_from_points(
    forecaster: Forecaster,
    observations: Observations,
    *,
    held_from: float,
    reach_days: float = 10.0,
    forecasts: int = FORECASTS,
) -> Calibration:
    """Fit the factors of the spread of forecasts from points and put them into the model.

    Parameters
    ----------
    observations : the record; no factor is fitted to what lies before `held_from`, for the model may have learned it
    held_from : days since 1950-01-01
    reach_days : longest lead that is calibrated; later ones have the factors of the last
    forecasts : how many are made, evenly in time

    The variance of the observations' errors, as `assimilation.errors` has it where a record gives none, is taken off
    the squared misfits: the spread is that of the field. Raises `EmptyDataError` for a record that leaves fewer than
    two forecasts to compare, and leaves the model as it was.
    """
    model, length = forecaster.latent, forecaster.assimilation.window_days
    first, last = float(observations.time[0]), float(observations.time[-1])
    # The first and the last forecast meet a tenth of the leads, and those between them all.
    margin = EDGES[1] * reach_days
    earliest = max(held_from + margin - reach_days, first + min(length, 0.5 * (last - first)))
    ends = np.linspace(earliest, max(last - margin, earliest), forecasts)
    before = model.spread_factor[Start.POINTS].clone()
    model.spread_factor[Start.POINTS] = 1.0
    samples = samples_of_points(forecaster, observations, np.unique(ends).tolist(), reach_days, held_from)
    if len(np.unique(samples.start)) < 2:
        model.spread_factor[Start.POINTS] = before
        raise EmptyDataError(
            f"{observations.span()}: fewer than two forecasts of up to {reach_days:g} days can be compared with later "
            "points; give a longer record to calibrate the spread"
        )
    fitted = fit_factors(samples, [edge * reach_days for edge in EDGES])
    model.spread_factor[Start.POINTS] = fitted.table(model.spec.interval_days).to(before)
    return fitted


def samples_of_points(
    forecaster: Forecaster, observations: Observations, ends: Sequence[float], reach: float, held_from: float
) -> Samples:
    """Analyse the window before each of `ends` and compare its forecast with the points of the `reach` days after."""
    model, length = forecaster.latent, forecaster.assimilation.window_days
    parts = [Samples.none(model.spec.channels)]
    for number, end in enumerate(ends):
        seen = observations.between(end - length, end)
        ahead = observations.between(np.nextafter(max(end, held_from), np.inf), end + reach)
        if not _inside(forecaster, seen) or not _inside(forecaster, ahead):
            continue
        ahead = ahead.select(np.unique(np.linspace(0, len(ahead) - 1, POINTS).astype(int)))
        analysis = forecaster.analyse_observations(seen, end, length)
        place = ahead.longitude, ahead.latitude
        mean, deviation = forecaster.along_track(analysis, ahead.time, *place)
        explained, rest = split_variance(forecaster.ocean, deviation[None], model.unresolved_variance[None], *place)
        noise = error_variance(ahead, forecaster.assimilation.errors)
        parts.append(
            Samples(
                lead=ahead.time - end, start=np.full(len(ahead), number), weight=np.ones(len(ahead)),
                explained=explained[0], unresolved=rest[0], squared=np.square(ahead.values - mean),
                noise=noise,
            )
        )  # fmt: skip
    return Samples.join(parts)


def _inside(forecaster: Forecaster, observations: Observations) -> bool:
    return bool(forecaster.ocean.cover.holds(observations.longitude, observations.latitude).any())
