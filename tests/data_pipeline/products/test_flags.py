"""Which flags judge which variables: a product's rules first, then the flags that declare what they mean."""

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import DinoError
from data_pipeline.products import detect, ingest

SECONDS = {"units": "seconds since 2000-01-01", "standard_name": "time"}
SLA = np.array([0.1, 0.2, 0.3, -3.478, 0.5])
FLAG = np.array([0, 0, 0, 1, 0], np.int8)
GOOD_BAD = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "good bad"}


def track(**variables):
    along = ("time", np.arange(5.0), SECONDS)
    coords = {
        "time": along,
        "latitude": ("time", np.linspace(30.0, 30.2, 5), {"units": "degrees_north"}),
        "longitude": ("time", np.linspace(5.0, 5.1, 5), {"units": "degrees_east"}),
    }
    return xr.Dataset({"sla": ("time", SLA, {"units": "m"})} | variables, coords)


def ingested(ds, tmp_path, **options):
    ds.to_netcdf(tmp_path / "a.nc")
    return ingest(tmp_path / "a.nc", **options)


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("quality_flag", GOOD_BAD),
        ("sla_qc", GOOD_BAD),
        ("quality_sla", GOOD_BAD),
        ("SLA_flag", {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "nominal suspect"}),
        ("surface_type", {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "open_ocean land"}),
        ("ice_flag", {"flag_masks": np.array([1], np.int8), "flag_meanings": "sea_ice"}),
        ("rain_flag", {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "no_rain rain"}),
        ("range_qual", {"long_name": "range_ocean_qual (0 good)"}),
        ("surface", {"long_name": "surface_classification_flag (0 open ocean)"}),
    ],
)
def test_a_flag_that_declares_its_values_is_obeyed(tmp_path, name, attrs):
    ds = track(**{name: ("time", FLAG, attrs)})
    found = ingested(ds, tmp_path)
    np.testing.assert_allclose(found["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)
    (source,) = json.loads(found.attrs["sources"])
    assert source["counts"]["sla"]["dropped"] == {f"condemned by {name}": 1}
    np.testing.assert_allclose(ingested(ds, tmp_path, keep_flagged=True)["sla"], SLA, rtol=1e-6)


def test_meanings_decide_and_no_name(tmp_path):
    """One for good: what the number alone would condemn stays."""
    upside_down = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "bad good"}
    found = ingested(track(quality_flag=("time", 1 - FLAG, upside_down)), tmp_path)
    np.testing.assert_allclose(found["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)


@pytest.mark.parametrize("name", ["swh_qual", "orbit_type_flag", "sst_quality_flag"])
def test_a_flag_of_something_else_judges_nothing(tmp_path, name):
    np.testing.assert_allclose(ingested(track(**{name: ("time", FLAG, GOOD_BAD)}), tmp_path)["sla"], SLA, rtol=1e-6)


def test_a_flag_that_says_nothing_is_told(tmp_path):
    found = ingested(track(quality_flag=("time", FLAG)), tmp_path)
    np.testing.assert_allclose(found["sla"], SLA, rtol=1e-6)
    assert "quality_flag does not say what its values mean" in found.attrs["history"]


def test_a_flag_that_the_variable_names_judges_it(tmp_path):
    ds = track(edit=("time", FLAG, GOOD_BAD))
    np.testing.assert_allclose(ingested(ds, tmp_path)["sla"], SLA, rtol=1e-6)
    ds["sla"].attrs["ancillary_variables"] = "edit swh"
    np.testing.assert_allclose(ingested(ds, tmp_path)["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)


def test_a_flag_of_maps_is_obeyed(tmp_path):
    ds = xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), np.full((1, 2, 3), 15.0), {"units": "degC"}),
            "quality_flag": (("time", "lat", "lon"), np.array([[[0, 1, 0], [0, 0, 1]]], np.int8), GOOD_BAD),
        },
        {
            "time": ("time", [0.0], SECONDS),
            "lat": ("lat", [10.0, 11.0], {"units": "degrees_north"}),
            "lon": ("lon", [20.0, 21.0, 22.0], {"units": "degrees_east"}),
        },
    )
    np.testing.assert_array_equal(
        np.isnan(ingested(ds, tmp_path)["sst"].values[0]), [[False, True, False], [False, False, True]]
    )


def sentinel_3(quality, attrs):
    """Sentinel-3: both rates side by side, a mean topography, and a flag of the anomaly alone."""
    coords = {
        "time_01": ("time_01", np.arange(5.0), SECONDS),
        "lat_01": ("time_01", np.linspace(30.0, 30.2, 5), {"standard_name": "latitude", "units": "degrees_north"}),
        "lon_01": ("time_01", np.linspace(5.0, 5.1, 5), {"standard_name": "longitude", "units": "degrees_east"}),
    }
    variables = {
        "ssha_01_ku": ("time_01", SLA, {"units": "m", "standard_name": "sea_surface_height_above_mean_sea_level"}),
        "mean_dyn_topo_01": ("time_01", np.full(5, 0.25), {"units": "m"}),
        "range_ocean_01_ku": ("time_01", np.ones(5), {"units": "m"}),
        "range_ocean_qual_01_ku": ("time_01", np.zeros(5, np.int8), GOOD_BAD),
        "quality_ssha_01_ku": ("time_01", quality, attrs),
    }
    return xr.Dataset(variables, coords)


@pytest.mark.parametrize(
    ("quality", "attrs"),
    [
        (FLAG, GOOD_BAD),
        (FLAG, {}),  # known from the product
        (1 - FLAG, {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "bad good"}),
    ],
)
def test_sentinel_3_keeps_its_time_and_obeys_its_flag(tmp_path, quality, attrs):
    ds = sentinel_3(quality, attrs)
    found = ingested(ds, tmp_path)
    assert detect(tmp_path / "a.nc").name == "altimetry-l2"
    np.testing.assert_allclose(found["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found["adt"], [0.35, 0.45, 0.55, 0.75], rtol=1e-6)
    wanted = np.datetime64("2000-01-01", "s") + np.array([0, 1, 2, 4])
    np.testing.assert_array_equal(found["time"].values, wanted.astype("datetime64[ns]"))


def test_words_that_say_neither_are_told(tmp_path):
    attrs = {"flag_values": np.array([0, 1, 2], np.int8), "flag_meanings": "good bad not_used"}
    found = ingested(track(sla_qc=("time", np.array([0, 0, 2, 1, 0], np.int8), attrs)), tmp_path)
    np.testing.assert_allclose(found["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)
    assert "sla_qc says not_used, which is neither good nor bad" in found.attrs["history"]


def test_a_flag_along_another_dimension_is_told(tmp_path):
    found = ingested(track(sla_qc=(("time", "test"), np.zeros((5, 2), np.int8), GOOD_BAD)), tmp_path)
    assert "sla_qc lies along other dimensions" in found.attrs["history"]


@pytest.mark.parametrize(
    "attrs",
    [
        {"valid_range": "-2.0 2.0"},
        {"valid_range": "-2.0, 2.0"},
        {"valid_range": "[-2, 2]"},
        {"valid_min": "-2", "valid_max": "2.0"},
    ],
)
def test_a_valid_range_as_text_is_obeyed(tmp_path, attrs):
    ds = track()
    ds["sla"].attrs.update(attrs)
    np.testing.assert_allclose(ingested(ds, tmp_path, keep_flagged=True)["sla"], SLA[SLA > -2], rtol=1e-6)


@pytest.mark.parametrize("text", ["-20000 20000", "-2.0 2.0"])
def test_a_valid_range_as_text_of_packed_values(tmp_path, text):
    ds = track()
    ds["sla"].attrs["valid_range"] = text
    ds["sla"].encoding.update(dtype="i4", scale_factor=1e-4, _FillValue=-999999)
    np.testing.assert_allclose(ingested(ds, tmp_path, keep_flagged=True)["sla"], SLA[SLA > -2], rtol=1e-5)


def began(period):
    ds = track().assign_coords(forecast_period=("time", period, {"units": "hours", "standard_name": "forecast_period"}))
    ds["time"].attrs["standard_name"] = "forecast_reference_time"
    return ds


def test_a_forecast_is_not_dated_when_it_began(tmp_path):
    with pytest.raises(DinoError, match="when a forecast began"):
        ingested(began(np.full(5, 24.0)), tmp_path)
    assert ingested(began(np.zeros(5)), tmp_path, keep_flagged=True).sizes["obs"] == 5
    ds = began(np.full(5, 24.0)).assign_coords(valid=("time", 86400.0 + np.arange(5.0), SECONDS))
    found = ingested(ds, tmp_path, keep_flagged=True)
    assert found["time"].values[0] == np.datetime64("2000-01-02")


@pytest.mark.parametrize("values", [np.array([0, 1], np.int8), "0 1", "0, 1", "01"])
def test_flags_that_are_characters_are_obeyed(tmp_path, values):
    attrs = {"flag_values": values, "flag_meanings": "good bad"}
    ds = track(SLA_QC=("time", np.array([b"0", b"0", b" ", b"1", b"0"], "S1"), attrs))
    ds["SLA_QC"].encoding["char_dim_name"] = "time"
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", 5)
        for name in ("time", "latitude", "longitude", "sla"):
            file.createVariable(name, "f8", ("time",))[:] = ds[name].values
            file[name].setncatts(ds[name].attrs)
        file.createVariable("SLA_QC", "S1", ("time",), fill_value=b" ")[:] = ds["SLA_QC"].values
        file["SLA_QC"].setncatts(attrs)
    np.testing.assert_allclose(ingest(tmp_path / "a.nc")["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", ["flag_masks", "flag_values"])
def test_flags_without_a_sign_are_obeyed(tmp_path, kind):
    words = "land sea_ice" if kind == "flag_masks" else "good bad"
    attrs = {kind: np.array([1, -128], np.int8), "flag_meanings": words, "_Unsigned": "true"}
    ds = track(sla_qc=("time", np.array([0, 0, 0, -128, 0], np.int8), attrs))
    np.testing.assert_allclose(ingested(ds, tmp_path)["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)


@pytest.mark.parametrize("name", ["TIME_QC", "POSITION_QC", "longitude_qc", "qc_lat"])
def test_flags_of_times_and_positions_are_obeyed_or_told(tmp_path, name):
    found = ingested(track(**{name: ("time", FLAG, GOOD_BAD)}), tmp_path)
    np.testing.assert_allclose(found["sla"], [0.1, 0.2, 0.3, 0.5], rtol=1e-6)
    silent = ingested(track(**{name: ("time", FLAG)}), tmp_path)
    assert f"{name} does not say what its values mean" in silent.attrs["history"]


def test_a_flag_of_a_table_of_text_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,time,adt [m],adt_qc\n5,38,2014-05-15,0.1,4\n")
    assert "adt_qc does not say what its values mean" in ingest(tmp_path / "a.csv").attrs["history"]
