"""Times of a file: those of its variables, and the one that its attributes or its name give to all of it."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import xarray as xr

from data_pipeline.errors import SchemaError, TimeError, UnitsError
from data_pipeline.layout.calendars import EXAMPLE, decode_numbers, has_reference, same_units
from data_pipeline.layout.moments import moment, moments

_DATE_PATTERNS = (
    r"y(\d{4})m(\d{2})d(\d{2})()",
    r"(?<!\d)((?:19|20)\d{2})-(\d{2})-(\d{2})(?:T(\d{2}:?\d{2}(?::?\d{2})?)Z?)?(?!\d)",
    r"(?<!\d)((?:19|20)\d{2})(\d{2})(\d{2})(?:T?(\d{4}(?:\d{2})?)Z?)?(?!\d)",
)
_TIME_ATTRS = ("time_coverage_start", "time_coverage_center", "start_date", "date")
_NAMED_MONTHS = ("%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S")
_TEXT = "OSU"


def with_times(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with its times decoded, each by its own units and calendar.

    A time that cannot be decoded stays a number, as do times of several dimensions, which may be large: `decode_time`
    reads or refuses them when they are wanted.
    """
    for name, variable in ds.variables.items():
        units, calendar = variable.attrs.get("units"), variable.attrs.get("calendar", "")
        if variable.ndim > 1 or variable.dtype.kind not in "iuf" or not has_reference(units):
            continue
        try:
            values = decode_numbers(variable.values, str(units), str(name), str(calendar))
        except (UnitsError, TimeError):
            continue
        attrs = {key: value for key, value in variable.attrs.items() if key not in ("units", "calendar")}
        decoded = xr.Variable(variable.dims, values, attrs, {"units": str(units), "calendar": str(calendar)})
        ds = ds.assign_coords({name: decoded}) if name in ds.coords else ds.assign({name: decoded})
    return ds


def is_readable(time: xr.DataArray) -> bool:
    """Whether a variable holds times by itself: decoded, as text, or as numbers with a reference and a calendar."""
    if time.dtype.kind in "M" + _TEXT:
        return True
    try:
        decode_numbers(np.zeros(1), *_own_units(time, ""))
    except TimeError:  # far from its reference
        return True
    except UnitsError:
        return False
    return True


def decode_time(time: xr.DataArray, time_units: str | None, where: str) -> np.ndarray:
    """Times as flat datetime64[ns]; numbers by their own units, or by `time_units` where they have none to count from.

    Raises `UnitsError` for numbers without a reference, and where the two contradict each other, and `TimeError` for
    dates that do not exist or lie beyond what a store holds.
    """
    values = time.values.reshape(-1)
    own, _, calendar = _own_units(time, where)
    if time_units and same_units(own, own, calendar) and not same_units(time_units, own, calendar):
        raise UnitsError(
            f"the time of {where!r} has units {own!r} of its own where --time-units says {time_units!r}; leave it out, "
            "or correct the file"
        )
    if values.dtype.kind in "M" + _TEXT:
        return moments(values, f"the time of {where!r}")
    return decode_numbers(values, time_units or own, where, calendar)


def _own_units(time: xr.DataArray, where: str) -> tuple[str, str, str]:
    """(units, where, calendar) that the file gives its time, decoded or not."""
    told = {**time.encoding, **time.attrs}
    return str(told.get("units") or ""), where, str(told.get("calendar") or "")


def single_time(
    ds: xr.Dataset, path: Path, option: str | None, without_units: str | None = None
) -> tuple[np.datetime64, str]:
    """(time, note) of a file without a time dimension: the option, an attribute or a date in the file name.

    without_units: the time that cannot be used for want of units, to be named when there is no other. Raises
    SchemaError when none of them gives one date.
    """
    if option is not None:
        return moment(option, "--time"), f"time {option} as told by --time"
    for name in _TIME_ATTRS:
        text = str(ds.attrs.get(name, ""))
        if re.match(r"\d{4}-?\d{2}-?\d{2}|\d{1,2}-[A-Za-z]{3}-\d{4}", text):
            return moment_of(text, f"attribute {name} of {path.name!r}"), f"time {text} from attribute {name}"
    dates = _dates_in(path.name)
    if len(dates) == 1:
        (found,) = dates
        return found, f"time {str(found).removesuffix('T00:00:00')} from the file name"
    if without_units is not None:
        raise UnitsError(
            f"the time {without_units!r} of {path.name!r} is a number without units; say what it counts, e.g. "
            f"{EXAMPLE}, or when it is, e.g. --time 2009-08-15"
        )
    count = f"{len(dates)} dates in its name" if dates else "no date in its name"
    raise SchemaError(f"{path.name!r} has no time coordinate and {count}; say when it is, e.g. --time 2009-08-15")


def moment_of(text: str, name: str) -> np.datetime64:
    """A moment from an attribute: as `moment`, or with the month as a word, e.g. 15-MAY-2014 04:12:07."""
    for form in _NAMED_MONTHS:
        try:
            return moment(datetime.strptime(text.strip().removesuffix("Z"), form), name)
        except ValueError:
            continue
    return moment(text, name)


def _dates_in(name: str) -> list[np.datetime64]:
    """The days in a file's name as datetime64[s], each with the earliest clock time that stands beside it."""
    first: dict[str, np.datetime64] = {}
    for pattern in _DATE_PATTERNS:
        for year, month, day, clock in re.findall(pattern, name):
            try:
                date = f"{year}-{month}-{day}"
                known = moment(f"{date}T{clock}" if clock else date).astype("datetime64[s]")
            except TimeError:  # a number that is no date
                continue
            earlier = first.get(date)
            if earlier is None or (clock and (known < earlier or earlier == np.datetime64(date, "s"))):
                first[date] = known
    return list(first.values())
