"""What one instrument sees of a field on one day: places, times, clouds, values and errors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_pipeline.layout.checks import COMPANIONS
from data_pipeline.observing.frames import MICROSECOND, Frames
from data_pipeline.observing.instruments import Instrument, RandomPoints, TrackInstrument
from data_pipeline.observing.interpolation import Extent, Interpolator
from data_pipeline.observing.karin import SEA_LEVEL, DrawnErrors, KarinDraw
from data_pipeline.observing.orbits import ground_speed, longitude_latitude, swath_points, track_seconds

POINTS_AT_ONCE = 500_000
Columns = dict[str, np.ndarray]
Period = tuple[np.datetime64, np.datetime64]


@dataclass(frozen=True)
class Look:
    """Pixels (n,): when and where they are, on which scan line of a track and how far from nadir (else zero)."""

    time: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    line: np.ndarray
    across_km: np.ndarray

    def select(self, which: np.ndarray) -> "Look":
        """The pixels that a mask or an index names."""
        return Look(*(column[which] for column in vars(self).values()))


class View:
    """One instrument before the field."""

    def __init__(self, frames: Frames, grid: Interpolator, instrument: Instrument, index: int, seed: int):
        self.frames, self.grid, self.instrument, self.index, self.seed = frames, grid, instrument, index, seed
        self.karin = None
        if isinstance(instrument, TrackInstrument) and instrument.karin is not None:
            altitude = instrument.orbit.altitude_km
            self.karin = KarinDraw(instrument.karin, altitude, instrument.spacing_km, self.seed, index)

    def of(self, period: Period) -> Iterator[Columns]:
        """Observations within a day, in parts of bounded size."""
        # One stream of numbers per instrument and day, so that a day does not depend on the period around it.
        day = period[0].astype("datetime64[D]")
        number = int(day.astype(np.int64))
        generator = np.random.default_rng([self.seed, self.index, number % 2**32])
        if isinstance(self.instrument, RandomPoints):
            looks = _scattered(self.instrument, self.grid.extent, period, generator)
        else:
            looks = _tracked(self.instrument, self.grid.extent, period)
        for look in looks:
            if self.instrument.clouds is not None:
                scenes = self.instrument.clouds.scenes
                clear = scenes.over(self.grid.extent, self.seed, day, look.longitude, look.latitude)
                look = look.select(np.flatnonzero(clear))
            inside, nodes, weights = self.grid.weights(look.longitude, look.latitude)
            look = look.select(np.flatnonzero(inside))
            if not len(look.time):
                continue
            truth = self.frames.at(look.time, nodes, weights)
            seen = np.isfinite(truth[[self.instrument.sees(name) for name in self.frames.channels]]).any(0)
            if seen.any():
                yield self._columns(look.select(np.flatnonzero(seen)), truth[:, seen], generator)

    def _columns(self, look: Look, truth: np.ndarray, generator: np.random.Generator) -> Columns:
        columns = {"time": look.time, "longitude": look.longitude, "latitude": look.latitude}
        columns["source"] = np.full(len(look.time), self.index, np.int16)
        # Sea level by any name is one measurement, with one error.
        of_sea_level = None
        for name, exact in zip(self.frames.channels, truth, strict=True):
            if not self.instrument.sees(name):
                nothing = np.full(len(exact), np.nan, np.float32)
                columns |= {f"{name}{ending}": nothing for ending in ("", *COMPANIONS)}
                continue
            if self.karin is not None and name in SEA_LEVEL:
                if of_sea_level is None:
                    of_sea_level = self.karin.draw(look.line, look.across_km, generator)
                drawn = of_sea_level
            else:
                drawn = _white(self.instrument.error_of(name), len(exact), generator)
            columns[name] = exact + drawn.error.astype(np.float32)
            columns[f"{name}_error"] = drawn.std
            columns[f"{name}_correlated_error"] = drawn.correlated_std
            columns[f"{name}_truth"] = exact
        return columns


def _white(std: float, count: int, generator: np.random.Generator) -> DrawnErrors:
    return DrawnErrors(generator.normal(0, std, count), np.full(count, std), np.zeros(count))


def _scattered(
    instrument: RandomPoints,
    extent: Extent,
    period: Period,
    generator: np.random.Generator,
) -> Iterator[Look]:
    """Times and positions spread evenly over a whole day and over the area of the extent; those in the period."""
    count = instrument.points_per_day
    fraction, east, north = generator.random((3, count))
    day = period[0].astype("datetime64[D]").astype("datetime64[us]")
    time = day + np.floor(fraction * 86_400_000_000).astype("timedelta64[us]")
    longitude = np.mod(extent.west + east * extent.width + 180, 360) - 180
    south, high = np.sin(np.deg2rad([extent.south, extent.north]))
    latitude = np.rad2deg(np.arcsin(south + north * (high - south)))
    nowhere = np.zeros(count, np.int64)
    yield Look(time, longitude, latitude, nowhere, nowhere).select((time >= period[0]) & (time < period[1]))


def _tracked(instrument: TrackInstrument, extent: Extent, period: Period) -> Iterator[Look]:
    """Pixels near the extent, a number of scan lines at a time."""
    orbit, across = instrument.orbit, instrument.across_km
    epoch = np.datetime64(instrument.epoch, "us")
    start, stop = ((moment - epoch) / MICROSECOND / 1e6 for moment in period)
    interval = instrument.spacing_km / ground_speed(orbit)
    reach = extent.radius_km + np.abs(across).max()
    seconds = track_seconds(orbit, start, stop, interval, extent.centre, reach)
    lines = max(1, POINTS_AT_ONCE // len(across))
    for first in range(0, len(seconds), lines):
        part = seconds[first : first + lines]
        longitude, latitude = longitude_latitude(swath_points(orbit, part, across).reshape(-1, 3))
        time = epoch + np.round(part * 1e6).astype("timedelta64[us]")
        line = np.round(part / interval).astype(np.int64)
        yield Look(
            np.repeat(time, len(across)),
            longitude,
            latitude,
            np.repeat(line, len(across)),
            np.tile(across, len(part)),
        )
