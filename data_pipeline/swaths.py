"""Observe a field as satellites would: along nadir tracks, across swaths, or at random points, with random errors."""

import json
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, NaiveDatetime, model_validator

from data_pipeline.errors import ConfigError, EmptyDataError
from data_pipeline.instruments import Instrument, RandomPoints, TrackInstrument
from data_pipeline.interpolation import Extent, Interpolator, interpolator
from data_pipeline.orbits import ground_speed, longitude_latitude, swath_points, track_seconds
from data_pipeline.schema import channel_names, check_fields, observations_dataset

FRAMES_BYTES = 64 * 2**20
POINTS_AT_ONCE = 500_000
DAY = np.timedelta64(1, "D")
MICROSECOND = np.timedelta64(1, "us")
Columns = dict[str, np.ndarray]


class SampleConfig(BaseModel):
    """Which instruments look at which channels of which trajectory, and when (start included, stop not)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: tuple[Instrument, ...] = Field(min_length=1)
    channels: tuple[str, ...] | None = Field(default=None, description="default: all")
    trajectory: int | None = Field(default=None, ge=0, description="wanted where the field has many")
    start: NaiveDatetime | None = None
    stop: NaiveDatetime | None = None
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _distinct(self) -> "SampleConfig":
        names = [instrument.name for instrument in self.instruments]
        if len(set(names)) < len(names):
            raise ValueError(f"instrument names must differ, came {', '.join(names)}")
        return self


def sample(
    fields: xr.Dataset, config: SampleConfig, *, progress: Callable[[int, int], None] | None = None
) -> xr.Dataset:
    """Observations of a canonical field dataset, linear in time and space, day by day in bounded memory.

    Points with a missing node beside them are dropped. A field of one map stands still over its day. Errors are white,
    their standard deviation is stored as `<channel>_error`, and `source` tells the instruments apart. Raises
    ConfigError when the field has no such channel, trajectory or period, and EmptyDataError when nothing is seen.
    progress: called with (days done, days in all).
    """
    check_fields(fields)
    fields = _selected(fields, config)
    frames, grid = _Frames(fields), interpolator(fields)
    parts = []
    days = list(_days(frames, config))
    for done, (start, stop) in enumerate(days, start=1):
        for index, instrument in enumerate(config.instruments):
            # One stream of numbers per instrument and day, so that a day does not depend on the period around it.
            day = int(start.astype("datetime64[D]").astype(np.int64))
            generator = np.random.default_rng([config.seed, index, day % 2**32])
            parts += _look(frames, grid, instrument, (start, stop), generator, index)
        if progress is not None:
            progress(done, len(days))
    if not sum(len(part["time"]) for part in parts):
        raise EmptyDataError("no instrument saw a valid point of the field; widen the period, the swath or the field")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return observations_dataset(
        joined["time"],
        joined["longitude"],
        joined["latitude"],
        {name: joined[name] for name in frames.channels},
        {name: joined[f"{name}_error"] for name in frames.channels},
        joined["source"],
        [instrument.name for instrument in config.instruments],
        attrs=_provenance(fields, config),
        units={name: fields[name].attrs["units"] for name in frames.channels},
    )


def _selected(fields: xr.Dataset, config: SampleConfig) -> xr.Dataset:
    """The wanted channels of the wanted trajectory, dims (time, ...)."""
    known = channel_names(fields)
    wanted = known if config.channels is None else list(config.channels)
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"the field has no channel {unknown[0]!r}; choose from {', '.join(known)}")
    fields = fields[wanted]
    count = fields.sizes.get("trajectory")
    if count is None:
        if config.trajectory is not None:
            raise ConfigError(f"trajectory={config.trajectory} came for a field without trajectories; leave it out")
        return fields
    if config.trajectory is None and count > 1:
        raise ConfigError(f"the field has {count} trajectories; choose one with trajectory=0 to {count - 1}")
    index = config.trajectory or 0
    if index >= count:
        raise ConfigError(f"trajectory={index} came where the field has 0 to {count - 1}; choose one of these")
    return fields.isel(trajectory=index)


class _Frames:
    """Maps of the channels between two times, read in blocks of bounded size."""

    def __init__(self, fields: xr.Dataset):
        self.fields = fields
        self.channels = [str(name) for name in fields.data_vars]
        self.time = fields["time"].values.astype("datetime64[us]")
        size = sum(fields[name].isel(time=0).size * 4 for name in self.channels)
        self.block = max(2, FRAMES_BYTES // size)
        self.first, self.values = 0, np.empty((0, 0, 0), np.float32)

    def at(self, time: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Values (channel, point) at times (point,), of flat nodes and weights (point, k); NaN beside missing ones."""
        last = max(len(self.time) - 2, 0)
        lower = np.clip(np.searchsorted(self.time, time, side="right") - 1, 0, last)
        upper = np.minimum(lower + 1, len(self.time) - 1)
        span = np.maximum((self.time[upper] - self.time[lower]) / MICROSECOND, 1)
        later = np.clip((time - self.time[lower]) / MICROSECOND / span, 0, 1)[:, None]
        out = np.empty((len(self.channels), len(time)), np.float32)
        # The times of a day may span many maps: take them in runs that a block holds.
        for start in range(int(lower.min()), int(lower.max()) + 1, self.block - 1):
            rows = np.flatnonzero((lower >= start) & (lower < start + self.block - 1))
            if len(rows):
                self._load(int(lower[rows].min()), int(upper[rows].max()))
                before = self.values[:, (lower[rows] - self.first)[:, None], nodes[rows]]
                after = self.values[:, (upper[rows] - self.first)[:, None], nodes[rows]]
                both = before + (after - before) * later[rows]
                out[:, rows] = (both * weights[rows]).sum(-1)
        return out

    def _load(self, lowest: int, highest: int) -> None:
        if not (self.first <= lowest and highest < self.first + self.values.shape[1]):
            block = self.fields.isel(time=slice(lowest, lowest + self.block))
            self.first = lowest
            self.values = np.stack([block[n].values.reshape(block.sizes["time"], -1) for n in self.channels])


def _days(frames: _Frames, config: SampleConfig) -> Iterator[tuple[np.datetime64, np.datetime64]]:
    """(start, stop) within each day that the field and the config share; the field's last instant is included."""
    first, last = frames.time[0], frames.time[-1] + MICROSECOND
    if len(frames.time) == 1:
        first = first.astype("datetime64[D]").astype(first.dtype)
        last = first + DAY
    start = first if config.start is None else max(first, np.datetime64(config.start, "us"))
    stop = last if config.stop is None else min(last, np.datetime64(config.stop, "us"))
    if not start < stop:
        raise ConfigError(
            f"the period from {config.start or 'the beginning'} to {config.stop or 'the end'} lies outside the field, "
            f"which spans {first} to {last - MICROSECOND}; choose one inside"
        )
    for day in np.arange(start.astype("datetime64[D]"), stop.astype("datetime64[D]") + DAY):
        opening, closing = max(start, day.astype(start.dtype)), min(stop, (day + DAY).astype(start.dtype))
        if opening < closing:
            yield opening, closing


def _look(
    frames: _Frames,
    grid: Interpolator,
    instrument: Instrument,
    period: tuple[np.datetime64, np.datetime64],
    generator: np.random.Generator,
    source: int,
) -> Iterator[Columns]:
    """Observations of one instrument within a day, in parts of bounded size."""
    if isinstance(instrument, RandomPoints):
        looks = _scattered(instrument, grid.extent, period, generator)
    else:
        looks = _tracked(instrument, grid.extent, period)
    for time, longitude, latitude in looks:
        inside, nodes, weights = grid.weights(longitude, latitude)
        if not inside.any():
            continue
        time, longitude, latitude = time[inside], longitude[inside], latitude[inside]
        values = frames.at(time, nodes, weights)
        seen = np.isfinite(values).any(0)
        part = {"time": time[seen], "longitude": longitude[seen], "latitude": latitude[seen]}
        part["source"] = np.full(seen.sum(), source, np.int16)
        for name, exact in zip(frames.channels, values[:, seen], strict=True):
            error = instrument.error_of(name)
            part[name] = exact + generator.normal(0, error, exact.size).astype(np.float32)
            part[f"{name}_error"] = np.full(exact.size, error, np.float32)
        yield part


def _scattered(
    instrument: RandomPoints,
    extent: Extent,
    period: tuple[np.datetime64, np.datetime64],
    generator: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Times and positions spread evenly over a whole day and over the area of the extent; those in the period."""
    count = instrument.points_per_day
    fraction, east, north = generator.random((3, count))
    day = period[0].astype("datetime64[D]").astype("datetime64[us]")
    time = day + np.floor(fraction * 86_400_000_000).astype("timedelta64[us]")
    longitude = np.mod(extent.west + east * extent.width + 180, 360) - 180
    south, high = np.sin(np.deg2rad([extent.south, extent.north]))
    latitude = np.rad2deg(np.arcsin(south + north * (high - south)))
    within = (time >= period[0]) & (time < period[1])
    yield time[within], longitude[within], latitude[within]


def _tracked(
    instrument: TrackInstrument, extent: Extent, period: tuple[np.datetime64, np.datetime64]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Times and positions of the pixels near the extent, a number of scan lines at a time."""
    orbit, across = instrument.orbit, instrument.across_km
    epoch = np.datetime64(instrument.epoch, "us")
    start, stop = ((moment - epoch) / MICROSECOND / 1e6 for moment in period)
    interval = instrument.spacing_km / ground_speed(orbit)
    reach = extent.radius_km + np.abs(across).max()
    seconds = track_seconds(orbit, start, stop, interval, extent.centre, reach)
    lines = max(1, POINTS_AT_ONCE // len(across))
    for first in range(0, len(seconds), lines):
        part = seconds[first : first + lines]
        points = swath_points(orbit, part, across)
        time = np.repeat(epoch + np.round(part * 1e6).astype("timedelta64[us]"), len(across))
        longitude, latitude = longitude_latitude(points.reshape(-1, 3))
        yield time, longitude, latitude


def _provenance(fields: xr.Dataset, config: SampleConfig) -> dict[str, object]:
    what = [instrument.model_dump(mode="json", exclude={"orbit": {"path"}}) for instrument in config.instruments]
    chosen = {"trajectory": config.trajectory, "seed": config.seed, "instruments": what}
    earlier = f"{fields.attrs['history']}\n" if fields.attrs["history"] else ""
    return {
        "product": f"observations of {fields.attrs['product']}",
        "sources": fields.attrs["sources"],
        "history": f"{earlier}sampled with {json.dumps(chosen)}",
    }
