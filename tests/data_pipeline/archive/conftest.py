"""Archives of small files, and commits that do not wait for the disk."""

import hashlib

import numpy as np
import pytest

from data_pipeline.archive import commits
from data_pipeline.layout.datasets import observations_dataset


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """What is synced when is not seen by these tests; waiting for the disk would be most of their time."""
    monkeypatch.setattr(commits, "sync_tree", lambda folder: None)


@pytest.fixture
def made():
    """(name, rows) of files -> observations as `ingest` gives them. A row: hour of 2020, longitude, value."""

    def make(*files, channel="adt", error=None, units=None):
        rows = np.array([row for _, table in files for row in table], float).reshape(-1, 3)
        source = np.repeat(np.arange(len(files)), [len(table) for _, table in files])
        described = [
            {"file": name, "sha256": hashlib.sha256(repr((channel, table)).encode()).hexdigest(), "bytes": 1}
            for name, table in files
        ]
        return observations_dataset(
            np.datetime64("2020-01-01", "h") + rows[:, 0].astype("timedelta64[h]"),
            rows[:, 1],
            np.zeros(len(rows)),
            {channel: rows[:, 2]},
            None if error is None else {channel: np.full(len(rows), error)},
            source,
            [name.partition(".")[0] for name, _ in files],
            {"product": "toy", "sources": described, "history": "born\nnow ingested as toy\na note"},
            units,
        )

    return make


@pytest.fixture
def table():
    """The observations of a Dataset as a list of (hour of 2020, longitude, value, source's name)."""

    def rows(ds, channel="adt"):
        ds = ds.load()
        hours = (ds.time.values - np.datetime64("2020-01-01")) / np.timedelta64(1, "h")
        names = ds.source_name.values[ds.source.values]
        return list(zip(hours, ds.longitude.values, ds[channel].values, names, strict=True))

    return rows
