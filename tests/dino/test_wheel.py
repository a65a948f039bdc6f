"""The wheel: what it holds, and that it works in an empty folder without the sources."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.pictures import assert_drawn
from tests.wheels import ROOT, built_wheel, called, environment_with, programs_of

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    return programs_of(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_wheel_holds_every_module_and_every_experiment(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(path.relative_to(ROOT)) for name in ("dino", "data_pipeline") for path in (ROOT / name).rglob("*.py")
    }
    assert modules <= held
    assert {f"dino/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")} <= held
    assert {"dino/py.typed", "data_pipeline/py.typed"} <= held
    models = {str(path.relative_to(ROOT)) for path in (ROOT / "dino" / "shipped").glob("*/*")}
    assert models
    assert models <= held
    assert not [name for name in held if name.startswith(("tests", "benchmarks"))]
    assert wheel.stat().st_size < MOST_BYTES


def test_no_file_of_others_and_no_mean_field_is_in_the_wheel(wheel):
    """Data of others end in what data end in; a shipped model holds numbers of the sea's mean for no place."""
    with zipfile.ZipFile(wheel) as held:
        names = held.namelist()
        assert [name for name in names if name.endswith((".nc", ".dat", ".csv", ".npz", ".zarr"))] == [
            "dino/space/land.npz"
        ]
        for name in names:
            if name.endswith("shipped/sea-level/model.json"):
                assert json.loads(held.read(name))["tensors"]["background.values"] == [1, 1, 1]
        assert [name for name in names if name.endswith("NOTICE")]


def made_up_tracks(folder: Path) -> None:
    """Four days of made-up anomalies along slanting tracks of two satellites, as raw files of points."""
    chance = np.random.default_rng(0)
    for day in range(4):
        along = np.linspace(0.0, 1.0, 120)
        parts = []
        for number in range(4):
            turn = 1.0 if number % 2 else -1.0
            longitude = 166.0 + 2.5 * number + 0.7 * day + 4.0 * along
            latitude = 30.0 + 10.0 * (along if turn > 0 else 1.0 - along)
            height = 0.15 * np.sin(longitude / 0.7) * np.cos(latitude / 0.9) + 0.02 * chance.standard_normal(120)
            time = np.datetime64("2020-03-01", "ns") + np.timedelta64(24 * day + 5 * number, "h")
            parts.append((time + (along * 300e9).astype("timedelta64[ns]"), longitude, latitude, height))
        time, longitude, latitude, height = (np.concatenate(column) for column in zip(*parts, strict=True))
        columns = {
            "sla_unfiltered": ("time", height, {"units": "m"}),
            "longitude": ("time", longitude, {"units": "degrees_east"}),
            "latitude": ("time", latitude, {"units": "degrees_north"}),
        }
        folder.mkdir(exist_ok=True)
        xr.Dataset(columns, coords={"time": time}).to_netcdf(folder / f"day{day}.nc")


def test_a_strangers_tracks_are_forecast_in_an_empty_folder(programs, tmp_path):
    """The two commands of a stranger: what models there are, and a first figure of tracks of one's own."""
    assert "sea-level" in called(programs / "dino", "models", folder=tmp_path).stdout
    made_up_tracks(tmp_path / "my_tracks")
    options = ("--figure", "week.png", "--out", "week.nc", "--cache", "cache", "--leads", "1,3,5", "--threads", "1")
    done = called(programs / "dino", "forecast", "sea-level", "my_tracks/*.nc", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout
    assert "Copernicus" in done.stdout
    assert_drawn(tmp_path / "week.png")
    with xr.open_dataset(tmp_path / "week.nc") as made:
        assert made["sla"].dims == ("time", "latitude", "longitude")
        assert np.isfinite(made["sla"]).any()
        assert "10.48670/moi-00148" in made.attrs["credit"]
        assert made.attrs["dino_version"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "my_tracks", "week.nc", "week.png"]


def test_the_installed_program_finds_its_experiments(programs, tmp_path):
    told = called(programs / "dino", "--version", folder=tmp_path).stdout
    assert told.startswith("dino ")
    assert "unknown" not in told
    refused = called(programs / "dino", "train", "nothing", folder=tmp_path)
    assert refused.returncode == 2
    assert "mediterranean" in refused.stderr
    refused = called(programs / "dino", "train", "mediterranean", folder=tmp_path)
    assert "no store" in refused.stderr
    assert "ingest" in called(programs / "dino-data", "--help", folder=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_installed_demo_runs_in_an_empty_folder(programs, tmp_path):
    done = called(programs / "dino", "demo", "--quick", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "demo" / "scores.json").is_file()


@pytest.mark.slow
def test_the_wheel_installs_from_the_registry(wheel, tmp_path):
    programs = environment_with(wheel, tmp_path / "venv", "--constraint", str(ROOT / "constraints.txt"))
    done = called(programs / "dino", "demo", "--quick", folder=tmp_path)
    assert done.returncode == 0, done.stderr
