"""One parser of moments: every spelling of a time is that time, and what is none is refused."""

import datetime as dt

import cftime
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import TimeError
from data_pipeline.layout.moments import moment, moments, nanoseconds

NOON = np.datetime64("2000-03-01T12:00", "ns")
MIDNIGHT = np.datetime64("2000-03-01", "ns")


@pytest.mark.parametrize(
    "value",
    [
        "2000-03-01",
        "20000301",
        20000301,
        np.int64(20000301),
        " 2000-03-01 ",
        "2000-03",
        "2000-03-01T00",
        "2000-03-01 00:00:00",
        "2000-03-01T00:00:00Z",
        "20000301T000000Z",
        "20000301000000",
        "2000-03-01T00:00:00.000",
        "2000-03-01T02:00+02:00",
        "2000-02-29T22:00:00-0200",
        "2000-03-01T05:30+0530",
        b"2000-03-01",
        dt.date(2000, 3, 1),
        dt.datetime(2000, 3, 1),
        dt.datetime(2000, 3, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        pd.Timestamp("2000-03-01"),
        pd.Timestamp("2000-03-01T01:00", tz="Europe/Paris"),
        cftime.DatetimeNoLeap(2000, 3, 1),
        cftime.Datetime360Day(2000, 3, 1),
        cftime.DatetimeJulian(2000, 2, 17),
        np.datetime64("2000-03-01"),
        np.datetime64("2000-03"),
        np.array("2000-03-01", "datetime64[s]"),
        np.array(["2000-03-01"], "datetime64[us]"),
        np.array("2000-03-01"),
    ],
)
def test_every_spelling_is_the_same_moment(value):
    found = moment(value)
    assert found == MIDNIGHT
    assert found.dtype == np.dtype("datetime64[ns]")


@pytest.mark.parametrize("value", ["2000-03-01T12", "20000301T12:00", "20000301 1200", "2000-03-01T12:00:00,0"])
def test_clocks(value):
    assert moment(value) == NOON


def test_fractions_of_a_second_are_kept():
    assert moment("2000-03-01T00:00:00.123456789") == np.datetime64("2000-03-01T00:00:00.123456789", "ns")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "0.3",
        "18321",
        "200003",
        "2000-3-1",
        "01/03/2000",
        "2000-02-30",
        "2000-13-01",
        "20000230",
        "2000-03-01T25:00",
        "12000-03-01",
        "0001-01-01",
        "1677-12-31",
        "2262-01-01",
        "2300-01-01",
        "99990101",
        1,
        951868800,
        20000301.0,
        True,
        None,
        float("nan"),
        pd.NaT,
        np.datetime64("NaT"),
        np.datetime64("2300-01-01"),
        np.datetime64("0001-01-01", "s"),
        dt.datetime(1, 1, 1),
        dt.date(2300, 1, 1),
        cftime.DatetimeNoLeap(1, 1, 1),
        cftime.Datetime360Day(2000, 2, 30),
        np.array(["2000-03-01", "2000-03-02"], "datetime64[D]"),
        np.array([], "datetime64[D]"),
        object(),
    ],
)
def test_what_is_no_moment_of_a_store_is_refused(value):
    with pytest.raises(TimeError, match=r"give one like|the years 1678 to 2261"):
        moment(value, "--time")


def test_the_message_says_what_was_meant():
    with pytest.raises(TimeError, match="--stop '30 February' is no time"):
        moment("30 February", "--stop")


def test_arrays_keep_their_shape_and_their_gaps():
    given_ = np.array([["2000-03-01", "NaT"], ["2000-03-01", "2000-03-01"]], "datetime64[D]")
    found = moments(given_)
    assert found.dtype == np.dtype("datetime64[ns]")
    assert np.array_equal(np.isnat(found), [[False, True], [False, False]])
    mixed = moments(np.array(["20000301", None, dt.datetime(2000, 3, 1), float("nan"), pd.NaT], object))
    assert np.array_equal(np.isnat(mixed), [False, True, False, True, True])
    assert (mixed[[0, 2]] == MIDNIGHT).all()


@pytest.mark.parametrize("values", [[1.0, 2.0], [20000301, 20000302], [True]])
def test_arrays_of_numbers_are_refused(values):
    with pytest.raises(TimeError, match="without a reference"):
        moments(values)


@pytest.mark.parametrize("unit", ["Y", "M", "D", "h", "s", "ms", "us", "ns"])
def test_any_resolution_is_cast_or_refused(unit):
    kept = np.array(["1678-01-01", "NaT", "2261-01-01"], f"datetime64[{unit}]")
    assert (nanoseconds(kept)[[0, 2]] == kept[[0, 2]]).all()
    if unit != "ns":
        with pytest.raises(TimeError, match="year 2300"):
            nanoseconds(np.array(["2000-01-01", "2300-01-01"], f"datetime64[{unit}]"))


@given(st.datetimes(dt.datetime(1678, 1, 1), dt.datetime(2261, 12, 31)))
def test_text_of_any_form_is_what_numpy_reads(when):
    known = np.datetime64(when, "us").astype("datetime64[ns]")
    for form in ("%Y-%m-%dT%H:%M:%S.%f", "%Y%m%dT%H%M%S.%f", "%Y-%m-%d %H:%M:%S.%fZ", "%Y%m%d%H%M%S.%f"):
        assert moment(when.strftime(form)) == known
    assert moment(when) == known


@pytest.mark.parametrize("zone", ["+99:99", "+19:00", "-18:30", "+02:60", "+9999", "+24"])
def test_zones_that_are_none_are_refused(zone):
    with pytest.raises(TimeError, match="zone"):
        moment(f"2009-08-15T12:00{zone}")


def test_the_farthest_zones():
    assert moment("2009-08-15T12:00+14:00") == np.datetime64("2009-08-14T22:00")
    assert moment("2009-08-15T12:00-1200") == np.datetime64("2009-08-16T00:00")


@given(
    st.lists(st.datetimes(dt.datetime(1678, 1, 1), dt.datetime(2261, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%MZ"]),
)
def test_texts_that_are_written_alike_are_what_each_of_them_is(whens, form):
    texts = np.array([f"{when.year:04d}" + when.strftime(form.removeprefix("%Y")) for when in whens])
    np.testing.assert_array_equal(moments(texts), np.array([moment(str(text)) for text in texts]))


@pytest.mark.parametrize(
    "texts",
    [
        ["2005-03-01", "2005-02-30"],
        ["2005-03-01", "2300-01-01"],
        ["2005-03-01", "0001-01-01"],
        ["2005-03-01", "2005-03-x1"],
        ["2005-03-01T00:00", "2005-03-01T25:00"],
        ["2005-03-01", "2005/03/01"],
    ],
)
def test_one_text_that_is_no_moment_is_found_among_its_likes(texts):
    with pytest.raises(TimeError):
        moments(np.array(texts * 3))
