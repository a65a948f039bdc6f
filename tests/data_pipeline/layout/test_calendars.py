"""Numbers of time against cftime: units, references and calendars give the right moment or are refused."""

import datetime as dt

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import TimeError, UnitsError
from data_pipeline.layout.calendars import decode_numbers, has_reference, same_units

NOON = np.datetime64("2000-03-01T12:00", "ns")
# The same moment, 2000-03-01T12:00, counted in many ways.
COUNTS = {
    "days since 2000-01-01": 60.5,
    "day since 2000-01-01 00:00": 60.5,
    "Days Since 2000-1-1": 60.5,
    "d since 2000-01-01T00:00:00Z": 60.5,
    "days  since  2000-01-01 00:00:00.0 UTC": 60.5,
    "days since 20000101": 60.5,
    "days since 2000": 60.5,
    "days since 2000-01": 60.5,
    "days since 2000/01/01": 60.5,
    "days since 1-JAN-2000 00:00:00": 60.5,
    "days since 01 January 2000": 60.5,
    "days since 2000-01-01 02:00:00 +02:00": 60.5,
    "days since 1999-12-31 22:00:00 -2:00": 60.5,
    "days since 2000-01-01T05:30 +0530": 60.5,
    "weeks since 2000-01-01T12:00": 60 / 7,
    "hours since 2000-03-01": 12,
    "hr since 2000-03-01": 12,
    "h since 2000-03-01": 12,
    "minutes since 2000-03-01": 720,
    "min since 2000-03-01": 720.0,
    "seconds since 2000-03-01": 43200,
    "sec since 2000-03-01 11:59:59.25": 0.75,
    "s since 2000-03-01 12:00:01": -1,
    "milliseconds since 2000-03-01": 43200000,
    "msec since 2000-03-01": 43200000.0,
    "microseconds since 1970-01-01": 951912000000000,
    "nanoseconds since 1970-01-01": 951912000000000000,
    "days since 0001-01-01": 730181.5,
    "days since 1-1-1 00:00:00": 730181.5,
    "days since 1858-11-17": 51604.5,
    "hours since 1800-01-01": 1754592 + 12,
    "day as %Y%m%d.%f": 20000301.5,
}  # fmt: skip
NO_UNITS = (
    *(
        "",
        " ",
        "seconds",
        "days",
        "hours",
        "day as %H",
        "since 2000-01-01",
        "days since",
        "days since yesterday",
    ),
    *("fortnights since 2000-01-01", "months since 2000-01-01", "years since 2000-01-01", "m since 2000-01-01"),
    *(
        "days since 01-02-2000",
        "days since 1/2/2000",
        "days since 2000-02-30",
        "days since 2000-13-01",
        "adt since 2000-01-01",
    ),
    *("days since 2000-01-01 25:00", "days since 0000-01-01", "days before 2000-01-01", "degrees_east", "7"),
)


@pytest.mark.parametrize(("units", "number"), COUNTS.items())
def test_every_count_is_the_same_moment(units, number):
    for values in (np.array([number]), np.array([[number]])):
        found = decode_numbers(values, units, "a.nc")
        assert found.dtype == np.dtype("datetime64[ns]")
        assert found.shape == values.shape
        assert abs(found.reshape(-1)[0] - NOON) <= np.timedelta64(20, "us")


def test_integers_are_exact():
    nanoseconds = np.array([951912000123456789], np.int64)
    found = decode_numbers(nanoseconds, "nanoseconds since 1970-01-01", "a.nc")
    assert found[0] == np.datetime64(951912000123456789, "ns")
    assert decode_numbers(np.array([43200], np.uint32), "seconds since 2000-03-01", "a.nc")[0] == NOON


def test_numbers_that_are_dates():
    found = decode_numbers([20000301, 20001231.25, np.nan], "day as %Y%m%d.%f", "a.nc")
    np.testing.assert_array_equal(found, np.array(["2000-03-01", "2000-12-31T06", "NaT"], "M8[ns]"))
    for none in (20000230.0, 5.0, 1e30, -1.0, 23000101.0):
        with pytest.raises(TimeError):
            decode_numbers([none], "day as %Y%m%d.%f", "a.nc")


def test_what_is_missing_stays_missing():
    found = decode_numbers([60.5, np.nan], "days since 2000-01-01", "a.nc")
    assert found[0] == NOON
    assert np.isnat(found[1])
    assert np.isnat(decode_numbers([np.nan], "days since 2000-01-01", "a.nc", "noleap")).all()
    assert decode_numbers([], "days since 2000-01-01", "a.nc", "360_day").shape == (0,)


@pytest.mark.parametrize("units", NO_UNITS)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_units_that_are_none_are_refused(units, calendar):
    if calendar == "noleap" and "0000" in units:
        pytest.skip("a model may have a year 0")
    with pytest.raises(UnitsError, match=r"(?s)'a.nc'.*(--time-units|correct it)"):
        decode_numbers([1.0], units, "a.nc", calendar)


def test_units_without_a_reference_say_what_to_give():
    with pytest.raises(UnitsError, match="--time-units 'seconds since 2000-01-01'"):
        decode_numbers([1.0], "seconds", "a.nc")


@pytest.mark.parametrize("calendar", ["mayan", "gregorianish", "3", "none"])
def test_calendars_that_are_none_are_refused(calendar):
    with pytest.raises(UnitsError, match=f"calendar '{calendar}'"):
        decode_numbers([1.0], "days since 2000-01-01", "a.nc", calendar)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "julian", "all_leap"])
@pytest.mark.parametrize("number", [110000.0, -120000.0, 1e7, -1e7, 1e30, -1e30, 2**40])
def test_years_beyond_a_store_are_refused(number, calendar):
    with pytest.raises(TimeError, match="the years 1678 to 2261"):
        decode_numbers(np.array([1, number]), "days since 2000-01-01", "a.nc", calendar)


@pytest.mark.parametrize("units", ["days since 0001-01-01", "seconds since 2300-01-01", "days since 0050-01-01"])
def test_a_reference_far_away_is_refused_when_the_times_are(units):
    with pytest.raises(TimeError, match="the years 1678 to 2261"):
        decode_numbers([0.0], units, "a.nc")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_times_are_refused(value):
    with pytest.raises(UnitsError, match="infinite"):
        decode_numbers([value], "days since 2000-01-01", "a.nc")


@pytest.mark.parametrize(
    ("calendar", "wanted"),
    [
        ("standard", ["2001-02-28", "2001-03-01", "2002-01-01"]),
        ("Gregorian", ["2001-02-28", "2001-03-01", "2002-01-01"]),
        ("proleptic_gregorian", ["2001-02-28", "2001-03-01", "2002-01-01"]),
        ("noleap", ["2001-02-28", "2001-03-01", "2002-01-01"]),
        ("365_day", ["2001-02-28", "2001-03-01", "2002-01-01"]),
        ("360_day", ["2001-02-29", None, None]),
        ("360", ["2001-02-29", None, None]),
        ("all_leap", ["2001-02-28", None, None]),
        ("julian", ["2001-03-13", "2001-03-14", "2002-01-14"]),  # thirteen days behind
    ],
)
def test_calendars_are_obeyed(calendar, wanted):
    for number, date in zip((58, 59, 365), wanted, strict=True):
        if date is not None and not (calendar.startswith("360") and number == 58):
            found = decode_numbers([number], "days since 2001-01-01", "a.nc", calendar)
            assert found[0] == np.datetime64(date), (calendar, number)


def test_model_calendars_over_a_leap_year():
    count = lambda number, calendar: decode_numbers([number], "days since 2000-01-01", "a.nc", calendar)[0]  # noqa: E731
    assert count(59.25, "noleap") == np.datetime64("2000-03-01T06:00")
    assert count(59.25, "standard") == np.datetime64("2000-02-29T06:00")
    assert count(60, "360_day") == np.datetime64("2000-03-01")
    assert count(3650, "noleap") == np.datetime64("2010-01-01")
    assert count(3600, "360_day") == np.datetime64("2010-01-01")
    assert count(3660, "all_leap") == np.datetime64("2010-01-01")
    assert decode_numbers([2.5], "months since 1960-01-01", "a.nc", "360")[0] == np.datetime64("1960-03-16")
    for number, calendar in ((59, "360_day"), (366 + 59, "all_leap")):
        with pytest.raises(TimeError, match="does not exist"):
            count(number, calendar)


@given(
    days=st.integers(-80000, 80000),
    seconds=st.integers(0, 86399),
    units=st.sampled_from(["days", "hours", "seconds"]),
    year=st.integers(1, 2100),
    calendar=st.sampled_from(["standard", "proleptic_gregorian", "julian", "noleap", "360_day", "all_leap"]),
)
def test_cftime_agrees(days, seconds, units, year, calendar):
    day = days + (2000 - year) * 365
    number = {"days": day, "hours": 24 * day + seconds // 3600, "seconds": 86400 * day + seconds}[units]
    told = f"{units} since {year:04d}-01-01"
    date = cftime.num2date(number, told, calendar=calendar)
    if calendar in ("standard", "julian"):
        date = date.change_calendar("proleptic_gregorian", has_year_zero=True)
    try:
        wanted = np.datetime64(dt.datetime(*date.timetuple()[:6]))
    except ValueError:  # a 30th of February
        wanted = None
    if wanted is None or not 1678 <= date.year <= 2261:
        with pytest.raises(TimeError):
            decode_numbers(np.array([number]), told, "a.nc", calendar)
    else:
        assert decode_numbers(np.array([number]), told, "a.nc", calendar)[0] == wanted


def test_same_units():
    assert same_units("days since 1950-01-01", "day since 1950-1-1 00:00:00")
    assert not same_units("days since 1950-01-01", "days since 1950-01-02")
    assert not same_units("days since 1950-01-01", "hours since 1950-01-01")
    assert not same_units("days since 1950-01-01", "days")
    assert has_reference("Days Since 1950-01-01")
    assert not has_reference("seconds")
    assert not has_reference(None)


@pytest.mark.parametrize(
    "units", ["Ms since 2000-01-01", "NS since 2000-01-01", "mS since 2000-01-01", "US since 2000-01-01"]
)
def test_the_case_of_an_abbreviation_tells(units):
    with pytest.raises(UnitsError):
        decode_numbers(np.array([1.0]), units, "a.nc")


@pytest.mark.parametrize(
    "units", ["Hours since 2000-01-01", "HOURS SINCE 2000-01-01", "Sec since 2000-01-01", "ms since 2000-01-01"]
)
def test_the_case_of_a_word_does_not(units):
    length = {"h": 3600.0, "s": 1.0, "m": 1e-3}[units[0].lower()]
    wanted = np.datetime64("2000-01-01", "ns") + np.timedelta64(round(length * 1e9), "ns")
    assert decode_numbers(np.array([1.0]), units, "a.nc")[0] == wanted


@pytest.mark.parametrize("zone", ["+99:99", "+19:00", "-18:30", "+02:60", "+9999", "+24"])
def test_zones_that_are_none_are_refused(zone):
    with pytest.raises(UnitsError):
        decode_numbers(np.array([1.0]), f"days since 2000-01-01 00:00:00 {zone}", "a.nc")


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("+02:00", 120), ("+0230", 150), ("-03", -180), ("+5", 300), ("+14:00", 840), ("-9:30", -570), ("+930", 570)],
)
def test_zones(zone, minutes):
    wanted = np.datetime64("2000-01-02", "m") - np.timedelta64(minutes, "m")
    assert decode_numbers(np.array([1.0]), f"days since 2000-01-01 00:00:00 {zone}", "a.nc")[0] == wanted
