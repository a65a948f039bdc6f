"""Blocks: together they are the store, chance orders them, readers share them, and they are read ahead in order."""

import threading

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import SchemaError, StoreError
from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.stores import writing as stores
from data_pipeline.stores.blocks import BlockOrder, FieldBlocks, ObservationBlocks, read_ahead
from data_pipeline.stores.writing import open_store, write_store

MAP = 4 * 3 * 4
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fields(trajectories: int | None, times: int) -> xr.Dataset:
    """Numbered values of two channels on 3 x 4 cells."""
    shape = ((trajectories,) if trajectories else ()) + (times, 3, 4)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    time = np.datetime64("2000-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D")
    return fields_dataset(time, np.arange(4.0), np.arange(3.0), {"adt": values, "sst": -values})


@quickly
@given(
    trajectories=st.none() | st.integers(1, 7),
    times=st.integers(1, 9),
    chunk=st.integers(1, 40),
    block=st.integers(1, 80),
    first=st.integers(0, 8),
    lazily=st.booleans(),
)
def test_blocks_are_the_whole_once(tmp_path_factory, trajectories, times, chunk, block, first, lazily):
    ds, first = fields(trajectories, times), min(first, times - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "CHUNK_BYTES", chunk * MAP)
        path = write_store(ds, tmp_path_factory.mktemp("stores") / "a.zarr")
    made = FieldBlocks(open_store(path) if lazily else path, ["sst", "adt"], block * MAP, slice(first, None))
    count = trajectories or 1
    whole = np.full((count, times - first, 2, 3, 4), np.nan, np.float32)
    for number, (rows, columns) in enumerate(made.regions):
        assert np.isnan(whole[rows, columns]).all()
        whole[rows, columns] = made.read(number)
        held = (rows.stop - rows.start) * (columns.stop - columns.start)
        assert held <= max(block / 2, chunk)
    expected = ds["adt"].values.reshape(count, times, 3, 4)[:, first:]
    np.testing.assert_array_equal(whole[:, :, 1], expected)
    np.testing.assert_array_equal(whole[:, :, 0], -expected)


def test_a_block_touches_its_own_chunks_only(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "CHUNK_BYTES", 3 * MAP)
    path = write_store(fields(4, 7), tmp_path / "a.zarr")
    blocks = FieldBlocks(path, ["adt"], MAP)
    read = blocks.read(0).copy()
    for chunk in sorted((path / "adt" / "c").rglob("*")):
        if chunk.is_file() and chunk.relative_to(path / "adt" / "c").parts[:2] != ("0", "0"):
            chunk.write_bytes(b"rubbish")
    np.testing.assert_array_equal(blocks.read(0), read)
    with pytest.raises(StoreError, match="adt of the store cannot be read"):
        blocks.read(1)


def test_fields_and_observations_are_not_mixed_up(toy_observations, toy_fields):
    with pytest.raises(SchemaError, match="channels"):
        FieldBlocks(toy_observations, ["adt"])
    with pytest.raises(SchemaError, match="salinity"):
        FieldBlocks(toy_fields, ["salinity"])
    with pytest.raises(SchemaError, match="observation store"):
        ObservationBlocks(toy_fields)


@quickly
@example(days=[0, 0, 2, 2], most=1, stored=False)
@given(days=st.lists(st.integers(0, 12), min_size=1, max_size=40), most=st.integers(1, 12), stored=st.booleans())
def test_days_stay_whole(tmp_path_factory, days, most, stored):
    time = np.datetime64("2014-05-01", "ns") + np.sort(days) * np.timedelta64(1, "D")
    ds = observations_dataset(time, np.zeros(len(days)), np.zeros(len(days)), {"adt": np.arange(len(days)) * 0.01})
    if stored:
        ds = open_store(write_store(ds, tmp_path_factory.mktemp("stores") / "a.zarr"))
    made = ObservationBlocks(ds, most)
    parts = [made.read(number) for number in range(len(made))]
    np.testing.assert_array_equal(np.concatenate([part["time"] for part in parts]), ds["time"])
    np.testing.assert_array_equal(np.concatenate([part["adt"] for part in parts]), ds["adt"])
    seen = [set(part["time"].values.astype("datetime64[D]").tolist()) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert all(part.sizes["obs"] <= most or len(own) == 1 for part, own in zip(parts, seen, strict=True))


@given(count=st.integers(1, 60), size=st.integers(1, 7), seed=st.integers(0, 2**32), epoch=st.integers(0, 3))
def test_readers_share_every_epoch_without_overlap_or_loss(count, size, seed, epoch):
    if count < size:
        with pytest.raises(SchemaError, match="every reader wants a block"):
            BlockOrder(count, seed, 0, size)
        return
    shares = [BlockOrder(count, seed, rank, size).epoch(epoch) for rank in range(size)]
    assert sorted(number for share in shares for number in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(count=st.integers(1, 30), seed=st.integers(0, 99), start=st.integers(0, 80), steps=st.integers(1, 40))
def test_a_position_is_all_that_is_wanted_to_go_on(count, seed, start, steps):
    walked = BlockOrder(count, seed)
    whole = [walked.at(position) for position in range(start + steps)]
    again = BlockOrder(count, seed)
    assert [again.at(position) for position in range(start, start + steps)] == whole[start:]


def test_epochs_and_seeds_differ():
    orders = {tuple(BlockOrder(50, seed).epoch(epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


@quickly
@given(count=st.integers(0, 12), ahead=st.integers(0, 4))
def test_reading_ahead_keeps_the_order_and_its_bound(count, ahead):
    lock, read, taken, most = threading.Lock(), 0, 0, 0

    def load(number: int) -> int:
        nonlocal read, most
        with lock:
            read += 1
            most = max(most, read - taken)
        return number

    made = []
    for number in read_ahead(load, range(count), ahead):
        made.append(number)
        with lock:
            taken += 1
    assert made == list(range(count))
    assert most <= ahead + 1


def test_an_error_comes_at_its_turn_and_a_reader_that_stops_leaves_nothing_running():
    def load(number: int) -> int:
        if number == 2:
            raise StoreError("damaged")
        return number

    made = read_ahead(load, range(5), 2)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(StoreError, match="damaged"):
        next(made)
    before = threading.active_count()
    other = read_ahead(lambda number: number, range(100))
    next(other)
    other.close()
    assert threading.active_count() == before
