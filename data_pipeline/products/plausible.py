"""Whether columns of a table can be what they are taken for: a table read in the wrong order looks sound otherwise."""

from typing import Any

import numpy as np
import pandas as pd

from data_pipeline.errors import SchemaError
from data_pipeline.layout.channels import Channel

# Satellites have measured the sea since the seventies. Times that the user or the file give units for are believed.
EARLIEST = np.datetime64("1970-01-01", "ns")
_AHEAD = np.timedelta64(3, "D")  # of clocks that go wrong; nobody has measured tomorrow
_FILL = 720.0  # degrees: beyond it a number stands for a missing position, and tells nothing of the order of columns
_FEW = 0.05  # share of broken rows that a sound table may have; they are dropped and counted
_ENOUGH = 10
_NO_WORDS = ("", "nan", "--", "-", "na", "n/a", "none", "null")


def possible_times(time: np.ndarray, units: str, columns: str) -> tuple[np.ndarray, str]:
    """(times, note) that were decoded with assumed `units`, missing where no altimeter measured.

    Raises SchemaError when many lie there: the column is another one, or its reference.
    """
    known = ~np.isnat(time)
    latest = np.datetime64("now", "ns") + _AHEAD
    outside = known & ((time < EARLIEST) | (time > latest))
    count, years = np.count_nonzero(outside), f"{EARLIEST.astype('M8[Y]')} to today"
    if count > _FEW * np.count_nonzero(known):
        raise SchemaError(
            f"{columns}: {count} of {np.count_nonzero(known)} times, read as {units!r}, lie outside {years}, e.g. "
            f"{time[outside][0].astype('M8[D]')}; name the columns in order, e.g. --columns "
            "longitude,latitude,time,adt, and their reference with --time-units"
        )
    note = f"{count} times outside {years} are none" if count else ""
    return np.where(outside, np.datetime64("NaT", "ns"), time), note


def check_positions(longitude: np.ndarray, latitude: np.ndarray, columns: str) -> None:
    """SchemaError when many longitudes or latitudes lie on no globe."""
    limits = (("longitude", longitude, -181.0, 361.0), ("latitude", latitude, -90.0, 90.0))
    for role, values, low, high in limits:
        known = values[abs(values) <= _FILL] if role == "latitude" else values[np.isfinite(values)]
        outside = (known < low) | (known > high)
        if np.count_nonzero(outside) > _FEW * known.size:
            swapped = role == "latitude" and (abs(longitude[np.isfinite(longitude)]) <= 90.0).all()
            hint = "longitude and latitude look swapped; " if swapped else ""
            raise SchemaError(
                f"{columns}: {np.count_nonzero(outside)} of {known.size} values of {role} lie outside "
                f"[{low:g}, {high:g}], e.g. {known[outside][0]:g}; {hint}name the columns in order, e.g. --columns "
                "latitude,longitude,time,adt"
            )


def check_values(values: np.ndarray, channel: Channel, assumed: bool, columns: str) -> None:
    """SchemaError when most values (canonical units) are none of the channel, a repeated fill value apart.

    assumed: no name and no option says that the column holds the channel; then whole numbers alone, which are flags,
    counts or other units, are refused too.
    """
    low, high = channel.valid_range
    known = values[np.isfinite(values)]
    outside = known[(known < low) | (known > high)]
    odd, times = np.unique(outside, return_counts=True)
    fill = times.max() if times.size and times.max() > 1 and odd.size < outside.size else 0
    if outside.size - fill > 0.5 * (known.size - fill):
        raise SchemaError(
            f"{columns}: {outside.size} of {known.size} values of {channel.name} lie outside [{low:g}, {high:g}] "
            f"{channel.units}, e.g. {outside[0]:g}; name the columns in order with --columns, or say the units with "
            f"--units {channel.name}=UNITS"
        )
    inside = known[(known >= low) & (known <= high)]
    if assumed and inside.size >= _ENOUGH and (inside == np.round(inside)).all():
        raise SchemaError(
            f"{columns}: {channel.name} [{channel.units}] holds whole numbers alone, as flags or other units do; "
            f"name the columns in order with --columns, and say the units, e.g. --units {channel.name}={channel.units}"
        )


def numbers(name: str, given: Any, columns: str) -> np.ndarray:
    """A column as float64, NaN for what is no number; SchemaError when many of its entries are words."""
    read = np.asarray(pd.to_numeric(given, errors="coerce"), dtype=np.float64)
    words = given[np.isnan(read) & given.notna()].astype(str).str.strip()
    words = words[~words.str.lower().isin(_NO_WORDS)]
    if len(words) > _FEW * len(read):
        raise SchemaError(
            f"{columns}: {len(words)} of {len(read)} entries of {name} are no numbers, e.g. {words.iloc[0]!r}; write "
            "decimals with a point, or name the columns in order with --columns"
        )
    return read
