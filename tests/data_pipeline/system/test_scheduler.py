"""Commands on a real scheduler with two workers: the same bytes, also when a worker is killed; what is refused."""

import datetime as dt
import os
import socket
import sys
import threading
from functools import partial

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from clusters import Cluster, Gate, held_up
from distributed import Client

from data_pipeline import products
from data_pipeline.archive.commits import Draft
from data_pipeline.commands.app import main
from data_pipeline.errors import MissingPackageError, SchedulerError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.products.many import read_each
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts
from data_pipeline.stores.writing import write_store
from data_pipeline.system import scheduler
from data_pipeline.system.scheduler import computed, connected, here, in_order

PATIENCE = 300.0
OCEAN = ["simulate", "quasi-geostrophic", "--set", "grid=16", "--set", "trajectories=9", "--set", "days=4"]
OCEAN += ["--set", "spin_up_days=1"]
SAMPLE = ["sample", "../ocean.zarr", "--mission", "swot", "--orbit", "random", "--trajectory", "1", "--seed", "5"]
COMMANDS = {
    "simulate": [*OCEAN, "--out", "new.zarr"],
    "ingest maps": ["ingest", "../map*.nc", "--out", "new.zarr"],
    "ingest points": ["ingest", "../day*.nc", "--out", "new.zarr"],
    "ingest strictly": ["ingest", "../day*.nc", "--out", "new.zarr", "--strict"],
    "append": ["ingest", "../day*.nc", "--append", "--out", "old.archive"],
    "sample": [*SAMPLE, "--out", "new.zarr"],
    "validate": ["validate", "../bad.zarr"],
    "inspect": ["inspect", "../ocean.zarr", "--figures", "figures"],
    "inspect points": ["inspect", "old.archive"],
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However busy the machine is."""
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", PATIENCE)
    monkeypatch.setattr(scheduler, "WORKERS_SECONDS", PATIENCE)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster"), 2) as made:
        yield made


@pytest.fixture
def full(cluster):
    """The cluster with both its workers."""
    cluster.fill(2)
    return cluster


def write_day(path, number):
    values = np.append(np.nan, 0.01 * np.arange(1, 10)) + 0.1 * number
    time = ("time", number + np.arange(10) / 10.0, {"units": "days since 2000-01-01"})
    coords = {"time": time, "longitude": ("time", np.arange(10.0)), "latitude": ("time", np.arange(10.0))}
    xr.Dataset({"sla_unfiltered": ("time", values, {"units": "m"})}, coords).to_netcdf(path)


def write_map(path, number):
    values = np.arange(60.0).reshape(1, 6, 10) * 0.01 + number
    coords = {"time": ("time", [number], {"units": "days since 2000-01-01"}), "lat": np.arange(6.0)}
    coords["lon"] = 350 + 2.0 * np.arange(10)
    xr.Dataset({"adt": (("time", "lat", "lon"), values, {"units": "m"})}, coords).to_netcdf(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Five files of points, one of them cut, five maps, a field store, a store with infinite values."""
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(5):
        write_day(folder / f"day{number}.nc", number)
        write_map(folder / f"map{number}.nc", number)
    (folder / "day2.nc").write_bytes((folder / "day2.nc").read_bytes()[:2000])
    _run([*OCEAN, "--out", str(folder / "ocean.zarr")])
    values = np.full((2, 3, 4), 0.5, np.float32)
    values[1, 2, 3] = np.inf
    time = np.array(["2000-01-01", "2000-01-02"], "M8[ns]")
    write_store(fields_dataset(time, np.arange(4.0), np.arange(3.0), {"adt": values}), folder / "bad.zarr")
    return folder


@pytest.fixture
def stopped_clock(monkeypatch):
    """Stores tell when they were made: nothing else of them may differ."""
    noon = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)

    class Stopped(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return noon

    monkeypatch.setattr(products, "datetime", Stopped)
    monkeypatch.setattr(Draft, "time", lambda self: noon)


def _run(arguments):
    """The exit code of a command."""
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def done(arguments, folder, monkeypatch, capsys):
    """(exit code, what was printed, bytes of every file) of a command in a folder of its own."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    _run(["ingest", "../day0.nc", "--append", "--out", "old.archive"])
    capsys.readouterr()
    code = _run(arguments)
    told = capsys.readouterr()
    notes = [line for line in told.err.splitlines() if " of " not in line]  # progress may be told in other steps
    files = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    return code, told.out, notes, files


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_the_same_bytes(command, full, inputs, stopped_clock, monkeypatch, capsys):
    alone = done(COMMANDS[command], inputs / f"{command} alone", monkeypatch, capsys)
    asked, send = [], Client._graph_to_futures
    monkeypatch.setattr(Client, "_graph_to_futures", lambda *graph, **how: asked.append(1) or send(*graph, **how))
    arguments = [*COMMANDS[command], "--scheduler", full.address]
    together = done(arguments, inputs / f"{command} together", monkeypatch, capsys)
    assert together == alone
    assert asked
    code, _, _, files = alone
    assert code == {"ingest points": 1, "append": 1, "ingest strictly": 2, "validate": 1}.get(command, 0)
    assert ("new.zarr/zarr.json" in files) == ("--out" in arguments and code < 2 and command != "append")
    assert ("old.archive/commits/00000002/commit.json" in files) == (command == "append")


def test_workers_of_other_code_are_refused(full, monkeypatch):
    monkeypatch.setattr(scheduler, "_CODE", "another")
    with (
        pytest.raises(SchedulerError, match=r"data_pipeline .* where this process has another"),
        connected(full.address),
    ):
        pass


def test_the_cluster_is_asked_inside_alone(full):
    outside = os.getpid()
    with connected(full.address):
        found = set(in_order(_process, range(8), None))
        assert found <= {worker.pid for worker in full.workers}
        assert set(in_order(_process_within, range(4), None)) == {True}
        lazy = dask.delayed(_process)(None, 0)
        assert computed([lazy])[0] in found
        with here():
            assert set(in_order(_process, range(2), None)) == {outside}
    assert set(in_order(_process, range(2), None)) == {outside}
    assert computed(lazy) == outside


def _process(_, item):
    return os.getpid()


def _process_within(_, item):
    """Whether what a piece computes with dask is computed in its own thread."""
    (thread,) = dask.compute(dask.delayed(threading.get_ident)())
    return thread == threading.get_ident()


def test_alone_items_are_taken_one_by_one():
    taken = []
    results = in_order(lambda shared, item: shared + item, iter(taken.append(i) or i for i in range(5)), 10)
    assert next(results) == 10
    assert taken == [0]
    assert list(results) == [11, 12, 13, 14]


def test_a_worker_that_lacks_a_file_is_no_bad_file(full, tmp_path):
    with pytest.raises(SchedulerError, match=r"does not see .gone\.nc."), connected(full.address):
        read_each([tmp_path / "gone.nc"], len, False)


def test_without_the_package_the_extra_is_named(monkeypatch, capsys, inputs):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert _run(["validate", str(inputs / "bad.zarr"), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert 'install it with: pip install "dino-ocean[distributed]"' in capsys.readouterr().err
    with pytest.raises(MissingPackageError), connected("tcp://127.0.0.1:1"):
        pass


@pytest.mark.parametrize("who", ["nobody", "somebody who never speaks", "nonsense"])
def test_an_address_where_no_scheduler_answers_is_told(who, monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 0.3)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}" if who != "nonsense" else who
        if who != "nobody":
            bound.listen()
        with pytest.raises(SchedulerError, match=r"no dask scheduler answered at .* within 0\.3 s"), connected(address):
            pass


def test_workers_of_both_kinds_are_refused(capsys, inputs):
    assert _run(["ingest", str(inputs / "day0.nc"), "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "give one of the two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "gate"),
    [("append", "day3.nc"), pytest.param("sample", "ocean.zarr/ssh/c/0/0/0/0", marks=pytest.mark.slow)],
)
def test_a_worker_killed_as_it_reads_changes_nothing(
    command, gate, full, inputs, stopped_clock, monkeypatch, capsys, tmp_path
):
    alone = done(COMMANDS[command], inputs / f"{command} undisturbed", monkeypatch, capsys)
    held = Gate(inputs / gate)
    killer = threading.Thread(target=held.killed, args=(full,))
    killer.start()
    arguments = [*COMMANDS[command], "--scheduler", full.address]
    together = done(arguments, inputs / f"{command} disturbed", monkeypatch, capsys)
    killer.join()
    assert [worker.process.poll() for worker in full.workers].count(None) == 1
    assert together == alone


def parts_of(folder):
    whole = fields_dataset(
        np.datetime64("2014-05-15", "ns") + np.arange(3) * np.timedelta64(1, "D"),
        np.arange(5.0),
        np.arange(4.0),
        {"ssh": dask.array.zeros((4, 3, 4, 5), dtype=np.float32)},
    )
    return FieldParts(whole, (1, 1, 1, 1), partial(held_up, str(folder)), "a")


def test_a_worker_killed_as_it_simulates_changes_nothing(full, tmp_path):
    (tmp_path / "gate").write_bytes(b"")
    alone = grow_store(parts_of(tmp_path), tmp_path / "alone.zarr")
    killer = threading.Thread(target=Gate(tmp_path / "gate").killed, args=(full,))
    killer.start()
    with connected(full.address):
        together = grow_store(parts_of(tmp_path), tmp_path / "together.zarr")
    killer.join()
    assert [worker.process.poll() for worker in full.workers].count(None) == 1
    files = [{str(f.relative_to(s)): f.read_bytes() for f in s.rglob("*") if f.is_file()} for s in (alone, together)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_scheduler_without_workers_or_lost_is_told_and_nothing_is_written(tmp_path, monkeypatch):
    with Cluster(tmp_path, 0) as lost:
        monkeypatch.setattr(scheduler, "WORKERS_SECONDS", 0.2)
        with pytest.raises(SchedulerError, match=r"no worker for 0\.2 s; start some with"), connected(lost.address):
            pass
        monkeypatch.setattr(scheduler, "WORKERS_SECONDS", PATIENCE)
        lost.fill(1)
        (tmp_path / "gate").write_bytes(b"")
        gate = Gate(tmp_path / "gate")

        def lose():
            with open(gate.path, "wb"):
                lost.scheduler.kill()

        loser = threading.Thread(target=lose)
        loser.start()
        with pytest.raises(SchedulerError, match="was lost"), connected(lost.address):
            grow_store(parts_of(tmp_path), tmp_path / "a.zarr")
        loser.join()
    assert not (tmp_path / "a.zarr").exists()
