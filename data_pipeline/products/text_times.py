"""Times of a table of text: a column of dates, or of numbers with units that the header or an option gives."""

import re
from typing import Any

import numpy as np
import pandas as pd

from data_pipeline.errors import SchemaError, UnitsError
from data_pipeline.layout.calendars import decode_numbers, same_units
from data_pipeline.layout.moments import moments
from data_pipeline.products.files import Options
from data_pipeline.products.plausible import possible_times

TEXT_TIME_UNITS = "days since 1950-01-01"
# Columns that hold a part of a time.
_CLOCKS = """
hour hours hh hr minute minutes mm mn second seconds sec secs ss clock hhmm hhmmss hh:mm hh:mm:ss utc gmt tod clocktime
timeofday daytime
"""
_PARTS = set(_CLOCKS.split())
# What a header may say in brackets of dates that are in UTC: this, or how they are written.
_OF_DATES = re.compile(r"utc|gmt|z|zulu|iso.*|.*(?:yy|%y).*|.*\ssince\s.*|dates?|date-?time|-", re.IGNORECASE)
_NO_DATES = ("", "nan", "nat", "--", "-", "na", "n/a", "none", "null")
_DAY = np.timedelta64(1, "D")


def table_times(
    column: Any, own: str, options: Options, assumed: str, where: str, columns: str
) -> tuple[np.ndarray, str]:
    """(times, note) of a column of dates, or of numbers with units.

    own: units in the header; assumed: units of a table that nobody describes. Raises UnitsError where --time-units
    contradicts the header or is given for dates, SchemaError where --time is given and TimeError for what is no date.
    """
    told = options.time_units or ""
    if options.time is not None:
        raise SchemaError(f"{where!r} has a time of its own in each row; leave out --time")
    if told and own and same_units(own, own) and not same_units(told, own):
        raise UnitsError(
            f"the time of {where!r} has units {own!r} of its own where --time-units says {told!r}; leave it out, or "
            "correct the file"
        )
    if column.dtype.kind in "iuf":
        whole = column.dropna()
        days = len(whole) and ((whole >= 18000101) & (whole <= 21001231) & (whole % 1 == 0)).all()
        if told or not days:
            units = told or own or assumed
            times = decode_numbers(column.to_numpy(), units, where)
            return possible_times(times, units, columns) if units == assumed and not (told or own) else (times, "")
        if same_units(own, own):
            return decode_numbers(column.to_numpy(), own, where), ""
        column = column.astype("Int64").astype("string")  # dates without dashes
    if told:
        raise UnitsError(f"the times of {where!r} are dates, which have no units; leave out --time-units {told!r}")
    if own and not _OF_DATES.fullmatch(own.strip()):
        raise UnitsError(
            f"the times of {where!r} are dates, and its header says {own!r} of them; write them in UTC, e.g. "
            "2014-05-15T04:12:07, or with their zone, e.g. 2014-05-15T04:12:07+02:00"
        )
    return _dates(column, f"the time of {where!r}"), ""


def _dates(column: Any, name: str) -> np.ndarray:
    """Dates of a column, each distinct text read once; missing where there is none."""
    place, found = pd.factorize(column.astype("string").str.strip())
    distinct: Any = found
    known = ~np.asarray(distinct.str.lower().isin(_NO_DATES), bool)
    read = np.full(len(distinct) + 1, np.datetime64("NaT", "ns"))
    read[:-1][known] = moments(np.asarray(distinct[known], str), name)
    return read[place]  # the last one for what is missing, whose place is -1


def require_whole_times(time: np.ndarray, table: pd.DataFrame, where: str) -> None:
    """SchemaError when every time is midnight and another column holds the clock."""
    parts = [str(name) for name in table.columns if re.sub(r"[\s_]+", "", str(name)) in _PARTS]
    known = time[~np.isnat(time)]
    if parts and known.size and not (known.astype(np.int64) % _DAY.astype("timedelta64[ns]").astype(np.int64)).any():
        raise SchemaError(
            f"the times of {where!r} are days, and its column {', '.join(parts)} holds their clock; write both in one "
            "column, e.g. 2014-05-15T04:12:07"
        )
