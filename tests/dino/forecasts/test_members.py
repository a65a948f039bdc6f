"""Members have the mean, the spread and the correlations, in space and time, of the closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from dino.data.observations import datetime_of
from dino.errors import ConfigError, ObservationError
from dino.forecasts.latent import forecast_latent
from dino.forecasts.members import departures, drawn_codes, with_members
from dino.model import Ocean
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap

CODE, DRAWS = 6, 3000


@pytest.fixture
def twin(make_twin):
    """The twin with errors of its model that grow."""
    twin = make_twin(CODE)
    grown = torch.linspace(0.0, 1.0, 32, dtype=torch.float64)[:, None]
    twin.latent.lead_error.copy_(grown * 0.2 * twin.latent.state_covariance.diagonal()[:CODE])
    twin.latent.code_variance.copy_(twin.latent.state_covariance.diagonal()[:CODE])
    return twin


@pytest.fixture
def analysed(twin):
    forecaster = twin.forecaster(window_days=3.0, node_days=1.0)
    return forecaster, forecaster.analyse_observations(twin.observed(60, 3.0), twin.start + 3.0, 3.0)


def places(count: int = 7):
    rng = np.random.default_rng(4)
    return rng.uniform(0.5, 9.5, count), rng.uniform(30.5, 39.5, count)


def test_covariance_in_space_is_that_of_the_closed_form(twin, analysed):
    forecaster, analysis = analysed
    longitude, latitude = places()
    days = analysis.time + np.array([0.0, 1.0, 4.0])
    made = departures(twin.latent, twin.ocean, analysis, days, longitude, latitude, DRAWS)[..., 0]
    ahead = forecast_latent(twin.latent, twin.ocean, analysis, days)
    modes = twin.basis(longitude, latitude).modes[:, 0] * twin.spread
    _, std = forecaster.predict(analysis, days, longitude, latitude)
    for time in range(3):
        code = ahead.factor[time, 0] @ ahead.factor[time, 0].mT + torch.diag(ahead.model_error[time])
        exact = (modes @ code @ modes.mT).detach().numpy()
        found = np.cov(made[:, time].T)
        assert np.sqrt(np.diag(exact)) == pytest.approx(std[time, :, 0], rel=1e-4)
        size = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert np.abs(found - exact).max() < 4 * size.max() / np.sqrt(DRAWS)
        assert np.abs(made[:, time].mean(0)).max() < 4 * std[time].max() / np.sqrt(DRAWS)


def test_covariance_in_time_is_that_of_one_trajectory(twin, analysed):
    """Of the analysis' part: what is known of the start moves on by the flow, F P F'."""
    _, analysis = analysed
    twin.latent.lead_error.zero_()
    days = analysis.time + np.array([0.0, 4.0])
    ahead = forecast_latent(twin.latent, twin.ocean, analysis, days, together=True)
    codes = drawn_codes(twin.latent, twin.ocean, ahead, days, DRAWS)[:, :, 0]
    exact = (ahead.factor[0, 0] @ ahead.factor[1, 0].mT).numpy()
    found = np.einsum("mi,mj->ij", codes[:, 0].numpy(), codes[:, 1].numpy()) / DRAWS
    size = np.sqrt(np.outer(ahead.factor[0, 0].square().sum(1), ahead.factor[1, 0].square().sum(1)))
    assert np.abs(found - exact).max() < 4 * size.max() / np.sqrt(DRAWS)
    assert np.abs(exact).max() > 0.3 * size.max()


def test_errors_of_the_model_stay_errors(twin, analysed):
    """With growing errors, members of neighbouring leads are alike and those of far ones less so."""
    _, analysis = analysed
    days = analysis.time + np.arange(0.0, 9.0)
    ahead = forecast_latent(twin.latent, twin.ocean, analysis, days, together=True)
    still = replace(ahead, factor=torch.zeros_like(ahead.factor))
    codes = drawn_codes(twin.latent, twin.ocean, still, days, DRAWS)[:, :, 0].numpy()
    assert codes.var(0)[1:] == pytest.approx(ahead.model_error[1:].numpy(), rel=0.15)
    near, far = (np.corrcoef(codes[:, 4, 0], codes[:, other, 0])[0, 1] for other in (5, 1))
    assert near == pytest.approx(np.sqrt(4 / 5), abs=0.06)
    assert far == pytest.approx(np.sqrt(1 / 4), abs=0.06)


@pytest.fixture
def tiled(twin):
    """Four tiles of the same smooth field: their common part is known to each of them alike."""
    charts = [
        Region.from_bounds(west, west + 6, south, south + 6, isotropic=False)
        for west in (0.0, 4.0)
        for south in (30.0, 34.0)
    ]
    axis = np.linspace(0.0, 10.0, 4)
    cover = Cover(tuple(charts), np.ones(4), tiled=True)
    field = GridMap(axis, 30.0 + axis, np.full((1, 4, 4), 0.3))
    twin.ocean = Ocean(twin.ocean.channels, cover, field)
    return twin


def test_members_of_tiles_have_the_spread_and_no_seams(tiled):
    forecaster = tiled.forecaster(window_days=3.0, node_days=1.0)
    seen = tiled.observed(40, 3.0, error=0.05)
    analysis = forecaster.analyse_observations(seen, tiled.start + 3.0, 3.0)
    longitude, latitude = places(60)
    days = analysis.time + np.array([0.0, 2.0])
    made = departures(tiled.latent, tiled.ocean, analysis, days, longitude, latitude, 800)[..., 0]
    _, std = forecaster.predict(analysis, days, longitude, latitude)
    ratio = made.std(0) / std[..., 0]
    alone = np.bincount(tiled.ocean.cover.pairs(longitude, latitude).point) == 1
    assert ratio[:, alone] == pytest.approx(1.0, abs=0.1)
    assert ratio[:, ~alone].min() > 0.5  # six modes of one tile cannot say what those of another do
    assert ratio.max() < 1.1


def test_members_of_a_forecast_are_a_dimension(tiled):
    forecaster = tiled.forecaster(window_days=3.0, node_days=1.0)
    analysis = forecaster.analyse_observations(tiled.observed(200, 3.0), tiled.start + 3.0, 3.0)
    days = analysis.time + np.array([2.0, 1.0])
    grid = xr.Dataset(coords={"latitude": [33.0, 35.0], "longitude": [3.0, 5.0, 70.0]})
    made = forecaster.forecast(analysis, datetime_of(days), grid, beyond=True)
    made = with_members(made, tiled.latent, tiled.ocean, analysis, days, 200, seed=3)
    assert made["adt_members"].dims == ("realization", "time", "latitude", "longitude")
    assert made["realization"].attrs["standard_name"] == "realization"
    assert np.isfinite(made["adt_members"].values[..., :2]).all()
    assert np.isnan(made["adt_members"].values[..., 2]).all()
    error = (made["adt_members"].mean("realization") - made["adt"]).values[..., :2]
    assert (np.abs(error) < 4 * made["adt_std"].values[..., :2] / np.sqrt(200)).all()
    again = with_members(made, tiled.latent, tiled.ocean, analysis, days, 200, seed=3)
    np.testing.assert_array_equal(again["adt_members"], made["adt_members"])
    with pytest.raises(ConfigError, match="members"):
        with_members(made, tiled.latent, tiled.ocean, analysis, days, 0)
    with pytest.raises(ObservationError, match="window"):
        departures(tiled.latent, tiled.ocean, analysis, days - 3, np.array([3.0]), np.array([33.0]), 5)
