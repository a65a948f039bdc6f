"""The points of a table of text: positions, times and values of its columns, each plausible or refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from data_pipeline.errors import SchemaError
from data_pipeline.layout.degrees import degrees
from data_pipeline.products.files import Options
from data_pipeline.products.flags import MADE_FROM, notes_on_flags
from data_pipeline.products.long_table import CONDEMNED, MISPLACED, OTHER_LEVEL, Pivoted, is_long, pivoted
from data_pipeline.products.observed import Points, screened
from data_pipeline.products.plausible import check_positions, check_values, numbers
from data_pipeline.products.registry import Product
from data_pipeline.products.screening import MISSING, Checks
from data_pipeline.products.text import header_of, read_table
from data_pipeline.products.text_times import TEXT_TIME_UNITS, require_whole_times, table_times
from data_pipeline.products.variables import Reading, choose_readings

_POSITIONS: tuple[Literal["longitude", "latitude"], ...] = ("longitude", "latitude")


def read_text(path: Path, product: Product, options: Options) -> Points:
    """The points of one text file that have a position, a time and a value; there may be none.

    Raises UnknownProductError, UnitsError, SchemaError and EmptyDataError when its columns cannot be told.
    """
    table, units = read_table(path, options.columns)
    where, notes = path.name, []
    columns = f"columns {', '.join(map(str, table.columns))} of {where!r}"
    # Nobody says what the columns of a text without a header are.
    assumed = not options.columns and not header_of(path)
    long = pivoted(table, options.depth, where, units) if is_long(list(table.columns)) else None
    if long is not None:
        table, units = long.table, units | long.units
    elif options.depth is not None:
        raise SchemaError(f"{where!r} has no levels, so that --depth {options.depth:g} cannot be taken; leave it out")
    assumed_units = TEXT_TIME_UNITS if product.name == "alongtrack-text" else ""
    time, note = table_times(table["time"], units.pop("time", ""), options, assumed_units, where, columns)
    require_whole_times(time, table, where)
    longitude, latitude = (_position(table[role], role, units, options, where, notes) for role in _POSITIONS)
    check_positions(longitude, latitude, columns)
    described = _described(table, units)
    adapted = product.adapt(described, notes)
    readings = choose_readings(adapted, product, options, where)
    if long is None:
        notes += notes_on_flags(adapted, product.flags, [reading.variable for reading in readings], ("obs",))
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
    described = {}
    for name, column in columns.items():
        values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
        described[name] = ("obs", values, {"units": units[name]} if name in units else {})
    return xr.Dataset(described)


def _position(
    column: Any,
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
    return {
        channel: [(CONDEMNED, long.flagged[name]), (MISPLACED, long.misplaced[name])]
        for channel, name in names.items()
        if name is not None
    }


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
