"""Points: along-track NetCDF (old and new Copernicus L3 names) and columns of text, into an observation Dataset."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from data_pipeline.channels import CHANNELS
from data_pipeline.errors import EmptyDataError, SchemaError, UnknownProductError
from data_pipeline.products.coordinates import decode_numbers, decode_time, find_positions, find_time, is_points
from data_pipeline.products.files import TEXT, Options, content_of, damaged, open_netcdf
from data_pipeline.products.registry import Product
from data_pipeline.products.text import read_table
from data_pipeline.products.variables import choose_readings, packed_extremes, screen, screening_note
from data_pipeline.schema import observations_dataset, wrap_longitude

TEXT_TIME_UNITS = "days since 1950-01-01"


@dataclass
class Track:
    """The points of one file: equally long columns, channels in canonical units."""

    time: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    channels: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


def read_points(paths: list[Path], product: Product, options: Options) -> tuple[xr.Dataset, list[str]]:
    """(observation Dataset, history notes) of files, one source each, named after the file; duplicates are dropped.

    A point that comes twice with the same time, position and values (files that overlap) is kept once, unless the
    options keep repeats. Raises
    EmptyDataError when no point has a value.
    """
    tracks = []
    for path in paths:
        reader = _read_text if content_of(path) == TEXT else _read_netcdf
        tracks.append(reader(path, product, options))
    names = dict.fromkeys(name for track in tracks for name in track.channels)
    time = np.concatenate([track.time for track in tracks])
    longitude = wrap_longitude(np.concatenate([track.longitude for track in tracks]))
    latitude = np.concatenate([track.latitude for track in tracks])
    channels = {
        name: np.concatenate(
            [track.channels.get(name, np.full(track.time.size, np.nan, np.float32)) for track in tracks]
        )
        for name in names
    }
    source = np.repeat(np.arange(len(tracks)), [track.time.size for track in tracks])
    notes = [f"{path.name}: {note}" for path, track in zip(paths, tracks, strict=True) for note in track.notes]
    table = pd.DataFrame({"time": time, "longitude": longitude, "latitude": latitude, **channels})
    repeated = table.duplicated().to_numpy() & (not options.keep_repeats)
    if repeated.any():
        notes.append(f"{np.count_nonzero(repeated)} repeated observations dropped")
    kept = ~repeated
    ds = observations_dataset(
        time[kept],
        longitude[kept],
        latitude[kept],
        {name: values[kept] for name, values in channels.items()},
        source=source[kept],
        source_name=[path.stem for path in paths],
    )
    dropped = int(np.count_nonzero(kept)) - ds.sizes["obs"]
    return ds, notes + ([f"{dropped} observations without position, time or value left out"] if dropped else [])


def _read_netcdf(path: Path, product: Product, options: Options) -> Track:
    with open_netcdf(path) as ds:
        longitude, latitude = find_positions(ds, path.name)
        if not is_points(longitude, latitude, path.name):
            raise UnknownProductError(f"{path.name!r} is a grid, not points; leave out --product or name a gridded one")
        dim = str(longitude.dims[0])
        if not ds.sizes[dim]:
            raise EmptyDataError(f"{path.name!r} holds no observation; leave it out")
        time = find_time(ds, (dim,))
        if time is None:
            raise SchemaError(f"{path.name!r} has no time along {dim!r}; observations need one each")
        try:
            when = np.broadcast_to(decode_time(time, options.time_units, path.name), (ds.sizes[dim],))
            columns = ds[[name for name, variable in ds.data_vars.items() if variable.dims == (dim,)]].load()
            notes: list[str] = []
            columns = _with_adt(columns, notes)
            track = _track(columns, when, longitude.values, latitude.values, product, options, path.name)
        except (OSError, RuntimeError) as error:
            raise damaged(path, error) from error
        track.notes += [note for note in notes if "adt" in track.channels]
        return track


def _read_text(path: Path, product: Product, options: Options) -> Track:
    table, units = read_table(path, options.columns)
    where = path.name
    time = _table_times(table["time"], options.time_units or units.pop("time", ""), product, where)
    numbers = {
        name: np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)
        for name, values in table.items()
        if name != "time"
    }
    positions = (numbers.pop("longitude"), numbers.pop("latitude"))
    described = {name: ("obs", values, {"units": units.get(name, "")}) for name, values in numbers.items()}
    return _track(xr.Dataset(described), time, *positions, product, options, where)


def _table_times(column: np.ndarray, time_units: str, product: Product, where: str) -> np.ndarray:
    if column.dtype.kind in "iuf":
        default = TEXT_TIME_UNITS if product.name == "alongtrack-text" else ""
        return decode_numbers(column, time_units or default, where)
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(column, utc=True, format="ISO8601"))
    except (ValueError, TypeError) as error:
        raise SchemaError(f"times of {where!r} are no dates ({error}); write them like 2014-05-15T04:12:07") from error
    return parsed.tz_localize(None).to_numpy().astype("datetime64[ns]")


def _track(
    columns: xr.Dataset,
    time: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    product: Product,
    options: Options,
    where: str,
) -> Track:
    longitude, latitude = np.asarray(longitude, dtype=np.float64), np.asarray(latitude, dtype=np.float64)
    lost = ~((abs(longitude) <= 720.0) & (abs(latitude) <= 90.0))
    longitude, latitude = np.where(lost, np.nan, longitude), np.where(lost, np.nan, latitude)
    track = Track(time, longitude, latitude, {})
    for reading in choose_readings(columns, product, options, where):
        variable = columns[reading.variable]
        values, extreme, beyond = screen(
            variable.values.astype(np.float64), reading, packed_extremes(variable.encoding)
        )
        track.channels[reading.channel.name] = values
        track.notes += reading.notes
        note = screening_note(reading, int(extreme.sum()), int(beyond.sum()))
        track.notes += [note] if note else []
    return track


def _with_adt(columns: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """ADT = SLA + MDT - LWE, where a file gives the parts, all in the units of SLA, and not the sum."""
    parts = [name for name in ("sla_unfiltered", "mdt", "lwe") if name in columns]
    has_adt = any(str(name).lower() in CHANNELS["adt"].names for name in columns.data_vars)
    units = {columns[name].attrs.get("units") for name in parts}
    if has_adt or parts[:2] != ["sla_unfiltered", "mdt"] or len(units) > 1:
        return columns
    adt = columns["sla_unfiltered"] + columns["mdt"] - columns.get("lwe", 0.0)
    notes.append(f"adt = sla_unfiltered + mdt{' - lwe' if 'lwe' in columns else ''}")
    return columns.assign(adt=adt.assign_attrs(columns["sla_unfiltered"].attrs, standard_name="", long_name=""))
