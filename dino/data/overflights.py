"""Overflights: what one instrument saw in one passage, found from source, time and place.

The errors of an altimeter are shared by the points of a passage. Points of one source belong to the same overflight
while they follow each other within a minute, no farther apart than a satellite and its swath reach in that time. What
does not move as a satellite does is no passage: a mooring, a ship or a scene is seen moment by moment.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from .observations import Observations

GAP_SECONDS = 60.0  # a longer silence ends an overflight
PASS_SECONDS = 3000.0  # half a revolution: no longer one has errors that its ends share
REACH_KM, FASTEST_KM_S = 150.0, 10.0  # a swath's width; faster than any point below a satellite moves
GROUND_KM_S = 6.6  # of a point below an altimeter, to a tenth
SATELLITE_KM_S = (4.0, 9.0)  # what is slower or faster than that, below it, is no satellite
LINE_SECONDS = 0.01  # pixels of a line are as near as that in time
EARTH_KM = 6371.0
STRAIGHT_SECONDS = 100.0  # in which a track bends by nothing that matters
PARTS = 40  # of a swath, whose edges say where its middle is
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
    along_km, across_km : (n,) distance along the track from the overflight's first point, and to the right of the
    swath's middle; of points of one moment that are of no track, distance to the north and to the east of the first
    """

    number: Index
    view: Index
    along_km: Array
    across_km: Array

    def __len__(self) -> int:
        return int(self.number.max()) + 1 if len(self.number) else 0


@dataclass(frozen=True)
class _Runs:
    """Sorted points in runs of neighbours. first, size : (run,); of : (n,) the run of a point; lines : (run,)."""

    first: Index
    size: Index
    of: Index
    lines: Index

    @classmethod
    def between(cls, ends: NDArray[np.bool_], pause: Array) -> "_Runs":
        """Runs that end after the points (n - 1,) where `ends` is set."""
        first = np.concatenate([[0], np.flatnonzero(ends) + 1])
        next_line = np.concatenate([[True], ends | (pause > LINE_SECONDS)])
        lines = np.add.reduceat(next_line.astype(np.int64), first)
        return cls(first, np.diff(np.append(first, len(ends) + 1)), np.concatenate([[0], np.cumsum(ends)]), lines)

    def means(self, values: Array) -> Array:
        """(run, ...) of values (n, ...)."""
        return (np.add.reduceat(values, self.first).T / self.size).T


def overflights(observations: Observations) -> Overflights:
    """The overflights of some observations, in whatever order these come."""
    count = len(observations)
    if not count:
        nobody, nowhere = np.zeros(0, np.int64), np.zeros(0)
        return Overflights(nobody, nobody, nowhere, nowhere)
    # Place decides between points of one moment, so that the order in which they came does not.
    order = np.lexsort((observations.latitude, observations.longitude, observations.time, observations.source))
    seconds, source = 86400.0 * observations.time[order], observations.source[order]
    place = _unit_vectors(observations.longitude[order], observations.latitude[order])
    pause, way = np.diff(seconds), EARTH_KM * np.linalg.norm(np.diff(place, axis=0), axis=-1)
    ends = (pause > GAP_SECONDS) | (np.diff(source) != 0)
    ends |= (way > REACH_KM + FASTEST_KM_S * pause) & (pause > LINE_SECONDS)
    runs = _Runs.between(ends, pause)
    elapsed = seconds - seconds[runs.first][runs.of]
    ends |= np.diff(np.floor(elapsed / PASS_SECONDS)) > 0
    runs = _Runs.between(ends, pause)
    # Moments of what is no satellite stand for themselves.
    ends |= ~_flies(runs, seconds, place)[runs.of[1:]] & (pause > LINE_SECONDS)
    runs = _Runs.between(ends, pause)
    kind = np.where(runs.size > 1.5 * runs.lines, View.SWATH, View.NADIR).astype(np.int64)
    kind[runs.lines == 1] = View.POINT
    along, across = _places(runs, kind, seconds, place)
    back = np.argsort(order)
    return Overflights(runs.of[back], kind[runs.of][back], along[back], across[back])


def _unit_vectors(longitude: Array, latitude: Array) -> Array:
    lon, lat = np.deg2rad(longitude), np.deg2rad(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _flies(runs: _Runs, seconds: Array, place: Array) -> NDArray[np.bool_]:
    """(run,) whether points move as those below a satellite do, by the slope of their places in time."""
    after = seconds - runs.means(seconds)[runs.of]
    change = runs.means(after[:, None] * (place - runs.means(place)[runs.of]))
    variance = runs.means(after**2)
    speed = EARTH_KM * np.linalg.norm(change, axis=-1) / np.maximum(variance, 1e-12)
    slowest, fastest = SATELLITE_KM_S
    return (speed > slowest) & (speed < fastest) & (runs.lines > 1)


def _places(runs: _Runs, kind: Index, seconds: Array, place: Array) -> tuple[Array, Array]:
    """Distances (n,) [km] along and across the overflights."""
    along, across = GROUND_KM_S * (seconds - seconds[runs.first][runs.of]), np.zeros(len(seconds))
    for swath in np.flatnonzero(kind == View.SWATH):
        here = slice(runs.first[swath], runs.first[swath] + runs.size[swath])
        across[here] = _across(seconds[here] - seconds[runs.first[swath]], place[here], int(runs.lines[swath]))
    scenes = (kind == View.POINT)[runs.of]
    middle = place[runs.first][runs.of[scenes]]
    east = np.stack([-middle[:, 1], middle[:, 0], np.zeros(len(middle))], axis=-1)
    east /= np.maximum(np.linalg.norm(east, axis=-1, keepdims=True), 1e-12)
    apart = EARTH_KM * (place[scenes] - middle)
    along[scenes], across[scenes] = (apart * np.cross(middle, east)).sum(-1), (apart * east).sum(-1)
    return along, across


def _across(seconds: Array, place: Array, lines: int) -> Array:
    """(n,) distance [km] to the right of the middle of a swath, a polynomial in time."""
    scaled = 2.0 * seconds / max(float(seconds[-1]), 1e-9) - 1.0
    powers = np.arange(min(1 + int(np.sqrt(seconds[-1] / STRAIGHT_SECONDS)), lines - 1) + 1)
    basis = scaled[:, None] ** powers
    fitted, *_ = np.linalg.lstsq(basis, place, rcond=None)
    middle = basis @ fitted
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
    speed = (powers[1:] * scaled[:, None] ** (powers[1:] - 1)) @ fitted[1:]
    right = np.cross(speed, middle)
    if len(powers) == 2:
        # Pixels of a line tell the direction, also where too few lines are there to tell that of the flight.
        line = np.flatnonzero(np.concatenate([[True], np.diff(seconds) > LINE_SECONDS]))
        size = np.diff(np.append(line, len(seconds)))
        apart = place - np.repeat(np.add.reduceat(place, line) / size[:, None], size, axis=0)
        axis = np.linalg.eigh(apart.T @ apart)[1][:, -1]
        right = np.broadcast_to(axis * np.sign((right @ axis).sum()), place.shape)
    right = right / np.maximum(np.linalg.norm(right, axis=-1, keepdims=True), 1e-12)
    across = EARTH_KM * ((place - middle) * right).sum(-1)
    return across - _centre(basis, scaled, across)


def _centre(basis: Array, scaled: Array, across: Array) -> Array:
    """(n,) the polynomial from which the farthest pixel is as near as can be: gaps on one side do not move it."""
    part = np.minimum((0.5 * PARTS * (scaled + 1.0)).astype(np.int64), PARTS - 1)
    first = np.concatenate([[0], np.flatnonzero(np.diff(part)) + 1])
    ends = np.append(first[1:], len(part))
    low = [a + int(np.argmin(across[a:b])) for a, b in zip(first, ends, strict=True)]
    high = [a + int(np.argmax(across[a:b])) for a, b in zip(first, ends, strict=True)]
    reach = np.concatenate([[1.0], np.zeros(basis.shape[1])])
    one = np.ones((len(first), 1))
    rows = np.concatenate([np.hstack([-one, -basis[high]]), np.hstack([-one, basis[low]])])
    found = linprog(reach, rows, np.concatenate([-across[high], across[low]]), bounds=(None, None))
    return basis @ found.x[1:] if found.success else np.zeros(len(across))
