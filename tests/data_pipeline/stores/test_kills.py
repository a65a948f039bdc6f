"""Writers that are killed, run out of disk, or meet each other: a store is as before or as after, never between."""

import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from writers import CRASHED, REFUSED, TASKS, Zygote

from data_pipeline.errors import MissingFileError, StoreError
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store

BEFORE = {"create": None, "replace": "create", "grow": None, "begin": None, "append": "begin"}


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as process:
        yield process


def contents(path: Path) -> bytes | None:
    """Every value of a store, None where there is none; anything else that opening raises is a failure."""
    try:
        ds = open_store(path).load()
    except MissingFileError:
        return None
    return repr([(name, ds[name].dims, ds[name].values.tolist()) for name in sorted(map(str, ds.variables))]).encode()


class Trial:
    """The state before and after a task, and fresh folders in which it is tried."""

    def __init__(self, task: str, folder: Path, zygote: Zygote) -> None:
        self.task, self.folder, self.zygote = task, folder, zygote
        self.old = folder / "old" / "a.store"
        self.old.parent.mkdir()
        if BEFORE[task]:
            TASKS[BEFORE[task]](self.old)
        self.before = contents(self.old)
        done = self.fresh()
        self.operations, self.seconds = zygote.count(task, done)
        self.after = contents(done)
        assert self.before != self.after
        self.seen = []

    def fresh(self) -> Path:
        shutil.rmtree(self.folder / "new", ignore_errors=True)
        shutil.copytree(self.old.parent, self.folder / "new")
        return self.folder / "new" / "a.store"

    def interrupted(self, how: str, at: float) -> int:
        """Try, look at what is left, finish the job; the status of the interrupted writer."""
        path = self.fresh()
        status = self.zygote.ask(self.task, path, how, at)
        left = contents(path)
        assert left in (self.before, self.after), (how, at)
        self.seen.append(left == self.after)
        if left == self.before or self.task in ("append", "begin", "replace"):
            TASKS[self.task](path)
        assert contents(path) == self.after, (how, at)
        assert validate_store(path) == [], (how, at)
        held = sorted(entry.name for entry in path.parent.iterdir())
        # A killed simulation that had its store in place already leaves its folder to the next run.
        assert held == ["a.store"] or (self.task == "grow" and left == self.after), (how, at, held)
        inside = {entry.name for entry in path.iterdir()}
        assert self.task not in ("append", "begin") or inside <= {"commits", "lock"}, (how, at, inside)
        return status


def kill_often(trial: Trial, times: int, seed: int) -> None:
    """Half of the kills at a random file operation, half at a random time of the run."""
    chance = random.Random(seed)
    for number in range(times):
        if number % 2:
            trial.interrupted("timed", chance.uniform(0.0, 1.2 * trial.seconds))
        else:
            status = trial.interrupted("kill", chance.randint(1, trial.operations))
            assert status == signal.SIGKILL


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_writer_leaves_the_old_or_the_new(tmp_path, zygote, task):
    trial = Trial(task, tmp_path, zygote)
    assert trial.interrupted("run", 0) == 0
    assert trial.interrupted("kill", trial.operations) == signal.SIGKILL
    kill_often(trial, 6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_hundred_kills(tmp_path, zygote, task):
    trial = Trial(task, tmp_path, zygote)
    kill_often(trial, 100, seed=2)
    assert False in trial.seen
    assert True in trial.seen


@pytest.mark.parametrize("task", ["replace", "grow", "append"])
def test_a_full_disk_is_told_and_nothing_changes(tmp_path, zygote, task):
    trial = Trial(task, tmp_path, zygote)
    for at in np.linspace(1, trial.operations, 3).astype(int):
        assert os.waitstatus_to_exitcode(trial.interrupted("full", int(at))) in (REFUSED, 0)
    assert False in trial.seen


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_disk_that_is_full_at_many_moments(tmp_path, zygote, task):
    trial = Trial(task, tmp_path, zygote)
    for at in np.unique(np.linspace(1, trial.operations, 40).astype(int)):
        assert os.waitstatus_to_exitcode(trial.interrupted("full", int(at))) in (REFUSED, 0)


@pytest.mark.parametrize("task", ["create", "begin"])
def test_a_file_cut_short_by_a_limit(tmp_path, zygote, task):
    trial = Trial(task, tmp_path, zygote)
    assert os.waitstatus_to_exitcode(trial.interrupted("limit", 100)) == REFUSED
    assert trial.seen == [False]


def test_of_two_that_append_one_waits_for_the_other(tmp_path, zygote):
    trial = Trial("append", tmp_path, zygote)
    path = trial.fresh()
    assert os.WIFSTOPPED(zygote.ask("append", path, "stop", trial.operations // 2))
    assert contents(path) == trial.before
    with pytest.raises(StoreError, match=r"by another process \(\d+\); run the same command again"):
        TASKS["append"](path)
    assert contents(path) == trial.before
    assert zygote.go_on() == 0
    assert contents(path) == trial.after
    assert TASKS["append"](path) is None


@pytest.mark.parametrize(("task", "again"), [("begin", None), ("create", "exists already")])
def test_of_two_that_create_the_second_is_told(tmp_path, zygote, task, again):
    trial = Trial(task, tmp_path, zygote)
    path = trial.fresh()
    assert os.WIFSTOPPED(zygote.ask(task, path, "stop", trial.operations // 2))
    TASKS[task](path)
    assert contents(path) == trial.after
    assert os.waitstatus_to_exitcode(zygote.go_on()) == REFUSED
    assert contents(path) == trial.after
    assert [entry.name for entry in path.parent.iterdir()] == ["a.store"]
    if again:
        with pytest.raises(StoreError, match=again):
            TASKS[task](path)
    else:
        assert TASKS[task](path) is None


def test_a_crash_is_no_refusal(tmp_path, zygote):
    """The trials above can fail: an error that is none of ours is told apart."""
    (tmp_path / "a.store").write_text("in the way")
    assert os.waitstatus_to_exitcode(zygote.ask("begin", tmp_path / "a.store")) == REFUSED
    assert os.waitstatus_to_exitcode(zygote.ask("nonsense", tmp_path / "a.store")) == CRASHED
