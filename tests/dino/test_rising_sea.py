"""A trained run on a sea whose mean rises for good: eddies of its training, and a season that training never saw."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from dino.data.observations import days_since_epoch
from dino.evaluation import baselines
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model

RISE, STARTS, LEADS = 0.01, range(30, 46), np.array([1.0, 2.0, 3.0, 4.0])  # [m/day], long after training ended


class DynamicsAlone(Forecaster):
    """A forecaster that makes no hindcasts."""

    def analyse_maps(self, maps):
        return replace(super().analyse_maps(maps), hindcasts=None)


@pytest.fixture(scope="module")
def sea(sea_dataset) -> xr.Dataset:
    """The toy sea of the run, without an end and rising."""
    plain = sea_dataset(56)
    return plain.assign(adt=plain["adt"] + RISE * xr.DataArray(np.arange(56.0), dims="time"))


def forecasts(forecaster, sea):
    """Forecasts and standard deviations (start, lead, cell) from the maps up to each start."""
    grid, made = sea[["latitude", "longitude"]], []
    for start in STARTS:
        seen = sea.isel(time=slice(0, start + 1))
        times = seen["time"].values[-1] + (LEADS * 86400e9).astype("timedelta64[ns]")
        ahead = forecaster.forecast(seen, times, grid)
        made.append([ahead[name].values.reshape(len(LEADS), -1) for name in ("adt", "adt_std")])
    return np.moveaxis(np.array(made), 1, 0)


def test_forecasts_rise_on_and_their_intervals_cover(sea_run, sea):
    forecaster = Forecaster(*load_model(sea_run))
    values, times = sea["adt"].values.astype(float).reshape(56, -1), days_since_epoch(sea["time"].values)
    known = np.isfinite(values).all(0)
    truth = np.stack([values[start + LEADS.astype(int)] for start in STARTS])
    made, std = forecasts(forecaster, sea)
    wrong = {"combined": made - truth}
    for name, method in (("still", baselines.persistence), ("half", baselines.half_trend)):
        past = [slice(start - 9, start + 1) for start in STARTS]
        wrong[name] = np.stack([method(values[p, None], times[p], LEADS)[:, 0] for p in past]) - truth
    wrong["alone"] = forecasts(DynamicsAlone(forecaster.latent, forecaster.ocean), sea)[0] - truth
    mean = {name: np.sqrt((error[..., known].mean(-1) ** 2).mean(0)) for name, error in wrong.items()}
    whole = {name: np.sqrt((error[..., known] ** 2).mean((0, 2))) for name, error in wrong.items()}
    assert (mean["combined"] < np.minimum(mean["still"], mean["half"])).all(), mean
    assert (mean["combined"] < mean["alone"]).all(), mean
    assert (whole["combined"] < np.minimum(whole["still"], whole["half"])).all(), whole
    inside = np.abs(wrong["combined"]) < 1.645 * std
    assert (inside[..., known].mean((0, 2)) > 0.85).all()
