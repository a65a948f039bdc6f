"""Datasets of any make, handed over in Python: the same values wherever they lie and whatever they are called."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import SchemaError, TimeError, UnitsError
from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.products.arranged import arranged, arranged_places

CHANNEL = {"adt": "m"}
DAY = np.datetime64("2005-03-01", "us") + np.arange(4) * np.timedelta64(1, "D")
LONGITUDE, LATITUDE = np.array([-6.0, -2.0, 2.0, 6.0, 10.0]), np.array([30.0, 34.0, 38.0])
ADT = np.random.default_rng(0).normal(0, 0.1, (4, 3, 5)).astype(np.float32)
TRUTH = fields_dataset(DAY, LONGITUDE, LATITUDE, {"adt": ADT})
UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "Metres": 1.0}


def variant(data):
    """The same maps as somebody else has them."""
    units = data.draw(st.sampled_from(sorted(UNITS)))
    name, standard = data.draw(
        st.sampled_from(
            [
                ("adt", ""),
                ("adt", "sea_surface_height_above_geoid"),
                ("madt", ""),
                ("h", "sea_surface_height_above_geoid"),
            ]
        )
    )
    longitudes = {
        "signed": (LONGITUDE, "degrees_east"),
        "to 360": (LONGITUDE % 360, "degreeE"),
        "far": (LONGITUDE + 360, ""),
        "west": (-LONGITUDE, "degrees_west"),
        "radians": (np.deg2rad(LONGITUDE), "radian"),
        "minutes": (LONGITUDE * 60, "arcmin"),
    }
    latitudes = {
        "north": (LATITUDE, "degrees_north"),
        "south": (-LATITUDE, "degrees_south"),
        "plain": (LATITUDE, "degree"),
    }
    (x, x_units), (y, y_units) = (longitudes[data.draw(st.sampled_from(sorted(longitudes)))],
                                  latitudes[data.draw(st.sampled_from(sorted(latitudes)))])  # fmt: skip
    x_name, y_name, t_name = data.draw(
        st.sampled_from(
            [("longitude", "latitude", "time"), ("lon", "lat", "time"), ("nav_lon", "nav_lat", "time_counter")]
        )
    )
    attrs = {"units": units} | ({"standard_name": standard} if standard else {})
    times = {
        "dates": (DAY.astype("datetime64[ns]"), {}),
        "seconds": (DAY.astype("datetime64[s]"), {}),
        "numbers": ((DAY - np.datetime64("1950-01-01")) / np.timedelta64(1, "h"), {"units": "hours since 1950-01-01"}),
        "text": (np.array([str(day)[:10] for day in DAY]), {"standard_name": "time"}),
    }
    time, time_attrs = times[data.draw(st.sampled_from(sorted(times)))]
    ds = xr.Dataset(
        {name: ((t_name, y_name, x_name), ADT.astype(np.float64) * UNITS[units], attrs)},
        {t_name: (t_name, time, time_attrs), y_name: (y_name, y, {"units": y_units} if y_units else {}),
         x_name: (x_name, x, {"units": x_units} if x_units else {})},
    )  # fmt: skip
    for dim in (x_name, y_name, t_name):
        if data.draw(st.booleans()):
            ds = ds.isel({dim: slice(None, None, -1)})
    if data.draw(st.booleans()):
        ds = ds.isel({x_name: data.draw(st.permutations(range(5)))})
    ds = ds.transpose(*data.draw(st.permutations([t_name, y_name, x_name])))
    if data.draw(st.booleans()):
        ds = ds.expand_dims(depth=[0.5])
    if data.draw(st.booleans()):
        ds = ds.chunk({x_name: 2})
    if data.draw(st.booleans()):
        ds = ds.assign(other=ds[name] * 7)
    return ds


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_maps_of_any_make_are_the_same_maps(data):
    made = arranged(variant(data), CHANNEL)
    assert list(made.data_vars) == ["adt"]
    assert made["adt"].attrs["units"] == "m"
    np.testing.assert_allclose(made["longitude"], LONGITUDE, atol=1e-9)
    np.testing.assert_allclose(made["latitude"], LATITUDE, atol=1e-9)
    np.testing.assert_array_equal(made["time"], TRUTH["time"])
    np.testing.assert_allclose(made["adt"].transpose("time", "latitude", "longitude"), ADT, rtol=1e-6, atol=1e-8)


def test_a_store_is_taken_as_it_is():
    assert arranged(TRUTH, CHANNEL) is TRUTH
    points = observations_dataset(DAY, LONGITUDE[:4], LATITUDE[[0, 1, 2, 0]], {"adt": ADT[:, 0, 0]})
    assert arranged(points, CHANNEL) is points
    assert "day_offset" not in arranged(points.isel(obs=slice(1, 3)), CHANNEL)


@pytest.mark.parametrize("dim", ["time", "obs", "n", "point"])
@pytest.mark.parametrize("units", sorted(UNITS))
def test_points_along_any_dimension(dim, units):
    order = np.array([2, 0, 3, 1])
    factor = UNITS[units]
    ds = xr.Dataset(
        {
            "adt": (dim, ADT[order, 0, 0] * factor, {"units": units}),
            "adt_error": (dim, np.full(4, 0.02) * factor, {"units": units}),
            "source": (dim, order),
        },
        {
            "time": (dim, DAY[order]),
            "lon": (dim, (LONGITUDE[:4] % 360)[order], {"units": "degrees_east"}),
            "lat": (dim, LATITUDE[[0, 1, 2, 0]][order]),
        },
    )
    made = arranged(ds, CHANNEL).sortby("time")
    np.testing.assert_allclose(made["adt"], ADT[:, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(made["adt_error"], 0.02, rtol=1e-6)
    np.testing.assert_allclose(made["longitude"], LONGITUDE[:4])
    np.testing.assert_array_equal(made["source"], [0, 1, 2, 3])
    assert made["adt"].dims == ("obs",)


def test_a_mooring_and_a_swath():
    mooring = xr.Dataset(
        {"adt": ("time", ADT[:, 0, 0], {"units": "m"})}, {"time": DAY, "longitude": 3.0, "latitude": 40.0}
    )
    made = arranged(mooring, CHANNEL)
    assert made["longitude"].values.tolist() == [3.0] * 4
    np.testing.assert_array_equal(made["adt"], ADT[:, 0, 0])
    x, y = np.meshgrid(LONGITUDE, LATITUDE)
    swath = xr.Dataset(
        {"adt": (("num_lines", "num_pixels"), ADT[0], {"units": "m"})},
        {"longitude": (("num_lines", "num_pixels"), x), "latitude": (("num_lines", "num_pixels"), y),
         "time": ("num_lines", DAY[:3])},
    )  # fmt: skip
    for held in (swath, swath.transpose("num_pixels", "num_lines"), swath.chunk(num_lines=1)):
        made = arranged(held, CHANNEL).compute()
        assert made.sizes["obs"] == 15
        placed = {(float(a), float(b)): (float(v), t) for a, b, v, t in zip(
            made["longitude"], made["latitude"], made["adt"], made["time"].values, strict=True)}  # fmt: skip
        for row, column in itertools.product(range(3), range(5)):
            assert placed[float(x[row, column]), float(y[row, column])] == (float(ADT[0, row, column]), DAY[row])


def test_kelvin_become_degrees_and_their_errors_do_not_move():
    ds = xr.Dataset(
        {"sst": ("obs", [290.15], {"units": "K"}), "sst_error": ("obs", [0.3], {"units": "K"}),
         "sst_truth": ("obs", [290.05], {"units": "K"})},
        {"time": ("obs", DAY[:1]), "longitude": ("obs", [0.0]), "latitude": ("obs", [0.0])},
    )  # fmt: skip
    made = arranged(ds, {"sst": "degC"})
    assert float(made["sst"][0]) == pytest.approx(17.0)
    assert float(made["sst_error"][0]) == pytest.approx(0.3)
    assert float(made["sst_truth"][0]) == pytest.approx(16.9)


def test_a_globe_that_ends_where_it_began_has_each_meridian_once():
    longitude = np.arange(0.0, 361.0, 60.0)
    values = np.tile(np.arange(7.0) % 6, (1, 2, 1))
    ds = xr.Dataset(
        {"adt": (("time", "lat", "lon"), values, {"units": "m"})},
        {"time": DAY[:1], "lat": [0.0, 1.0], "lon": longitude},
    )
    made = arranged(ds, CHANNEL)
    assert made["longitude"].values.tolist() == [-180.0, -120.0, -60.0, 0.0, 60.0, 120.0]
    assert made["adt"].values[0, 0].tolist() == [3.0, 4.0, 5.0, 0.0, 1.0, 2.0]


def test_maps_of_one_time_come_once_in_order():
    ds = TRUTH.isel(time=[2, 0, 2, 1]).drop_attrs(deep=False)
    made = arranged(ds, CHANNEL)
    np.testing.assert_array_equal(made["time"], TRUTH["time"][:3])
    np.testing.assert_array_equal(made["adt"], ADT[:3])


def test_a_single_map_and_a_data_array():
    for given_ in (TRUTH.isel(time=0).drop_attrs(deep=False), TRUTH["adt"].isel(time=0)):
        made = arranged(given_, CHANNEL)
        assert made["adt"].sizes["time"] == 1
        np.testing.assert_array_equal(made["adt"].squeeze("time"), ADT[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.assign(adt=ds["adt"].assign_attrs(units="kg")), UnitsError, "units 'kg'"),
        (lambda ds: ds.assign(adt=ds["adt"].drop_attrs()), UnitsError, "has no units"),
        (lambda ds: ds.assign_coords(latitude=ds["latitude"].assign_attrs(units="km")), UnitsError, "'km'"),
        (
            lambda ds: ds.assign_coords(longitude=ds["longitude"].assign_attrs(units="degrees_north")),
            UnitsError,
            "north",
        ),
        (lambda ds: ds.drop_vars("time"), SchemaError, "no time"),
        (lambda ds: ds.assign_coords(time=np.arange(4.0)), UnitsError, "units"),
        (lambda ds: ds.assign_coords(time=[DAY[0], DAY[1], np.datetime64("NaT"), DAY[2]]), SchemaError, "no time"),
        (
            lambda ds: ds.assign_coords(time=DAY.astype("datetime64[s]") + np.timedelta64(400 * 365, "D")),
            TimeError,
            "240",
        ),
        (lambda ds: ds.expand_dims(depth=[0.0, 10.0]), SchemaError, r"isel\(depth=0\)"),
        (lambda ds: ds.expand_dims(trajectory=2), SchemaError, "trajectories"),
        (
            lambda ds: ds.assign(adt=ds["adt"].assign_attrs(standard_name="sea_surface_temperature")),
            UnitsError,
            "'sst'",
        ),
        (lambda ds: ds.drop_vars("adt").assign(sla=ds["adt"].drop_attrs()), SchemaError, "adt = sla"),
        (lambda ds: ds.drop_vars("adt"), SchemaError, "holds no channel where adt"),
        (lambda ds: "store.zarr", SchemaError, "is a str"),
        (lambda ds: None, SchemaError, "NoneType"),
    ],
)
def test_what_cannot_be_told_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        arranged(change(TRUTH.drop_attrs(deep=False)), CHANNEL)


def test_places_are_named_and_measured():
    grid = xr.Dataset(coords={"lon": ("lon", [354.0, 358.0], {"units": "degrees_east"}), "lat": [30.0]})
    made = arranged_places(grid)
    assert made["longitude"].values.tolist() == [354.0, 358.0]
    assert made["latitude"].dims == ("latitude",)
    west = xr.Dataset({"longitude": ("point", [6.0], {"units": "degrees_west"}), "latitude": ("point", [30.0])})
    assert arranged_places(west)["longitude"].values.tolist() == [-6.0]
    assert arranged_places(TRUTH["adt"])["longitude"].values.tolist() == LONGITUDE.tolist()
    with pytest.raises(SchemaError, match="is a list"):
        arranged_places([1.0, 2.0])
