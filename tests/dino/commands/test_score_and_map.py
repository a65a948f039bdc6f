"""`dino score` and `dino map`, and what `dino forecast` derives: one run of a toy sea, tracks of two sources."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import open_store, write_store
from dino.commands.app import main
from dino.commands.reading import merged_observations
from dino.evaluation import fitted_interpolation
from dino.evaluation.field_scores import mu_sigma
from dino.evaluation.splits import score_splits

FAST = ["--set", "assimilation.node_days=2", "--set", "assimilation.iterations=1", "--threads", "1"]


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def few_fits(monkeypatch):
    """Interpolations are fitted to few observations, and two of them only: how good they are is tested elsewhere."""
    kept = {name: fitted_interpolation.CANDIDATES[name] for name in ("one gaussian scale", "two rough scales")}
    monkeypatch.setattr(fitted_interpolation, "CANDIDATES", kept)
    monkeypatch.setattr(fitted_interpolation, "FITTED_OBSERVATIONS", 80)


@pytest.fixture(scope="module")
def tracks(sea_store, tmp_path_factory):
    """Points of the toy sea along meridians, by two sources that take turns, as two stores."""
    fields = open_store(sea_store).load()
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("tracks")
    for name, shift in (("alpha", 0), ("beta", 1)):
        time, longitude, latitude, value = [], [], [], []
        for day in range(2 * shift, 30):
            for column in rng.choice(16, 2, replace=False):
                rows = np.arange(16)
                start = fields["time"].values[day] + np.timedelta64(int(3600 * (column % 12)), "s")
                time.append(start + rows * np.timedelta64(4, "s"))
                longitude.append(np.full(16, fields["longitude"].values[column]))
                latitude.append(fields["latitude"].values)
                value.append(fields["adt"].values[day, :, column] + 0.01 * rng.normal(size=16))
        columns = (np.concatenate(part) for part in (time, longitude, latitude))
        values = {"adt": np.concatenate(value)}
        made = observations_dataset(*columns, values, {"adt": np.full(len(values["adt"]), 0.01)}, source_name=[name])
        write_store(made, folder / f"{name}.zarr")
    return folder / "alpha.zarr", folder / "beta.zarr"


def test_scores_of_a_withheld_source(sea_run, tracks, tmp_path, capsys):
    path = tmp_path / "scores.json"
    options = ("--withhold", "BETA", "--window", 10, "--days-ahead", 3, "--every", 15, "--json", path)
    assert run("score", sea_run, *tracks, *options, *FAST) == 0
    told = json.loads(path.read_text())
    assert (told["analyses"], told["window_days"], told["withheld"]) == (2, 10.0, "BETA")
    rows = told["scores"]
    methods = {row["method"] for row in rows}
    assert {"dino", "persistence", "optimal_interpolation", "customary_interpolation", "mean", "mean_field"} <= methods
    assert {(row["part"], row["lead_days"]) for row in rows} == {
        ("analysis", 0.0), ("forecast", 1.0), ("forecast", 2.0), ("forecast", 3.0), ("all forecasts", 3.0),
    }  # fmt: skip
    assert len({(row["part"], row["points"]) for row in rows if row["part"] == "analysis"}) == 1
    ours = next(row for row in rows if row["method"] == "dino" and row["part"] == "analysis")
    assert {"rmse", "bias", "mu", "sigma", "lambda_x_km", "coverage_90", "lambda_t_days", "units"} <= set(ours)
    assert 0 < ours["coverage_90"] <= 1
    flat = next(row for row in rows if row["method"] == "mean" and row["part"] == "analysis")
    assert flat["coverage_90"] is None
    assert ours["lambda_t_days"] is None  # of tracks there is none
    assert told["processor_seconds"]["dino"] > 0
    said = capsys.readouterr().out
    assert "adt: analysis" in said
    assert "in 90 % interval" in said


def test_scores_of_the_only_source_withhold_its_passes(sea_run, tracks, tmp_path):
    path = tmp_path / "scores.json"
    options = ("--withhold", "alpha", "--window", 8, "--days-ahead", 2, "--every", 40, "--json", path, "--relocate")
    assert run("score", sea_run, tracks[0], *options, *FAST) == 0
    rows = json.loads(path.read_text())["scores"]
    parts = {row["part"]: row["points"] for row in rows if row["method"] == "dino"}
    assert parts["analysis"] > 50
    assert parts["all forecasts"] > 20
    assert not [row for row in rows if row["method"] == "dino_recentred"]  # the mean field is that of the tracks
    mean, field = (
        next(r for r in rows if r["method"] == m and r["part"] == "analysis") for m in ("mean", "mean_field")
    )
    assert mean["rmse"] == pytest.approx(field["rmse"], rel=1e-6)


def test_scores_without_a_source_are_of_what_comes_after(sea_run, tracks, tmp_path):
    path = tmp_path / "scores.json"
    area = "--area=2,6,36,40"
    assert run("score", sea_run, *tracks, area, "--window", 10, "--every", 30, "--json", path, *FAST) == 0
    told = json.loads(path.read_text())
    assert told["withheld"] == "ahead"
    assert {row["part"] for row in told["scores"]} == {"forecast", "all forecasts"}
    assert told["days_ahead"] == 5.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--withhold", "gamma"), "none of the sources: alpha, beta"),
        (("--area", "30,40,0,10"), "lies in --area"),
        (("--area", "30,40"), "west,east,south,north"),
        (("--channel", "sst"), "--channel sst"),
        (("--window", "-1"), "no lengths"),
        (("--days-ahead", "40"), "days that are forecast"),
    ],
)
def test_what_score_refuses(sea_run, tracks, capsys, options, said):
    assert run("score", sea_run, *tracks, *options) == 2
    assert said in capsys.readouterr().err


def test_a_name_that_all_sources_hold_withholds_their_overflights(tracks):
    """As `jason` does of files of a day, each of which is a source; a part of them is withheld together."""
    record = merged_observations([str(path) for path in tracks], ("adt",))
    every = score_splits(record, "a", 10.0, 0.0, 30.0)
    assert {split.mission for split in every} == {"passes"}
    days = replace(record, source=np.floor(record.time).astype(int) % 3, sources=("jason-1", "jason-2", "other"))
    (held,) = score_splits(days, "jason", 10.0, 0.0, 30.0)
    assert held.mission == "jason"
    assert set(held.seen.source) == {2}
    assert set(held.withheld.source) == {0, 1}


@pytest.mark.parametrize("method", ["dino", "optimal-interpolation"])
def test_maps_of_past_times(sea_run, tracks, tmp_path, method):
    out = tmp_path / "maps.nc"
    options = ("--times", "2005-04-10/2005-04-16/2", "--grid", "2.5,5.5,36.5,39.5,0.5", "--method", method)
    assert run("map", sea_run, *tracks, *options, "--window", 6, "--out", out, *FAST) == 0
    with xr.open_dataset(out) as made:
        assert made["adt"].dims == ("time", "latitude", "longitude")
        assert made["adt"].shape == made["adt_std"].shape == (4, 7, 7)
        assert np.isnan(made["adt"].values[:, 0, 0]).all()  # land
        assert np.isfinite(made["adt"].values[:, 4:, 4:]).all()
        assert (made["adt_std"].values[:, 4:, 4:] > 0).all()
        assert "forecast_reference_time" not in made.coords
        assert made.attrs["source"].startswith("smoothed" if method == "dino" else "optimal")


@pytest.mark.parametrize("method", ["dino", "customary-interpolation"])
def test_maps_along_a_track(sea_run, tracks, tmp_path, method):
    out, options = tmp_path / "along.zarr", ("--at", tracks[1], "--window", 8, "--method", method)
    assert run("map", sea_run, tracks[0], *options, "--out", out, *FAST) == 0
    with xr.open_zarr(out, consolidated=False) as made, open_store(tracks[1]) as seen:
        inside = seen.sel(obs=np.isin(seen["time"].values, made["time"].values))
        assert made["adt"].dims == ("obs",)
        assert len(made["adt"]) > 500
        known = np.isfinite(made["adt"].values)
        day = (made["time"].values - np.datetime64("1950-01-01")) / np.timedelta64(1, "D")
        if method != "dino":  # a run of seconds maps nothing well
            assert mu_sigma(day[known], inside["adt"].values[known], made["adt"].values[known]).mu > 0.5


def test_what_map_refuses(sea_run, tracks, tmp_path, capsys):
    out = ("--out", tmp_path / "a.nc")
    grid = ("--grid", "2.5,5.5,36.5,39.5,0.5")
    for options, said in (
        ((*grid, "--method", "spline"), "choose one of dino, optimal-interpolation"),
        ((*grid, "--method", "optimal-interpolation", "--currents"), "derivatives of the model"),
        ((*grid, "--times", "2004-01-01"), "outside the record"),
        ((*grid, "--times", "2005-04-10/2005-04-01/1"), "first before last"),
        ((*grid, "--times", "2005-04-10/2005-04-11"), "first/last/days"),
        (("--at", tracks[1], "--currents"), "no currents"),
        ((*grid, "--window", "0"), "days above zero"),
    ):
        assert run("map", sea_run, *tracks, *options, *out, *FAST) == 2
        assert said in capsys.readouterr().err


def test_forecasts_with_currents_and_members(sea_run, tracks, tmp_path):
    out = tmp_path / "next.nc"
    options = ("--grid", "3,5,37,39,0.5", "--leads", "1,3", "--currents", "--members", 4, "--set")
    assert run("forecast", sea_run, tracks[0], *options, "assimilation.window_days=4", "--out", out, *FAST) == 0
    with xr.open_dataset(out) as made:
        assert made["adt_members"].dims == ("realization", "time", "latitude", "longitude")
        assert made.sizes["realization"] == 4
        for name in ("ugos", "vgos_std", "vorticity"):
            np.testing.assert_array_equal(np.isfinite(made[name]), np.isfinite(made["adt"]))
    maps = tmp_path / "maps.nc"
    options = ("--grid", "3,5,37,39,0.5", "--times", "2005-04-10,2005-04-20", "--window", 4, "--currents")
    assert run("map", sea_run, tracks[0], *options, "--out", maps, *FAST) == 0
    with xr.open_dataset(maps) as made:
        assert made["ugos"].shape == (2, 5, 5)


@pytest.mark.parametrize("extra", [("--currents",), ("--members", 3)])
def test_nothing_asked_for_is_left_out_of_a_wide_forecast(sea_run, sea_store, tmp_path, capsys, extra):
    """It is made in chunks, of the mean and its spread alone: what it cannot hold is refused and not dropped."""
    out = tmp_path / "wide.zarr"
    options = ("--grid", "-40,40,30,50,2", "--leads", "1", "--out", out)
    assert run("forecast", sea_run, sea_store, *options, *extra) == 2
    assert "60 degrees at most" in capsys.readouterr().err
    assert not out.exists()
