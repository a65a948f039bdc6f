"""NASA-SSH along the track: its flag is obeyed, its heights are anomalies, its smoothed copy stays out."""

import json

import numpy as np
import pytest
import xarray as xr

from data_pipeline.layout.datasets import channel_names, check_observations
from data_pipeline.products import detect, ingest

SSH = np.array([0.1, -0.2, np.nan, 12.0, 0.3, 4.0])
BAD = np.array([0.0, 0.0, 1.0, 1.0, 1.0, np.nan], np.float32)
DAYS = [f"GSFC-alt_ssh2022010{day}.nc" for day in range(1, 8)]


@pytest.fixture
def track(tmp_path):
    """Six seconds of a track, with the attributes that the product has."""
    described = {
        "standard_name": "ssh",
        "units": "m",
        "mean_sea_surface": "DTU21",
        "valid_min": -7.0,
        "valid_max": 14.0,
    }
    along = {
        "ssh": ("time", SSH, described),
        "ssh_smoothed": ("time", np.full(6, 0.05), {**described, "standard_name": "ssh_smoothed"}),
        "dac": ("time", np.zeros(6), {"units": "m"}),
        "cycle": ("time", np.full(6, 1079.0)),
        "pass": ("time", np.full(6, 72.0)),
        "nasa_flag": ("time", BAD, {"flag_meanings": "good bad"}),
        "source_flag": (("time", "src_flag_dim"), np.ones((6, 6), np.float32)),
    }
    coords = {
        "time": ("time", np.arange(6.0), {"units": "seconds since 1990-01-01"}),
        "latitude": ("time", np.linspace(10.0, 11.0, 6, dtype=np.float32), {"units": "degrees_north"}),
        "longitude": ("time", np.linspace(200.0, 201.0, 6, dtype=np.float32), {"units": "degrees_east"}),
    }
    title = {"title": "Standardized Along-Track Sea Surface Height", "source_files": "Merged_Jason-3_Cycle_1079"}
    path = tmp_path / "a_day.nc"
    xr.Dataset(along, coords=coords, attrs=title).to_netcdf(path)
    return path


def counts(ds):
    (source,) = json.loads(ds.attrs["sources"])
    return source["counts"]["sla"]


def test_the_flag_is_obeyed_and_the_height_is_an_anomaly(track):
    assert detect(track).name == "nasa-ssh"
    ds = ingest(track)
    check_observations(ds)
    assert channel_names(ds) == ["sla"]
    np.testing.assert_allclose(ds["sla"], [0.1, -0.2, 4.0], rtol=1e-6)  # a missing flag judges nothing
    np.testing.assert_allclose(ds["longitude"], [-160.0, -159.8, -159.0], atol=1e-4)
    assert counts(ds) == {"read": 6, "kept": 3, "dropped": {"missing in the file": 1, "with a bad nasa_flag": 2}}
    assert "mean sea surface DTU21" in ds.attrs["history"]
    assert "made from Merged_Jason-3_Cycle_1079" in ds.attrs["history"]


def test_flagged_values_stay_where_they_are_wanted_and_possible(track):
    ds = ingest(track, keep_flagged=True)
    np.testing.assert_allclose(ds["sla"], [0.1, -0.2, 0.3, 4.0], rtol=1e-6)
    assert counts(ds)["dropped"] == {"missing in the file": 1, "outside [-5, 5] m": 1}


def test_the_later_version_calls_the_height_ssha(track, tmp_path):
    with xr.open_dataset(track) as ds:
        ds.rename(ssh="ssha", ssh_smoothed="ssha_smoothed").to_netcdf(tmp_path / "later.nc")
    xr.testing.assert_equal(ingest(tmp_path / "later.nc")["sla"], ingest(track)["sla"])


def test_a_week_of_real_files(real_data):
    paths = [real_data / "alongtrack" / day for day in DAYS]
    ds = ingest(paths)
    check_observations(ds)
    assert ds.attrs["product"] == "nasa-ssh"
    assert list(ds["source_name"].values) == [path.stem for path in paths]
    with xr.open_mfdataset(paths, combine="nested", concat_dim="time", data_vars="minimal") as raw:
        good = ((raw["nasa_flag"] == 0) & raw["ssh"].notnull()).values
        heights, moments = raw["ssh"].values[good], raw["time"].values[good].astype("M8[us]")
    assert np.count_nonzero(good) == 394_395
    # Eight of them lie off their neighbours along the pass; all others come through as they are.
    assert ds.sizes["obs"] == 394_395 - 8
    kept = np.isin(moments, ds["time"].values.astype("M8[us]"))
    np.testing.assert_allclose(ds["sla"], heights[kept], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ds["time"].values.astype("M8[us]"), moments[kept])


@pytest.mark.parametrize(
    ("flag", "kept"), [("nasa_flag", [0, 1, 5]), ("source_flag", [0, 3, 5]), ("none", [0, 1, 4, 5])]
)
def test_what_nasa_flag_is_made_from_stands_in_for_it(tmp_path, flag, kept):
    """Without nasa_flag its parts judge; rain and corrections at their limits are tolerated, as nasa_flag does."""
    columns = np.zeros((6, 6), np.float32)
    columns[[1, 4], [0, 4]] = columns[[0, 3], [3, 5]] = 1.0  # radiometer, ice; rain, a correction
    held = {"nasa_flag": ("time", BAD), "source_flag": (("time", "src_flag_dim"), columns)}
    median = np.array([0.0, 0.0, 1.0, 0.0, 0.0, np.nan], np.float32)
    ds = xr.Dataset(
        {
            "ssh": ("time", np.array([0.1, -0.2, np.nan, 0.2, 0.3, 0.4]), {"units": "m"}),
            "median_filter_flag": ("time", median),
            **({flag: held[flag]} if flag in held else {}),
        },
        coords={
            "time": ("time", np.arange(6.0), {"units": "seconds since 1990-01-01"}),
            "latitude": ("time", np.linspace(10.0, 11.0, 6), {"units": "degrees_north"}),
            "longitude": ("time", np.linspace(200.0, 201.0, 6), {"units": "degrees_east"}),
        },
    )
    if flag == "none":
        ds["median_filter_flag"][:] = [0.0, 0.0, 1.0, 1.0, 0.0, np.nan]
    ds.to_netcdf(tmp_path / "a.nc")
    found = ingest(tmp_path / "a.nc")
    assert found.attrs["product"] == "nasa-ssh"
    np.testing.assert_allclose(found["sla"], ds["ssh"].values[kept], rtol=1e-6)
