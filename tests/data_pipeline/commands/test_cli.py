"""The dino-data command line: what it prints, writes and exits with."""

import numpy as np
import pytest
import xarray as xr
import zarr

from data_pipeline.commands.app import main
from data_pipeline.stores.writing import open_store, write_store

TRACK = "-4.5 36.0 23510.25 0.10\n-4.4 36.1 23510.5 -0.2\n"


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return exit_.value.code or 0, output.out, output.err


@pytest.fixture
def track(tmp_path):
    path = tmp_path / "track.dat"
    path.write_text(TRACK)
    return path


@pytest.mark.parametrize("command", ["ingest", "log", "simulate", "sample", "inspect", "validate"])
def test_help_shows_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"Example: dino-data {command}" in out


def test_ingest_inspect_validate(capsys, tmp_path, track, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "ingest", track)
    assert (code, out) == (0, "wrote stores/track.zarr: alongtrack-text, adt, 2 obs, 1 day\n")
    assert "note: track.dat: adt: no units in the file, 'm' taken" in err
    code, out, _ = run(capsys, "inspect", "stores/track.zarr")
    assert code == 0
    for wanted in ("obs 2", "05-15T06:00:00 to 2014-05-15T12:00:00", "0.0 %", "-0.2", "track.dat", "track (2)"):
        assert wanted in out
    assert run(capsys, "validate", "stores/track.zarr")[:2] == (0, "stores/track.zarr is sound\n")


def test_ingest_options(capsys, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1;2;0.5;10;20\n")
    out = tmp_path / "b.zarr"
    arguments = ["ingest", path, "--out", out, "--columns", "longitude,latitude,time,adt,sla"]
    arguments += [
        "--units",
        "adt=cm",
        "--units",
        "sla=cm",
        "--time-units",
        "days since 2000-01-01",
        "--channels",
        "sla",
    ]
    assert run(capsys, *arguments)[0] == 0
    ds = open_store(out)
    np.testing.assert_allclose(ds["sla"], [0.2])
    assert "adt" not in ds
    assert run(capsys, *arguments)[0] == 2
    assert run(capsys, *arguments, "--overwrite")[0] == 0


def test_inspect_of_fields(capsys, tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    code, out, _ = run(capsys, "inspect", path)
    assert code == 0
    for wanted in ("time 5, latitude 4, longitude 6", "4.2 %", "degC", "toy.nc", "-5.0000 to 5.0000"):
        assert wanted in out


def test_inspect_tells_gaps_missing_values_and_history(capsys, tmp_path, toy_observations):
    path = write_store(
        toy_observations.assign_attrs(history="made\n3 points dropped: [no] quality"), tmp_path / "a.zarr"
    )
    code, out, _ = run(capsys, "inspect", path, "--figures", tmp_path / "figures", "--cell", 10)
    assert code == 0
    for wanted in ("0 of 10 days without any", "longest gap", "0.0 %", "adt_error", "3 points dropped: [no] quality"):
        assert wanted in out, wanted
    assert (tmp_path / "figures" / "coverage.png").is_file()
    assert (tmp_path / "figures" / "histograms.png").is_file()


def test_validate_exits_with_one(capsys, tmp_path, toy_fields):
    path = write_store(toy_fields, tmp_path / "a.zarr")
    zarr.open_group(path, mode="r+")["adt"][0, 0, 0] = np.inf
    code, out, _ = run(capsys, "validate", path)
    where = "time 0, latitude 0, longitude 0"
    assert (code, out) == (1, f"{path}: channel adt is infinite (1 time, first at {where}: inf)\n")


def test_errors_are_one_sentence_and_exit_two(capsys, tmp_path, track):
    (tmp_path / "empty.nc").write_bytes(b"")
    (tmp_path / "foreign.nc").write_bytes(b"\x00\x01\x02")
    (tmp_path / "table.csv").write_text("lon,lat,time,adt\n1,2,2000-01-01,0.1\n")
    (tmp_path / "missing.dat").write_text("1 2 3 nan\n")
    out = ("--out", tmp_path / "x.zarr")
    for arguments in (
        ["ingest", tmp_path / "none.nc", *out],
        ["ingest", tmp_path / "empty.nc", *out],
        ["ingest", tmp_path / "foreign.nc", *out],
        ["ingest", tmp_path / "table.csv", *out],
        ["ingest", tmp_path / "missing.dat", *out],
        ["ingest", track, "--product", "nonsense", *out],
        ["ingest", track, "--units", "adt=kelvin", *out],
        ["ingest", track, "--units", "adt", *out],
        ["ingest", track, "--channels", "sst", *out],
        ["inspect", tmp_path / "none.zarr"],
        ["inspect", track],
        ["validate", tmp_path / "none.zarr"],
    ):
        code, out_text, err = run(capsys, *arguments)
        assert code == 2, arguments
        assert out_text == ""
        assert err.startswith("error: "), err
        assert err.count("\n") == 1, err
    assert not (tmp_path / "x.zarr").exists()


def test_a_file_without_a_valid_value_is_no_bad_file_for_an_archive(capsys, tmp_path):
    archive, good, empty, bad = (tmp_path / name for name in ("a.archive", "good.dat", "empty.dat", "bad.nc"))
    good.write_text("-4.5 36.0 23510.25 0.10\n355.6 36.1 23510.5 -0.2\n")
    empty.write_text("-4.5 36.0 23511.25 nan\n355.6 36.1 23511.5 nan\n")
    bad.write_bytes(b"CDF\x01rubbish")
    assert run(capsys, "ingest", good, "--out", archive, "--append")[0] == 0
    before = open_store(archive).load()
    code, _, err = run(capsys, "ingest", empty, "--out", archive, "--append")
    assert code == 3
    assert "empty.dat' holds no valid value" in err
    assert "was not changed" in err
    code, _, err = run(capsys, "ingest", empty, bad, "--out", archive, "--append")
    assert code == 1
    assert "bad.nc left out" in err
    xr.testing.assert_identical(open_store(archive).load(), before)
    code, _, err = run(capsys, "ingest", empty, "--out", tmp_path / "store.zarr")
    assert code == 2
    assert "holds no valid value" in err


def test_an_archive_grows(capsys, tmp_path, track):
    archive = tmp_path / "a.archive"
    code, out, err = run(capsys, "ingest", track, "--out", archive, "--append")
    assert code == 0
    assert out == f"{archive}: commit 1, alongtrack-text, 1 files, 2 points, 1 days written\n"
    assert "note: track.dat: adt: no units in the file" in err
    later = tmp_path / "later.dat"
    later.write_text("-4.5 36.0 23511.25 0.3\n-4.5 36.0 23510.25 0.10\n")
    code, out, _ = run(capsys, "ingest", track, later, "--out", archive, "--append")
    assert out == f"{archive}: commit 2, alongtrack-text, 1 files, 2 points, 2 days written\n"
    code, out, err = run(capsys, "ingest", track, later, "--out", archive, "--append")
    told = f"nothing new: {archive} has the content of all these files already; nothing was changed\n"
    assert (code, out, err) == (3, "", told)
    track.write_text(TRACK.replace("0.10", "0.15"))
    run(capsys, "ingest", track, "--out", archive, "--append")
    assert open_store(archive)["adt"].values.tolist() == pytest.approx([0.1, 0.15, -0.2, 0.3])
    code, out, _ = run(capsys, "log", archive)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["3", "2", "1"]
    assert "1 files (1 replaced), 2 points" in out.splitlines()[0]
    assert run(capsys, "validate", archive)[:2] == (0, f"{archive} is sound\n")
    code, out, _ = run(capsys, "inspect", archive)
    assert code == 0
    assert "obs 4" in out


def test_what_an_archive_refuses(capsys, tmp_path, track, toy_fields):
    store = write_store(toy_fields, tmp_path / "maps.zarr")
    for arguments, message in (
        (("--append",), "give --out, no --overwrite"),
        (("--append", "--overwrite", "--out", tmp_path / "a"), "give --out, no --overwrite"),
        (("--append", "--out", store), "is no archive and cannot grow"),
        (("--append", "--out", tmp_path / "a", "--columns", "nonsense"), "nonsense"),
    ):
        code, _, err = run(capsys, "ingest", track, *arguments)
        assert code == 2
        assert message in err
    assert run(capsys, "log", store)[0] == 2
    assert run(capsys, "log", tmp_path / "none")[0] == 2
    assert not (tmp_path / "a").exists()


def test_maps_do_not_go_into_an_archive(capsys, tmp_path, toy_netcdf):
    code, _, err = run(capsys, "ingest", toy_netcdf, "--append", "--out", tmp_path / "a")
    assert code == 2
    assert "observation" in err
    assert not (tmp_path / "a").exists()
