"""Points of any layout, in NetCDF or text, into an observation Dataset: tracks, swaths, pixels of maps, tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from data_pipeline.errors import SchemaError, reason
from data_pipeline.layout.calendars import decode_numbers
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.layout.degrees import degrees
from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.layout.moments import nanoseconds
from data_pipeline.products.files import TEXT, Options, content_of
from data_pipeline.products.flags import MADE_FROM
from data_pipeline.products.long_table import CONDEMNED, OTHER_LEVEL, Pivoted, is_long, pivoted
from data_pipeline.products.neighbours import without_outliers
from data_pipeline.products.observed import Points, screened
from data_pipeline.products.pixels import read_pixels
from data_pipeline.products.plausible import check_positions, check_values, numbers, possible_times
from data_pipeline.products.registry import Product
from data_pipeline.products.screening import MISSING, REPEATED, Checks, Counts
from data_pipeline.products.text import header_of, read_table
from data_pipeline.products.variables import Reading, choose_readings

TEXT_TIME_UNITS = "days since 1950-01-01"
_POSITIONS: tuple[Literal["longitude", "latitude"], ...] = ("longitude", "latitude")
MOST_SOURCES = np.iinfo(np.int16).max


def read_points(path: Path, product: Product, options: Options) -> Points:
    """The points of one file that have a position, a time and a value; there may be none."""
    points = (_read_text if content_of(path) == TEXT else read_pixels)(path, product, options)
    return points if options.keep_flagged else without_outliers(points)


def join_points(parts: Sequence[Points], keep_repeats: bool = False) -> tuple[xr.Dataset, list[Counts]]:
    """(observation Dataset, counts of each file) of the points of files.

    A point that comes twice with the same time, position and values (files that overlap) is kept once, from the first,
    unless all are wanted. A channel without any value is left out; its counts stay.
    """
    valued = (name for part in parts for name, values in part.channels.items() if np.isfinite(values).any())
    names = list(dict.fromkeys(valued))
    with_error = [name for name in names if any(name in part.errors for part in parts)]
    source_names = list(dict.fromkeys(name for part in parts for name in part.source_name))
    if len(source_names) > MOST_SOURCES:
        raise SchemaError(
            f"{len(source_names)} files are more sources than {MOST_SOURCES}; ingest them in several stores"
        )
    table = pd.DataFrame(
        {
            "time": np.concatenate([part.time for part in parts]),
            "longitude": wrap_longitude(np.concatenate([part.longitude for part in parts])),
            "latitude": np.concatenate([part.latitude for part in parts]),
            **{name: _column([part.channels.get(name) for part in parts], parts) for name in names},
        }
    )
    repeated = table.duplicated().to_numpy() & (not keep_repeats)
    kept = ~repeated
    counts = _without_repeated(parts, repeated)
    places = {name: place for place, name in enumerate(source_names)}
    source = np.concatenate(
        [np.array([places[name] for name in part.source_name], np.int16)[part.source] for part in parts]
    )
    errors = {name: _column([part.errors.get(name) for part in parts], parts)[kept] for name in with_error}
    ds = observations_dataset(
        table["time"].to_numpy()[kept],
        table["longitude"].to_numpy()[kept],
        table["latitude"].to_numpy()[kept],
        {name: table[name].to_numpy()[kept] for name in names},
        errors,
        source=source[kept],
        source_name=source_names,
    )
    return ds, counts


def _column(values: Sequence[np.ndarray | None], parts: Sequence[Points]) -> np.ndarray:
    """One column of all files, missing where a file lacks it."""
    return np.concatenate(
        [
            np.full(part.time.size, np.nan, np.float32) if column is None else column
            for column, part in zip(values, parts, strict=True)
        ]
    )


def _without_repeated(parts: Sequence[Points], repeated: np.ndarray) -> list[Counts]:
    start = 0
    for part in parts:
        of_part = repeated[start : start + part.time.size]
        start += part.time.size
        for name, values in part.channels.items():
            part.counts[name].add(0, {REPEATED: int(np.count_nonzero(of_part & np.isfinite(values)))})
    return [part.counts for part in parts]


def _read_text(path: Path, product: Product, options: Options) -> Points:
    table, units = read_table(path, options.columns)
    where, notes = path.name, []
    columns = f"columns {', '.join(map(str, table.columns))} of {where!r}"
    # Nobody says what the columns of a text without a header are.
    assumed = not options.columns and not header_of(path)
    long = pivoted(table, options.depth, where) if is_long(list(table.columns)) else None
    if long is not None:
        table, units = long.table, units | long.units
    elif options.depth is not None:
        raise SchemaError(f"{where!r} has no levels, so that --depth {options.depth:g} cannot be taken; leave it out")
    told = options.time_units or units.pop("time", "")
    time, note = _table_times(table["time"], told, product, where, columns)
    longitude, latitude = (_position(table[role], role, units, options, where, notes) for role in _POSITIONS)
    check_positions(longitude, latitude, columns)
    described = _described(table, units)
    adapted = product.adapt(described, notes)
    readings = choose_readings(adapted, product, options, where)
    values = []
    for reading in readings:
        if reading.variable in table:
            numbers(reading.variable, table[reading.variable], columns)
        held = adapted[reading.variable].values
        check_values(held * reading.scale + reading.offset, reading.channel, assumed, columns)
        values.append((reading, held))
    platforms, source = [path.stem], None
    if long is not None and long.platform is not None:
        source, found = pd.factorize(long.platform)
        platforms = [str(platform) for platform in found]
    checks = {} if long is None or options.keep_flagged else _condemned(long, adapted, readings)
    points = screened(values, time, longitude, latitude, platforms, source, checks)
    if long is not None:
        _count_of_table(points, long, adapted, readings)
    points.notes += [*filter(None, [note]), *notes, *(note for reading in readings for note in reading.notes)]
    return points


def _described(table: pd.DataFrame, units: Mapping[str, str]) -> xr.Dataset:
    """The columns beside time and position along `obs`, words as missing numbers unless they are wanted."""
    columns = {str(name): table[name] for name in table.columns if name not in (*_POSITIONS, "time")}
    numeric = {
        name: column if column.dtype.kind in "fiu" else pd.to_numeric(column, errors="coerce")
        for name, column in columns.items()
    }
    return xr.Dataset(
        {
            name: ("obs", column.to_numpy(np.float64), {"units": units[name]} if name in units else {})
            for name, column in numeric.items()
        }
    )


def _position(
    column: pd.Series,
    role: Literal["longitude", "latitude"],
    units: Mapping[str, str],
    options: Options,
    where: str,
    notes: list[str],
) -> np.ndarray:
    """Degrees east or north of a column in the units that its header or --units give."""
    held = numbers(role, column, f"{role} of {where!r}")
    converted, note = degrees(held, options.units.get(role) or units.get(role, ""), role, where)
    notes += [note] if note else []
    return converted


def _condemned(long: Pivoted, ds: xr.Dataset, readings: Sequence[Reading]) -> dict[str, Checks]:
    """What the quality of a long table condemns, by channel."""
    names = {reading.channel.name: _column_of(reading, long, ds) for reading in readings}
    return {channel: [(CONDEMNED, long.flagged[name])] for channel, name in names.items() if name is not None}


def _count_of_table(points: Points, long: Pivoted, ds: xr.Dataset, readings: Sequence[Reading]) -> None:
    """Count rows of a long table: no place where a variable has no row, and those of other levels."""
    for reading in readings:
        name, count = _column_of(reading, long, ds), points.counts[reading.channel.name]
        if name is not None:
            other, absent = long.other_level.get(name, 0), long.absent[name]
            count.add(other - absent, {OTHER_LEVEL: other, MISSING: -absent})
            count.dropped = {why: number for why, number in count.dropped.items() if number}


def _column_of(reading: Reading, long: Pivoted, ds: xr.Dataset) -> str | None:
    """The variable of a long table that a reading is, or was made from."""
    names = [reading.variable, ds[reading.variable].attrs.get(MADE_FROM)]
    return next((name for name in names if name in long.flagged), None)


def _table_times(column: pd.Series, told: str, product: Product, where: str, columns: str) -> tuple[np.ndarray, str]:
    """(times, note) of a column of dates, or of numbers with the units that are told."""
    if column.dtype.kind in "iuf":
        whole = column.dropna()
        if not told and len(whole) and ((whole >= 18000101) & (whole <= 21001231) & (whole % 1 == 0)).all():
            column = column.astype("Int64").astype("string")  # dates without dashes
        elif told or product.name != "alongtrack-text":
            return decode_numbers(column.to_numpy(), told, where), ""
        else:
            return possible_times(decode_numbers(column.to_numpy(), TEXT_TIME_UNITS, where), TEXT_TIME_UNITS, columns)
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(column, utc=True, format="ISO8601"))
    except (ValueError, TypeError, OverflowError) as error:
        raise SchemaError(
            f"times of {where!r} are no dates ({reason(error)}); write them like 2014-05-15T04:12:07"
        ) from error
    return nanoseconds(parsed.tz_localize(None).to_numpy(), f"the time of {where!r}"), ""
