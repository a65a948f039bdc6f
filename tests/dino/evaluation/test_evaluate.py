"""Evaluation: complete rows for every method, truth scored where it is, and a perfect forecast scoring nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import silent
from dino.config import AssimilationConfig, EvaluationConfig
from dino.data.observations import Observations, days_since_epoch
from dino.errors import EmptyDataError
from dino.evaluation import evaluate as module
from dino.evaluation.evaluate import Truth, evaluate_maps, evaluate_observations
from dino.evaluation.fitted_interpolation import interpolations
from dino.evaluation.scores import score_forecasts
from dino.model.checkpoint import load_model

CONFIG = EvaluationConfig(leads_days=[1.0, 2.0, 4.0], stride=5)


@pytest.fixture(scope="module")
def sea(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def forecaster(sea_run):
    return dino.Forecaster(*load_model(sea_run), AssimilationConfig(window_days=4.0, node_days=2.0, iterations=1))


def methods(result) -> dict[str, list]:
    return {
        name: [row["rmse"] for row in result.rows if row["method"] == name]
        for name in dict.fromkeys(row["method"] for row in result.rows)
    }


def test_maps_are_scored_against_every_baseline(forecaster, sea):
    training = sea.isel(time=slice(0, 20))
    result = evaluate_maps(forecaster, sea, CONFIG, training, silent)
    scores = methods(result)
    assert set(scores) == {"dino", "persistence", "half_trend", "mean", "lim"}
    for values in scores.values():
        assert len(values) == 3
        assert all(np.isfinite(values))
    assert {row["units"] for row in result.rows} == {"m"}
    assert result.truth.shape == result.forecast.shape == result.spread.shape == (3, 1, 16, 16)
    assert all(ratio > 0 for ratio in result.calibration["spread_skill_ratio"])
    # Nothing that the baselines learned from is scored: the first target is the day after the training period.
    truth = Truth.of(sea, ("adt",))
    first, last = truth.scored_period(CONFIG, float(days_since_epoch(training["time"].values[-1:])[0]))
    assert truth.times[19] < first < truth.times[20]
    assert last == truth.times[-1]


def test_persistence_is_the_last_map(forecaster, sea):
    config = CONFIG.model_copy(update={"stride": 100, "start": sea["time"].values[11].astype("datetime64[s]").item()})
    result = evaluate_maps(forecaster, sea, config, None, silent)
    values = sea["adt"].values.astype(float)
    known = np.isfinite(values).all(0)
    weights = np.cos(np.deg2rad(sea["latitude"].values))[:, None] * known
    for lead, rmse in zip((1, 2, 4), methods(result)["persistence"], strict=True):
        error = np.nan_to_num(values[10 + lead] - values[10]) ** 2
        assert rmse == pytest.approx(np.sqrt((error * weights).sum() / weights.sum()), rel=1e-6)


@pytest.fixture
def analysed(monkeypatch):
    """The ends of all analyses that are made, from maps and from points."""
    ends = []

    def counted(name, end):
        method = getattr(dino.Forecaster, name)

        def counting(self, *arguments, **options):
            ends.append(end(*arguments))
            return method(self, *arguments, **options)

        monkeypatch.setattr(dino.Forecaster, name, counting)

    counted("analyse_maps", lambda maps: maps.times[-1])
    counted("analyse_observations", lambda observations, end, *rest: end)
    return ends


def test_every_start_is_analysed_once(forecaster, sea, scattered, analysed, monkeypatch):
    """Maps are encoded all together, once."""
    encoded = []
    encode_maps = module.encode_maps
    monkeypatch.setattr(module, "encode_maps", lambda *given: encoded.append(given) or encode_maps(*given))
    result = evaluate_maps(forecaster, sea, CONFIG, None, silent)
    days = days_since_epoch(sea["time"].values)
    assert analysed == [days[start] for start in range(max(forecaster.latent.lags, 4), 29, CONFIG.stride)]
    assert len(analysed) == result.starts > 2
    assert len(encoded) == 1
    analysed.clear()
    config = CONFIG.model_copy(update={"start": sea["time"].values[20].astype("datetime64[s]").item()})
    result = evaluate_observations(forecaster, sea, scattered(sea, ["adt"], 500), config, None, None, silent)
    assert analysed == [days[start] for start in range(19, 29, CONFIG.stride)]
    assert len(analysed) == result.starts == 2


class Perfect:
    """Knows the truth; everything else as a forecaster has it."""

    def __init__(self, forecaster, sea):
        self.latent, self.ocean, self.sea = forecaster.latent, forecaster.ocean, sea
        self.assimilation = forecaster.assimilation

    def analyse_maps(self, maps):
        return SimpleNamespace(maps=maps)

    def forecast(self, analysis, times, at):
        made = self.sea.reindex(time=times)[["adt"]]
        return made.assign(adt_std=xr.full_like(made["adt"], 0.1))


def test_a_perfect_forecast_has_no_error(forecaster, sea):
    result = evaluate_maps(Perfect(forecaster, sea), sea, CONFIG, None, silent)
    assert methods(result)["dino"] == pytest.approx([0.0] * 3, abs=1e-7)
    assert min(methods(result)["persistence"]) > 0.001


def test_a_simulation_trains_its_baselines_on_all_its_trajectories(box_run, box_dataset):
    box = box_dataset()
    result = evaluate_maps(dino.load(box_run), box.isel(trajectory=7), CONFIG, box.isel(trajectory=slice(0, 7)), silent)
    assert set(methods(result)) == {"dino", "persistence", "half_trend", "mean", "lim"}
    assert all(np.isfinite(values).all() for values in methods(result).values())


def test_sparse_observations_are_scored_against_their_own_persistence(forecaster, sea, scattered):
    observations = scattered(sea, ["adt"], 500)
    table = Observations.from_dataset(observations, ("adt",))
    start = sea["time"].values[20].astype("datetime64[s]").item()
    config = CONFIG.model_copy(update={"start": start, "stride": 4, "leads_days": [1.0, 2.0]})
    result = evaluate_observations(forecaster, sea, observations, config, None, interpolations(table, start), silent)
    scores = methods(result)
    interpolated = ["optimal_interpolation", "customary_interpolation", "optimal_interpolation_persistence"]
    assert list(scores) == ["dino", "persistence", *interpolated, "mean"]
    assert all(np.isfinite(values).all() and len(values) == 2 for values in scores.values())
    assert torch.isfinite(torch.as_tensor(result.spread)).any()
    maps = result.maps
    assert set(maps.analyses) == {"dino", "optimal_interpolation", "customary_interpolation"}
    still = maps.forecasts["optimal_interpolation_persistence"]
    np.testing.assert_array_equal(still[:, 1], maps.analyses["optimal_interpolation"])
    assert not np.allclose(maps.forecasts["optimal_interpolation"][:, 1], still[:, 1])
    again = score_forecasts(maps.truth, maps.forecasts, maps.mean, maps.weights)
    np.testing.assert_allclose(again["customary_interpolation"].rmse[:, 0], scores["customary_interpolation"])
    first = days_since_epoch(sea["time"].values)[19]
    np.testing.assert_array_equal(maps.starts[0], first)
    np.testing.assert_array_equal(maps.at_start[0, 0], sea["adt"].values[19].ravel())


def test_what_cannot_be_scored_is_refused(forecaster, sea, scattered):
    late = CONFIG.model_copy(
        update={"start": (sea["time"].values[-1] + np.timedelta64(9, "D")).astype("datetime64[s]").item()}
    )
    with pytest.raises(EmptyDataError, match="no forecast can be scored"):
        evaluate_maps(forecaster, sea, late.model_copy(update={"leads_days": [4.0]}), None, silent)
    with pytest.raises(EmptyDataError):
        evaluate_maps(forecaster, sea.isel(time=slice(0, 4)), CONFIG, None, silent)
    with pytest.raises(EmptyDataError):
        evaluate_maps(forecaster, sea.assign(adt=sea["adt"] * np.nan), CONFIG, None, silent)
    after = scattered(sea, ["adt"], 100)
    after = after.assign_coords(time=after["time"] + np.timedelta64(400, "D")).drop_vars(["day", "day_offset"])
    with pytest.raises(EmptyDataError):
        evaluate_observations(forecaster, sea, after, CONFIG, None, None, silent)


def test_a_training_store_on_another_grid_is_refused(forecaster, sea):
    with pytest.raises(EmptyDataError, match="another grid"):
        module.evaluate_maps(forecaster, sea, CONFIG, sea.isel(latitude=slice(0, 10)), silent)
