"""Windows and blocks of stores against brute force, and how little of the store they touch."""

import datetime as dt

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import EmptyDataError, SchemaError, TimeError
from data_pipeline.layout.datasets import check_observations, fields_dataset, observations_dataset
from data_pipeline.stores import writing as stores
from data_pipeline.stores.stream import iterate_blocks, read_window
from data_pipeline.stores.writing import open_store, write_store

START = np.datetime64("2014-05-15", "us")
HOUR = np.timedelta64(1, "h")


@settings(max_examples=60, deadline=None)
@given(
    hours=st.lists(st.integers(0, 240), min_size=1, max_size=40),
    first=st.integers(-30, 270),
    length=st.integers(1, 300),
)
def test_window_agrees_with_brute_force(hours, first, length):
    time = START + np.array(hours) * HOUR
    ds = observations_dataset(time, np.zeros(len(hours)), np.zeros(len(hours)), {"adt": np.arange(len(hours))})
    start, stop = START + first * HOUR, START + (first + length) * HOUR
    wanted = ds["adt"].values[(ds["time"].values >= start) & (ds["time"].values < stop)]
    if not wanted.size:
        with pytest.raises(EmptyDataError, match="the store holds 2014-05"):
            read_window(ds, start, stop)
        return
    window = read_window(ds, start, stop)
    check_observations(window)
    np.testing.assert_array_equal(window["adt"], wanted)


def test_window_of_a_store_reads_only_its_chunks(tmp_path, toy_observations, monkeypatch):
    monkeypatch.setattr(stores, "OBSERVATIONS_PER_CHUNK", 50)
    path = write_store(toy_observations, tmp_path / "a.zarr")
    for number in (0, 1, 2, 7, 8, 9):  # a window that touched these would fail
        (path / "adt" / "c" / str(number)).write_bytes(b"rubbish")
    window = read_window(path, "2014-05-19T06", "2014-05-20")
    inside = (toy_observations["time"] >= np.datetime64("2014-05-19T06")) & (
        toy_observations["time"] < np.datetime64("2014-05-20")
    )
    np.testing.assert_array_equal(window["adt"], toy_observations["adt"][inside.values])
    assert list(window["source_name"].values) == ["mission1", "mission2"]


def test_window_refuses_nonsense(toy_observations, toy_fields):
    with pytest.raises(SchemaError, match="observation store"):
        read_window(toy_fields, "2014-05-15", "2014-05-16")
    with pytest.raises(SchemaError, match="before its stop"):
        read_window(toy_observations, "2014-05-16", "2014-05-16")
    for nonsense in ("soon", 5, None, np.datetime64("NaT"), "23000101"):
        with pytest.raises(TimeError, match="the start of a window"):
            read_window(toy_observations, nonsense, "2014-05-16")


@pytest.mark.parametrize(
    "stop", ["20140518", 20140518, "2014-05-18T00:00Z", dt.date(2014, 5, 18), np.datetime64("2014-05-18", "s")]
)
def test_every_spelling_of_a_date_ends_a_window(toy_observations, stop):
    wanted = read_window(toy_observations, "2014-05-16", "2014-05-18")
    xr.testing.assert_identical(read_window(toy_observations, "20140516", stop), wanted)
    assert wanted["time"].values[-1] < np.datetime64("2014-05-18")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.integers(1, 9))
def test_blocks_join_to_the_whole(toy_fields, block):
    blocks = list(iterate_blocks(toy_fields, "adt", block))
    assert all(part.shape[0] == block for part in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks), toy_fields["adt"])
    both = np.concatenate(list(iterate_blocks(toy_fields, ["sst", "adt"], block)), axis=1)
    np.testing.assert_array_equal(both, [toy_fields["sst"], toy_fields["adt"]])


def test_blocks_follow_the_chunks_of_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "CHUNK_BYTES", 3 * 4 * 4 * 2)
    values = np.arange(2 * 5 * 3 * 4, dtype=np.float32).reshape(2, 5, 3, 4)
    time = np.datetime64("2000-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D")
    path = write_store(fields_dataset(time, np.arange(4.0), np.arange(3.0), {"ssh": values}), tmp_path / "a.zarr")
    blocks = list(iterate_blocks(path, "ssh"))
    assert [part.shape for part in blocks] == [(1, 2, 3, 4), (1, 2, 3, 4), (1, 1, 3, 4)] * 2
    np.testing.assert_array_equal(blocks[3], values[1:, :2])


def test_at_most_two_blocks_are_held():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["array-location"][0][0])
        return np.zeros((1, 2, 2), np.float32)

    values = dask.array.map_blocks(block, chunks=((1,) * 6, (2,), (2,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
    time = np.datetime64("2000-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    ds = fields_dataset(time, [0.0, 1.0], [0.0, 1.0], {"ssh": values})
    stream = iterate_blocks(ds, "ssh", 1)
    next(stream)
    stream.close()
    assert max(read) <= 1


@pytest.mark.parametrize(("channels", "block"), [("salinity", None), ([], None), ("adt", 0)])
def test_blocks_refuse_nonsense(toy_fields, channels, block):
    with pytest.raises(SchemaError):
        next(iterate_blocks(toy_fields, channels, block))


def test_opening_reads_no_values(tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    for chunk in (path / "adt" / "c").glob("*/*/*"):
        chunk.write_bytes(b"rubbish")
    ds = open_store(path)
    assert isinstance(ds, xr.Dataset)
    assert ds["adt"].chunks is not None
