"""Forecasts in chunks against the forecast of everything at once, and what becomes of what was at their place."""

import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import StoreError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.config import StoreConfig
from dino.data.observations import days_since_epoch
from dino.errors import EmptyDataError, ObservationError
from dino.forecaster import Forecaster
from dino.model import Ocean
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model
from dino.service.wide import chunks_of, forecast_chunks, write_chunks

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
def long_sea(wide_sea) -> xr.Dataset:
    """The same for sixteen days, with a day of which the east has no values."""
    day, (longitude, latitude) = np.arange(16)[:, None, None], (wide_sea[a].values for a in ("longitude", "latitude"))
    values = 0.1 * np.sin(2 * longitude - 0.3 * day) * np.cos(3 * latitude[:, None]) + 0.01 * day
    values[:, :5, :5] = np.nan
    values[10, :, 6:] = np.nan
    time = wide_sea.time.values[0] + np.arange(16) * np.timedelta64(1, "D")
    return fields_dataset(time, longitude, latitude, {"adt": values}, attrs={"product": "toy sea"})


@pytest.fixture(scope="module")
def wide(sea_run, wide_sea):
    """The toy run, laid over the wide sea."""
    latent, before = load_model(sea_run)
    domain = load_run_config(sea_run).domain
    return Forecaster(latent, Ocean.over(wide_sea, before, domain, store=StoreConfig(path=sea_run)))


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


def test_chunks_learn_from_their_hindcasts_what_the_whole_does(wide, long_sea, target):
    """A chunk below which a whole map is blank is no exception."""
    times = long_sea.time.values[-1] + np.array([1, 3]).astype("timedelta64[D]")
    past = wide.analyse(long_sea).hindcasts
    assert past is not None
    assert past.count[0] > 8
    whole = wide.forecast(long_sea, times, target)
    for chunk, part in forecast_chunks(wide, long_sea, times, target, degrees=DEGREES):
        here = whole.isel(latitude=chunk.rows, longitude=chunk.columns)
        for name in whole.data_vars:
            np.testing.assert_allclose(part[name], here[name], rtol=1e-3, atol=1e-5)


def test_a_chunk_holds_few_tiles(wide):
    some = wide.ocean.within((4.0, 4.5, 38.0, 38.5))
    assert some is not None
    assert 0 < some.charts < wide.ocean.charts / 2
    assert len(wide.latent.context(some)) == len(some.scale) == some.charts
    assert wide.over(some).latent is wide.latent
    assert wide.ocean.within((40.0, 41.0, 38.0, 38.5)) is None


@pytest.fixture(scope="module")
def two_parts(wide, wide_sea, target):
    """The first two chunks of a forecast of one day."""
    times = wide_sea.time.values[-1:] + np.timedelta64(1, "D")
    parts = forecast_chunks(wide, wide_sea, times, target, degrees=3.0)
    return [next(parts), next(parts)]


def stopped(parts):
    """The first of some parts, and then Ctrl-C."""
    yield parts[0]
    raise KeyboardInterrupt


def contents(folder):
    """The bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stopped_forecast_leaves_what_was_there(two_parts, target, tmp_path):
    path = tmp_path / "made.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_chunks(path, stopped(two_parts), target)
    assert list(tmp_path.iterdir()) == []
    write_chunks(path, iter(two_parts), target)
    before = contents(path)
    with pytest.raises(KeyboardInterrupt):
        write_chunks(path, stopped(two_parts), target, overwrite=True)
    assert contents(path) == before
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from dino.service.wide import write_chunks

parts, target = pickle.load(sys.stdin.buffer)

def killed():
    yield parts[0]
    os.kill(os.getpid(), signal.SIGKILL)

write_chunks(Path(sys.argv[1]), killed(), target, overwrite=True)
"""


def test_a_killed_writer_leaves_the_old_store(two_parts, target, tmp_path):
    """Killed outright between two chunks; the next writer clears away what it left."""
    path = tmp_path / "made.zarr"
    write_chunks(path, iter(two_parts), target)
    before = contents(path)
    task = pickle.dumps(([(c, p.load()) for c, p in two_parts], target))
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], input=task, check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(path) == before
    left = [entry for entry in tmp_path.iterdir() if entry != path]
    assert len(left) == 1
    assert contents(left[0])  # it had begun
    write_chunks(path, iter(two_parts[1:]), target, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert contents(path) != before


def test_nothing_is_replaced_but_a_forecast(two_parts, target, tmp_path, wide_sea):
    """A folder of somebody's, a store of data and a file stay what they are, whatever is asked for."""
    thesis, file = tmp_path / "thesis.zarr", tmp_path / "notes.zarr"
    thesis.mkdir()
    (thesis / "chapter").write_text("long")
    file.write_text("short")
    data = write_store(wide_sea, tmp_path / "sea.zarr")
    foreign = tmp_path / "foreign.zarr"
    xr.Dataset({"adt": ("x", [1.0])}).to_zarr(foreign, consolidated=False)
    for path in (thesis, file, data, foreign):
        before = path.read_bytes() if path.is_file() else contents(path)
        for overwrite in (False, True):
            with pytest.raises(StoreError, match="choose another --out"):
                write_chunks(path, iter(two_parts), target, overwrite)
        assert (path.read_bytes() if path.is_file() else contents(path)) == before


def test_a_forecast_and_an_empty_folder_are_replaced_when_that_is_wanted(two_parts, target, tmp_path):
    empty, path = tmp_path / "empty.zarr", tmp_path / "made.zarr"
    empty.mkdir()
    write_chunks(path, iter(two_parts), target)
    for taken in (empty, path):
        with pytest.raises(StoreError, match="--overwrite"):
            write_chunks(taken, iter(two_parts), target)
        write_chunks(taken, iter(two_parts[1:]), target, overwrite=True)
        made = xr.open_zarr(taken, consolidated=False)
        rows = two_parts[1][0].rows, two_parts[1][0].columns
        np.testing.assert_array_equal(made["adt"][0].values[rows], two_parts[1][1]["adt"][0])
        assert np.isnan(made["adt"][0].values[two_parts[0][0].rows, two_parts[0][0].columns]).all()


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
    save_model(wide.latent, wide.ocean, run)
    save_config(load_run_config(sea_run), run)
    grid = ["--grid=-180,179,-80,80,0.5", "--leads", "2", "--out", tmp_path / "globe.zarr"]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ["forecast", run, store, *grid]])
    assert not stop.value.code
    globe = xr.open_zarr(tmp_path / "globe.zarr", consolidated=False)
    assert days_since_epoch(globe.time.values)[0] == days_since_epoch(wide_sea.time.values)[-1] + 2
    inside = globe.adt.sel(longitude=slice(2, 9), latitude=slice(36, 40))
    assert int(np.isfinite(globe.adt).sum()) == int(np.isfinite(inside).sum()) > 50
