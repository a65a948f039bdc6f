"""Toy data sets that tests share, and the folder of real files where there is one."""

import os
from pathlib import Path

# Two workers of pytest share two cores: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import xarray as xr

from data_pipeline.layout.datasets import fields_dataset, observations_dataset


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files (see its CATALOG.md); skips where it is absent."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("DINO_DATA", default))
    if not (folder / "CATALOG.md").exists():
        pytest.skip(f"no real data in {folder}; set DINO_DATA to use some")
    return folder


@pytest.fixture
def toy_fields() -> xr.Dataset:
    """Two channels of 5 daily maps on a 4 x 6 grid with one land cell, values known in closed form."""
    time = np.datetime64("2014-05-15", "ns") + np.arange(5) * np.timedelta64(1, "D")
    longitude, latitude = np.linspace(-5.0, 5.0, 6), np.linspace(30.0, 36.0, 4)
    adt = 0.1 * np.arange(5)[:, None, None] + 0.01 * latitude[:, None] + 0.02 * longitude
    adt[:, 1, 2] = np.nan
    attrs = {"product": "toy", "sources": [{"file": "toy.nc", "sha256": "0" * 64, "bytes": 1}], "history": "made"}
    return fields_dataset(time, longitude, latitude, {"adt": adt, "sst": 20.0 + adt}, attrs)


@pytest.fixture
def toy_observations() -> xr.Dataset:
    """500 observations of two sources over ten days, with errors, from a fixed seed."""
    rng = np.random.default_rng(7)
    time = np.datetime64("2014-05-15", "us") + (rng.random(500) * 10 * 86_400e6).astype("timedelta64[us]")
    return observations_dataset(
        time,
        rng.uniform(-180.0, 180.0, 500),
        rng.uniform(-60.0, 60.0, 500),
        {"adt": rng.normal(0.0, 0.1, 500)},
        {"adt": np.full(500, 0.02)},
        rng.integers(0, 2, 500),
        ["mission1", "mission2"],
        {"product": "toy", "history": "made"},
    )


@pytest.fixture
def toy_netcdf(tmp_path: Path) -> Path:
    """A global 0-360 grid packed as int16 (1 mm), latitudes descending, three noon maps, as products come."""
    longitude, latitude = np.arange(0.0, 360.0, 45.0), np.arange(60.0, -61.0, -30.0)
    values = 0.001 * (np.arange(3)[:, None, None] * 100 + latitude[:, None] + longitude / 10.0).round()
    values[:, 0, 3] = np.nan
    ds = xr.Dataset(
        {"adt": (("time", "lat", "lon"), values, {"units": "m", "standard_name": "sea_surface_height_above_geoid"})},
        coords={
            "time": ("time", np.array([0.5, 1.5, 2.5]), {"units": "days since 2014-05-15"}),
            "lat": ("lat", latitude, {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        },
        attrs={"history": "born"},
    )
    path = tmp_path / "maps.nc"
    ds.to_netcdf(path, encoding={"adt": {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -32768}})
    return path
