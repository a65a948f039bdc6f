"""Analyses of many charts: each is that of its chart alone; plain arrays that come back from a file."""

import pickle
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch
from problems import CODE, STATE, make_latent, matrix_of, one_chart, tiled_ocean

from dino.config import AssimilationConfig
from dino.data.observations import Observations, datetime_of
from dino.errors import DomainError, ObservationError
from dino.forecaster import Forecaster
from dino.inference.analysis import Analysis, Assimilation
from dino.model import LatentModel, Ocean
from dino.space.domain import wrap_longitude

START, DAYS = 20000.0, 3.0
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


def make_observations(count: int = 80, first: float = 0.0, days: float = DAYS, seed: int = 0) -> Observations:
    """Noisy values of two missions over four of the five tiles, some of them far off."""
    rng = np.random.default_rng(seed)
    longitude, latitude = wrap_longitude(rng.uniform(174.2, 182.8, count)), rng.uniform(30.2, 38.8, count)
    values = rng.normal(size=(count, 2)) * [0.1, 2.0]
    values[::11] *= 20.0
    values[rng.random((count, 2)) < 0.2] = np.nan
    time = START + first + np.sort(rng.uniform(0, days, count))
    source = rng.integers(0, 2, count)
    return Observations(time, longitude, latitude, values, 0.3 * np.ones((count, 2)), source, ("u", "v"), ("a", "b"))


def assimilation(latent: LatentModel, ocean: Ocean, **settings) -> Assimilation:
    return Assimilation(latent, ocean, AssimilationConfig(**{"window_days": DAYS, "node_days": 1.0} | settings))


@pytest.mark.parametrize("method", ["filter", "window"])
@pytest.mark.parametrize("decoder", ["fourier", "siren"])
@pytest.mark.parametrize("bias_error", [0.0, 0.2])
def test_the_analysis_of_a_chart_is_that_of_an_ocean_of_this_chart_alone(method, decoder, bias_error):
    latent, ocean, seen = make_latent("network", decoder, 4, 0.1), tiled_ocean(), make_observations()
    settings = {"method": method, "bias_error": bias_error}
    made = assimilation(latent, ocean, **settings).window(seen, START + DAYS, DAYS, smooth=True)
    assert made.mean.shape == (5, STATE)
    assert made.trajectory is not None
    assert sum(made.quality.down_weighted.values()) > 3
    used = 0
    for chart in range(4):
        one = assimilation(latent, one_chart(ocean, chart), **settings).window(seen, START + DAYS, DAYS, smooth=True)
        assert one.trajectory is not None
        torch.testing.assert_close(made.mean[chart], one.mean[0], **CLOSE)
        torch.testing.assert_close(made.covariance[chart], one.covariance[0], **CLOSE)
        torch.testing.assert_close(made.trajectory.mean[:, chart], one.trajectory.mean[:, 0], **CLOSE)
        torch.testing.assert_close(made.trajectory.covariance[:, chart], one.trajectory.covariance[:, 0], **CLOSE)
        if bias_error:
            torch.testing.assert_close(made.joint.mean[chart], one.joint.mean[0], **CLOSE)
            assert made.joint.offsets == one.joint.offsets
        used += one.quality.used
    assert used > made.quality.used == (np.isfinite(seen.values).any(1)).sum()
    # The chart apart has no observation: it is the population, carried on, whoever is beside it.
    pair = assimilation(latent, one_chart(ocean, 4, 1), **settings).window(seen, START + DAYS, DAYS)
    torch.testing.assert_close(made.mean[4], pair.mean[0], **CLOSE)
    torch.testing.assert_close(made.covariance[4], pair.covariance[0], **CLOSE)


@pytest.mark.parametrize("bias_error", [0.0, 0.2])
def test_an_update_of_a_chart_is_that_of_this_chart_alone(bias_error):
    latent, ocean = make_latent("network", context=4, noise=0.1), tiled_ocean()
    seen, new = make_observations(), make_observations(40, DAYS, 2.0, seed=1)
    settings = {"bias_error": bias_error}

    def updated(ocean: Ocean) -> Analysis:
        maker = assimilation(latent, ocean, **settings)
        return maker.onwards(maker.window(seen, START + DAYS, DAYS), new, START + DAYS + 2.0)

    made = updated(ocean)
    assert made.time == START + DAYS + 2.0
    for chart in range(4):
        one = updated(one_chart(ocean, chart))
        torch.testing.assert_close(made.mean[chart], one.mean[0], **CLOSE)
        torch.testing.assert_close(made.covariance[chart], one.covariance[0], **CLOSE)


@pytest.mark.parametrize("method", ["filter", "window"])
def test_a_chart_without_observations_is_the_population_carried_on(method):
    latent, ocean = make_latent(noise=0.1), tiled_ocean()
    made = assimilation(latent, ocean, method=method).window(make_observations(), START + DAYS, DAYS)
    flow = torch.linalg.matrix_exp(matrix_of(latent))
    covariance = latent.state_covariance
    for _ in range(int(DAYS)):
        covariance = flow @ covariance @ flow.T + (method == "filter") * latent.process_noise
    torch.testing.assert_close(made.covariance[4], covariance, rtol=1e-5, atol=1e-6)
    assert (made.mean[4] == 0).all()
    assert (made.covariance[:4].diagonal(dim1=1, dim2=2)[:, 0] < covariance[0, 0]).all()


def test_the_state_between_nodes_is_asked_for_by_smoothing_alone():
    latent, ocean = make_latent(noise=0.1), tiled_ocean()
    maker = assimilation(latent, ocean)
    plain, smooth = (maker.window(make_observations(), START + DAYS, DAYS, smooth=s) for s in (False, True))
    torch.testing.assert_close(plain.mean, smooth.mean)
    assert plain.trajectory is None
    assert (plain.earliest, smooth.earliest) == (START + DAYS, START)
    np.testing.assert_allclose(smooth.nodes, START + np.arange(4.0))
    forecaster = Forecaster(latent, ocean, maker.config)
    inside = np.array([START + 1.5])
    with pytest.raises(ObservationError, match="smooth=True"):
        forecaster.forecast_latent(plain, inside)
    codes = forecaster.forecast_latent(smooth, inside).codes[0]
    between = (smooth.trajectory.mean[1, :, :CODE] + smooth.trajectory.mean[2, :, :CODE]) / 2
    torch.testing.assert_close(codes, between)


def test_observations_that_no_chart_holds_are_refused():
    maker = assimilation(make_latent(), tiled_ocean())
    away = make_observations()
    away = Observations(**(vars(away) | {"longitude": np.zeros(80)}))
    with pytest.raises(DomainError, match="none of the 80 points"):
        maker.window(away, START + DAYS, DAYS)


def check_same(one, other) -> None:
    """Equal field by field: plain arrays and numbers all the way down."""
    if torch.is_tensor(one):
        assert torch.equal(one, other)
        assert type(one) is torch.Tensor
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif is_dataclass(one):
        assert type(one) is type(other)
        for field in fields(one):
            check_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple | list):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            check_same(mine, theirs)
    else:
        assert one is None or isinstance(one, int | float | str | dict), type(one)
        assert one == other


@pytest.mark.parametrize("method", ["filter", "window"])
@pytest.mark.parametrize("bias_error", [0.0, 0.2])
def test_an_analysis_of_points_comes_back_and_goes_on(method, bias_error):
    latent, ocean, new = make_latent(noise=0.1), tiled_ocean(), make_observations(40, DAYS, 2.0, seed=1)
    maker = assimilation(latent, ocean, method=method, bias_error=bias_error)
    made = maker.window(make_observations(), START + DAYS, DAYS, smooth=True)
    content = pickle.dumps(made)
    again = pickle.loads(content)
    check_same(made, again)
    # Nothing of the model is in it: a few states and covariances, and what was seen.
    numbers = 4 * 5 * (STATE + CODE * CODE) + 5 * (STATE + 4) * (STATE + 5) * 2 + 2 * 80
    assert len(content) < 8 * numbers + 8000
    one, other = (maker.onwards(a, new, None) for a in (made, again))
    check_same(one, other)
    forecaster = Forecaster(latent, ocean, maker.config)
    days, place = np.array([START + 1.2, START + 4.0]), (np.array([178.0, 181.0]), np.array([34.0, 35.0]))
    for mine, theirs in zip(
        forecaster.predict(made, days, *place), forecaster.predict(again, days, *place), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
        assert np.isfinite(mine).all()


def test_an_analysis_of_maps_comes_back(sea_run, sea_dataset):
    forecaster, sea = Forecaster.load(sea_run), sea_dataset()
    made = forecaster.analyse(sea)
    assert made.maps is not None
    again = pickle.loads(pickle.dumps(made))
    check_same(made, again)
    times, at = sea["time"].values[-1:] + np.timedelta64(2, "D"), sea[["longitude", "latitude"]]
    one, other = (forecaster.forecast(a, times, at) for a in (made, again))
    assert one.equals(other)


def test_a_trajectory_is_smoothed_where_a_forecast_wants_it(sea_run, sea_dataset, scattered):
    """Forecasts at times within the window are the smoothed analysis, whoever asked for it."""
    forecaster, sea = Forecaster.load(sea_run), sea_dataset()
    seen = scattered(sea, ["adt"], 400)
    times, at = seen["time"].values[-1:] - np.timedelta64(60, "h"), sea[["longitude", "latitude"]]
    asked = forecaster.forecast(forecaster.analyse(seen, smooth=True), times, at)
    made = forecaster.forecast(seen, times, at)
    np.testing.assert_allclose(made["adt"], asked["adt"])
    np.testing.assert_allclose(made["adt_std"], asked["adt_std"])
    plain = forecaster.analyse(seen)
    with pytest.raises(ObservationError, match="before the analysis"):
        forecaster.forecast(plain, times, at)
    assert datetime_of(plain.time) == seen["time"].values[-1]
