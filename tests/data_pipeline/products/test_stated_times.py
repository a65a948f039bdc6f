"""What a file says of its times is obeyed or refused: units, references, calendars, text, attributes, its name."""

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import SchemaError, TimeError, UnitsError
from data_pipeline.products import ingest

COLUMNS = {"noleap": 3650, "365_day": 3650, "360_day": 3600, "360": 3600, "all_leap": 3660, "standard": 3653}


def maps(numbers, **attrs) -> xr.Dataset:
    """Maps on a grid of 2 x 3 at some times; attributes are those of the time."""
    numbers = np.asarray(numbers)
    coords = {
        "latitude": ("latitude", [10.0, 20.0], {"units": "degrees_north"}),
        "longitude": ("longitude", [0.0, 1.0, 2.0], {"units": "degrees_east"}),
        "time": ("time", numbers, attrs),
    }
    values = np.full((numbers.size, 2, 3), 0.1) + 0.1 * np.arange(numbers.size)[:, None, None]
    return xr.Dataset({"adt": (("time", "latitude", "longitude"), values, {"units": "m"})}, coords)


def track(numbers, **attrs) -> xr.Dataset:
    """Points along a track at some times."""
    numbers = np.asarray(numbers)
    columns = {
        "longitude": (np.linspace(1.0, 2.0, numbers.size), {"units": "degrees_east"}),
        "latitude": (np.linspace(3.0, 4.0, numbers.size), {"units": "degrees_north"}),
        "sla": (np.linspace(0.1, 0.2, numbers.size), {"units": "m"}),
        "time": (numbers, attrs),
    }
    return xr.Dataset({name: ("obs", *column) for name, column in columns.items()})


def swath(numbers, **attrs) -> xr.Dataset:
    """Pixels of a swath with a time of each line."""
    numbers = np.asarray(numbers)
    shape = (numbers.size, 3)
    columns = {
        "longitude": (np.broadcast_to([1.0, 2.0, 3.0], shape), {"units": "degrees_east"}),
        "latitude": (np.broadcast_to(np.linspace(3.0, 4.0, numbers.size)[:, None], shape), {"units": "degrees_north"}),
        "ssha": (np.full(shape, 0.1), {"units": "m", "standard_name": "sea_surface_height_above_mean_sea_level"}),
    }
    ds = xr.Dataset({name: (("num_lines", "num_pixels"), *column) for name, column in columns.items()})
    return ds.assign(time=("num_lines", numbers, attrs))


LAYOUTS = (maps, track, swath)


@pytest.fixture
def times(tmp_path):
    """The times that a dataset has as it is ingested."""

    def ingested(ds, name="a.nc", **options):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        ds.to_netcdf(path)
        return np.unique(ingest(path, **options)["time"].values)

    return ingested


@pytest.mark.parametrize("made", LAYOUTS)
def test_units_without_a_reference_are_refused_with_what_to_give(times, made):
    for unit in ("seconds", "days", "hours", "s", "d"):
        with pytest.raises(UnitsError, match=f"--time-units '{unit} since 2000-01-01'"):
            times(made([1.0, 2.0], units=unit))
        with pytest.raises(UnitsError, match=f"--time-units '{unit} since 2000-01-01'"):
            times(made([1.0, 2.0]), time_units=unit)
    found = times(made([60.5, 61.5]), time_units="days since 2000-01-01")
    np.testing.assert_array_equal(found, np.array(["2000-03-01T12", "2000-03-02T12"], "M8[ns]"))


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize("units", ["seconds", "days since yesterday"])
def test_units_that_are_told_mend_those_of_the_file(times, made, units):
    found = times(made([86400.0, 172800.0], units=units), time_units="seconds since 2000-01-01")
    np.testing.assert_array_equal(found, np.array(["2000-01-02", "2000-01-03"], "M8[ns]"))


@pytest.mark.parametrize("made", LAYOUTS)
def test_units_that_are_told_do_not_contradict_the_file(times, made):
    ds = made([1.0, 2.0], units="days since 2000-01-01")
    assert times(ds, time_units="day since 2000-1-1 00:00:00")[0] == np.datetime64("2000-01-02")
    for told in ("days since 1950-01-01", "hours since 2000-01-01", "days"):
        with pytest.raises(UnitsError, match="of its own where --time-units says"):
            times(ds, time_units=told)


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize(
    "units", ["days since 0001-01-01", "days since 2300-01-01", "days since 1500-01-01", "seconds since 0050-01-01"]
)
def test_years_beyond_a_store_are_refused(times, made, units):
    with pytest.raises(TimeError, match="the years 1678 to 2261"):
        times(made([1.0, 2.0], units=units))
    with pytest.raises(TimeError, match="the years 1678 to 2261"):
        times(made([1.0, 2.0]), time_units=units)


@pytest.mark.parametrize("made", LAYOUTS)
def test_one_time_far_away_among_many_is_refused(times, made):
    for far in (400000.0, -300000.0, 1e30):
        with pytest.raises(TimeError, match="the years 1678 to 2261"):
            times(made([1.0, far, 2.0], units="days since 2000-01-01"))


@pytest.mark.parametrize("made", LAYOUTS)
def test_a_reference_long_ago_is_no_time_long_ago(times, made):
    found = times(made([730181.5, 730182.5], units="days since 0001-01-01"))
    np.testing.assert_array_equal(found, np.array(["2000-03-01T12", "2000-03-02T12"], "M8[ns]"))


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize(("calendar", "number"), COLUMNS.items())
def test_calendars_are_obeyed_whatever_stands_beside(times, made, calendar, number):
    wanted = np.array(["2010-01-01", "2010-01-02"], "M8[ns]")
    ds = made([number, number + 1.0], units="days since 2000-01-01", calendar=calendar)
    np.testing.assert_array_equal(times(ds), wanted)
    broken = ds.assign(
        time_tai=(ds["time"].dims, np.array([1.0, 2.0]), {"units": "days since yesterday"}),
        time_far=(ds["time"].dims, np.array([1.0, 2.0]), {"units": "days since 0001-01-01", "calendar": "mayan"}),
    )
    np.testing.assert_array_equal(times(broken), wanted)
    del ds["time"].attrs["units"]
    np.testing.assert_array_equal(times(ds, time_units="days since 2000-01-01"), wanted)


@pytest.mark.parametrize("made", LAYOUTS)
def test_calendars_that_are_none_are_refused(times, made):
    ds = made([1.0, 2.0], units="days since 2000-01-01", calendar="mayan")
    for options in ({}, {"time_units": "days since 2000-01-01"}):
        with pytest.raises(UnitsError, match="calendar 'mayan'"):
            times(ds, **options)
    with pytest.raises(TimeError, match=r"2000-02-30 in a calendar '360_day'"):
        times(made([59.0, 60.0], units="days since 2000-01-01", calendar="360_day"))


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize(
    "texts",
    [
        ["2000-03-01T12:00:00Z", "2000-03-02T12:00:00Z"],
        ["20000301T120000", "20000302T120000"],
        ["2000-03-01 12:00", "2000-03-02 12:00"],
        ["2000-03-01T14:00+02:00", "2000-03-02T14:00+02:00"],
    ],
)
def test_times_as_text_are_read(times, made, texts):
    for kind in (str, "S"):
        found = times(made(np.array(texts, kind), standard_name="time"))
        np.testing.assert_array_equal(found, np.array(["2000-03-01T12", "2000-03-02T12"], "M8[ns]"))


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize("texts", [["soon", "later"], ["2000-02-30", "2000-03-01"], ["0001-01-01", "0001-01-02"]])
def test_texts_that_are_no_times_are_refused(times, made, texts):
    with pytest.raises(TimeError, match=r"the time of 'a.nc'"):
        times(made(np.array(texts, str)))


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize("key", ["Unit", "unit", "Units", "UNITS"])
def test_misspelt_units_are_units(times, made, key):
    """GlobCurrent says `Unit`, of its times and of its currents."""
    ds = made([1.0, 2.0], **{key: "days since 2000-01-01"})
    for name in ds.data_vars:
        if "units" in ds[name].attrs:
            ds[name].attrs[key] = ds[name].attrs.pop("units")
    np.testing.assert_array_equal(times(ds), np.array(["2000-01-02", "2000-01-03"], "M8[ns]"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("20000301000000-GLOBCURRENT-L4-CUReul_hs-ALT_SUM-v02.0-fv01.0.nc", "2000-03-01"),
        ("20000301120000-GLOBCURRENT-L4-CUReul_hs.nc", "2000-03-01T12"),
        ("currents_200003011230.nc", "2000-03-01T12:30"),
        ("currents_20000301.nc", "2000-03-01"),
        ("currents_20000301T1230.nc", "2000-03-01T12:30"),
        ("S6A_20000301T123000_20000301T124000.nc", "2000-03-01T12:30"),
        ("currents_2000-03-01.nc", "2000-03-01"),
        ("currents_2000-03-01T12:30.nc", "2000-03-01T12:30"),
        ("sea_y2000m03d01.nc", "2000-03-01"),
        ("v20009999_20000301.nc", "2000-03-01"),
    ],
)
def test_dates_in_names(times, name, wanted):
    ds = maps([1.0]).isel(time=0, drop=True)
    np.testing.assert_array_equal(times(ds, name), np.array([wanted], "M8[ns]"))


def test_messages_say_what_is_wrong(times):
    ds = maps([1.0], units="days since 2000-01-01").isel(time=0, drop=True)
    with pytest.raises(SchemaError, match=r"no time coordinate and no date in its name.*--time 2009-08-15"):
        times(ds, "a.nc")
    with pytest.raises(SchemaError, match=r"no time coordinate and 2 dates in its name"):
        times(ds, "a_20000301_20000302.nc")
    with pytest.raises(UnitsError, match=r"time 'time' of 'a.nc' is a number without units.*--time-units.*--time 2009"):
        times(maps([1.0]), "a.nc")
    with pytest.raises(TimeError, match="--time '2000-02-30' does not exist"):
        times(ds, "a.nc", time="2000-02-30")
    with pytest.raises(TimeError, match=r"--time lies in the year 2300"):
        times(ds, "a.nc", time="23000101")
    assert times(ds, "a.nc", time="20000301") == np.datetime64("2000-03-01")
    assert times(ds, "a.nc", time="2000-03-01T02:00+02:00") == np.datetime64("2000-03-01")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2000-03-01T12:00:00Z", "2000-03-01T12"),
        ("20000301T120000Z", "2000-03-01T12"),
        ("2000-03-01T14:00:00+02:00", "2000-03-01T12"),
        ("01-MAR-2000 12:00:00", "2000-03-01T12"),
        ("01-MAR-2000 12:00:00.000000", "2000-03-01T12"),
    ],
)
def test_attributes_give_the_time_of_a_file(times, text, wanted):
    ds = maps([1.0]).isel(time=0, drop=True).assign_attrs(time_coverage_start=text)
    np.testing.assert_array_equal(times(ds), np.array([wanted], "M8[ns]"))


def test_a_swath_whose_only_time_has_no_units_takes_the_time_that_is_told(times):
    ds = swath([1.0, 2.0]).drop_vars("time").assign(time=((), 5.0))
    assert times(ds, time="20000301") == np.datetime64("2000-03-01")
    with pytest.raises(UnitsError, match="--time-units"):
        times(ds)
    with pytest.raises(SchemaError, match="leave out --time"):
        times(swath([1.0, 2.0], units="days since 2000-01-01"), time="20000301")


def test_blank_texts_are_missing(times):
    assert times(track(np.array(["2000-03-01", " "]))) == np.datetime64("2000-03-01")


def test_numbers_that_are_dates(times):
    found = times(track(np.array([20000301.5, 20000302.5]), units="day as %Y%m%d.%f"))
    np.testing.assert_array_equal(found, np.array(["2000-03-01T12", "2000-03-02T12"], "M8[ns]"))


def test_an_attribute_far_away_is_refused(times):
    ds = maps([1.0]).isel(time=0, drop=True).assign_attrs(time_coverage_start="2300-01-01T00:00:00Z")
    with pytest.raises(TimeError, match=r"time_coverage_start of 'a.nc'.*2300"):
        times(ds)
