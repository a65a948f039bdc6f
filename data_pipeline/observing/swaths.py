"""Observe a field as satellites would: along nadir tracks, across swaths, or at random points, with random errors."""

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_pipeline.errors import ConfigError, EmptyDataError
from data_pipeline.layout.checks import ONE_DAY
from data_pipeline.layout.datasets import channel_names, check_fields, index_by_day, observations_dataset
from data_pipeline.layout.moments import MomentSetting
from data_pipeline.observing.frames import MICROSECOND, Frames
from data_pipeline.observing.instruments import Instrument, TrackInstrument
from data_pipeline.observing.interpolation import interpolator
from data_pipeline.observing.orbits import EphemerisOrbit
from data_pipeline.observing.views import Columns, Period, View
from data_pipeline.system.progress import Progress
from data_pipeline.system.provenance import provenance
from data_pipeline.system.scheduler import in_order

BOX = ("periodic_length_km", "reference_longitude", "reference_latitude")


class SampleConfig(BaseModel):
    """Which instruments look at which channels of which trajectory, and when (start included, stop not)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: tuple[Instrument, ...] = Field(min_length=1)
    channels: tuple[str, ...] | None = Field(default=None, description="default: all")
    trajectory: int | None = Field(default=None, ge=0, description="wanted where the field has many")
    start: MomentSetting | None = None
    stop: MomentSetting | None = None
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _distinct(self) -> "SampleConfig":
        names = [instrument.name for instrument in self.instruments]
        if len(set(names)) < len(names):
            raise ValueError(f"instrument names must differ, came {', '.join(names)}")
        return self


def sample(fields: xr.Dataset, config: SampleConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Observations of a canonical field dataset, linear in time and space, with the truth beside them.

    Points with a missing node beside them are dropped, as are those under clouds. A field of one map stands still over
    its day. `<channel>_error` is the standard deviation of the errors that are drawn, `<channel>_correlated_error` that
    of the part that neighbours share, `<channel>_truth` the value without error; `source` tells the instruments apart.
    Raises ConfigError when the field has no such channel, trajectory or period, and EmptyDataError when nothing is
    seen. progress: called with (days done, days in all).
    """
    days = list(sample_days(fields, config, progress=progress))
    if not days:
        raise EmptyDataError("no instrument saw a valid point of the field; widen the period, the swath or the field")
    every = ["source_name", "day", "day_offset"]  # alike on every day, or made anew
    joined = xr.concat([day.drop_vars(every) for day in days], "obs", combine_attrs="override")
    return index_by_day(joined.assign_coords(source_name=days[0]["source_name"]))


def sample_days(
    fields: xr.Dataset, config: SampleConfig, *, progress: Progress | None = None
) -> Generator[xr.Dataset, None, None]:
    """The observations that `sample` makes, day by day, each an observation dataset; days without any are left out.

    Memory is that of a day's observations and of a block of maps; on a cluster, of the days that are computed ahead.
    """
    sampler = _Sampler(fields, config)
    days = list(_days(sampler.frames, config))
    for done, observations in enumerate(in_order(_of_day, days, sampler), start=1):
        if observations is not None:
            yield observations
        if progress is not None:
            progress(done, len(days))


class _Sampler:
    """The instruments before the field: all that days have in common."""

    def __init__(self, fields: xr.Dataset, config: SampleConfig):
        check_fields(fields)
        self.fields, self.config = _selected(fields, config), config
        self.frames, self.attrs = Frames(self.fields), _provenance(fields, config)
        grid = interpolator(fields)
        self.views = [View(self.frames, grid, one, index, config.seed) for index, one in enumerate(config.instruments)]


def _of_day(sampler: _Sampler, period: Period) -> xr.Dataset | None:
    """The observations within a day, None where there are none."""
    parts = [part for view in sampler.views for part in view.of(period)]
    return _observations(parts, sampler.fields, sampler.config, sampler.attrs) if parts else None


def _observations(
    parts: list[Columns], fields: xr.Dataset, config: SampleConfig, attrs: dict[str, object]
) -> xr.Dataset:
    names = [str(name) for name in fields.data_vars]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return observations_dataset(
        joined["time"],
        joined["longitude"],
        joined["latitude"],
        {name: joined[name] for name in names},
        {name: joined[f"{name}_error"] for name in names},
        joined["source"],
        [instrument.name for instrument in config.instruments],
        attrs=attrs,
        units={name: fields[name].attrs["units"] for name in names},
        correlated_errors={name: joined[f"{name}_correlated_error"] for name in names},
        truth={name: joined[f"{name}_truth"] for name in names},
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


def _days(frames: Frames, config: SampleConfig) -> Iterator[Period]:
    """(start, stop) within each day that the field and the config share; the field's last instant is included."""
    first, last = frames.time[0], frames.time[-1] + MICROSECOND
    if len(frames.time) == 1:
        first = first.astype("datetime64[D]").astype(first.dtype)
        last = first + ONE_DAY
    start = first if config.start is None else max(first, np.datetime64(config.start, "us"))
    stop = last if config.stop is None else min(last, np.datetime64(config.stop, "us"))
    if not start < stop:
        raise ConfigError(
            f"the period from {config.start or 'the beginning'} to {config.stop or 'the end'} lies outside the field, "
            f"which spans {first} to {last - MICROSECOND}; choose one inside"
        )
    for day in np.arange(start.astype("datetime64[D]"), stop.astype("datetime64[D]") + ONE_DAY):
        opening, closing = max(start, day.astype(start.dtype)), min(stop, (day + ONE_DAY).astype(start.dtype))
        if opening < closing:
            yield opening, closing


def _provenance(fields: xr.Dataset, config: SampleConfig) -> dict[str, object]:
    # Folders are nobody's business: of a file the name and the digest are kept.
    hidden = {"orbit": {"path"}, "clouds": {"path"}, "karin": {"noise", "spectrum"}}
    what = [instrument.model_dump(mode="json", exclude=hidden) for instrument in config.instruments]
    chosen = {"trajectory": config.trajectory, "seed": config.seed, "instruments": what}
    earlier = f"{fields.attrs['history']}\n" if fields.attrs["history"] else ""
    files = [provenance(path) for path in dict.fromkeys(path for i in config.instruments for path in _files(i))]
    # Points in a periodic box lie in it, and nothing else of them tells its sides.
    box = {name: fields.attrs[name] for name in BOX if name in fields.attrs}
    return {
        **box,
        "product": f"observations of {fields.attrs['product']}",
        "sources": json.dumps(json.loads(fields.attrs["sources"]) + files),
        "history": f"{earlier}sampled with {json.dumps(chosen)}",
    }


def _files(instrument: Instrument) -> Iterator[Path]:
    """The files that determine what an instrument sees, and how well."""
    if instrument.clouds is not None:
        yield instrument.clouds.path
    if isinstance(instrument, TrackInstrument):
        if isinstance(instrument.orbit, EphemerisOrbit):
            yield instrument.orbit.path
        if instrument.karin is not None:
            yield from filter(None, (instrument.karin.noise, instrument.karin.spectrum))
