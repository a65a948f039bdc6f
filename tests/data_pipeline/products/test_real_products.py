"""Real files: what a store holds equals what xarray alone reads, to packing precision, and nothing is lost untold."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from data_pipeline.layout.globe import wrap_longitude
from data_pipeline.products import ingest
from data_pipeline.stores.writing import open_store, write_store

KELVIN = 273.15
S6A = "alongtrack/S6A_P4_2__HR_RED__NR_014_191_20210403T004056_20210403T005056_F00.nc"
# file: (channel, variable, longitude, latitude, groups, subtracted, time by xarray or not)
POINTS = {
    "alongtrack/JA1_GPN_2PeP001_002_20020115_060706_20020115_070316.nc": ("sla", "ssha", "lon", "lat", (), 0.0, True),
    S6A: ("sla", "ssha", "longitude", "latitude", ("data_01", "data_01/ku"), 0.0, True),
    "alongtrack/dt_med_al_adt_vfec_20140101_20140829.nc": ("adt", "ADT", "longitude", "latitude", (), 0.0, True),
    "alongtrack/dt_med_al_phy_vxxc_l3_20140605_20170110.nc": (
        "sla",
        "sla_unfiltered",
        "longitude",
        "latitude",
        (),
        0.0,
        True,
    ),
    "alongtrack/nrt_blacksea_al_phy_vfec_l3_20190102_20190123.nc": (
        "sla",
        "sla_filtered",
        "longitude",
        "latitude",
        (),
        0.0,
        True,
    ),
    "swaths/SWOT_L3_LR_SSH_Expert_003_v2.0.1-med.nc": ("sla", "ssha_filtered", "lon", "lat", (), 0.0, False),
    "swaths/swot_l2_simulated_pass_2010-03-08.nc": ("ssh", "ssh_karin_filt", "longitude", "latitude", (), 0.0, True),
    "swaths/ghrsst_l2p_modis_terra_2019-08-05.nc": (
        "sst",
        "sea_surface_temperature",
        "lon",
        "lat",
        (),
        KELVIN,
        False,
    ),
}
# file: (channel, variable, longitude, latitude, subtracted)
MAPS = {
    "grids/duacs_l4_med_adt_2005-04-01_2005-06-09.nc": ("adt", "adt", "longitude", "latitude", 0.0),
    "grids/duacs_l4_global_sla_2014-01.nc": ("sla", "sla", "longitude", "latitude", 0.0),
    "grids/globcurrent_agulhas_2002-01-01_2002-08-31.nc": (
        "v",
        "northward_eulerian_current_velocity",
        "lon",
        "lat",
        0.0,
    ),
    "grids/ersst_v5_monthly_2010-01_2020-08.nc": ("sst", "sst", "lon", "lat", 0.0),
    "grids/tropical_pacific_sst_anom_monthly_197001_200303.nc": ("sst_anomaly", "sst_anom", "lon", "lat", 0.0),
    "grids/mercator_glo12_zos_2022-02-17_2022-02-24.nc": ("ssh", "zos", "longitude", "latitude", 0.0),
    "swaths/SLSTR_SL_2_WST_NW_med.nc": ("sst", "SST_skin_Q4plus", "lon_intern", "lat_intern", KELVIN),
    "swaths/avhrr_l3_alboran_2017-05-14_2017-05-24.nc": ("sst", "SST", "lon", "lat", 0.0),
    "traps/global_adt_no_fillvalue_2019-01-01.nc": ("adt", "adt", "longitude", "latitude", 0.0),
}
CURVILINEAR = {
    "grids/nemo_orca1_tos_2015-01.nc": ("sst", "tos", "nav_lon", "nav_lat"),
    "grids/eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc": ("ssh", "sossheig", "lon", "lat"),
    "grids/roms_arctic20_2016-02-01_2016-02-05.nc": ("ssh", "zeta", "longitude", "latitude"),
}


def stored(path, tmp_path):
    return open_store(write_store(ingest(path), tmp_path / "a.zarr"))


def tolerance(variable):
    """Half a step of the packing, or what float32 holds of kelvins where there is none."""
    return max(
        0.5 * variable.encoding.get("scale_factor", 0.0), 2e-5 if "K" in str(variable.attrs.get("units")) else 1e-6
    )


def raw_points(path, groups):
    """Longitude and the like as xarray reads them, groups merged."""
    parts = [xr.open_dataset(path, group=group, decode_timedelta=False) for group in groups or (None,)]
    return xr.merge([part.drop_vars("time") if part is not parts[0] and "time" in part else part for part in parts])


@pytest.mark.parametrize("file", POINTS)
def test_points_of_real_files(real_data, tmp_path, file):
    channel, name, lon, lat, groups, subtracted, timed = POINTS[file]
    raw = raw_points(real_data / file, groups)
    ds = stored(real_data / file, tmp_path)
    (count,) = [source["counts"][channel] for source in json.loads(ds.attrs["sources"])]
    assert count["read"] == raw[name].size
    assert count["kept"] == ds.sizes["obs"] == int(np.isfinite(ds[channel]).sum())
    assert count["dropped"].get("missing in the file", 0) == int(raw[name].isnull().sum())
    values = raw[name].squeeze(drop=True)
    columns = {"longitude": wrap_longitude(raw[lon].values.ravel()), "latitude": raw[lat].values.ravel()}
    columns |= {"raw": values.values.ravel() - subtracted}
    if timed:
        columns["time"] = (
            np.broadcast_to(raw["time"].values.reshape(-1, *[1] * (values.ndim - 1)), values.shape)
            .ravel()
            .astype("datetime64[us]")
        )
    keys = [key for key in columns if key != "raw"]
    table = pd.DataFrame(columns).dropna(subset=["raw"])
    mine = pd.DataFrame({key: ds[key].values for key in keys} | {"mine": ds[channel].values})
    if timed:
        mine["time"] = mine["time"].astype("datetime64[us]")
    joined = mine.merge(table, on=keys, how="left")
    assert len(joined) == len(mine)
    assert joined["raw"].notna().all()
    np.testing.assert_allclose(joined["mine"], joined["raw"], rtol=0, atol=tolerance(raw[name]))


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=pytest.mark.slow if "global_sla" in file else ()) for file in MAPS]
)
def test_maps_of_real_files(real_data, tmp_path, file):
    channel, name, lon, lat, subtracted = MAPS[file]
    ds = stored(real_data / file, tmp_path)
    with xr.open_dataset(real_data / file) as raw:
        wanted = raw.assign_coords({lon: wrap_longitude(raw[lon])}).sortby([lat, lon])[name]
        wanted = wanted.transpose(..., lat, lon).values.reshape(ds[channel].shape) - subtracted
        wanted = np.where(wanted < -1e5, np.nan, wanted)  # the trap's undeclared fill value
        np.testing.assert_allclose(ds[channel].values, wanted, rtol=0, atol=tolerance(raw[name]))
    (count,) = [source["counts"][channel] for source in json.loads(ds.attrs["sources"])]
    assert count["read"] == wanted.size
    assert count["kept"] == np.count_nonzero(np.isfinite(wanted))


@pytest.mark.parametrize("file", CURVILINEAR)
def test_curvilinear_maps_of_real_files(real_data, tmp_path, file):
    channel, name, lon, lat = CURVILINEAR[file]
    ds = stored(real_data / file, tmp_path)
    with xr.open_dataset(real_data / file) as raw:
        np.testing.assert_allclose(
            ds[channel].values, raw[name].values.reshape(ds[channel].shape), rtol=0, atol=tolerance(raw[name])
        )
        np.testing.assert_array_equal(ds["longitude"], wrap_longitude(raw[lon]))
        np.testing.assert_array_equal(ds["latitude"], raw[lat].astype(np.float64))


def test_text_of_real_files(real_data, tmp_path):
    path = real_data / "alongtrack" / "med_adt_2014-05-15_2014-06-03_mission1.dat"
    raw = np.loadtxt(path)
    raw = raw[np.argsort(raw[:, 2], kind="stable")]
    ds = stored(path, tmp_path)
    np.testing.assert_allclose(ds["longitude"], wrap_longitude(raw[:, 0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ds["latitude"], raw[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ds["adt"], raw[:, 3], rtol=0, atol=1e-6)
    seconds = (ds["time"].values - np.datetime64("1950-01-01")) / np.timedelta64(1, "s")
    np.testing.assert_allclose(seconds, raw[:, 2] * 86400.0, rtol=0, atol=1e-5)


def test_currents_of_a_real_projected_grid_keep_their_speed(real_data):
    path = real_data / "grids" / "roms_arctic20_2016-02-01_2016-02-05.nc"
    ds = ingest(path)
    with xr.open_dataset(path) as raw:
        speed = np.hypot(raw["u"], raw["v"]).isel(depth=0).values
    np.testing.assert_allclose(np.hypot(ds["u"], ds["v"]).values, speed, atol=1e-5)


def test_times_of_a_real_pass_without_time(real_data):
    """Lines of KaRIn are 0.3 s apart, as the file's own resolution says, and within its pass."""
    ds = ingest(real_data / "swaths" / "SWOT_L3_LR_SSH_Expert_003_v2.0.1-med.nc")
    steps = np.diff(np.unique(ds["time"].values)) / np.timedelta64(1, "s")
    assert np.median(steps) == pytest.approx(0.3, abs=0.02)
    assert ds["time"].values[0] > np.datetime64("2023-03-28T23:44:17")
    assert ds["time"].values[-1] < np.datetime64("2023-03-29T00:35:22")
