"""What enters through Python gives the same forecast in whatever shape it comes, or is refused in words."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig
from dino.errors import DinoError, ObservationError, SchemaError, TimeError, UnitsError
from dino.model.checkpoint import load_model

AT = xr.Dataset({"longitude": ("point", [2.8, 3.9]), "latitude": ("point", [37.6, 38.2])})
AFTER = "2005-04-09"


@pytest.fixture(scope="module")
def forecaster(sea_run):
    return dino.Forecaster(*load_model(sea_run), AssimilationConfig(window_days=4.0, node_days=2.0, iterations=2))


@pytest.fixture(scope="module")
def maps(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def tracks(maps, scattered):
    return scattered(maps.isel(time=slice(0, 8)), ["adt"], 200)


def values(forecaster, observations, at=AT):
    times = observations["time"].values.max().astype("datetime64[ns]") + np.array([1, 3]) * np.timedelta64(1, "D")
    made = forecaster.forecast(observations, times, at)
    return np.stack([made["adt"].values, made["adt_std"].values])


MAPS = {
    "as they are": lambda ds: ds,
    "north first": lambda ds: ds.isel(latitude=slice(None, None, -1)),
    "east first": lambda ds: ds.isel(longitude=slice(None, None, -1)),
    "last time first": lambda ds: ds.isel(time=slice(None, None, -1)),
    "longitude first": lambda ds: ds.transpose("longitude", "time", "latitude"),
    "0 to 360": lambda ds: ds.assign_coords(longitude=ds["longitude"] % 360),
    "west": lambda ds: ds.assign_coords(longitude=(-ds["longitude"]).assign_attrs(units="degrees_west")),
    "in cm": lambda ds: ds.assign(adt=(100 * ds["adt"]).assign_attrs(ds["adt"].attrs | {"units": "cm"})),
    "lat and lon": lambda ds: ds.rename(latitude="lat", longitude="lon"),
    "with a depth": lambda ds: ds.expand_dims(depth=[0.5]),
    "by standard name": lambda ds: ds.rename(adt="h"),
    "with another channel": lambda ds: ds.assign(sst=ds["adt"].assign_attrs(units="degC", standard_name="")),
    "without attributes of a store": lambda ds: ds.assign_attrs(dino_store=""),
}


@pytest.mark.parametrize("change", MAPS.values(), ids=MAPS)
def test_maps_of_any_make_give_the_same_forecast(forecaster, maps, change):
    np.testing.assert_allclose(values(forecaster, change(maps)), values(forecaster, maps), rtol=1e-4, atol=2e-5)


POINTS = {
    "as they are": lambda ds: ds,
    "shuffled": lambda ds: ds.isel(obs=np.random.default_rng(0).permutation(ds.sizes["obs"])),
    "in mm": lambda ds: ds.assign(adt=(1000 * ds["adt"]).assign_attrs(ds["adt"].attrs | {"units": "mm"})),
    "another dim": lambda ds: ds.drop_vars(["day", "day_offset"]).rename(obs="time_index"),
    "radians": lambda ds: ds.assign_coords(longitude=np.deg2rad(ds["longitude"]).assign_attrs(units="radian")),
    "0 to 360": lambda ds: ds.assign_coords(longitude=ds["longitude"] % 360),
    "seconds": lambda ds: ds.assign_coords(time=ds["time"].astype("datetime64[s]")),
}


@pytest.mark.parametrize("change", POINTS.values(), ids=POINTS)
def test_points_of_any_make_give_the_same_forecast(forecaster, tracks, change):
    whole = tracks.assign_coords(time=tracks["time"].astype("datetime64[s]").astype("datetime64[ns]"))
    np.testing.assert_allclose(values(forecaster, change(whole)), values(forecaster, whole), rtol=1e-3, atol=1e-5)


def test_a_narrowed_store_gives_what_its_rows_say(forecaster, tracks):
    part = tracks.isel(obs=slice(40, 160))
    copied = part.drop_vars(["day", "day_offset"])
    assert forecaster.analyse(part).quality.used == forecaster.analyse(copied).quality.used
    np.testing.assert_array_equal(values(forecaster, part), values(forecaster, copied))


TIMES = {
    "text": [AFTER],
    "one text": AFTER,
    "compact": ["20050409"],
    "datetime": [dt.datetime(2005, 4, 9)],
    "date": [dt.date(2005, 4, 9)],
    "zone": [dt.datetime(2005, 4, 9, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))],
    "pandas": pd.DatetimeIndex([AFTER]),
    "array": xr.DataArray(np.array([AFTER], "datetime64[s]"), dims="time"),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_times_of_any_spelling(forecaster, maps, times):
    made = forecaster.forecast(maps.isel(time=slice(0, 8)), times, AT)
    assert made["time"].values.tolist() == np.array([AFTER], "datetime64[ns]").tolist()


@pytest.mark.parametrize(
    ("times", "error"),
    [
        ([], TimeError),
        ([np.datetime64("NaT")], TimeError),
        ([[AFTER, AFTER]], TimeError),
        ([3.0], TimeError),
        (3, TimeError),
        (None, TimeError),
        (["soon"], TimeError),
        ([np.datetime64("2300-01-01")], TimeError),
    ],
)
def test_what_is_no_list_of_times_is_refused(forecaster, maps, times, error):
    with pytest.raises(error, match="time"):
        forecaster.forecast(maps, times, AT)


PLACES = {
    "a DataArray": lambda: xr.DataArray([0, 0], {name: ("point", AT[name].values) for name in AT}, "point"),
    "lat and lon": lambda: AT.rename(longitude="lon", latitude="lat"),
    "west": lambda: AT.assign(longitude=(-AT["longitude"]).assign_attrs(units="degrees_west")),
    "0 to 360": lambda: AT.assign(longitude=AT["longitude"] + 360),
}  # fmt: skip


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_places_of_any_make(forecaster, maps, make):
    np.testing.assert_allclose(values(forecaster, maps, make()), values(forecaster, maps), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda ds: ds.assign(adt=ds["adt"].drop_attrs()), UnitsError),
        (lambda ds: ds.assign(adt=ds["adt"].assign_attrs(units="furlong")), UnitsError),
        (lambda ds: ds.drop_vars("adt").assign(sla=ds["adt"].drop_attrs()), SchemaError),
        (lambda ds: ds.expand_dims(trajectory=2), DinoError),
        (lambda ds: ds.expand_dims(depth=[0.0, 5.0]), SchemaError),
        (lambda ds: ds.drop_vars("time"), DinoError),
        (lambda ds: ds.drop_vars("latitude"), DinoError),
        (lambda ds: ds["adt"].values, SchemaError),
    ],
)
def test_datasets_that_cannot_be_told_are_refused(forecaster, maps, change, error):
    with pytest.raises(error):
        forecaster.forecast(change(maps), [AFTER], AT)


def test_places_without_places_are_refused(forecaster, maps):
    with pytest.raises(ObservationError, match="longitude and latitude"):
        forecaster.forecast(maps, [AFTER], xr.Dataset())
    with pytest.raises(SchemaError, match="list"):
        forecaster.forecast(maps, [AFTER], [2.8, 37.6])


def packed(ds):
    """The maps as a file holds them, not decoded."""
    stored = np.round((ds["adt"] - 0.2) / 1e-3).fillna(-32768).astype("int16")
    return ds.assign_attrs(dino_store="").assign(
        adt=stored.assign_attrs(units="m", scale_factor=1e-3, add_offset=0.2, _FillValue=np.int16(-32768))
    )


def test_values_that_are_still_packed_are_refused_and_decoded_ones_taken(forecaster, maps):
    with pytest.raises(SchemaError, match=r"scale_factor and add_offset .*decode_cf"):
        values(forecaster, packed(maps))
    np.testing.assert_allclose(
        values(forecaster, xr.decode_cf(packed(maps))), values(forecaster, maps), rtol=1e-2, atol=2e-3
    )


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
def test_fill_values_in_attributes_are_missing(forecaster, maps, name):
    filled = maps.assign(adt=maps["adt"].fillna(-9999.0).assign_attrs(maps["adt"].attrs | {name: -9999.0}))
    np.testing.assert_array_equal(values(forecaster, filled), values(forecaster, maps))


STORES = {
    "an error in cm": lambda ds: ds.assign(adt_error=(100 * ds["adt_error"]).assign_attrs(units="cm")),
    "its product's names": lambda ds: ds.rename(adt="adt_unfiltered", adt_error="adt_unfiltered_error"),
    "sources as words": lambda ds: ds.assign(source=("obs", np.array(["a", "b"])[ds["source"].values % 2])),
}


@pytest.mark.parametrize("change", STORES.values(), ids=STORES)
def test_what_stands_beside_a_channel_of_a_store_is_read_by_its_attributes(forecaster, tracks, change):
    np.testing.assert_allclose(values(forecaster, change(tracks)), values(forecaster, tracks), rtol=1e-3, atol=1e-5)


def test_a_store_whose_attributes_contradict_it_is_looked_at_anew(forecaster, maps):
    other = "sea_surface_height_above_mean_sea_level"
    with pytest.raises(UnitsError, match="standard name"):
        values(forecaster, maps.assign(adt=maps["adt"].assign_attrs(standard_name=other)))
    again = xr.concat([maps, maps.isel(time=[-1])], "time")
    np.testing.assert_allclose(values(forecaster, again), values(forecaster, maps), rtol=1e-4, atol=2e-5)
    without = maps.assign_coords(time=np.append(maps["time"].values[:-1], np.datetime64("NaT", "ns")))
    with pytest.raises(SchemaError, match="have no time"):
        forecaster.forecast(without, [AFTER], AT)
    for attrs in ({"units": np.array(["m", "m"])}, {"standard_name": np.array(["a", "b"])}):
        with pytest.raises(DinoError):
            forecaster.forecast(maps.assign(adt=maps["adt"].assign_attrs(**attrs)), [AFTER], AT)
    with pytest.raises(DinoError):
        forecaster.forecast(maps.isel(longitude=8), [AFTER], AT)


def test_times_beyond_292_years_of_the_reference_are_days():
    from dino.data.observations import days_since_epoch

    found = days_since_epoch(np.array(["1678-01-01", "1950-01-02", "2250-06-01"], "datetime64[s]"))
    assert found.tolist() == [-99345.0, 1.0, 109724.0]


def test_a_sea_of_any_make_is_laid_over(forecaster, maps, tracks):
    whole = forecaster.over(maps).ocean.charts
    assert whole == forecaster.over(maps.rename(latitude="lat", longitude="lon")).ocean.charts
    assert forecaster.over(tracks.drop_vars(["day", "day_offset"]).rename(obs="n")).ocean.charts > 0
    for nothing in (None, 5, np.zeros(3)):
        with pytest.raises(DinoError):
            forecaster.over(nothing)
