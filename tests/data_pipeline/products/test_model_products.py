"""Maps as models and analyses keep them: removed land, staggered currents, levels, masks of lakes."""

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import SchemaError
from data_pipeline.layout.datasets import check_fields
from data_pipeline.products import ingest

DAYS = {"units": "days since 2000-01-01"}


def saved(tmp_path, ds, name="a.nc"):
    ds.to_netcdf(tmp_path / name)
    return tmp_path / name


def turned_grid(angle, rows=5, columns=6, step=0.1):
    """(longitude, latitude) of a grid near the equator whose rows point `angle` radians north of east."""
    x, y = np.meshgrid(step * np.arange(columns), step * np.arange(rows))
    return 10.0 + x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


@pytest.mark.parametrize("stand_in", [-1.0, 0.0, np.nan])
def test_removed_land_of_nemo_has_no_position(tmp_path, stand_in):
    longitude, latitude = turned_grid(0.0)
    longitude[:2, :3], latitude[:2, :3] = stand_in, stand_in
    values = np.ones((1, 5, 6))
    ds = xr.Dataset(
        {"sossheig": (("time_counter", "y", "x"), values, {"units": "m"})},
        coords={
            "nav_lon": (("y", "x"), longitude),
            "nav_lat": (("y", "x"), latitude),
            "time_counter": ("time_counter", [0.5], DAYS),
        },
    )
    ds = ingest(saved(tmp_path, ds))
    check_fields(ds)
    assert ds.attrs["product"] == "nemo"
    assert int(ds["longitude"].isnull().sum()) == int(ds["ssh"].isnull().sum()) == 6
    assert "ssh: 24 of 30 values kept; dropped 6 without position" in ds.attrs["history"]


def test_the_fold_of_a_tripolar_grid_keeps_its_positions(tmp_path):
    longitude, latitude = turned_grid(0.0)
    longitude[-1], latitude[-1] = longitude[-2, ::-1], latitude[-2, ::-1]
    ds = xr.Dataset(
        {"tos": (("y", "x"), np.ones((5, 6)), {"units": "degC"})},
        coords={"nav_lon": (("y", "x"), longitude), "nav_lat": (("y", "x"), latitude)},
    )
    assert int(ingest(saved(tmp_path, ds), time="2000-01-01")["longitude"].isnull().sum()) == 0


def roms(angle, east, north, with_angle):
    """Native ROMS with uniform currents, given to the faces along the axes of a turned grid, and a land cell."""
    longitude, latitude = turned_grid(angle)
    rows, columns = longitude.shape
    along, across = east * np.cos(angle) + north * np.sin(angle), north * np.cos(angle) - east * np.sin(angle)
    mask = np.ones((rows, columns))
    mask[2, 2] = 0.0
    ds = xr.Dataset(
        {
            "zeta": (("ocean_time", "eta_rho", "xi_rho"), np.full((1, rows, columns), 0.2), {"units": "meter"}),
            "temp": (
                ("ocean_time", "s_rho", "eta_rho", "xi_rho"),
                np.stack([np.full((1, rows, columns), 5.0), np.full((1, rows, columns), 15.0)], axis=1),
                {"units": "Celsius"},
            ),
            "salt": (("ocean_time", "s_rho", "eta_rho", "xi_rho"), np.full((1, 2, rows, columns), 35.0)),
            "u": (
                ("ocean_time", "s_rho", "eta_u", "xi_u"),
                np.full((1, 2, rows, columns - 1), along),
                {"units": "m/s"},
            ),
            "v": (
                ("ocean_time", "s_rho", "eta_v", "xi_v"),
                np.full((1, 2, rows - 1, columns), across),
                {"units": "m/s"},
            ),
            "mask_rho": (("eta_rho", "xi_rho"), mask),
        },
        coords={
            "lon_rho": (("eta_rho", "xi_rho"), longitude),
            "lat_rho": (("eta_rho", "xi_rho"), latitude),
            "lon_u": (("eta_u", "xi_u"), longitude[:, 1:]),
            "lat_u": (("eta_u", "xi_u"), latitude[:, 1:]),
            "s_rho": [-0.9, -0.1],
            "ocean_time": ("ocean_time", [3600.0], {"units": "seconds since 2000-01-01"}),
        },
    )
    return ds.assign(angle=(("eta_rho", "xi_rho"), np.full((rows, columns), angle))) if with_angle else ds


@pytest.mark.parametrize(("angle", "with_angle"), [(0.0, True), (0.7, False), (-2.0, True)])
def test_currents_of_roms_are_turned_and_centred(tmp_path, angle, with_angle):
    ds = ingest(saved(tmp_path, roms(angle, 0.3, -0.4, with_angle)))
    assert ds.attrs["product"] == "roms"
    assert set(ds.data_vars) == {"ssh", "temperature", "salinity", "u", "v"}
    inner = {"y": slice(1, -1), "x": slice(1, -1)}
    kept = np.isfinite(ds["u"].isel(inner).values)
    assert np.count_nonzero(kept) == 3 * 4 - 1
    np.testing.assert_allclose(ds["u"].isel(inner).values[kept], 0.3, atol=1e-4)
    np.testing.assert_allclose(ds["v"].isel(inner).values[kept], -0.4, atol=1e-4)
    assert np.isnan(ds["u"].values[0, :, 0]).all()
    np.testing.assert_allclose(np.unique(ds["temperature"].values[np.isfinite(ds["temperature"].values)]), 15.0)
    assert "ssh: 29 of 30 values kept; dropped 1 on land" in ds.attrs["history"]
    assert ds["time"].values[0] == np.datetime64("2000-01-01T01:00")


def test_depth_of_terrain_following_levels_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="no depths in metres"):
        ingest(saved(tmp_path, roms(0.0, 0.0, 0.0, True)), depth=100.0)


def levels(**attrs):
    """Salinity equal to the number of its level, at 0.5, 10 and 100 m, and sea level without levels."""
    values = np.broadcast_to(np.arange(1.0, 4.0)[None, :, None, None], (2, 3, 2, 2))
    ds = xr.Dataset(
        {
            "so": (("time", "depth", "latitude", "longitude"), values, {"units": "1e-3"}),
            "zos": (("time", "latitude", "longitude"), np.zeros((2, 2, 2)), {"units": "m"}),
        },
        coords={
            "time": ("time", [0.5, 1.5], DAYS),
            "depth": ("depth", [0.5, 10.0, 100.0], {"units": "m", **attrs}),
            "latitude": [1.0, 2.0],
            "longitude": [1.0, 2.0],
        },
    )
    return ds.assign_attrs(source="MERCATOR GLORYS12V1")


@pytest.mark.parametrize(("depth", "level"), [(None, 1.0), (12.0, 2.0), (5000.0, 3.0)])
def test_one_level_is_taken(tmp_path, depth, level):
    ds = ingest(saved(tmp_path, levels()), depth=depth)
    assert ds.attrs["product"] == "glo12"
    assert set(np.unique(ds["salinity"])) == {level}
    assert ds["ssh"].shape == (2, 2, 2)
    assert ds["time"].values[0] == np.datetime64("2000-01-01T12:00")
    assert "taken of 3 levels" in ds.attrs["history"]


def test_depths_that_are_none_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="has no levels"):
        ingest(saved(tmp_path, levels()[["zos"]], "b.nc"), depth=5.0)
    with pytest.raises(SchemaError, match="no depths in metres"):
        ingest(saved(tmp_path, levels(units="hPa")), depth=5.0)


def test_lakes_of_ostia_are_dropped(tmp_path):
    ds = xr.Dataset(
        {
            "analysed_sst": (("time", "lat", "lon"), np.full((1, 2, 3), 290.0), {"units": "kelvin"}),
            "mask": (("time", "lat", "lon"), np.array([[[1, 2, 5], [9, 1, 1]]], np.int8)),
        },
        coords={"time": ("time", [0.5], DAYS), "lat": [1.0, 2.0], "lon": [1.0, 2.0, 3.0]},
        attrs={"title": "Global SST & Sea Ice Analysis, L4 OSTIA"},
    )
    ds = ingest(saved(tmp_path, ds))
    assert ds.attrs["product"] == "ghrsst"
    assert "sst: 4 of 6 values kept; dropped 2 on land or lake" in ds.attrs["history"]


def test_oisst_gives_temperature_and_anomaly(tmp_path):
    dims = ("time", "zlev", "lat", "lon")
    ds = xr.Dataset(
        {
            "sst": (dims, np.full((1, 1, 2, 2), 20.0), {"units": "Celsius"}),
            "anom": (dims, np.full((1, 1, 2, 2), 0.5), {"units": "Celsius"}),
            "err": (dims, np.full((1, 1, 2, 2), 0.1), {"units": "Celsius"}),
        },
        coords={"time": ("time", [0.5], DAYS), "zlev": [0.0], "lat": [1.0, 2.0], "lon": [1.0, 2.0]},
        attrs={"title": "NOAA 1/4 Degree Daily Optimum Interpolation SST (OISST) Analysis, Version 2.1"},
    )
    ds = ingest(saved(tmp_path, ds))
    assert ds.attrs["product"] == "oisst"
    np.testing.assert_array_equal(ds["sst"], 20.0)
    np.testing.assert_array_equal(ds["sst_anomaly"], 0.5)


def test_a_scene_of_slstr_has_its_clock_time(tmp_path):
    ds = xr.Dataset(
        {"SST_skin_Q4plus": (("time", "lat", "lon"), np.full((1, 2, 2), 290.0), {"units": "K"})},
        coords={"time": ("time", [0.0], DAYS), "lat": [1.0, 2.0], "lon": [1.0, 2.0]},
        attrs={"title": "SENTINEL-3 SLSTR Level 2 Water Product", "start_date": "01-JAN-2000 21:44:50.313533"},
    )
    path = saved(tmp_path, ds)
    assert ingest(path)["time"].values[0] == np.datetime64("2000-01-01T21:44:50.313533")
    later = saved(tmp_path, ds.assign_attrs(start_date="03-JAN-2000 21:44:50.3"), "b.nc")
    assert ingest(later)["time"].values[0] == np.datetime64("2000-01-01")


def test_axes_no_globe_has_are_refused(tmp_path):
    ds = levels().assign_coords(latitude=[80.0, 100.0])
    with pytest.raises(SchemaError, match=r"latitude axis .* reaches 100 degrees"):
        ingest(saved(tmp_path, ds))
