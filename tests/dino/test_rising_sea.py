"""A trained run on a sea whose mean rises for good: eddies of its training, and a season that training never saw."""

import numpy as np
import pytest
import xarray as xr

import dino
from data_pipeline.system.progress import silent
from dino.data.observations import days_since_epoch
from dino.evaluation import baselines
from dino.experiments.train import train
from dino.model.checkpoint import load_model

RISE, STARTS, LEADS = 0.01, range(30, 46), np.array([1.0, 2.0, 3.0, 4.0])  # [m/day], long after training ended


@pytest.fixture(scope="module")
def sea(sea_dataset) -> xr.Dataset:
    """The toy sea of the run, without an end and rising."""
    plain = sea_dataset(56)
    return plain.assign(adt=plain["adt"] + RISE * xr.DataArray(np.arange(56.0), dims="time"))


@pytest.fixture(scope="module")
def slow_run(sea_config, tmp_path_factory):
    """A run on tiles of the toy sea, with slow levels."""
    dynamics = sea_config.dynamics.model_copy(update={"drift": True})
    folder = tmp_path_factory.mktemp("slow")
    train(sea_config.model_copy(update={"dynamics": dynamics}), folder, silent)
    return folder


def forecasts(forecaster, sea):
    """Forecasts and standard deviations (start, lead, cell) from the maps up to each start."""
    grid, made = sea[["latitude", "longitude"]], []
    for start in STARTS:
        seen = sea.isel(time=slice(0, start + 1))
        times = seen["time"].values[-1] + (LEADS * 86400e9).astype("timedelta64[ns]")
        ahead = forecaster.forecast(seen, times, grid)
        made.append([ahead[name].values.reshape(len(LEADS), -1) for name in ("adt", "adt_std")])
    return np.moveaxis(np.array(made), 1, 0)


def test_forecasts_rise_on_and_their_intervals_cover(slow_run, sea):
    forecaster = dino.Forecaster(*load_model(slow_run))
    assert forecaster.latent.drifts
    values = sea["adt"].values.astype(float).reshape(56, -1)
    known, times = np.isfinite(values).all(0), days_since_epoch(sea["time"].values)
    truth = np.stack([values[start + LEADS.astype(int)] for start in STARTS])
    made, std = forecasts(forecaster, sea)
    wrong = {"drift": made - truth}
    for name, method in (("still", baselines.persistence), ("half", baselines.half_trend)):
        past = [slice(start - 9, start + 1) for start in STARTS]
        wrong[name] = np.stack([method(values[p, None], times[p], LEADS)[:, 0] for p in past]) - truth
    forecaster.latent.drift_noise.zero_()
    wrong["none"] = forecasts(forecaster, sea)[0] - truth
    mean = {name: np.sqrt((error[..., known].mean(-1) ** 2).mean(0)) for name, error in wrong.items()}
    whole = {name: np.sqrt((error[..., known] ** 2).mean((0, 2))) for name, error in wrong.items()}
    assert (mean["drift"] < np.minimum(mean["still"], mean["half"])).all(), mean
    assert (mean["drift"] < mean["none"]).all(), mean
    assert (whole["drift"] < np.minimum(whole["still"], whole["half"])).all(), whole
    inside = np.abs(wrong["drift"]) < 1.645 * std
    assert (inside[..., known].mean((0, 2)) > 0.85).all()
