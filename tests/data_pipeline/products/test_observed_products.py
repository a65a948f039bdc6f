"""Swaths and altimeter passes as products keep them: made here, read by `ingest`, compared with what was put in."""

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError, UnitsError
from data_pipeline.layout.datasets import check_observations
from data_pipeline.products import detect, files, ingest

LINES, PIXELS = 6, 4
LATITUDE, LONGITUDE = np.meshgrid(np.linspace(30.0, 31.0, LINES), np.linspace(359.0, 361.0, PIXELS), indexing="ij")
VALUES = 0.01 * np.arange(LINES * PIXELS, dtype=np.float64).reshape(LINES, PIXELS)
VALUES[2, 1] = np.nan
SECONDS = {"units": "seconds since 2000-01-01"}
SWATH = ("num_lines", "num_pixels")


def swath(name="ssha_karin_2", dims=SWATH, units="m", time=True, **more):
    """A swath of LINES x PIXELS with one missing value, a time for each line ten seconds apart."""
    variables = {name: (dims, VALUES.copy(), {"units": units} if units else {}), **more}
    coords = {"latitude": (dims, LATITUDE), "longitude": (dims, LONGITUDE)}
    if time:
        coords["time"] = (dims[0], 10.0 * np.arange(LINES), SECONDS)
    return xr.Dataset(variables, coords=coords)


def saved(tmp_path, ds, name="a.nc", group=None, **encoding):
    ds.to_netcdf(tmp_path / name, group=group, mode="a" if (tmp_path / name).exists() else "w", encoding=encoding)
    return tmp_path / name


def dropped(ds, channel):
    """Counts by reason, of all files."""
    reasons = {}
    for source in json.loads(ds.attrs["sources"]):
        for reason, number in source["counts"][channel]["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    return reasons


# SWOT


def test_each_pixel_of_a_swath_is_a_point(tmp_path):
    ds = ingest(saved(tmp_path, swath()))
    check_observations(ds)
    kept = np.isfinite(VALUES)
    assert ds.attrs["product"] == "swot-l2"
    np.testing.assert_allclose(ds["sla"], VALUES[kept], rtol=1e-6)
    np.testing.assert_allclose(ds["latitude"], LATITUDE[kept])
    np.testing.assert_allclose(ds["longitude"], (LONGITUDE[kept] + 180.0) % 360.0 - 180.0)
    lines = np.broadcast_to(np.arange(LINES)[:, None], VALUES.shape)[kept]
    start = np.datetime64("2000-01-01", "ns")
    np.testing.assert_array_equal(ds["time"], start + 10 * lines.astype("timedelta64[s]"))
    assert dropped(ds, "sla") == {"missing in the file": 1}


def test_blocks_of_any_size_give_the_same_points(tmp_path, monkeypatch):
    path = saved(tmp_path, swath())
    whole = ingest(path)
    for cells in (1, 3, 9):
        monkeypatch.setattr(files, "BLOCK_CELLS", cells)
        xr.testing.assert_equal(ingest(path), whole)


def test_quality_crossover_and_ellipsoid_of_swot_level_2(tmp_path):
    flags, correction = np.zeros((LINES, PIXELS)), np.full((LINES, PIXELS), 0.5)
    flags[0, :2] = 4096.0
    ice = np.zeros((LINES, PIXELS))
    ice[1, 0] = 2.0
    path = saved(
        tmp_path,
        swath(
            ssha_karin_2_qual=(SWATH, flags),
            dynamic_ice_flag=(SWATH, ice),
            height_cor_xover=(SWATH, correction, {"units": "m"}),
            ssh_karin_2=(SWATH, VALUES + 50.0, {"units": "m"}),
            nadir_sla=("num_lines", np.zeros(LINES)),
            latitude_nadir=("num_lines", LATITUDE[:, 0], {"standard_name": "latitude"}),
            longitude_nadir=("num_lines", LONGITUDE[:, 0], {"standard_name": "longitude"}),
        ),
    )
    ds = ingest(path)
    assert dropped(ds, "sla") == {"missing in the file": 1, "with a quality flag": 2, "over ice": 1}
    np.testing.assert_allclose(ds["sla"].values[0], VALUES[0, 2] + 0.5, rtol=1e-6)
    assert "ssh" not in ds
    assert "height_cor_xover added" in ds.attrs["history"]
    kept = ingest(path, keep_flagged=True)
    assert dropped(kept, "sla") == {"missing in the file": 1}


def test_two_sides_of_a_swath_in_groups(tmp_path):
    for number, side in enumerate(("left", "right")):
        ds = swath("ssha_karin").drop_encoding()
        ds["ssha_karin"] = ds["ssha_karin"].copy(data=VALUES + number).assign_attrs(units="m")
        path = saved(tmp_path, ds, group=side)
    ds = ingest(path)
    assert ds.sizes["obs"] == 2 * (VALUES.size - 1)
    assert dropped(ds, "sla") == {"missing in the file": 2}
    np.testing.assert_allclose(np.sort(ds["sla"])[-1], np.nanmax(VALUES) + 1.0)


def level3(**more):
    """SWOT Level 3 as it comes: a standard name that is not its quantity, no time."""
    ds = swath("ssha_unfiltered", time=False, **more)
    ds["ssha_unfiltered"].attrs["standard_name"] = "sea_surface_height_above_reference_ellipsoid"
    ds.attrs |= {"title": "NRT SWOT KaRIn & nadir Global Ocean swath SSALTO/DUACS L3 product"}
    return ds


def test_nadir_pixels_of_swot_level_3_are_a_source(tmp_path):
    index = {"i_num_line": ("num_nadir", [0, 4]), "i_num_pixel": ("num_nadir", [1, 2])}
    ds = level3(mdt=(SWATH, np.ones((LINES, PIXELS)), {"units": "m"}), **index)
    ds = ingest(saved(tmp_path, ds, "pass.nc"), time="2023-03-29T00:20:32")
    assert list(ds["source_name"].values) == ["pass", "pass nadir"]
    nadir = ds["sla"].values[ds["source"].values == 1]
    np.testing.assert_allclose(np.sort(nadir), np.sort([VALUES[0, 1], VALUES[4, 2]]), rtol=1e-6)
    np.testing.assert_allclose(ds["adt"], ds["sla"] + 1.0, rtol=1e-6)
    assert set(ds["time"].values) == {np.datetime64("2023-03-29T00:20:32")}


@pytest.mark.parametrize("direction", [1, -1])
def test_lines_of_a_pass_without_time_are_timed_by_latitude(tmp_path, direction):
    ds = level3()
    phase = np.linspace(-0.5, 0.5, LINES) * 0.9 * np.pi * direction
    latitude = np.rad2deg(np.arcsin(np.sin(np.deg2rad(77.6)) * np.sin(phase)))
    ds["latitude"] = (SWATH, np.repeat(latitude[:, None], PIXELS, axis=1))
    ds.attrs |= {"time_coverage_start": "2023-03-28T23:40:00Z", "time_coverage_end": "2023-03-29T00:30:00Z"}
    ds = ingest(saved(tmp_path, ds))
    minutes = (np.unique(ds["time"].values) - np.datetime64("2023-03-28T23:40")) / np.timedelta64(1, "m")
    np.testing.assert_allclose(minutes, np.linspace(2.5, 47.5, LINES), atol=1e-4)
    assert "time of each line from time_coverage_start and _end and its latitude" in ds.attrs["history"]


def test_lines_of_a_piece_with_its_own_coverage_are_evenly_timed(tmp_path):
    ds = level3()
    ds.attrs |= {"time_coverage_start": "2023-03-28T23:40:00Z", "time_coverage_end": "2023-03-28T23:40:05Z"}
    times = np.unique(ingest(saved(tmp_path, ds))["time"].values)
    np.testing.assert_array_equal(np.diff(times), np.timedelta64(1, "s"))


def test_a_swath_of_unknown_time_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="--time"):
        ingest(saved(tmp_path, level3()))
    with pytest.raises(SchemaError, match="leave out --time"):
        ingest(saved(tmp_path, swath(), "b.nc"), time="2023-03-29")


# GHRSST


def ghrsst(units="kelvin", **more):
    dims = ("time", "nj", "ni")
    variables = {
        "sea_surface_temperature": (dims, 290.0 + VALUES[None], {"units": units}),
        "sst_dtime": (dims, 60.0 * np.ones((1, LINES, PIXELS)), {"units": "seconds"}),
        **{name: (dims, np.asarray(values)[None], attrs) for name, (values, attrs) in more.items()},
    }
    coords = {"lat": (dims[1:], LATITUDE.copy()), "lon": (dims[1:], LONGITUDE), "time": ("time", [0.0], SECONDS)}
    return xr.Dataset(variables, coords=coords, attrs={"title": "GHRSST L2P", "processing_level": "L2P"})


def test_pixel_times_bias_error_and_quality_of_ghrsst(tmp_path):
    quality = np.full((LINES, PIXELS), 5.0)
    quality[0] = 2.0
    bias = np.full((LINES, PIXELS), 0.25)
    bias[1, 0] = np.nan
    ds = ingest(
        saved(
            tmp_path,
            ghrsst(
                quality_level=(quality, {}),
                sses_bias=(bias, {"units": "kelvin"}),
                sses_standard_deviation=(np.full((LINES, PIXELS), 0.4), {"units": "kelvin"}),
            ),
        )
    )
    assert ds.attrs["product"] == "ghrsst"
    assert dropped(ds, "sst") == {"missing in the file": 1, "of a quality level under 4": PIXELS}
    wanted = (290.0 + VALUES - 273.15 - np.nan_to_num(bias))[1:]
    np.testing.assert_allclose(ds["sst"], wanted[np.isfinite(wanted)], rtol=1e-6)
    np.testing.assert_allclose(ds["sst_error"], 0.4, rtol=1e-6)
    assert set(ds["time"].values) == {np.datetime64("2000-01-01T00:01")}
    assert "sst is sea_surface_temperature - sses_bias" in ds.attrs["history"]


def test_pixels_without_time_and_position_are_counted(tmp_path):
    ds = ghrsst()
    ds["sst_dtime"][0, 0] = np.nan
    ds["lat"][1, 1] = -999.0
    assert dropped(ingest(saved(tmp_path, ds)), "sst") == {
        "missing in the file": 1,
        "without position": 1,
        "without time": PIXELS,
    }


def test_pixel_times_of_other_units_are_refused(tmp_path):
    ds = ghrsst()
    ds["sst_dtime"].attrs["units"] = "minutes"
    with pytest.raises(UnitsError, match="seconds are wanted"):
        ingest(saved(tmp_path, ds))


def test_valid_range_of_the_file_is_that_of_packed_values(tmp_path):
    ds = ghrsst()
    ds["sea_surface_temperature"].attrs |= {"valid_min": np.int16(-1000), "valid_max": np.int16(1700)}
    packed = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
    ds = ingest(saved(tmp_path, ds, sea_surface_temperature=packed))
    beyond = np.count_nonzero(290.0 + np.nan_to_num(VALUES) > 290.15 + 0.005)
    assert dropped(ds, "sst") == {"missing in the file": 1, "outside the valid range that the file states": beyond}


def test_level_3_on_axes_are_points_with_own_times_unless_told(tmp_path):
    dims = ("time", "lat", "lon")
    ds = xr.Dataset(
        {
            "sea_surface_temperature": (dims, 290.0 + VALUES[None], {"units": "kelvin"}),
            "sst_dtime": (dims, np.arange(VALUES.size).reshape(1, LINES, PIXELS), {"units": "second"}),
        },
        coords={"lat": LATITUDE[:, 0], "lon": LONGITUDE[0], "time": ("time", [0.0], SECONDS)},
    )
    path = saved(tmp_path, ds)
    points = ingest(path)
    assert points.sizes["obs"] == VALUES.size - 1
    assert np.unique(points["time"]).size == VALUES.size - 1
    maps = ingest(path, layout="maps")
    assert maps["sst"].shape == (1, LINES, PIXELS)


def test_maps_with_gaps_as_points(tmp_path):
    dims = ("time", "lat", "lon")
    ds = xr.Dataset(
        {"sst": (dims, np.stack([VALUES, VALUES + 1.0]), {"units": "degC"})},
        coords={"lat": LATITUDE[:, 0], "lon": LONGITUDE[0], "time": ("time", [0.0, 60.0], SECONDS)},
    )
    points = ingest(saved(tmp_path, ds), layout="points")
    assert points.sizes["obs"] == 2 * (VALUES.size - 1)
    second = points.isel(obs=points["time"].values > np.datetime64("2000-01-01"))
    wanted = np.isfinite(VALUES)
    np.testing.assert_allclose(second["sst"], VALUES[wanted] + 1.0, rtol=1e-6)
    np.testing.assert_allclose(second["latitude"], LATITUDE[wanted])


# Altimetry, Level 2


def grouped_pass(tmp_path, name="S6A.nc"):
    """Sentinel-6 as it comes: an empty root, 1 Hz in data_01 with Ku band under it, 20 Hz beside."""
    path = tmp_path / name
    with netCDF4.Dataset(path, "w") as file:
        for group_name, count in (("data_01", 5), ("data_20", 100)):
            group = file.createGroup(group_name)
            group.createDimension("time", count)
            for variable, values, units in (
                ("time", np.linspace(0.0, 5.0, count), "seconds since 2000-01-01"),
                ("latitude", np.linspace(10.0, 11.0, count), "degrees_north"),
                ("longitude", np.linspace(20.0, 21.0, count), "degrees_east"),
                ("mean_dynamic_topography", np.full(count, 0.5), "m"),
                ("surface_classification_flag", np.arange(count) == 1, "1"),
            ):
                held = group.createVariable(variable, "f8", ("time",))
                held.units = units
                held[:] = values
            band = group.createGroup("ku")
            for variable, values, units in (
                ("ssha", 0.1 * np.arange(count), "m"),
                ("range_ocean", np.ones(count), "m"),
                ("range_ocean_qual", np.arange(count) == 2, "1"),
                ("range_ocean_rms", np.where(np.arange(count) == 3, 0.3, 0.05), "m"),
            ):
                held = band.createVariable(variable, "f8", ("time",))
                held.units = units
                held[:] = values
    return path


def test_one_hertz_of_a_grouped_pass(tmp_path):
    path = grouped_pass(tmp_path)
    assert detect(path).name == "altimetry-l2"
    ds = ingest(path)
    np.testing.assert_allclose(ds["sla"], [0.0, 0.4], atol=1e-7)
    np.testing.assert_allclose(ds["adt"], [0.5, 0.9], rtol=1e-6)
    assert dropped(ds, "sla") == {
        "not over the ocean": 1,
        "with a bad range": 1,
        "with a range that scatters over 0.2 m in the second": 1,
    }
    assert ingest(path, keep_flagged=True).sizes["obs"] == 5


def test_one_hertz_of_a_flat_pass(tmp_path):
    """Sentinel-3: both rates side by side, told apart by dimension."""
    variables, coords = {}, {}
    for rate, count in (("01", 3), ("20_ku", 60)):
        dim = f"time_{rate}"
        coords[dim] = (dim, np.linspace(0.0, 3.0, count), SECONDS | {"standard_name": "time"})
        coords[f"lat_{rate}"] = (dim, np.linspace(1.0, 2.0, count), {"standard_name": "latitude"})
        coords[f"lon_{rate}"] = (dim, np.linspace(1.0, 2.0, count), {"standard_name": "longitude"})
        variables[f"range_ocean_{rate}"] = (dim, np.ones(count), {"units": "m"})
    variables["ssha_01_ku"] = ("time_01", [0.1, 0.2, 0.3], {"units": "m"})
    variables["range_ocean_01_ku"] = ("time_01", np.ones(3), {"units": "m"})
    variables["open_sea_ice_flag_01_ku"] = ("time_01", [0.0, 1.0, np.nan])
    ds = ingest(saved(tmp_path, xr.Dataset(variables, coords)))
    np.testing.assert_allclose(ds["sla"], [0.1, 0.3], rtol=1e-6)
    assert dropped(ds, "sla") == {"over ice": 1}


def test_a_wholly_masked_pass_is_no_bad_file_but_no_store_either(tmp_path):
    good, masked = swath(), swath()
    masked["ssha_karin_2"][:] = np.nan
    good, masked = saved(tmp_path, good, "good.nc"), saved(tmp_path, masked, "masked.nc")
    ds = ingest([masked, good], strict=True)
    assert ds.sizes["obs"] == VALUES.size - 1
    assert "left_out" not in ds.attrs
    assert [source["counts"]["sla"]["kept"] for source in json.loads(ds.attrs["sources"])] == [0, VALUES.size - 1]
    with pytest.raises(EmptyDataError, match="24 missing in the file"):
        ingest(masked)


def test_a_channel_without_any_value_is_no_channel_of_the_store(tmp_path):
    ds = level3(mdt=(SWATH, np.full((LINES, PIXELS), np.nan), {"units": "m"}))
    ds = ingest(saved(tmp_path, ds), time="2023-03-29")
    assert "sla" in ds
    assert "adt" not in ds
    assert "adt: 0 of 24 values kept; dropped 24 missing in the file" in ds.attrs["history"]
