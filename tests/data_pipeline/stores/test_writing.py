"""Writing and opening stores: exact round trips, bounded regions, and nothing half-written ever read as whole."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr

from data_pipeline.errors import MissingFileError, SchemaError, StoreError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores import writing as stores
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, store_chunks, write_store


@pytest.mark.parametrize("kind", ["toy_fields", "toy_observations"])
def test_round_trip_is_exact_and_silent(request, tmp_path, kind):
    ds = request.getfixturevalue(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write_store(ds, tmp_path / "deep" / "a.zarr")
        back = open_store(path)
        xr.testing.assert_identical(back.compute(), ds.assign_attrs(dino_complete=True))
        assert validate_store(path) == []
    assert "dino_complete" not in ds.attrs
    assert back["adt"].chunks is not None
    assert [entry.name for entry in path.parent.iterdir()] == ["a.zarr"]


def test_opened_store_can_be_written_again(tmp_path, toy_observations):
    first = open_store(write_store(toy_observations, tmp_path / "a.zarr"))
    second = open_store(write_store(first, tmp_path / "b.zarr"))
    xr.testing.assert_identical(first.compute(), second.compute())


def test_regions_hold_few_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "CHUNK_BYTES", 8 * 9 * 4)
    monkeypatch.setattr(stores, "REGION_BYTES", 2 * 8 * 9 * 4)
    blocks = []

    def block(block_info=None):
        location = block_info[None]["array-location"]
        blocks.append(location)
        return np.full([stop - start for start, stop in location], location[1][0], dtype=np.float32)

    values = dask.array.map_blocks(
        block, chunks=((1, 1), (1,) * 7, (8,), (9,)), dtype=np.float32, meta=np.zeros((0,) * 4)
    )
    time = np.datetime64("2000-01-01", "ns") + np.arange(7) * np.timedelta64(1, "D")
    ds = fields_dataset(time, np.arange(9.0), np.arange(8.0), {"ssh": values})
    assert store_chunks(ds) == {"longitude": 9, "latitude": 8, "time": 1, "trajectory": 1}
    steps = []
    path = write_store(ds, tmp_path / "a.zarr", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 8) for i in range(1, 9)]
    np.testing.assert_array_equal(open_store(path)["ssh"][:, :, 0, 0], [np.arange(7.0)] * 2)
    assert len(blocks) == 14


def test_chunks_of_a_large_grid_are_one_map_or_less():
    values = dask.array.zeros((3, 2000, 4000), dtype=np.float32, chunks=(1, 2000, 4000))
    time = np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    ds = fields_dataset(time, np.linspace(-180, 179, 4000), np.linspace(-80, 80, 2000), {"ssh": values})
    chunks = store_chunks(ds)
    assert 4 * np.prod(list(chunks.values())) <= stores.CHUNK_BYTES
    assert chunks["longitude"] == 4000


def test_existing_store_is_kept_without_overwrite(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="exists already"):
        write_store(toy_fields, path)
    write_store(toy_fields.isel(time=slice(2)), path, overwrite=True)
    assert open_store(path).sizes["time"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_other_folders_are_never_replaced(tmp_path, toy_fields):
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="will not be replaced"):
        write_store(toy_fields, precious, overwrite=True)
    assert (precious / "letter.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_writer_leaves_the_old_or_nothing(tmp_path, toy_fields, overwrite):
    path = tmp_path / "a.zarr"
    if overwrite:
        write_store(toy_fields, path)
    script = (
        "import os, sys, xarray as xr\n"
        "from data_pipeline.stores.writing import open_store, write_store\n"
        "ds = open_store(sys.argv[1]).load()\n"
        "write_store(ds, sys.argv[2], overwrite=True, progress=lambda done, total: os._exit(9))\n"
    )
    source = write_store(toy_fields.isel(time=slice(1)), tmp_path / "source.zarr")
    command = [sys.executable, "-c", script, str(source), str(path)]
    assert subprocess.run(command, cwd=Path(__file__).parents[3], timeout=120).returncode == 9
    leftovers = [entry for entry in tmp_path.iterdir() if entry.name.startswith(".a.zarr.partial-")]
    assert len(leftovers) == 1
    if overwrite:
        assert open_store(path).sizes["time"] == 5
    else:
        with pytest.raises(MissingFileError):
            open_store(path)
    with pytest.raises(StoreError, match="never finished"):
        open_store(leftovers[0])
    write_store(toy_fields, path, overwrite=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zarr", "source.zarr"]


def test_crash_between_the_renames_is_recovered(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    os.rename(path, tmp_path / ".a.zarr.previous-999999999")
    assert open_store(path).sizes["time"] == 5


def test_failed_writer_leaves_the_old_store(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(toy_fields.isel(time=slice(1)), path, overwrite=True, progress=fail)
    assert open_store(path).sizes["time"] == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_disk_errors_are_store_errors(tmp_path, toy_fields):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        write_store(toy_fields, tmp_path / "file" / "a.zarr")


def test_unsound_dataset_is_not_written(tmp_path, toy_fields):
    with pytest.raises(SchemaError):
        write_store(toy_fields.isel(time=[0, 0]), tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_what_is_no_store(tmp_path):
    with pytest.raises(MissingFileError, match="no store"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(StoreError, match="no zarr store"):
        open_store(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no zarr store"):
        open_store(tmp_path / "empty")
    zarr.open_group(tmp_path / "foreign.zarr", mode="w")
    with pytest.raises(StoreError, match="no store of dino-data"):
        open_store(tmp_path / "foreign.zarr")


def test_store_of_another_version(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    zarr.open_group(path, mode="r+").attrs["dino_schema"] = 2
    with pytest.raises(StoreError, match="layout 2"):
        open_store(path)


def test_a_copied_store_opens_elsewhere(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    shutil.copytree(path, tmp_path / "b.zarr")
    assert validate_store(tmp_path / "b.zarr") == []
