"""Overflights: what one instrument saw in one passage, found from source, time and place.

The errors of an altimeter are shared by the points of a passage. Points of one source belong to the same overflight
while they follow each other within a minute, no farther apart than a satellite and its swath reach in that time.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .observations import Observations

GAP_SECONDS = 60.0  # a longer silence ends an overflight
REACH_KM, FASTEST_KM_S = 150.0, 10.0  # a swath's width; faster than any point below a satellite moves
GROUND_KM_S = 6.6  # of a point below an altimeter, to a tenth
LINE_SECONDS = 0.05  # pixels of a line are as near as that in time
EARTH_KM = 6371.0
Array = NDArray[np.float64]
Index = NDArray[np.int64]


class View(IntEnum):
    """How an instrument looks at the sea."""

    NADIR = 0
    SWATH = 1
    POINT = 2


@dataclass(frozen=True)
class Overflights:
    """Which overflight every observation belongs to, and where it lies on it.

    number : (n,) counted from zero; view : (n,) a `View`
    along_km, across_km : (n,) distance along the track from the overflight's first point, and to the right of its middle
    """

    number: Index
    view: Index
    along_km: Array
    across_km: Array

    def __len__(self) -> int:
        return int(self.number.max()) + 1 if len(self.number) else 0


def overflights(observations: Observations) -> Overflights:
    """The overflights of some observations; what comes alone, or all at one moment, is of no track."""
    count = len(observations)
    if not count:
        return Overflights(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))
    order = np.lexsort((observations.time, observations.source))
    seconds, source = 86400.0 * observations.time[order], observations.source[order]
    place = _unit_vectors(observations.longitude[order], observations.latitude[order])
    pause, way = np.diff(seconds), EARTH_KM * np.linalg.norm(np.diff(place, axis=0), axis=-1)
    ends = (pause > GAP_SECONDS) | (np.diff(source) != 0) | (way > REACH_KM + FASTEST_KM_S * pause)
    sorted_number = np.concatenate([[0], np.cumsum(ends)])
    first = np.concatenate([[0], np.flatnonzero(ends) + 1])
    size = np.diff(np.append(first, count))
    next_line = np.concatenate([[True], ends | (pause > LINE_SECONDS)])
    lines = np.add.reduceat(next_line.astype(np.int64), first)
    kind = np.where(size > 1.5 * lines, View.SWATH, View.NADIR)
    kind[lines == 1] = View.POINT
    along = GROUND_KM_S * (seconds - seconds[first][sorted_number])
    across = np.zeros(count)
    for swath in np.flatnonzero(kind == View.SWATH):
        here = slice(first[swath], first[swath] + size[swath])
        across[here] = _across(seconds[here] - seconds[first[swath]], place[here], int(lines[swath]))
    back = np.empty(count, np.int64)
    back[order] = np.arange(count)
    return Overflights(*(part[back] for part in (sorted_number, kind[sorted_number].astype(np.int64), along, across)))


def _unit_vectors(longitude: Array, latitude: Array) -> Array:
    lon, lat = np.deg2rad(longitude), np.deg2rad(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _across(seconds: Array, place: Array, lines: int) -> Array:
    """(n,) distance [km] to the right of the middle of a swath: of a cubic in time through all of its pixels."""
    scaled = seconds / max(float(seconds[-1]), 1e-9)
    powers = np.arange(min(3, lines - 1) + 1)
    basis = scaled[:, None] ** powers
    fitted, *_ = np.linalg.lstsq(basis, place, rcond=None)
    middle = basis @ fitted
    speed = (powers[1:] * scaled[:, None] ** (powers[1:] - 1)) @ fitted[1:]
    right = np.cross(speed, middle)
    right /= np.maximum(np.linalg.norm(right, axis=-1, keepdims=True), 1e-12)
    return EARTH_KM * ((place - middle) * right).sum(-1)
