"""Archives that somebody else made: parts stay inside, sizes are bounded, and a lock empties no other file."""

import json
import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_pipeline.archive.appending import append
from data_pipeline.archive.commits import archive_state
from data_pipeline.archive.records import Commit
from data_pipeline.errors import BusyError, StoreError
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store
from data_pipeline.system.folders import claimed


@pytest.fixture
def archive(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(("one.nc", [(1, 5, 0.1), (30, 6, 0.2)])), path)
    append(made(("two.nc", [(2, 7, 0.3)])), path)
    return path


def log_of(path, number=2):
    return path / "commits" / f"{number:08d}" / "commit.json"


def edited(path, change, number=2):
    content = json.loads(log_of(path, number).read_text())
    change(content)
    log_of(path, number).write_text(json.dumps(content))


def refused(path, match, within=5.0):
    """It is told by reading and by validating, soon, and an append does not go on from it."""
    began = time.monotonic()
    with pytest.raises(StoreError, match=match):
        open_store(path)["adt"].values  # noqa: B018 - it reads
    assert any(problem for problem in validate_store(path))
    assert time.monotonic() - began < within


def pointed(part, start=0, stop=1):
    def change(content):
        for day in content["points"]:
            content["points"][day] = [part, start, stop]

    return change


@pytest.mark.parametrize(
    "part",
    [
        "/tmp/elsewhere/points-0000",
        "../../elsewhere/points-0000",
        "00000001/../../../elsewhere/points-0000",
        "00000002/points-0000/../../../../elsewhere",
        "..\\..\\elsewhere\\points-0000",
        "00000001",
        "",
        "00000001/points-0000\n",
        "٠٠٠٠٠٠٠١/points-0000",
    ],
)
def test_a_part_that_is_named_elsewhere_is_refused(archive, tmp_path, part):
    shutil.copytree(archive / "commits" / "00000001" / "points-0000", tmp_path / "elsewhere" / "points-0000")
    edited(archive, pointed(part))
    refused(archive, "cannot be read")


@pytest.mark.parametrize("kind", ["part", "commit", "commits", "log", "column", "chunk"])
def test_what_a_link_leads_out_to_is_refused(archive, made, tmp_path, kind):
    other = tmp_path / "b.archive"
    shutil.copytree(archive, other)
    where = {
        "part": "commits/00000002/points-0000",
        "commit": "commits/00000002",
        "commits": "commits",
        "log": "commits/00000002/commit.json",
        "column": "commits/00000002/points-0000/adt",
        "chunk": "commits/00000002/points-0000/adt/c/0",
    }[kind]
    at = archive / where
    if at.is_dir():
        shutil.rmtree(at)
    else:
        at.unlink()
    at.symlink_to(other / where)
    refused(archive, "led out of its folder")
    with pytest.raises(StoreError):
        append(made(("three.nc", [(3, 8, 0.4)])), archive)
    assert len(list((other / "commits").iterdir())) == 2


def test_an_archive_may_lie_behind_a_link(archive, made, tmp_path):
    (tmp_path / "link.archive").symlink_to(archive)
    append(made(("three.nc", [(3, 8, 0.4)])), tmp_path / "link.archive")
    assert sorted(open_store(archive)["adt"].values) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert validate_store(tmp_path / "link.archive") == []


@pytest.mark.parametrize("stop", [2, 2**25, 10**13, 2**61])
@pytest.mark.parametrize("claims", [False, True])
def test_rows_that_no_part_holds(archive, stop, claims):
    """In the log alone, or in the metadata of the part as well."""
    part = "00000002/points-0000"
    edited(archive, pointed(part, 0, stop + 2))
    if claims:
        for metadata in (archive / "commits" / part).glob("*/zarr.json"):
            content = json.loads(metadata.read_text())
            content["shape"] = [stop + 2]
            metadata.write_text(json.dumps(content))
    if claims and stop == 2:
        pytest.skip("two rows more are told as a chunk of another length, or read as they are")
    refused(archive, "ends at|can hold no such number|chunks|cannot be read")


@pytest.mark.parametrize(
    "day", ["-9999-01-01", "9999-12-31", "0001-01-01", "2020-02-30", "20200101", "NaT", "2020", "2020-W01-1"]
)
def test_days_that_are_none(archive, day):
    edited(archive, lambda content: content["points"].update({day: ["00000002/points-0000", 0, 1]}))
    refused(archive, "cannot be read")


@pytest.mark.parametrize("name", ["../../../x", "/etc/x", "a/b", "", ".", "..", "a\\b", "x" * 300])
def test_columns_whose_names_are_paths(archive, name):
    edited(archive, lambda content: content["units"].update({name: "m"}))
    refused(archive, "cannot be read")


@pytest.mark.parametrize("piece", [["00000002/points-0000", 1, 1], ["00000002/points-0000", -1, 1], ["x", 0], 7])
def test_pieces_that_are_none(archive, piece):
    edited(archive, lambda content: content["points"].update({"2020-01-01": piece}))
    refused(archive, "cannot be read")


def test_a_log_of_another_number_or_of_any_length(archive):
    whole = log_of(archive).read_bytes()
    edited(archive, lambda content: content.update(number=1))
    refused(archive, "holds commit 1")
    with open(log_of(archive), "r+b") as file:
        file.truncate(2**40)
    refused(archive, "longer than")
    log_of(archive).write_bytes(whole)
    for name in ("²", "1", "00000003x", "0" * 40):
        (archive / "commits" / name).mkdir()
    assert archive_state(archive).number == 2
    assert validate_store(archive) == []


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_no_text_is_a_part_but_a_part(text):
    content = {
        "number": 1, "time": "2020-01-01T00:00:00Z", "product": "", "files": [], "replaced": [], "repeats": {},
        "units": {}, "notes": [], "points": {"2020-01-01": [text, 0, 1]},
    }  # fmt: skip
    try:
        Commit.model_validate(content)
    except ValidationError:
        return
    folder, slash, part = text.partition("/")
    assert folder.isdigit()
    assert slash
    assert part.partition("-")[0] in ("points", "repeats")


def test_a_lock_that_is_a_link_empties_nothing(archive, made, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (archive / "lock").unlink(missing_ok=True)
    (archive / "lock").symlink_to(precious)
    with pytest.raises(StoreError, match="symbolic link"):
        append(made(("three.nc", [(3, 8, 0.4)])), archive)
    assert precious.read_text() == "kept"
    (archive / "lock").unlink()
    with claimed(archive / "lock", "held"), pytest.raises(BusyError):
        append(made(("three.nc", [(3, 8, 0.4)])), archive)


def test_times_beyond_those_of_a_store_are_no_other_times(archive):
    import zarr

    array = zarr.open_array(archive / "commits" / "00000002" / "points-0000" / "time", mode="r+")
    array[:] = np.full(array.shape, 2**62, np.int64)
    with pytest.raises(StoreError, match="cannot be read"):
        open_store(archive)["time"].values  # noqa: B018 - it reads
