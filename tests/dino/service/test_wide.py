"""Forecasts in chunks against the forecast of everything at once."""

import numpy as np
import pytest
import xarray as xr
from dino.forecasts.wide import chunks_of, forecast_chunks, restricted, write_chunks
from dino.transfer.relocate import relocated

from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.config import StoreConfig
from dino.data.observations import days_since_epoch
from dino.errors import EmptyDataError, ObservationError
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model

DEGREES = 1.7  # no multiple of the cells, so that chunks differ


@pytest.fixture(scope="module")
def wide_sea() -> xr.Dataset:
    """A sea of 7 by 4 degrees with a corner of land, five days."""
    longitude, latitude = np.arange(28) * 0.25 + 2.125, np.arange(16) * 0.25 + 36.125
    day = np.arange(5)[:, None, None]
    values = 0.1 * np.sin(2 * longitude - 0.3 * day) * np.cos(3 * latitude[:, None]) + 0.02 * np.sin(7 * longitude)
    values[:, :5, :5] = np.nan
    time = np.datetime64("2005-04-01", "ns") + np.arange(5) * np.timedelta64(1, "D")
    return fields_dataset(time, longitude, latitude, {"adt": values}, attrs={"product": "toy sea"})


@pytest.fixture(scope="module")
def wide(sea_run, wide_sea):
    """The toy run, laid over the wide sea."""
    config = load_run_config(sea_run)
    return Forecaster(relocated(load_model(sea_run), wide_sea, StoreConfig(path=sea_run), config.domain))


@pytest.fixture(scope="module")
def target() -> xr.Dataset:
    """A grid that is finer than the maps, and reaches beyond them in the east."""
    return xr.Dataset(coords={"latitude": np.arange(36.3, 39.9, 0.17), "longitude": np.arange(2.2, 12.5, 0.21)})


def test_chunks_cover_a_grid_once(target):
    count = np.zeros((target.sizes["latitude"], target.sizes["longitude"]), int)
    for chunk in chunks_of(target.longitude.values, target.latitude.values, DEGREES):
        count[chunk.rows, chunk.columns] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("spread", [False, True])
def test_chunks_are_parts_of_the_whole_forecast(wide, wide_sea, target, tmp_path, spread):
    times = wide_sea.time.values[-1] + np.array([1, 3]).astype("timedelta64[D]")
    whole = wide.forecast(wide_sea, times, target, spread=spread)
    parts = forecast_chunks(wide, wide_sea, times, target, spread=spread, degrees=DEGREES)
    write_chunks(tmp_path / "made.zarr", parts, target)
    made = xr.open_zarr(tmp_path / "made.zarr", consolidated=False).load()
    assert set(made.data_vars) == set(whole.data_vars)
    for name in whole.data_vars:
        np.testing.assert_allclose(made[name], whole[name], rtol=1e-4, atol=1e-6)
        assert made[name].attrs.items() >= whole[name].attrs.items()
    assert np.isnan(made.adt.values).any()
    assert np.isfinite(made.adt.values).any()
    assert made.attrs == whole.attrs
    assert made.forecast_reference_time.values == whole.forecast_reference_time.values
    assert [path.name for path in tmp_path.iterdir()] == ["made.zarr"]


def test_a_chunk_holds_few_tiles(wide):
    some = restricted(wide.model, (4.0, 4.5, 38.0, 38.5))
    assert some is not None
    assert 0 < len(some.cover.charts) < len(wide.model.cover.charts) / 2
    assert some.decoder is wide.model.decoder
    assert len(some.context()) == len(some.amplitude()) == len(some.cover.charts)
    assert restricted(wide.model, (40.0, 41.0, 38.0, 38.5)) is None


def test_a_stopped_forecast_leaves_nothing(wide, wide_sea, target, tmp_path):
    times = wide_sea.time.values[-1:] + np.timedelta64(1, "D")

    def stopped():
        yield from list(forecast_chunks(wide, wide_sea, times, target, degrees=3.0))[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chunks(tmp_path / "made.zarr", stopped(), target)
    assert list(tmp_path.iterdir()) == []


def test_refusals(wide, wide_sea, target):
    times = wide_sea.time.values[-1:]
    far = target.assign_coords(longitude=target.longitude + 100)
    with pytest.raises(EmptyDataError, match="relocate"):
        list(forecast_chunks(wide, wide_sea, times, far))
    with pytest.raises(ObservationError, match="ascend"):
        list(forecast_chunks(wide, wide_sea, times, target.isel(latitude=slice(None, None, -1))))
    points = xr.Dataset({"longitude": ("point", [3.0]), "latitude": ("point", [38.0])})
    with pytest.raises(ObservationError, match="maps on axes"):
        list(forecast_chunks(wide, wide_sea, times, points))


def test_the_command_takes_chunks_for_a_wide_grid(wide, wide_sea, sea_run, tmp_path):
    """The whole globe is asked for; the sea is a small part of it."""
    run, store = tmp_path / "run", write_store(wide_sea, tmp_path / "sea.zarr")
    save_model(wide.model, run)
    save_config(load_run_config(sea_run), run)
    grid = ["--grid=-180,179,-80,80,0.5", "--leads", "2", "--out", tmp_path / "globe.zarr"]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ["forecast", run, store, *grid]])
    assert not stop.value.code
    globe = xr.open_zarr(tmp_path / "globe.zarr", consolidated=False)
    assert days_since_epoch(globe.time.values)[0] == days_since_epoch(wide_sea.time.values)[-1] + 2
    inside = globe.adt.sel(longitude=slice(2, 9), latitude=slice(36, 40))
    assert int(np.isfinite(globe.adt).sum()) == int(np.isfinite(inside).sum()) > 50
