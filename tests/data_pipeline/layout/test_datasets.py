"""The two layouts: what the constructors make of arrays and what the checks refuse."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError, UnitsError
from data_pipeline.layout.channels import CHANNELS, match_channel, unit_conversion
from data_pipeline.layout.datasets import (
    channel_names,
    check_fields,
    check_observations,
    fields_dataset,
    layout_problems,
    observations_dataset,
)

TIMES = np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")


@pytest.mark.parametrize("lazy", [False, True])
def test_global_grid_is_rolled_and_flipped(lazy):
    longitude, latitude = np.arange(0.0, 360.0, 30.0), np.arange(80.0, -81.0, -40.0)
    values = np.broadcast_to(longitude + 1000.0 * latitude[:, None], (3, 5, 12)).astype(np.float32)
    channel = dask.array.from_array(values, chunks=(1, 5, 12)) if lazy else values
    ds = fields_dataset(TIMES, longitude, latitude, {"depth": channel}, units={"depth": "m"})
    assert ds["longitude"].values[0] == -180.0
    assert (np.diff(ds["longitude"]) > 0).all()
    assert (np.diff(ds["latitude"]) > 0).all()
    assert (ds["depth"].chunks is not None) == lazy
    east, north = np.mod(ds["longitude"].values, 360.0), ds["latitude"].values
    np.testing.assert_array_equal(ds["depth"][0], east + 1000.0 * north[:, None])


def test_curvilinear_grid_and_trajectories():
    x, y = np.meshgrid(np.linspace(170.0, 190.0, 4), np.linspace(0.0, 5.0, 3))
    ds = fields_dataset(TIMES, x, y, {"ssh": np.zeros((2, 3, 3, 4))})
    assert ds["ssh"].dims == ("trajectory", "time", "y", "x")
    assert ds["longitude"].max() < 180.0
    assert channel_names(ds) == ["ssh"]


def test_observations_are_sorted_screened_and_indexed_by_day():
    time = np.array(["2014-05-17T01", "2014-05-15T23", "2014-05-15T01", "NaT", "2014-05-15T02"], "datetime64[us]")
    ds = observations_dataset(time, [10, 200, 370, 0, 5], [1, 2, 3, 4, 5], {"adt": [1, 2, 3, 4, np.nan]})
    np.testing.assert_array_equal(ds["adt"], [3, 2, 1])
    np.testing.assert_array_equal(ds["longitude"], [10, -160, 10])
    np.testing.assert_array_equal(ds["day_offset"], [0, 2, 2, 3])
    assert ds.sizes["day"] == 3
    assert ds["source"].dtype == np.int16
    assert layout_problems(ds) == []


def test_nothing_left_is_an_error():
    with pytest.raises(EmptyDataError, match="none of 2"):
        observations_dataset(TIMES[:2], [0, 1], [0, 1], {"adt": [np.nan, np.nan]})


def test_columns_of_other_length_are_refused():
    with pytest.raises(SchemaError, match="adt"):
        observations_dataset(TIMES, [0, 1, 2], [0, 1, 2], {"adt": [0.0]})


def test_unlisted_channel_needs_units():
    with pytest.raises(SchemaError, match="vorticity"):
        fields_dataset(TIMES, [0, 1], [0, 1], {"vorticity": np.zeros((3, 2, 2))})
    ds = fields_dataset(TIMES, [0, 1], [0, 1], {"vorticity": np.zeros((3, 2, 2))}, units={"vorticity": "s-1"})
    assert ds["vorticity"].attrs["units"] == "s-1"


FIELD_FAULTS = {
    "time does not increase": lambda ds: ds.isel(time=[0, 0, 1]),
    "longitude is not strictly": lambda ds: ds.isel(longitude=[1, 0]),
    "longitude lies outside": lambda ds: ds.assign_coords(longitude=[0.0, 200.0]),
    "float32 is wanted": lambda ds: ds.assign(ssh=ds["ssh"].astype(np.float64)),
    "units 'cm'": lambda ds: ds.assign(ssh=ds["ssh"].assign_attrs(units="cm")),
    "no units": lambda ds: ds.assign(ssh=ds["ssh"].drop_attrs()),
    "dimensions": lambda ds: ds.transpose("latitude", "longitude", "time"),
    "no channel": lambda ds: ds.drop_vars("ssh"),
    "dino_schema": lambda ds: ds.assign_attrs(dino_schema=99),
    "coordinate time": lambda ds: ds.drop_vars("time"),
}


@pytest.mark.parametrize("message", FIELD_FAULTS)
def test_field_faults_are_named(message):
    ds = fields_dataset(TIMES, [0, 1], [0, 1], {"ssh": np.zeros((3, 2, 2))})
    check_fields(ds)
    with pytest.raises(SchemaError, match=message):
        check_fields(FIELD_FAULTS[message](ds))


OBSERVATION_FAULTS = {
    "time does not increase": lambda ds: ds.isel(obs=slice(None, None, -1)),
    "wrong day": lambda ds: ds.assign(day_offset=ds["day_offset"] + np.array([0] + [1] * (ds.sizes["day"] - 1) + [0])),
    "rise from 0 to": lambda ds: ds.isel(obs=slice(10)),
    "points outside the 1 names": lambda ds: ds.isel(source_index=slice(1)),
    "int16": lambda ds: ds.assign(source=ds["source"].astype(int)),
    "stands beside no channel": lambda ds: ds.rename(adt_error="sla_error"),
    "is not finite": lambda ds: ds.assign_coords(latitude=ds["latitude"] * np.nan),
    "is missing": lambda ds: ds.drop_vars("source_name"),
    "dino_store": lambda ds: ds.assign_attrs(dino_store="fields"),
}


@pytest.mark.parametrize("message", OBSERVATION_FAULTS)
def test_observation_faults_are_named(toy_observations, message):
    check_observations(toy_observations)
    with pytest.raises(SchemaError, match=message):
        check_observations(OBSERVATION_FAULTS[message](toy_observations))


@pytest.mark.parametrize(
    ("channel", "units", "value", "wanted"),
    [
        ("sst", "kelvin", 273.15, 0.0),
        ("sst", "degrees Celsius", 4.0, 4.0),
        ("sst_anomaly", "K", 1.5, 1.5),
        ("adt", "cm", 12.0, 0.12),
        ("sla", "millimeters", 5.0, 0.005),
        ("u", "cm/s", 30.0, 0.3),
        ("v", "meter second-1", 1.0, 1.0),
    ],
)
def test_units_convert(channel, units, value, wanted):
    scale, offset = unit_conversion(CHANNELS[channel], units, "x")
    assert value * scale + offset == pytest.approx(wanted)


def test_units_of_another_quantity_are_refused():
    with pytest.raises(UnitsError, match="--units adt="):
        unit_conversion(CHANNELS["adt"], "kelvin", "adt")


@pytest.mark.parametrize(
    ("name", "standard_name", "channel"),
    [
        ("zos", "sea_surface_height_above_geoid", "ssh"),
        ("ADT", "sea_surface_height_above_geoid", "adt"),
        ("anything", "sea_surface_height_above_geoid", "adt"),
        ("sossheig", None, "ssh"),
        ("ssha", "sea_surface_height_above_sea_level", "sla"),
        ("u", "x_sea_water_velocity", None),  # along the grid, not eastward
        ("flag", None, None),
    ],
)
def test_standard_name_decides_before_the_name(name, standard_name, channel):
    found = match_channel(name, standard_name)
    assert (found.name if found else None) == channel


def test_time_is_whole_microseconds():
    time = TIMES + np.timedelta64(1, "ns")
    assert layout_problems(fields_dataset(time, [0, 1], [0, 1], {"ssh": np.zeros((3, 2, 2))})) == []


def test_an_unrelated_dataset_is_no_store():
    with pytest.raises(SchemaError, match="dino_store"):
        check_fields(xr.Dataset())
