"""Stores of observations that come day by day: what all of them at once would give, and nothing left behind."""

import os
import subprocess
import sys

import numpy as np
import pytest

from data_pipeline.commands.app import main
from data_pipeline.errors import EmptyDataError, SchemaError, StoreError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.observing.instruments import RandomPoints, TrackInstrument
from data_pipeline.observing.swaths import SampleConfig, sample, sample_days
from data_pipeline.stores.daily import write_days
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store


@pytest.fixture
def field():
    """Two channels for twelve days on half a degree, without a value from the fourth to the sixth."""
    longitude, latitude = np.arange(-65.0, -54.9, 0.5), np.arange(33.0, 43.1, 0.5)
    values = np.random.default_rng(3).normal(size=(12, latitude.size, longitude.size))
    values[3:6] = np.nan
    time = np.arange("2000-01-01", "2000-01-13", dtype="datetime64[D]")
    return fields_dataset(time, longitude, latitude, {"ssh": values, "sst": values + 15})


CONFIG = SampleConfig(
    instruments=(
        TrackInstrument(name="swot", kind="swath", spacing_km=10, channels=("ssh",)),
        RandomPoints(name="buoys", kind="random", points_per_day=300),
    ),
    seed=4,
)


def contents(store):
    return {str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()}


def test_days_give_the_bytes_of_the_whole(tmp_path, field):
    sizes = write_days(sample_days(field, CONFIG), tmp_path / "days.zarr")
    whole = sample(field, CONFIG)
    assert contents(tmp_path / "days.zarr") == contents(write_store(whole, tmp_path / "whole.zarr"))
    assert (sizes["obs"], sizes["day"]) == (whole.sizes["obs"], 11)
    assert np.diff(whole["day_offset"])[3:5].tolist() == [0, 0]
    assert validate_store(tmp_path / "days.zarr") == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["days.zarr", "whole.zarr"]


def test_the_command_writes_what_the_function_observes(tmp_path, field):
    write_store(field, tmp_path / "field.zarr")
    command = ["sample", str(tmp_path / "field.zarr"), "--out", str(tmp_path / "seen.zarr")]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--orbit", "random", "--seed", "4"])
    assert not stop.value.code
    config = SampleConfig(instruments=(RandomPoints(name="random", kind="random"),), seed=4)
    whole = write_store(sample(open_store(tmp_path / "field.zarr"), config), tmp_path / "whole.zarr")
    assert contents(tmp_path / "seen.zarr") == contents(whole)


def test_only_a_day_is_held_at_a_time(tmp_path, field):
    """A day is on the disk before the next one is asked for."""
    waiting = []

    def days():
        for number, day in enumerate(sample_days(field, CONFIG)):
            (folder,) = tmp_path.glob(".a.zarr.days-*")
            waiting.append(len(list(folder.iterdir())) == number)
            yield day

    write_days(days(), tmp_path / "a.zarr")
    assert len(waiting) > 5
    assert all(waiting)


def test_nothing_is_left_of_a_failure(tmp_path, field):
    def days():
        yield next(sample_days(field, CONFIG))
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        write_days(days(), tmp_path / "a.zarr")
    twice = list(sample_days(field, CONFIG))[:2]
    with pytest.raises(SchemaError, match="does not increase"):
        write_days([*twice, *twice], tmp_path / "a.zarr")
    with pytest.raises(EmptyDataError, match="no instrument saw"):
        write_days([], tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_place_is_refused_before_a_day_is_asked_for(tmp_path, field):
    days = sample_days(field, CONFIG)
    write_days(days, tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="--overwrite"):
        write_days(iter(lambda: pytest.fail("was asked"), None), tmp_path / "a.zarr")
    write_days(sample_days(field, CONFIG), tmp_path / "a.zarr", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another --out"):
        write_days(sample_days(field, CONFIG), tmp_path / "file" / "a.zarr")


def test_what_a_dead_writer_left_goes(tmp_path, field):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".a.zarr.days-{pid}").mkdir()
    write_days(sample_days(field, CONFIG), tmp_path / "a.zarr")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f".a.zarr.days-{os.getppid()}", "a.zarr"]
