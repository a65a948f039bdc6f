"""Moments: the one place where text, dates and times of any resolution become times that a store holds.

A store holds times as nanoseconds since 1970, which reach from 1677 to 2262. numpy wraps what lies beyond without a
word and takes a number for an age since 1970: every conversion goes through the functions here, which refuse both.
"""

import datetime as dt
import re
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from data_pipeline.errors import TimeError

FIRST_YEAR, LAST_YEAR = 1678, 2261  # whole years of datetime64[ns]
_MOST_AHEAD = 18 * 60  # minutes; no zone is farther from UTC
EXAMPLE = "give one like 2009-08-15, 20090815 or 2009-08-15T12:00"
_CLOCK = r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?"
_ZONE = r"\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?"
_PLAIN = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?Z?)?")
_FORMS = (
    re.compile(r"(\d{4})(?:-(\d{2}))?()()"),  # no zone: that of -01 would be a day
    re.compile(rf"(\d{{4}})-(\d{{2}})-(\d{{2}})(?:[T ]{_CLOCK})?{_ZONE}", re.IGNORECASE),
    re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}})(?:[T ]?{_CLOCK})?{_ZONE}", re.IGNORECASE),
)


def moment(value: Any, name: str = "time") -> np.datetime64:
    """One moment as datetime64[ns], in UTC.

    value : ISO 8601 text, with dashes and colons or without; a date or datetime of the standard library, pandas, cftime
    or numpy; an integer of eight digits, as YAML reads a date without dashes. A zone is turned to UTC; without
    one UTC is meant. Raises `TimeError`, which calls it `name`, for what is no moment, does not exist, or lies beyond
    what a store holds.
    """
    if isinstance(value, np.ndarray) or (hasattr(value, "to_numpy") and not isinstance(value, dt.datetime)):
        held = np.asarray(value)
        if held.size != 1:
            raise TimeError(f"{name} holds {held.size} times where one is wanted; {EXAMPLE}")
        value = held.reshape(-1)[0]
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            raise TimeError(f"{name} is no time (NaT); {EXAMPLE}")
        return nanoseconds(value, name)[()]
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 10**7 <= value < 10**8:
        value = str(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        return _of_text(str(value), name)
    if isinstance(value, dt.datetime) and value == value:  # pandas' NaT is no equal of itself
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return nanoseconds(np.datetime64(value.isoformat()), name)[()]
    if isinstance(value, dt.date) and value == value:
        return nanoseconds(np.datetime64(value.isoformat()), name)[()]
    if hasattr(value, "calendar") and hasattr(value, "isoformat"):
        date: Any = value
        if date.calendar == "julian":  # real days under other names; those of model calendars keep theirs
            date = date.change_calendar("proleptic_gregorian")
        return _of_text(date.isoformat(), name)
    raise TimeError(f"{name} is {value!r}, which is no time; {EXAMPLE}")


def moments(values: Any, name: str = "time") -> np.ndarray:
    """Moments as an array of datetime64[ns] of the same shape; see `moment`. What is missing (None, blank) is NaT."""
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return nanoseconds(array, name)
    if array.dtype.kind == "U" and (alike := _written_alike(array)) is not None:
        return alike
    if array.dtype.kind in "SUO":
        return np.array([_or_missing(value, name) for value in array.reshape(-1)], "datetime64[ns]").reshape(
            array.shape
        )
    raise TimeError(
        f"{name} is a number ({array.dtype}) without a reference; {EXAMPLE}, or decode it by its units, "
        "e.g. 'days since 1950-01-01'"
    )


def _written_alike(texts: np.ndarray) -> np.ndarray | None:
    """Texts that all have the form of the first one, date and clock with dashes and colons, in UTC, all at once.

    None where they have not, or where one of them is no moment: then each is read by itself, and told.
    """
    length = np.strings.str_len(texts)
    if not texts.size or not _PLAIN.fullmatch(str(texts.flat[0])) or (length != length.flat[0]).any():
        return None
    letters = texts.astype(f"U{length.flat[0]}").reshape(-1, 1).view(np.uint32)
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    if (digit != digit[0]).any() or (~digit & (letters != letters[0])).any():
        return None
    try:
        found = np.strings.rstrip(texts, "Z").astype("datetime64[us]")
    except ValueError:
        return None
    year = (letters[:, :4].astype(np.int64) - ord("0")) @ np.array([1000, 100, 10, 1])
    held = ((year >= FIRST_YEAR) & (year <= LAST_YEAR)).all()
    return nanoseconds(found) if held else None


def nanoseconds(times: Any, name: str = "time") -> Any:
    """datetime64 of any resolution as datetime64[ns]; `TimeError` for years that these cannot hold, NaT stays."""
    array = np.asarray(times)
    if array.dtype == np.dtype("datetime64[ns]"):
        return array
    if array.dtype.kind != "M":
        raise TimeError(f"{name} has type {array.dtype} where times are wanted; {EXAMPLE}")
    year = array.astype("datetime64[Y]").astype(np.int64) + 1970
    outside = ~np.isnat(array) & ((year < FIRST_YEAR) | (year > LAST_YEAR))
    if outside.any():
        raise TimeError(
            f"{name} lies in the year {year[outside].reshape(-1)[0]}, and a store holds the years {FIRST_YEAR} to "
            f"{LAST_YEAR}; check its reference date, or shift the record"
        )
    return array.astype("datetime64[ns]")


def _of_setting(value: Any) -> dt.datetime:
    try:
        return moment(value, "it").astype("datetime64[us]").item()
    except TimeError as error:
        raise ValueError(str(error)) from error  # pydantic tells which setting it is


MomentSetting = Annotated[dt.datetime, BeforeValidator(_of_setting)]
"""A moment in a configuration: whatever `moment` takes, as a datetime in UTC without a zone."""


def minutes_ahead(zone: str) -> int | None:
    """Minutes that a zone like +02, +02:00, +0200 or -3 is ahead of UTC; None beyond 18 hours, where there is none."""
    hours, minutes = re.fullmatch(r"(\d{1,2}?):?(\d{2})?", zone[1:]).groups()  # type: ignore[union-attr]
    ahead = int(hours) * 60 + int(minutes or 0)
    if int(minutes or 0) > 59 or ahead > _MOST_AHEAD:
        return None
    return ahead if zone[0] == "+" else -ahead


def _or_missing(value: Any, name: str) -> np.datetime64:
    missing = value is None or value != value or (isinstance(value, np.datetime64) and np.isnat(value))
    missing = missing or (isinstance(value, (str, bytes)) and not value.strip())
    return np.datetime64("NaT", "ns") if missing else moment(value, name)


def _of_text(text: str, name: str) -> np.datetime64:
    """ISO 8601 text, extended or compact; a year or a month alone is its beginning."""
    found = next(filter(None, (form.fullmatch(text.strip()) for form in _FORMS)), None)
    if found is None:
        raise TimeError(f"{name} {text!r} is no time; {EXAMPLE}")
    year, month, day, *clock, zone = found.groups()
    hour, minute, second, fraction = (*clock, None, None, None, None)[:4]
    try:
        date = dt.datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError as error:
        raise TimeError(f"{name} {text!r} does not exist ({error}); {EXAMPLE}") from error
    known: Any = nanoseconds(np.datetime64(date.isoformat(), "s"), name)[()]
    known = known + np.timedelta64(int((fraction or "0")[:9].ljust(9, "0")), "ns")
    if zone and zone[0] in "+-":
        ahead = minutes_ahead(zone)
        if ahead is None:
            raise TimeError(f"{name} {text!r} has a zone {zone} that is none; {EXAMPLE}")
        known = known - np.timedelta64(ahead, "m")
    return known
