"""Many files at a time: bad ones are named and left out, or stop everything; processes give what one process gives."""

import hashlib
import json
from pathlib import Path

import dask.config
import numpy as np
import pytest
import xarray as xr

from data_pipeline.commands.app import main
from data_pipeline.errors import DinoError, EmptyDataError, SchemaError, UnknownProductError
from data_pipeline.products import ingest, points
from data_pipeline.stores.writing import open_store


def day(tmp_path, number, **attrs):
    """A day of a track: ten points, the first missing."""
    values = np.append(np.nan, 0.01 * np.arange(1, 10)) + 0.1 * number
    ds = xr.Dataset(
        {"sla_unfiltered": ("time", values, {"units": "m"})},
        coords={
            "time": ("time", number + np.arange(10) / 10.0, {"units": "days since 2000-01-01"}),
            "longitude": ("time", np.arange(10.0)),
            "latitude": ("time", np.arange(10.0)),
        },
        attrs=attrs,
    )
    path = tmp_path / f"day{number}.nc"
    ds.to_netcdf(path)
    return path


def grid_day(tmp_path, number, columns=3):
    ds = xr.Dataset(
        {"adt": (("time", "lat", "lon"), np.full((1, 2, columns), 0.1 * number), {"units": "m"})},
        coords={
            "time": ("time", [number], {"units": "days since 2000-01-01"}),
            "lat": [1.0, 2.0],
            "lon": np.arange(columns),
        },
    )
    path = tmp_path / f"map{number}.nc"
    ds.to_netcdf(path)
    return path


@pytest.fixture
def days(tmp_path):
    """Four good days, and between them an empty, a cut and a foreign file and one without units."""
    good = [day(tmp_path, number) for number in range(4)]
    (tmp_path / "day0_empty.nc").write_bytes(b"")
    (tmp_path / "day1_cut.nc").write_bytes(good[1].read_bytes()[:2000])
    (tmp_path / "day2_foreign.nc").write_bytes(b"\x00\x01")
    with xr.open_dataset(good[0]) as ds:
        ds.assign(sla_unfiltered=ds["sla_unfiltered"].assign_attrs(units="furlong")).to_netcdf(tmp_path / "day3_odd.nc")
    return tmp_path


def test_bad_files_are_left_out_and_named(days):
    ds = ingest(days / "day*.nc")
    assert ds.sizes["obs"] == 36
    assert list(ds["source_name"].values) == ["day0", "day1", "day2", "day3"]
    left_out = {entry["file"]: entry["error"] for entry in json.loads(ds.attrs["left_out"])}
    assert set(left_out) == {"day0_empty.nc", "day1_cut.nc", "day2_foreign.nc", "day3_odd.nc"}
    assert "is empty (0 bytes)" in left_out["day0_empty.nc"]
    assert "furlong" in left_out["day3_odd.nc"]
    assert "day1_cut.nc left out: " in ds.attrs["history"]
    sources = json.loads(ds.attrs["sources"])
    assert [source["file"] for source in sources] == [f"day{number}.nc" for number in range(4)]
    for source in sources:
        content = (days / source["file"]).read_bytes()
        assert source["sha256"] == hashlib.sha256(content).hexdigest()
        assert source["counts"]["sla"] == {"read": 10, "kept": 9, "dropped": {"missing in the file": 1}}


def test_strict_stops_at_the_first_bad_file(days):
    with pytest.raises(EmptyDataError, match="day0_empty"):
        ingest(days / "day*.nc", strict=True)


def test_only_bad_files_are_an_error(days):
    with pytest.raises(DinoError, match="day0_empty"):
        ingest(days / "day*_*.nc")


def test_a_bad_map_among_many_is_left_out(tmp_path):
    for number in range(3):
        grid_day(tmp_path, number)
    cut = tmp_path / "map1.nc"
    cut.write_bytes(cut.read_bytes()[:3000])
    ds = ingest(tmp_path / "map*.nc")
    np.testing.assert_allclose(ds["adt"].values[:, 0, 0], [0.0, 0.2], rtol=1e-6)
    assert [entry["file"] for entry in json.loads(ds.attrs["left_out"])] == ["map1.nc"]


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_scheduler_of_dask_changes_nothing(days, scheduler):
    one = ingest(days / "day*.nc")
    with dask.config.set(scheduler=scheduler, num_workers=2):
        many = ingest(days / "day*.nc")
    xr.testing.assert_equal(one, many)
    for name in ("sources", "left_out"):
        assert one.attrs[name] == many.attrs[name]


def test_overlapping_files_count_what_is_repeated(tmp_path):
    first = day(tmp_path, 0)
    again = tmp_path / "again.nc"
    again.write_bytes(first.read_bytes())
    ds = ingest([first, again])
    assert ds.sizes["obs"] == 9
    counts = [source["counts"]["sla"] for source in json.loads(ds.attrs["sources"])]
    assert counts[0] == {"read": 10, "kept": 9, "dropped": {"missing in the file": 1}}
    assert counts[1] == {"read": 10, "kept": 0, "dropped": {"missing in the file": 1, "repeated": 9}}


def test_more_files_than_sources_can_be_counted_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(points, "MOST_SOURCES", 1)
    with pytest.raises(SchemaError, match="more sources than 1"):
        ingest([day(tmp_path, 0), day(tmp_path, 1)])


def test_families_and_grids_are_not_mixed(tmp_path):
    with pytest.raises(UnknownProductError, match="ingest them apart"):
        ingest([day(tmp_path, 0), grid_day(tmp_path, 0)])
    with pytest.raises(SchemaError, match="differ in grid"):
        ingest([grid_day(tmp_path, 0), grid_day(tmp_path, 1, columns=4)])


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(UnknownProductError, match="no layout 'cubes'"):
        ingest(day(tmp_path, 0), layout="cubes")
    (tmp_path / "a.dat").write_text("1 1 23510 0.1\n")
    with pytest.raises(UnknownProductError, match="text, which holds no maps"):
        ingest(tmp_path / "a.dat", layout="maps")
    with pytest.raises(SchemaError, match="points, not a grid"):
        ingest(day(tmp_path, 0), layout="maps")


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_command_tells_and_exits_with_one(days, capsys, workers):
    out = days / "store.zarr"
    arguments = ["ingest", str(days / "day*.nc"), "--out", str(out), "--workers"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, workers, "--strict"])
    assert exit_.value.code == 2
    assert not out.exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, workers])
    assert exit_.value.code == 1
    output = capsys.readouterr()
    assert "sla: 36 of 40 values kept; dropped 4 missing in the file" in output.err
    assert "4 bad files are not in it" in output.err
    assert output.out == f"wrote {out}: copernicus-l3, sla, 36 obs, 4 day\n"
    assert len(json.loads(open_store(out).attrs["left_out"])) == 4


def test_a_file_that_is_appended_is_digested_once(days, monkeypatch, capsys):
    digested, digest = [], hashlib.file_digest

    def counted(file, name):
        digested.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    arguments = ["ingest", str(days / "day?.nc"), "--append", "--out", str(days / "a.archive")]
    for commit in (1, 2):
        with pytest.raises(SystemExit):
            main(arguments)
        assert sorted(digested) == [f"day{number}.nc" for number in range(3 + commit)]
        sources = {
            entry["file"]: entry["sha256"] for entry in json.loads(open_store(days / "a.archive").attrs["sources"])
        }
        assert sources == {name: hashlib.sha256((days / name).read_bytes()).hexdigest() for name in digested}
        assert open_store(days / "a.archive").attrs["dino_commit"] == commit
        digested.clear()
        day(days, 4)
