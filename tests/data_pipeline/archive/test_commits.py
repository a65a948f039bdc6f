"""The log: earlier states stay readable, and what is lost or damaged is said."""

import datetime as dt
import shutil

import numpy as np
import pytest
import xarray as xr

from data_pipeline.archive import appending, commits
from data_pipeline.archive.appending import append
from data_pipeline.archive.commits import Draft, archive_state, drafting, last_commit, load_commit
from data_pipeline.errors import MissingFileError, StoreError
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.archive"


@pytest.fixture
def days(made, path, monkeypatch):
    """Append one file a day, committed at noon of that day of 2021; the Datasets as they were."""

    def appended(count, every=64):
        monkeypatch.setattr(commits, "STATE_EVERY", every)
        states = []
        for day in range(count):
            noon = dt.datetime(2021, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=day)
            with monkeypatch.context() as patch:
                patch.setattr(Draft, "time", lambda draft, noon=noon: noon)
                append(made((f"{day % 3}.nc", [(24 * day, 1, 0.5), (5, day, 0.25)])), path)
            states.append(open_store(path).load())
        return states

    return appended


@pytest.mark.parametrize("every", [64, 3, 1])
def test_every_earlier_state_is_still_there(path, days, every):
    for number, then in enumerate(days(7, every), start=1):
        xr.testing.assert_identical(open_store(path, as_of=number).load(), then)
    assert validate_store(path) == []
    assert (path / "commits" / "00000003" / "state.json").exists() == (every < 64)


@pytest.mark.parametrize(
    ("as_of", "number"),
    [
        (None, 3),
        ("2", 2),
        ("2021-01-03", 2),
        ("2021-01-03T12:00", 3),
        ("2021-01-02T13:30+01:00", 2),
        ("2021-01-02T12:30+01:00", 1),
        (np.datetime64("2021-01-02T12:00"), 2),
        (dt.datetime(2021, 1, 1, 12), 1),
        ("2030-01-01", 3),
        ("20210103", 2),
        (20210103, 2),
        ("20210103T12", 3),
        ("20210103120000", 3),
        (np.int64(2), 2),
        (dt.datetime(2021, 1, 2, 13, 30, tzinfo=dt.timezone(dt.timedelta(hours=1))), 2),
        (dt.date(2021, 1, 3), 2),
    ],
)
def test_a_state_by_number_or_time(path, days, as_of, number):
    days(3)
    assert open_store(path, as_of=as_of).attrs["dino_commit"] == number


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (0, "has commits 1 to 2, not 0"),
        ("3", "has commits 1 to 2, not 3"),
        ("2021-01-01", "did not exist at 2021-01-01; its first commit is of 2021-01-01T12:00:00Z"),
        ("yesterday", "neither a commit's number nor a time"),
        ("20210230", "neither a commit's number nor a time .*does not exist"),
        ("2021", "has commits 1 to 2, not 2021"),
        (99999999, "neither a commit's number nor a time"),
        (1.5, "neither a commit's number nor a time"),
        (np.datetime64("NaT"), "neither a commit's number nor a time"),
    ],
)
def test_no_such_state(path, days, as_of, message):
    days(2)
    with pytest.raises(StoreError, match=message):
        open_store(path, as_of=as_of)


def test_a_plain_store_has_no_earlier_states(tmp_path, toy_observations):
    store = write_store(toy_observations, tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="made in one piece"):
        open_store(store, as_of=1)
    with pytest.raises(MissingFileError):
        open_store(tmp_path / "none", as_of=1)


def test_a_store_of_commits_is_no_archive(tmp_path, made):
    """A channel may be called as the folder of an archive's log."""
    ds = made(("a.nc", [(0, 1, 0.5)]), channel="commits", units={"commits": "1"})
    store = write_store(ds, tmp_path / "a.zarr")
    assert open_store(store)["commits"].values.tolist() == [0.5]
    with pytest.raises(StoreError, match="is no archive and cannot grow"):
        append(ds, store)


def test_a_reader_keeps_the_state_it_opened(path, made):
    append(made(("a.nc", [(0, 1, 0.5), (1, 1, 0.5)])), path)
    before = open_store(path)
    append(made(("a.nc", [(0, 1, 1.5)])), path)
    assert before["adt"].values.tolist() == [0.5, 0.5]
    assert open_store(path)["adt"].values.tolist() == [1.5]


def test_the_clock_never_runs_backwards(path, made, days):
    days(1)
    with drafting(path) as draft:
        assert draft.time() > dt.datetime(2021, 1, 1, 12, tzinfo=dt.UTC)
        draft.state.time = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
        assert draft.time() == draft.state.time


def test_a_second_writer_is_told_who_is_first(path, made, days):
    days(1)
    with drafting(path), pytest.raises(StoreError, match=r"appended to by another process \(\d+\)"):
        append(made(("b.nc", [(0, 1, 0.5)])), path)
    assert last_commit(path) == 1


def test_a_number_is_taken_once_even_where_locks_do_nothing(path, days):
    days(1)
    with drafting(path) as draft:
        commit = load_commit(path, 1).model_copy(update={"number": 2})
        shutil.copytree(path / "commits" / "00000001", path / "commits" / "00000002")
        with pytest.raises(StoreError, match="another process was first to commit 2"):
            draft.publish(commit)
    assert sorted(entry.name for entry in path.iterdir()) == ["commits", "lock"]


def test_a_draft_that_fails_vanishes(path, days):
    days(1)
    with pytest.raises(KeyboardInterrupt), drafting(path):
        raise KeyboardInterrupt
    assert sorted(entry.name for entry in path.iterdir()) == ["commits", "lock"]
    assert archive_state(path).number == 1


def part(path, name="adt"):
    return path / "commits" / "00000002" / "points-0000" / name


DAMAGES = {
    "lacks commit 2; restore": lambda path: shutil.rmtree(path / "commits" / "00000002"),
    "has lost its commits": lambda path: [shutil.rmtree(entry) for entry in (path / "commits").iterdir()],
    "commit.json' cannot be read": lambda path: (path / "commits" / "00000001" / "commit.json").write_text("{}"),
    "chunk 0 of adt is gone": lambda path: (part(path) / "c" / "0").unlink(),
    "points-0000' cannot be read": lambda path: (part(path) / "c" / "0").write_bytes(b"rubbish"),
    "points-0000/adt does not exist": lambda path: shutil.rmtree(part(path)),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damage_is_an_error_and_never_a_missing_value(path, days, message):
    days(3)
    DAMAGES[message](path)
    with pytest.raises(StoreError, match=message):
        open_store(path).load()
    assert validate_store(path) != []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: (part(path) / "c" / "0").unlink(),
            "variable adt of 00000002/points-0000 lacks chunks on disk, of 1 (1 time",
        ),
        (lambda path: (part(path, "zarr.json")).unlink(), "part 00000002/points-0000 cannot be opened"),
        (lambda path: (path / "commits" / "00000002" / "commit.json").unlink(), "commit.json' cannot be read"),
    ],
)
def test_validate_looks_at_superseded_commits_too(path, made, monkeypatch, damage, message):
    monkeypatch.setattr(commits, "STATE_EVERY", 3)
    for value in (0.5, 1.5, 2.5):
        append(made(("a.nc", [(0, 1, value)])), path)
    assert validate_store(path) == []
    damage(path)
    assert any(message in str(problem) for problem in validate_store(path))
    assert open_store(path)["adt"].values.tolist() == [2.5]


def test_rows_beyond_a_part_are_an_error(path, made, monkeypatch):
    monkeypatch.setattr(appending, "CHUNK", 2)
    append(made(("a.nc", [(0, 1, 0.5), (1, 1, 0.5), (2, 1, 0.5)])), path)
    log = path / "commits" / "00000001" / "commit.json"
    log.write_text(log.read_text().replace('"00000001/points-0000",0,3', '"00000001/points-0000",0,4'))
    with pytest.raises(StoreError, match="ends at 3, before row 4"):
        open_store(path).load()
