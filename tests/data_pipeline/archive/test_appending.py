"""Archives: what they hold depends on the files alone, and every append is one commit."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.archive import appending, reading
from data_pipeline.archive.appending import append
from data_pipeline.archive.commits import load_commit
from data_pipeline.errors import EmptyDataError, SchemaError, StoreError
from data_pipeline.stores.blocks import ObservationBlocks
from data_pipeline.stores.stream import read_window
from data_pipeline.stores.validation import validate_store
from data_pipeline.stores.writing import open_store, write_store

A = ("a.nc", [(0, 1, 0.5), (6, 1, 0.25), (30, 1, 0.75)])
B = ("b.nc", [(3, 2, 1.5), (50, 2, 1.25)])
LATE = ("late.nc", [(-48, 3, 2.5)])

# Few times, places and values, so that points of several files are the same, at the same time, or on one day.
ROW = st.tuples(st.sampled_from([-24, 0, 1, 5, 24, 47, 96]), st.sampled_from([1, 2]), st.sampled_from([0.5, 1.0]))
FILE = st.tuples(st.sampled_from(["a.nc", "b.nc", "c.nc"]), st.lists(ROW, min_size=1, max_size=4))
ARRIVAL = st.lists(FILE, min_size=1, max_size=3, unique_by=lambda file: file[0])


def test_days_appended_in_any_order_are_in_time_order(tmp_path, made, table):
    path = tmp_path / "a.archive"
    for file in (B, A, LATE):
        append(made(file), path)
    ds = open_store(path)
    assert table(ds) == [
        (-48, 3, 2.5, "late"),
        (0, 1, 0.5, "a"),
        (3, 2, 1.5, "b"),
        (6, 1, 0.25, "a"),
        (30, 1, 0.75, "a"),
        (50, 2, 1.25, "b"),
    ]
    assert ds["day"].size == 5
    assert ds["day_offset"].values.tolist() == [0, 1, 1, 4, 5, 6]
    assert validate_store(path) == []
    assert [one["file"] for one in json.loads(ds.attrs["sources"])] == ["b.nc", "a.nc", "late.nc"]
    assert table(read_window(path, "2020-01-01", "2020-01-02")) == table(ds)[1:4]


def test_an_archive_is_read_as_a_store_of_all_files_is(tmp_path, made):
    archive = tmp_path / "a.archive"
    for file in (A, B, LATE):
        append(made(file, error=0.1), archive)
    whole = open_store(write_store(made(A, B, LATE, error=0.1), tmp_path / "whole.zarr"))
    xr.testing.assert_equal(open_store(archive).compute(), whole.compute())
    blocks = ObservationBlocks(archive, 2)
    assert len(blocks) > 1
    parts = [blocks.read(number) for number in range(len(blocks))]
    np.testing.assert_array_equal(np.concatenate([part["adt"] for part in parts]), whole["adt"])
    copied = open_store(write_store(open_store(archive), tmp_path / "copy.zarr"))
    xr.testing.assert_identical(copied.compute(), open_store(archive).compute())


def test_what_stands_beside_values_is_kept(tmp_path, made):
    path = tmp_path / "a.archive"
    ds = made(("a.nc", [(0, 1, 0.5), (30, 2, 0.6)]), error=0.1)
    truth = ds.adt.assign_attrs(long_name="true value of adt, for comparison only") - 0.25
    append(ds.assign(adt_truth=truth.assign_attrs(units="m")), path)
    append(made(("b.nc", [(1, 5, 0.7)])), path)
    kept = open_store(path).load()
    np.testing.assert_allclose(kept.adt_truth, [0.25, np.nan, 0.35], rtol=1e-6)
    np.testing.assert_allclose(kept.adt_error, [0.1, np.nan, 0.1], rtol=1e-6)
    assert validate_store(path) == []


@pytest.mark.parametrize("examples", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_an_archive_depends_on_the_last_content_of_each_file_alone(made, table, examples):
    @settings(max_examples=examples, deadline=None)
    @given(arrivals=st.lists(ARRIVAL, min_size=2, max_size=5))
    def check(arrivals):
        depends_on_the_last_contents(made, table, arrivals)

    check()


def depends_on_the_last_contents(made, table, arrivals):
    with tempfile.TemporaryDirectory() as folder:
        grown, fresh = Path(folder, "grown"), Path(folder, "fresh")
        latest, seen = {}, set()
        for files in arrivals:
            ds = made(*files)
            for (name, rows), described in zip(files, json.loads(ds.attrs["sources"]), strict=True):
                if described["sha256"] not in seen:
                    seen.add(described["sha256"])
                    latest[name] = rows
            append(ds, grown)
            assert append(ds, grown) is None
        append(made(*latest.items()), fresh)
        assert validate_store(grown) == []
        assert table(open_store(grown)) == table(open_store(fresh))
        points = {row for rows in latest.values() for row in rows}
        assert sorted(row[:3] for row in table(open_store(grown))) == sorted(points)


def test_the_same_file_twice_changes_nothing(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(A, B), path)
    files = sorted(file for file in path.rglob("*") if file.name != "lock")
    assert append(made(A, B), path) is None
    assert append(made(("renamed.nc", A[1])), path) is None
    assert sorted(file for file in path.rglob("*") if file.name != "lock") == files


def test_a_corrected_file_replaces_its_points_and_never_comes_back(tmp_path, made, table):
    path = tmp_path / "a.archive"
    append(made(A, B), path)
    corrected = ("a.nc", [(1, 1, 0.125)])
    commit = append(made(corrected), path)
    assert commit is not None
    assert commit.replaced == ["a.nc"]
    assert commit.points["2020-01-02"] is None
    assert table(open_store(path)) == [(1, 1, 0.125, "a"), (3, 2, 1.5, "b"), (50, 2, 1.25, "b")]
    assert append(made(A), path) is None
    assert validate_store(path) == []


def test_a_repeated_point_outlives_the_file_that_kept_it(tmp_path, made, table):
    path = tmp_path / "a.archive"
    shared = (6, 1, 0.25)
    append(made(A), path)
    append(made(("b.nc", [shared, (7, 1, 0.25)])), path)
    assert table(open_store(path)).count((*shared, "a")) == 1
    assert (*shared, "b") not in table(open_store(path))
    append(made(("a.nc", [(0, 1, 0.5)])), path)
    assert table(open_store(path)) == [(0, 1, 0.5, "a"), (*shared, "b"), (7, 1, 0.25, "b")]


def test_late_data_write_their_own_day_only(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(("month.nc", [(hour, 1, 0.5) for hour in range(720)])), path)
    commit = append(made(("late.nc", [(250, 2, 0.5)])), path)
    assert commit is not None
    assert commit.points == {"2020-01-11": ("00000002/points-0000", 0, 25)}
    assert commit.repeats == {}


def test_large_appends_are_written_part_by_part(tmp_path, made, table, monkeypatch):
    monkeypatch.setattr(appending, "ROWS_PER_PART", 60)
    monkeypatch.setattr(reading, "CHUNK", 32)
    monkeypatch.setattr(appending, "CHUNK", 32)
    path = tmp_path / "a.archive"
    rows = [(hour, 1, 0.5 + hour) for hour in range(240)]
    commit = append(made(("month.nc", rows)), path)
    assert commit is not None
    assert sorted({piece[0][9:] for piece in commit.points.values() if piece}) == [f"points-{i:04d}" for i in range(5)]
    ds = open_store(path)
    assert ds["adt"].chunks == ((32, 16) * 5,)
    assert [row[:3] for row in table(ds)] == rows


def test_a_window_reads_its_own_chunks(tmp_path, made, monkeypatch):
    path = tmp_path / "a.archive"
    for day in range(6):
        append(made((f"{day}.nc", [(24 * day + 6 * step, 1, 0.5) for step in range(4)])), path)
    read, real = [], reading._read
    monkeypatch.setattr(
        reading, "_read", lambda folder, *rest: read.append((folder[-20:-12], rest)) or real(folder, *rest)
    )
    ds = open_store(path)
    assert read == []
    assert read_window(ds, "2020-01-03", "2020-01-05").sizes["obs"] == 8
    assert sorted(read) == sorted(
        (f"0000000{commit}", (name, 0, 4))
        for commit in (3, 4)
        for name in ("time", "longitude", "latitude", "source", "adt")
    )


def test_channels_that_come_later(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(A), path)
    append(made(("t.nc", [(1, 1, 15.0), (100, 1, 16.0)]), channel="sst", error=0.5), path)
    ds = open_store(path).load()
    nan = np.nan
    np.testing.assert_array_equal(ds["adt"], np.float32([0.5, nan, 0.25, 0.75, nan]))
    np.testing.assert_array_equal(ds["sst"], np.float32([nan, 15, nan, nan, 16]))
    np.testing.assert_array_equal(ds["sst_error"], np.float32([nan, 0.5, nan, nan, 0.5]))
    assert ds["sst"].attrs["units"] == "degC"
    assert validate_store(path) == []


def test_a_channel_of_its_own_keeps_its_units(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(A, channel="chlorophyll", units={"chlorophyll": "mg m-3"}), path)
    assert open_store(path)["chlorophyll"].attrs["units"] == "mg m-3"
    with pytest.raises(SchemaError, match="in 'g m-3' where the archive has 'mg m-3'"):
        append(made(B, channel="chlorophyll", units={"chlorophyll": "g m-3"}), path)
    assert open_store(path).attrs["dino_commit"] == 1


def test_the_log_tells_what_came(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(A), path)
    append(made(("a.nc", [(0, 1, 0.5)]), B), path)
    commit = load_commit(path, 2)
    assert commit.summary() == "toy, 2 files (1 replaced), 3 points, 3 days written"
    assert commit.notes == ["a note"]
    history = open_store(path).attrs["history"].splitlines()
    assert [line.partition(" commit ")[2][:12] for line in history[::2]] == ["1: toy, 1 fi", "2: toy, 2 fi"]


def wrong_source(ds):
    return ds.assign_attrs(sources=json.dumps([]))


def no_digest(ds):
    return ds.assign_attrs(sources=json.dumps([{"file": "a.nc", "bytes": 1}, {"file": "b.nc", "bytes": 1}]))


def same_name(ds):
    twice = [{"file": "a.nc", "sha256": digest, "bytes": 1} for digest in "xy"]
    return ds.assign_attrs(sources=json.dumps(twice))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_source, "source 'a' is of none of the files"),
        (no_digest, "lacks file, sha256 or bytes"),
        (same_name, "two files are called 'a'"),
        (lambda ds: ds.isel(obs=slice(None, None, -1)), "no sound observation dataset"),
    ],
)
def test_what_cannot_be_appended(tmp_path, made, change, message):
    path = tmp_path / "a.archive"
    with pytest.raises(SchemaError, match=message):
        append(change(made(A, B)), path)
    assert list(tmp_path.iterdir()) == []


def test_several_sources_of_one_file(tmp_path, made, table):
    """A swath and the nadir points inside it are one file: they come and go together."""
    path = tmp_path / "a.archive"
    append(made(B), path)

    def swath(digest, *names):
        ds = made(*((name, [(hour, 5 + hour, 0.5)]) for hour, name in enumerate(names)))
        described = [{"file": "pass 3.nc", "sha256": digest, "bytes": 1, "counts": {"adt": 7}}]
        return ds.assign_attrs(sources=json.dumps(described))

    append(swath("x", "pass 3", "pass 3 nadir"), path)
    assert table(open_store(path)) == [(0, 5, 0.5, "pass 3"), (1, 6, 0.5, "pass 3 nadir"), *((*r, "b") for r in B[1])]
    assert json.loads(open_store(path).attrs["sources"])[1]["counts"] == {"adt": 7}
    append(swath("y", "pass 3 nadir"), path)
    assert table(open_store(path)) == [(0, 5, 0.5, "pass 3 nadir"), *((*row, "b") for row in B[1])]
    assert validate_store(path) == []


def test_a_source_is_of_one_file(tmp_path, made):
    path = tmp_path / "a.archive"
    append(made(A), path)
    with pytest.raises(SchemaError, match=r"'a\.dat' and 'a\.nc' both hold source 'a'"):
        append(made(("a.dat", [(0, 1, 9.0)])), path)


def test_maps_are_refused(tmp_path, toy_fields):
    with pytest.raises(SchemaError, match="observation"):
        append(toy_fields, tmp_path / "a.archive")


def test_other_things_do_not_grow(tmp_path, made, toy_fields):
    store = write_store(toy_fields, tmp_path / "a.zarr")
    (tmp_path / "text").write_text("dear")
    for path in (store, tmp_path / "text"):
        with pytest.raises(StoreError, match="is no archive and cannot grow"):
            append(made(A), path)
        with pytest.raises(StoreError, match="is no archive and cannot grow"):
            appending.unseen([], path)
    assert validate_store(store) == []


def test_an_archive_is_not_overwritten_by_a_store(tmp_path, made, toy_fields):
    path = tmp_path / "a.archive"
    append(made(A), path)
    with pytest.raises(StoreError, match="will not be replaced"):
        write_store(toy_fields, path, overwrite=True)


def test_an_archive_can_lose_all_its_points(tmp_path, made, table):
    path = tmp_path / "a.archive"
    append(made(A), path)
    append(made(("a.nc", [(0, 1, 9.0)])), path)
    append(made(("old.nc", A[1]), ("a.nc", [])), path)
    with pytest.raises(EmptyDataError, match="holds no observation"):
        open_store(path)
    assert table(open_store(path, as_of=2)) == [(0, 1, 9.0, "a")]
    append(made(B), path)
    assert table(open_store(path)) == [(*row, "b") for row in B[1]]
