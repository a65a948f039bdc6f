"""Processes that are forked after their parent has read a lazy store read it too; they used to wait for ever."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from data_pipeline.archive.appending import append
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.stream import read_window
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.forking import in_every_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
SECONDS = 20.0


def ended_well(child) -> bool:
    """Whether `child` is true in a forked process; a process that hangs is killed and told."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child() else 3)
        except BaseException:
            os._exit(4)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail(f"the forked process hung for {SECONDS:g} s")


def archive_of(points, path):
    append(
        observations_dataset(
            points["time"].values, points["longitude"].values, points["latitude"].values,
            {"adt": points["adt"].values}, source=np.zeros(points.sizes["obs"], int), source_name=["a"],
            attrs={"product": "toy", "sources": [{"file": "a.nc", "sha256": "1" * 64, "bytes": 1}], "history": ""},
        ),
        path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("kind", ["fields", "observations", "archive"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_reads_what_its_parent_has_read(toy_fields, toy_observations, tmp_path, kind, blocks):
    if kind == "archive":
        path = archive_of(toy_observations, tmp_path / "a.archive")
    else:
        path = write_store(toy_fields if kind == "fields" else toy_observations, tmp_path / "a.zarr")
    ds = open_store(path, blocks=blocks)
    whole = np.nansum(ds["adt"].values)
    assert ended_well(lambda: np.nansum(ds["adt"].values) == whole)
    assert ended_well(lambda: np.nansum(open_store(path)["adt"].values) == whole)
    if kind != "fields":
        window = "2014-05-16", "2014-05-19"
        here = read_window(ds, *window).sizes["obs"]
        assert ended_well(lambda: read_window(path, *window).sizes["obs"] == here)
    assert np.nansum(ds["adt"].values) == whole  # the parent goes on as before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_thread_and_a_grandchild_read_too(toy_fields, tmp_path):
    ds = open_store(write_store(toy_fields, tmp_path / "a.zarr"))
    whole = np.nansum(ds["adt"].values)
    told = []

    def beside():
        reads = lambda: np.nansum(ds["adt"].values) == whole  # noqa: E731
        told.append(ended_well(lambda: reads() and ended_well(reads)))

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join(2 * SECONDS)
    assert told == [True]


def test_a_repair_is_made_once(monkeypatch):
    registered = []
    monkeypatch.setattr(os, "register_at_fork", lambda after_in_child: registered.append(after_in_child))
    repair = lambda: None  # noqa: E731
    in_every_child(repair)
    in_every_child(repair)
    assert registered == [repair]
