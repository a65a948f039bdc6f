"""A screen against the neighbours along the pass: sea level that its own pass contradicts is no sea level.

Flags of altimetry leave sea ice, rain and coasts behind that look like water. The sea is smooth over the distance that
a satellite flies in seconds, so that a value metres away from the median of its neighbours is an error. The floor is
above what eddies and fronts do in that distance: they are never cut.
"""

import numpy as np

from data_pipeline.layout.globe import EARTH_RADIUS_KM
from data_pipeline.products.observed import Points
from data_pipeline.products.screening import AWAY

CHANNELS = ("sla", "adt", "ssh")  # the first one speaks for the others
NEIGHBOURS = 10  # on each side
FEWEST = 5
REACH_SECONDS = 30.0
SPREADS = 6.0
FLOOR_METRES, CEILING_METRES = 0.3, 1.0
# A satellite's nadir moves at 5 to 7 km/s. Times written to a second or so leave some doubt of it; ships, moorings and
# the pixels of a line of a swath are far from it.
_SLOWEST, _FASTEST = 2.0, 20.0  # km/s
_MAD_OF_ONE_SIGMA = 1.4826
_ROWS = 2**16


def without_outliers(points: Points) -> Points:
    """The points without sea level that lies off its pass; what is dropped is counted as AWAY.

    Each source is screened by itself. Points that follow each other at another speed than a satellite's are no pass and
    stay as they are, and so does a value with fewer than FEWEST neighbours. Where a point has an anomaly, this speaks
    for its other heights too: the mean topography has steps of its own at coasts and fronts.
    """
    outlying: dict[str, np.ndarray] = {}
    anomaly = points.channels.get("sla")
    for name in CHANNELS:
        if name not in points.channels:
            continue
        outside = _outlying(points, points.channels[name])
        if anomaly is not None and name != "sla":
            by_anomaly = outlying.get("sla", np.zeros_like(outside)) & np.isfinite(points.channels[name])
            outside = np.where(np.isfinite(anomaly), by_anomaly, outside)
        if outside.any():
            outlying[name] = outside
            points.counts[name].add(0, {AWAY: int(outside.sum())})
    if not outlying:
        return points
    channels = {
        name: np.where(outlying[name], np.float32(np.nan), values) if name in outlying else values
        for name, values in points.channels.items()
    }
    kept = np.any([np.isfinite(values) for values in channels.values()], axis=0)
    return Points(
        points.time[kept],
        points.longitude[kept],
        points.latitude[kept],
        points.source[kept],
        points.source_name,
        {name: values[kept] for name, values in channels.items()},
        {name: values[kept] for name, values in points.errors.items()},
        points.counts,
        points.notes,
    )


def _outlying(points: Points, values: np.ndarray) -> np.ndarray:
    """(obs,) whether a value of one channel lies off its neighbours, over all sources."""
    outside = np.zeros(values.size, dtype=bool)
    for source in np.unique(points.source):
        rows = np.flatnonzero((points.source == source) & np.isfinite(values))
        rows = rows[np.argsort(points.time[rows], kind="stable")]
        if rows.size > FEWEST:
            columns = points.time[rows], points.longitude[rows], points.latitude[rows], values[rows]
            outside[rows] = off_its_pass(*columns)
    return outside


def off_its_pass(time: np.ndarray, longitude: np.ndarray, latitude: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(obs,) whether a value differs too much from the median of its neighbours along the pass.

    time: datetime64[ns] in ascending order. longitude, latitude [degrees]. values [m], finite. Neighbours are the
    NEIGHBOURS points before and after, of the same pass and within REACH_SECONDS. Too much is SPREADS robust standard
    deviations of the neighbours, but never less than FLOOR_METRES nor more than CEILING_METRES.
    """
    seconds = (time - time[0]) / np.timedelta64(1, "s")
    run = np.concatenate([[0], np.cumsum(~_flown(seconds, longitude, latitude))])
    offsets = np.concatenate([np.arange(-NEIGHBOURS, 0), np.arange(1, NEIGHBOURS + 1)])
    outside = np.zeros(values.size, dtype=bool)
    for first in range(0, values.size, _ROWS):
        rows = np.arange(first, min(first + _ROWS, values.size))
        place = (rows[:, None] + offsets).clip(0, values.size - 1)
        near = (place != rows[:, None]) & (place - rows[:, None] == offsets) & (run[place] == run[rows, None])
        near &= abs(seconds[place] - seconds[rows, None]) <= REACH_SECONDS
        around = np.where(near, values[place].astype(np.float64), np.nan)
        middle = _median(around)
        spread = _MAD_OF_ONE_SIGMA * _median(abs(around - middle[:, None]))
        most = (SPREADS * spread).clip(FLOOR_METRES, CEILING_METRES)
        outside[rows] = (near.sum(axis=1) >= FEWEST) & (abs(values[rows] - middle) > most)
    return outside


def _flown(seconds: np.ndarray, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """(obs - 1,) whether a satellite flew from each point to the next within REACH_SECONDS."""
    longitude, latitude = np.deg2rad(longitude.astype(np.float64)), np.deg2rad(latitude.astype(np.float64))
    east, north = np.cos(latitude) * np.exp(1j * longitude), np.sin(latitude)
    chord = EARTH_RADIUS_KM * np.hypot(abs(np.diff(east)), np.diff(north))
    after = np.diff(seconds)
    return (after <= REACH_SECONDS) & (chord > _SLOWEST * after) & (chord < _FASTEST * after)


def _median(rows: np.ndarray) -> np.ndarray:
    """Median of each row without its NaN, which sort to its end; NaN of a row without a value."""
    held = np.isfinite(rows).sum(axis=1)
    ordered = np.sort(rows, axis=1)
    pair = np.stack([(held - 1).clip(0) // 2, held // 2], axis=1).clip(0, rows.shape[1] - 1)
    return np.take_along_axis(ordered, pair, axis=1).mean(axis=1)
