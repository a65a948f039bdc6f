"""Numbers of time: by CF units, a reference and a calendar they become moments, exactly and checked, or are refused."""

import re
from datetime import timedelta
from typing import Any

import cftime
import numpy as np

from data_pipeline.errors import TimeError, UnitsError
from data_pipeline.layout.moments import FIRST_YEAR, LAST_YEAR, minutes_ahead, moment, nanoseconds

EXAMPLE = "--time-units 'days since 1950-01-01'"
_NS = 10**9
_UNITS: dict[str, int] = {  # nanoseconds
    **dict.fromkeys(("nanosecond", "nanoseconds", "nsec", "nsecs", "ns"), 1),
    **dict.fromkeys(("microsecond", "microseconds", "microsec", "microsecs", "usec", "us", "µs"), 10**3),
    **dict.fromkeys(("millisecond", "milliseconds", "millisec", "millisecs", "msec", "msecs", "ms"), 10**6),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), _NS),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60 * _NS),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 3600 * _NS),
    **dict.fromkeys(("day", "days", "d"), 86400 * _NS),
    **dict.fromkeys(("week", "weeks"), 7 * 86400 * _NS),
}
# Real calendars name the same days differently; model calendars have days of their own, whose names are kept.
_REAL = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "proleptic_gregorian",
    "julian": "julian",
}
_MODEL = {
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
    "360": "360_day",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_CLOCK = r"(?:[T\s]+(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(\.\d*)?)?)?)?\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?"
_DATES = (
    re.compile(rf"(\d{{1,4}})[-/](\d{{1,2}})[-/](\d{{1,2}}){_CLOCK}", re.IGNORECASE),
    re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}}){_CLOCK}", re.IGNORECASE),
    re.compile(r"(\d{4})(?:-(\d{1,2}))?()()()()()()"),
)
_NAMED = re.compile(rf"(\d{{1,2}})[-\s]({'|'.join(_MONTHS)})[a-z]*[-\s](\d{{4}})", re.IGNORECASE)
_DATE_LIKE = re.compile(r"\s*days?\s+as\s+%Y%m%d(?:\.%f)?\s*", re.IGNORECASE)  # 20000301.5, as CDO writes it
_FARTHEST = 10**17  # seconds, three thousand million years


def has_reference(units: Any) -> bool:
    """Whether units of time say since when they count, or that numbers are dates."""
    return (
        re.search(r"\ssince\s", str(units), re.IGNORECASE) is not None or _DATE_LIKE.fullmatch(str(units)) is not None
    )


def decode_numbers(values: Any, units: str, where: str, calendar: str = "standard") -> np.ndarray:
    """Numbers with CF units ("days since 1950-01-01") as datetime64[ns] of the same shape; NaN becomes NaT.

    Of calendars of models (noleap, all_leap, 360_day) the dates are kept as they are called. Raises `UnitsError`,
    which names `where`, for units without a reference and for units and calendars that are none, and `TimeError` for
    dates that do not exist or lie beyond what a store holds.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise UnitsError(f"the time of {where!r} has type {values.dtype} where numbers are wanted; correct the file")
    if np.isinf(values).any():
        raise UnitsError(f"the time of {where!r} holds infinite numbers; correct the file")
    calendar = str(calendar or "standard").strip().lower()
    if calendar not in _REAL and calendar not in _MODEL:
        known = ", ".join((*_REAL, *_MODEL))
        raise UnitsError(f"the time of {where!r} has calendar {calendar!r}, which is none of {known}; correct the file")
    missing = np.isnan(values)
    if _DATE_LIKE.fullmatch(str(units)) and calendar != "julian":
        return _date_like(values, missing, where)
    unit, reference = _split(units, where, calendar)
    second, rest = _seconds(np.where(missing, 0, values) if missing.any() else values, unit)
    name = f"the time of {where!r}"
    if calendar in _REAL:
        start, clock = _start(reference, _REAL[calendar], units, where)
        second, rest = second + start, rest + clock
        times = nanoseconds(np.where(missing, 0, second).astype("datetime64[s]"), name)
    else:
        times = nanoseconds(_dates(second, reference, _MODEL[calendar], units, where, missing), name)
        rest = rest + reference[1] % _NS
    return np.where(missing, np.datetime64("NaT", "ns"), times + rest.astype("timedelta64[ns]"))


def same_units(first: str, second: str, calendar: str = "standard") -> bool:
    """Whether two units of time count the same from the same moment; False when one of them is none."""
    try:
        one, other = (_split(units, "", str(calendar or "standard").strip().lower()) for units in (first, second))
    except UnitsError:
        return False
    return one == other


def _split(units: str, where: str, calendar: str) -> tuple[int, tuple[tuple[int, int, int], int]]:
    """(nanoseconds in one unit, reference) of units."""
    units = str(units).strip()
    if not units:
        raise UnitsError(f"the time of {where!r} is a number without units; say so, e.g. {EXAMPLE}")
    name, since, text = re.match(r"(\S*)(\s+since\s+)?(.*)", units, re.IGNORECASE | re.DOTALL).groups()  # type: ignore[union-attr]
    # Ms are megaseconds: of abbreviations the case tells, of words it does not.
    unit = _UNITS.get(name if len(name) < 3 and name not in ("S", "D", "H") else name.lower())
    if unit is None and name.lower() in ("month", "months") and _MODEL.get(calendar) == "360_day":
        unit = 30 * 86400 * _NS
    if unit is None:
        raise UnitsError(
            f"the time of {where!r} has units {units!r}, which are none of fixed length; give others, e.g. {EXAMPLE}"
        )
    if not since:
        raise UnitsError(
            f"the time of {where!r} has units {units!r} without a date to count from; give it, e.g. --time-units "
            f"'{name} since 2000-01-01'"
        )
    reference = _reference(text.strip())
    if reference is None:
        raise UnitsError(
            f"the time of {where!r} has units {units!r}, whose date cannot be read; write it like {EXAMPLE}"
        )
    return unit, reference


def _reference(text: str) -> tuple[tuple[int, int, int], int] | None:
    """((year, month, day), nanoseconds from then on in UTC) of the date in units; None when it is none.

    A date must begin with its year, or name its month: of 01-02-1950 nobody knows the month.
    """
    text = _NAMED.sub(lambda m: f"{m[3]}-{1 + _MONTHS.index(m[2].lower()):02d}-{int(m[1]):02d}", text, count=1)
    found = next(filter(None, (form.fullmatch(text) for form in _DATES)), None)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
        return None
    clock = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    if zone and zone[0] in "+-":
        ahead = minutes_ahead(zone)
        if ahead is None:
            return None
        clock -= 60 * ahead
    part = int((fraction or ".0")[1:10].ljust(9, "0"))
    return (int(year), int(month or 1), int(day or 1)), clock * _NS + part


def _date_like(values: np.ndarray, missing: np.ndarray, where: str) -> np.ndarray:
    """Numbers that are dates when they are written down, with the part of the day behind the point."""
    whole = np.floor(np.where(missing, 19700101, values))
    dates, place = np.unique(whole, return_inverse=True)
    named = np.array([moment(int(date), f"the time of {where!r}") for date in dates], "datetime64[ns]")
    rest = np.round(np.where(missing, 0.0, values - whole) * (86400 * _NS)).astype("timedelta64[ns]")
    return np.where(missing, np.datetime64("NaT", "ns"), named[place.reshape(whole.shape)] + rest)


def _seconds(values: np.ndarray, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """(whole seconds, nanoseconds of the rest) of numbers of a unit [ns], int64; clipped far beyond any date."""
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        values = np.clip(values, -_FARTHEST / unit * _NS, _FARTHEST / unit * _NS)
        # As xarray has it, to the bit, so that a file read through either has the same times; int64 ends at 292 years.
        near = abs(values) * unit < 2.0**62
        known = np.round(np.where(near, values, 0.0) * unit).astype(np.int64)
        far = np.floor(np.where(near, 0.0, values))
        rest = np.round(np.where(near, 0.0, values - far) * unit).astype(np.int64)
        whole = (far * (unit / _NS)).astype(np.int64)
        return np.where(near, known // _NS, whole), np.where(near, known % _NS, rest)
    limit = min(_FARTHEST * _NS // unit, np.iinfo(np.int64).max)
    whole = np.clip(values, None, limit).astype(np.int64) if values.dtype.kind == "u" else values.astype(np.int64)
    whole = np.clip(whole, -limit, limit)
    if unit < _NS:
        per = _NS // unit
        return whole // per, whole % per * unit
    return whole * (unit // _NS), np.zeros_like(whole)


def _start(reference: tuple[tuple[int, int, int], int], calendar: str, units: str, where: str) -> tuple[int, int]:
    """(seconds, nanoseconds) from 1970 to a reference of a real calendar, which may be as early as the year 1."""
    date, clock = reference
    proleptic = calendar == "proleptic_gregorian"
    try:
        if not date[0] and not proleptic:
            raise ValueError("there is no year 0")
        known = cftime.datetime(*date, calendar=calendar, has_year_zero=proleptic)
        known = known.change_calendar("proleptic_gregorian", has_year_zero=True)
    except ValueError as error:
        raise _no_date(units, where, error) from error
    day = np.datetime64(f"{known.year:04d}-{known.month:02d}-{known.day:02d}", "s").astype(np.int64)
    return int(day) + clock // _NS, clock % _NS


def _dates(
    second: np.ndarray, reference: tuple[tuple[int, int, int], int], calendar: str, units: str, where: str,
    missing: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Seconds since a reference of a model's calendar as datetime64[s] by the names of their dates.

    Days are converted once each: points are many, days are few.
    """
    date, clock = reference
    try:
        start = cftime.datetime(*date, calendar=calendar, has_year_zero=True)
    except ValueError as error:
        raise _no_date(units, where, error) from error
    day, within = np.divmod(second + clock // _NS, 86400)
    days, place = np.unique(np.where(missing, 0, day), return_inverse=True)
    # Beyond this a date is refused whatever its name is.
    far = np.clip(days, -5000 * 366, 5000 * 366)
    named = np.array([_named(start, int(number), where) for number in far], "datetime64[s]")
    return named[place.reshape(day.shape)] + np.where(missing, 0, within).astype("timedelta64[s]")


def _named(start: Any, days: int, where: str) -> np.datetime64:
    """The date of the standard calendar that is called like one of a model's; `TimeError` when there is none."""
    date, name = start + timedelta(days=days), f"the time of {where!r}"
    if not FIRST_YEAR <= date.year <= LAST_YEAR:
        return nanoseconds(np.datetime64(date.year - 1970, "Y"), name)[()]  # refused
    try:
        return moment(date, name).astype("datetime64[s]")
    except TimeError as error:
        raise TimeError(
            f"{name} is {date.isoformat()[:10]} in a calendar {date.calendar!r}, which does not exist; convert its "
            "calendar"
        ) from error


def _no_date(units: str, where: str, error: Exception) -> UnitsError:
    return UnitsError(f"the time of {where!r} has units {units!r}, whose date does not exist ({error}); correct it")
