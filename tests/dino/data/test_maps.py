"""Maps as they are read: whole, cut by time, block by block, and moved about on a periodic box."""

from dataclasses import replace

import numpy as np
import pytest

from data_pipeline.stores import writing as stores
from data_pipeline.stores.writing import write_store
from dino.data.maps import open_maps, translated
from dino.data.observations import days_since_epoch
from dino.errors import ConfigError, EmptyDataError


def test_maps_are_read_whole_and_cut_by_time(sea_dataset):
    dataset = sea_dataset(days=10)
    maps = open_maps(dataset, ["adt"]).loaded()
    assert maps.values.shape == (1, 10, 1, 16, 16)
    np.testing.assert_array_equal(maps.values[0, :, 0], dataset["adt"])
    days = days_since_epoch(dataset["time"].values)
    np.testing.assert_array_equal(maps.times, days)
    part = open_maps(dataset, ["adt"], days[2], days[5]).loaded()
    np.testing.assert_array_equal(part.values[0, :, 0], dataset["adt"][2:6])


def test_trajectories_and_channels_keep_their_places(box_dataset):
    dataset = box_dataset(trajectories=3, days=4)
    dataset["double"] = dataset["ssh"] * 2
    maps = open_maps(dataset, ["double", "ssh"]).loaded()
    assert maps.values.shape == (3, 4, 2, 16, 16)
    np.testing.assert_array_equal(maps.values[:, :, 1], dataset["ssh"])
    np.testing.assert_array_equal(maps.values[:, :, 0], 2 * dataset["ssh"])


def test_absent_channel_and_empty_period(sea_dataset):
    with pytest.raises(ConfigError, match=r"the store holds adt .* where sst"):
        open_maps(sea_dataset(), ["adt", "sst"]).loaded()
    with pytest.raises(EmptyDataError, match="the store runs from 2005-04-01 to 2005-04-30"):
        open_maps(sea_dataset(), ["adt"], 0.0, 1.0)


def test_blocks_of_a_stored_sea_are_its_maps(sea_dataset, tmp_path, monkeypatch):
    """Across 180 degrees, where columns come in another order than in the store."""
    monkeypatch.setattr(stores, "CHUNK_BYTES", 3 * 16 * 16 * 4)
    dataset = sea_dataset(days=10, west=178.0)
    stored = open_maps(write_store(dataset, tmp_path / "sea.zarr"), ["adt"])
    stored = replace(stored, block_bytes=1)  # one chunk at a time
    assert (stored.trajectories, stored.grid, stored.nbytes) == (1, (16, 16), 4 * 10 * 256)
    assert (np.diff(stored.longitude) > 0).all()
    parts = list(stored.parts())
    assert len(parts) > 1
    whole = stored.loaded()
    np.testing.assert_array_equal(np.concatenate([values for *_, values in parts], axis=1), whole.values)
    for _, times, values in whole.parts():
        np.testing.assert_array_equal(values, whole.values[:, times])
    np.testing.assert_array_equal(whole.values, open_maps(dataset, ["adt"]).loaded().values)


def test_moved_copies_are_shifts_of_the_trajectories_that_are_trained_on(box_dataset):
    maps = open_maps(box_dataset(trajectories=3, days=4), ["ssh"]).loaded()
    moved = translated(maps, copies=3, keep=1, seed=0)
    assert moved.trajectories == 2 * 2 + 3
    np.testing.assert_array_equal(moved.values[4:], maps.values)
    shifts = [(row, column) for row in range(16) for column in range(16)]
    found = []
    for index in range(4):
        original = maps.values[index % 2]
        same = [s for s in shifts if np.array_equal(np.roll(original, s, axis=(-2, -1)), moved.values[index])]
        assert len(same) == 1  # one shift for the whole trajectory
        found += same
    assert len(set(found)) > 1
    assert translated(maps, copies=1, keep=1, seed=0) is maps


def test_only_a_periodic_box_is_moved_about(sea_dataset):
    with pytest.raises(ConfigError, match=r"data\.translations"):
        translated(open_maps(sea_dataset(), ["adt"]).loaded(), copies=2, keep=0, seed=0)
