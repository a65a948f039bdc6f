"""Validation names maps that are copies of the one before, whatever chunks they lie in."""

import numpy as np
import pytest

from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores import writing
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import write_store

TIME = np.datetime64("2005-04-01", "ns") + np.arange(12) * np.timedelta64(1, "D")


def fields(copies=(), trajectories=None):
    shape = (12, 8, 10) if trajectories is None else (trajectories, 12, 8, 10)
    values = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    values[..., :2, :3] = np.nan
    for place in copies:
        values[place] = values[(*place[:-1], place[-1] - 1)]
    return fields_dataset(TIME, np.arange(10.0), np.arange(8.0), {"adt": values})


@pytest.mark.parametrize("chunk_bytes", [4 * 8 * 10 * 12, 4 * 8 * 10, 4 * 10 * 3, 4 * 10])
def test_copies_are_found_across_chunks(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(writing, "CHUNK_BYTES", chunk_bytes)
    store = write_store(fields([(3,), (4,), (11,)]), tmp_path / "a.zarr")
    (problem,) = validate_store(store)
    assert str(problem) == (
        "channel adt is a copy of the map before it (3 times, first at time 3: 2005-04-04T00:00:00.000000)"
    )
    assert validate_store(write_store(fields(), tmp_path / "b.zarr")) == []


def test_a_map_that_differs_in_one_cell_is_no_copy(tmp_path):
    ds = fields([(5,)])
    ds["adt"][5, 7, 9] += 0.001
    assert validate_store(write_store(ds, tmp_path / "a.zarr")) == []


def test_trajectories_are_told_apart(tmp_path):
    (problem,) = validate_store(write_store(fields([(1, 6)], trajectories=3), tmp_path / "a.zarr"))
    assert (problem.count, problem.index) == (1, (("trajectory", 1), ("time", 6)))
    beside = fields(trajectories=3)
    beside["adt"][1, 0] = beside["adt"][0, 11]
    assert validate_store(write_store(beside, tmp_path / "b.zarr")) == []


def test_a_still_field_has_no_copies(tmp_path):
    still = fields([(i,) for i in range(1, 12)])
    assert validate_store(write_store(still, tmp_path / "a.zarr")) == []
