"""Stores that are made in parts: what was finished survives a kill, and nobody sees the difference."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import SimulationError, StoreError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.simulators import navier_stokes
from data_pipeline.simulators.navier_stokes import NavierStokesConfig
from data_pipeline.stores import growing
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts, gather
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store


def toy(made, sizes=(2, 3, 1), settings="a", workers=1, before=lambda part: None):
    """Six trajectories whose values are their numbers; `made` collects the parts that are really made."""
    shape = (sum(sizes), 4, 5, 6)
    stand_in = dask.array.zeros(shape, dtype=np.float32, chunks=(1, *shape[1:]))
    times = np.datetime64("2000-01-01") + np.arange(4)
    fields = fields_dataset(times, np.arange(6.0), np.arange(5.0), {"ssh": stand_in, "sst": stand_in})

    def make(part, report):
        before(part)
        made.append(part)
        numbers = sum(sizes[:part]) + np.arange(sizes[part])
        values = np.broadcast_to(numbers[:, None, None, None], (sizes[part], *shape[1:])).astype(np.float32)
        report(0.5)
        return {"ssh": values, "sst": values + 10}

    return FieldParts(fields, tuple(sizes), make, settings, workers)


def contents(store):
    return {str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()}


def folder_of(store):
    return store.parent / f".{store.name}.growing"


def stopped_at(last, error=SimulationError):
    def before(part):
        if part == last:
            raise error("stopped")

    return before


@pytest.mark.parametrize("workers", [1, 3])
def test_a_store_of_parts_is_the_store_of_the_whole(tmp_path, workers):
    steps = []
    grown = grow_store(toy([], workers=workers), tmp_path / "a.zarr", progress=lambda *step: steps.append(step))
    whole = gather(toy([]))
    assert whole.ssh[:, 0, 0, 0].values.tolist() == [0, 1, 2, 3, 4, 5]
    xr.testing.assert_identical(open_store(grown).compute(), whole.assign_attrs(dino_complete=True))
    assert contents(grown) == contents(write_store(whole, tmp_path / "b.zarr"))
    assert validate_store(grown) == []
    assert steps[-1] == (24, 24)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


@pytest.mark.parametrize("error", [SimulationError, KeyboardInterrupt])
def test_only_what_is_missing_is_made_again(tmp_path, error):
    store, made = tmp_path / "a.zarr", []
    with pytest.raises(error):
        grow_store(toy(made, before=stopped_at(2, error)), store)
    assert not store.exists()
    assert made == [0, 1]
    grow_store(toy(made), store)
    assert made == [0, 1, 2]
    assert contents(store) == contents(grow_store(toy([]), tmp_path / "b.zarr"))


@pytest.mark.parametrize("change", [{"settings": "b"}, {"sizes": (3, 2, 1)}])
def test_other_settings_start_anew(tmp_path, change):
    store, made = tmp_path / "a.zarr", []
    with pytest.raises(SimulationError):
        grow_store(toy([], before=stopped_at(2)), store)
    grow_store(toy(made, **change), store)
    assert made == [0, 1, 2]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_part_is_made_again(tmp_path, damage):
    store, made = tmp_path / "a.zarr", []
    with pytest.raises(SimulationError):
        grow_store(toy([], before=stopped_at(2)), store)
    part = folder_of(store) / "part-00001.npz"
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    grow_store(toy(made), store)
    assert made == [1, 2]
    assert contents(store) == contents(grow_store(toy([]), tmp_path / "b.zarr"))


def test_a_second_writer_is_told_who_is_first(tmp_path):
    store = tmp_path / "a.zarr"

    def meanwhile(part):
        with pytest.raises(StoreError, match=rf"another process \({os.getpid()}\)"):
            grow_store(toy([]), store)

    grow_store(toy([], before=meanwhile), store)
    assert validate_store(store) == []


def test_another_writer_of_the_store_leaves_the_parts_alone(tmp_path):
    store = tmp_path / "a.zarr"
    whole = gather(toy([]))

    def meanwhile(part):
        write_store(whole, store, overwrite=True)

    with pytest.raises(StoreError, match="--overwrite"):
        grow_store(toy([], before=meanwhile), store)
    made = []
    grow_store(toy(made), store, overwrite=True)
    assert made == []


def test_a_taken_place_is_refused_before_the_work(tmp_path):
    store, made = grow_store(toy([]), tmp_path / "a.zarr"), []
    with pytest.raises(StoreError, match="--overwrite"):
        grow_store(toy(made), store)
    grow_store(toy(made, settings="b"), store, overwrite=True)
    assert made == [0, 1, 2]


def test_nothing_is_left_of_a_run_that_made_nothing(tmp_path):
    with pytest.raises(SimulationError):
        grow_store(toy([], before=stopped_at(0)), tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another --out"):
        grow_store(toy([]), tmp_path / "file" / "a.zarr")


def test_a_failure_leaves_out_the_parts_not_begun(tmp_path):
    made = []
    with pytest.raises(SimulationError):
        grow_store(toy(made, sizes=(1,) * 50, workers=2, before=stopped_at(0)), tmp_path / "a.zarr")
    assert len(made) < 50


def test_a_killed_simulation_continues_to_the_same_bytes(tmp_path, monkeypatch):
    config = NavierStokesConfig(grid=16, trajectories=32, spin_up=0, frames=20)
    store = tmp_path / "a.zarr"
    script = f"""
        import time
        from data_pipeline.stores.growing import grow_store
        from data_pipeline.simulators import navier_stokes as system

        integrate = system.integrate
        def stuck_in_the_third_part(model, runs):
            for frame, state in enumerate(integrate(model, runs)):
                if runs.start == 16 and frame == 10:
                    print("now", flush=True)
                    time.sleep(600)
                yield state

        system.integrate = stuck_in_the_third_part
        config = system.NavierStokesConfig.model_validate_json('{config.model_dump_json()}')
        grow_store(system.parts(config), {str(store)!r})
    """
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "now\n"
        with pytest.raises(StoreError, match=rf"another process \({writer.pid}\)"):
            grow_store(navier_stokes.parts(config), store)
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert not store.exists()
    begun, real = [], navier_stokes.integrate
    monkeypatch.setattr(navier_stokes, "integrate", lambda model, runs: begun.append(runs) or real(model, runs))
    grow_store(navier_stokes.parts(config), store)
    assert begun == [range(16, 24), range(24, 32)]
    assert contents(store) == contents(grow_store(navier_stokes.parts(config), tmp_path / "b.zarr"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_parts_of_other_simulators_are_made_anew(tmp_path, monkeypatch):
    store, made = tmp_path / "a.zarr", []
    with pytest.raises(SimulationError):
        grow_store(toy(made, before=stopped_at(2)), store)
    monkeypatch.setattr(growing, "digest_of_code", lambda room: {"simulators": "other"}[room])
    grow_store(toy(made), store)
    assert made == [0, 1, 0, 1, 2]
