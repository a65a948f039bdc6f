"""From tracks alone, without any map: relocate, transfer, forecast and score; and what is refused on the way."""

import json

import numpy as np
import pytest
import xarray as xr

from data_pipeline.archive.appending import append
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.model.checkpoint import load_model, load_run_config

FAST = ["--set", "assimilation.window_days=4", "--set", "assimilation.node_days=2"]
QUICK = []
for setting in ("rounds=1", "steps=3", "window_days=4", "horizon_days=6", "stride_days=6"):
    QUICK += ["--set", f"transfer.{setting}"]


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def sea(sea_dataset):
    """A sea in the Pacific, where the shipped mask has no land."""
    return sea_dataset(west=170.0, land=False)


@pytest.fixture(scope="module")
def tracks(sea, scattered):
    """Fifteen points a day, of thirty days."""
    return scattered(sea, ["adt"], 450)


@pytest.fixture(scope="module")
def store(tracks, tmp_path_factory):
    return write_store(tracks, tmp_path_factory.mktemp("tracks") / "tracks.zarr")


@pytest.fixture(scope="module")
def relocated(sea_run, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("relocated") / "run"
    assert run("relocate", sea_run, store, "--out", folder, "--until", "20050420") == 0
    return folder


@pytest.fixture
def refused(capsys):
    def check(*arguments) -> str:
        capsys.readouterr()
        assert run(*arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return check


def test_a_run_of_tracks_alone_forecasts_where_they_are(relocated, sea_run, store, sea, tmp_path):
    assert set(load_model(relocated)[0].state_dict()) == set(load_model(sea_run)[0].state_dict())
    assert load_run_config(relocated).data.stores[0].path == store
    out = tmp_path / "next.nc"
    at = ("--grid", "170.5,173.5,36.5,39.5,0.5", "--time", "2005-04-20", "--leads", "0,1,3")
    assert run("forecast", relocated, store, "--out", out, *at, *FAST) == 0
    with xr.open_dataset(out) as made:
        assert np.isfinite(made["adt"]).all()
        assert (made["adt_std"] > 0).all()
        truth = sea["adt"].interp(longitude=made["longitude"], latitude=made["latitude"], time=made["time"])
        error = np.sqrt(float(((made["adt"] - truth) ** 2).mean()))
        mean = np.sqrt(float(((truth - truth.mean()) ** 2).mean()))
    assert error < mean


def test_a_run_of_tracks_alone_is_transferred_and_scored(relocated, store, sea, tmp_path):
    """The store that taught the run lies elsewhere; baselines have no map of this sea to learn from."""
    moved, truth, scores = tmp_path / "moved", write_store(sea, tmp_path / "sea.zarr"), tmp_path / "scores.json"
    for strategy in ("statistics", "adversarial"):
        command = ("transfer", relocated, store, "--out", moved, "--stop", "2005-04-22", "--strategy", strategy)
        command += ("--overwrite",) if moved.exists() else ()
        assert run(*command, *QUICK, *FAST) == 0
    assert load_run_config(moved).data.simulated == load_run_config(relocated).data.simulated
    settings = []
    for setting in ("leads_days=[1, 3]", "stride=3", "start=2005-04-20"):
        settings += ["--set", f"evaluation.{setting}"]
    assert run("evaluate", moved, truth, "--observations", store, "--json", scores, *settings, *FAST) == 0
    told = json.loads(scores.read_text())["scores"]
    assert {row["lead_days"] for row in told if row["method"] == "dino"} == {1.0, 3.0}
    assert all(np.isfinite(row["rmse"]) for row in told)
    interpolated = {"optimal_interpolation", "customary_interpolation", "optimal_interpolation_persistence"}
    assert {row["method"] for row in told} == {"dino", "persistence", "mean"} | interpolated
    rmse = {(row["method"], row["lead_days"]): row["rmse"] for row in told}
    assert rmse["dino", 1.0] < rmse["mean", 1.0]


def test_an_archive_is_taken_as_it_was(sea_run, tracks, tmp_path, capsys):
    archive = tmp_path / "a.archive"
    for name, part in (("early.nc", slice(0, None, 3)), ("late.nc", slice(1, None, 3))):
        rows = tracks.isel(obs=part)
        columns = [rows[n].values for n in ("time", "longitude", "latitude")]
        values, errors = ({"adt": rows[n].values} for n in ("adt", "adt_error"))
        attrs = {"sources": [{"file": name, "sha256": name, "bytes": 1}]}
        append(observations_dataset(*columns, values, errors, source_name=[name[:-3]], attrs=attrs), archive)
    amplitudes = []
    for name, options, count in (("then", ("--as-of", "1"), 150), ("now", (), 300)):
        assert run("relocate", sea_run, archive, "--out", tmp_path / name, *options) == 0
        assert f"; {count} observations of" in " ".join(capsys.readouterr().out.split())
        amplitudes.append(load_model(tmp_path / name)[1].cover.amplitude)
    assert not np.allclose(*amplitudes)


def test_what_cannot_be_laid_over_observations_is_refused(
    refused, sea_run, box_run, store, sea, tracks, scattered, tmp_path
):
    out = ("--out", tmp_path / "run")
    few = write_store(scattered(sea, ["adt"], 9), tmp_path / "few.zarr")
    assert "9 observations tell no amplitude" in refused("relocate", sea_run, few, *out)
    inland = tracks.assign_coords(longitude=tracks["longitude"] - 70.0)  # the middle of Asia
    assert "ocean" in refused("relocate", sea_run, write_store(inland, tmp_path / "asia.zarr"), *out)
    assert "single chart" in refused("relocate", box_run, store, *out, "--channels", "adt")
    assert "name as many channels" in refused("relocate", sea_run, store, *out, "--channels", "adt,sst")
    assert "sla" in refused("relocate", sea_run, store, *out, "--channels", "sla")
    for nonsense in ("yesterday", "5", "2005-04-31", "23000101", ""):
        assert "--until" in refused("relocate", sea_run, store, *out, "--until", nonsense)
    assert "2005-03-01" in refused("relocate", sea_run, store, *out, "--until", "2005-03-01")
    assert "made in one piece" in refused("relocate", sea_run, store, *out, "--as-of", "1")
    assert "is the run itself" in refused("relocate", sea_run, store, "--out", sea_run)
    assert "no store" in refused("relocate", sea_run, tmp_path / "none.zarr", *out)
    assert not (tmp_path / "run").exists()
