"""What a run from points alone can do: points that an analysis did not see, and later ones than it saw."""

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..data.observations import Observations
from ..data.overflights import View, overflights
from ..forecaster import Forecaster
from ..training.held_out import HeldOut
from .points_record import PointRecord

WINDOWS, WITHHELD, PATCHES = 3, 0.2, 8  # analyses; share of overflights or patches withheld; patches along an axis
MOST = 4000  # points that a forecast is compared with
Array = NDArray[np.float64]


def withheld(seen: Observations, seed: int) -> NDArray[np.bool_]:
    """Which observations (n,) an analysis is not shown: some overflights or, of scenes, some patches of a day."""
    passed, chance = overflights(seen), np.random.default_rng(seed)
    place = np.stack([seen.longitude, seen.latitude], axis=-1)
    low, high = place.min(0), place.max(0)
    patch = np.floor(PATCHES * (place - low) / np.maximum(1.001 * (high - low), 1e-9))
    flies = passed.view != View.POINT
    patch[flies] = -1.0
    when = np.where(flies, passed.number, np.floor(seen.time))  # a scene may be seen line by line
    _, group = np.unique(np.column_stack([when, patch]), axis=0, return_inverse=True)
    group = group.ravel()
    return chance.random(int(group.max()) + 1)[group] < WITHHELD


def measure_points(forecaster: Forecaster, record: PointRecord, config: Config) -> HeldOut:
    """Share of the variance of withheld points that is explained, and the error of forecasts over persistence by lead.

    Analyses end in the held-out days; where a record is too short for any, in the whole of it.
    """
    first, held, last = record.span
    horizons = config.dynamics.horizons
    start = held if held < last else first + 0.5 * (last - first)
    wrong, whole = 0.0, 0.0
    errors, still = np.zeros((2, horizons[-1] + 1))
    for number, end in enumerate(np.unique(np.linspace(start, last, WINDOWS))):
        seen = record.points.between(end - record.window_days, end)
        if seen is None or forecaster.ocean.cover.holds(seen.longitude, seen.latitude).sum() < 2:
            continue
        hidden = withheld(seen, number)
        if 0 < hidden.sum() < len(seen):
            missed, anomaly = _withheld(forecaster, seen.select(~hidden), seen.select(hidden), end, record.window_days)
            wrong, whole = wrong + missed, whole + anomaly
        ahead = record.points.between(np.nextafter(end, np.inf), end + horizons[-1])
        if ahead is not None and forecaster.ocean.cover.holds(ahead.longitude, ahead.latitude).any():
            _ahead(forecaster, seen, ahead, end, record.window_days, errors, still)
    leads = [horizon for horizon in horizons if still[horizon] > 0]
    return HeldOut(
        explained=round(1.0 - wrong / whole, 4) if whole > 0 else float("nan"),
        lead_days=[float(lead) for lead in leads] or [0.0],
        error_over_persistence=[round(float(np.sqrt(errors[lead] / still[lead])), 4) for lead in leads]
        or [float("nan")],
        wanted_days=float(horizons[-1]),
        of="points",
    )


def _withheld(
    forecaster: Forecaster, shown: Observations, hidden: Observations, end: float, days: float
) -> tuple[float, float]:
    """Sums of squared misfits and anomalies of points that an analysis was not shown."""
    cover = forecaster.ocean.cover
    if not cover.holds(shown.longitude, shown.latitude).any():
        return 0.0, 0.0
    hidden = hidden.select(cover.holds(hidden.longitude, hidden.latitude))
    hidden = hidden.select(np.unique(np.linspace(0, len(hidden) - 1, MOST).astype(int))) if len(hidden) else hidden
    if not len(hidden):
        return 0.0, 0.0
    analysis = forecaster.analyse_observations(shown, end, days, smooth=True)
    made, _ = forecaster.along_track(analysis, hidden.time, hidden.longitude, hidden.latitude)
    return _squares(forecaster, hidden, made)


def _ahead(
    forecaster: Forecaster,
    seen: Observations,
    ahead: Observations,
    end: float,
    days: float,
    errors: Array,
    still: Array,
) -> None:
    """Add squared misfits of forecasts, and of the analysis held still, by lead in whole days."""
    ahead = ahead.select(forecaster.ocean.cover.holds(ahead.longitude, ahead.latitude))
    ahead = ahead.select(np.unique(np.linspace(0, len(ahead) - 1, MOST).astype(int)))
    analysis = forecaster.analyse_observations(seen, end, days)
    place = ahead.longitude, ahead.latitude
    made, _ = forecaster.along_track(analysis, ahead.time, *place)
    held, _ = forecaster.along_track(analysis, np.full(len(ahead), analysis.time), *place)
    lead = np.clip(np.ceil(ahead.time - end), 1, len(errors) - 1).astype(int)
    scale = forecaster.ocean.spread
    both = np.isfinite(made + held + ahead.values)
    for total, field in ((errors, made), (still, held)):
        square = np.where(both, ((field - ahead.values) / scale) ** 2, 0.0).sum(1)
        total += np.bincount(lead, square, minlength=len(total))


def _squares(forecaster: Forecaster, points: Observations, made: Array) -> tuple[float, float]:
    scale = forecaster.ocean.spread
    anomaly = (points.values - forecaster.ocean.background.at(points.longitude, points.latitude)) / scale
    missed = (points.values - made) / scale
    known = np.isfinite(missed + anomaly)
    return float((missed[known] ** 2).sum()), float((anomaly[known] ** 2).sum())
