"""Forecasts at times inside the window: the smoothed analysis, where it was asked for or is wanted."""

import numpy as np
import pytest
import torch
import xarray as xr

from dino.data.observations import datetime_of
from dino.errors import ObservationError
from dino.forecaster import Forecaster
from dino.inference.analysis import Analysis

DAYS, EVERY = 6.0, 1.0
PLACES = np.array([1.2, 4.4, 7.9, 5.0]), np.array([31.5, 34.2, 38.8, 36.1])
HERE = xr.Dataset({"longitude": ("point", PLACES[0]), "latitude": ("point", PLACES[1])})


@pytest.fixture
def twin(make_twin):
    """With an ocean that the model knows to err a little."""
    twin = make_twin()
    twin.latent.process_noise.copy_(1e-3 * twin.latent.state_covariance)
    twin.latent.unresolved_variance.fill_(0.01)
    return twin


@pytest.fixture
def seen(twin):
    return twin.observed(300, DAYS)


def forecaster_of(twin, method="filter", **settings) -> Forecaster:
    return twin.forecaster(method=method, window_days=DAYS, node_days=EVERY, **settings)


def analysed(twin, seen, smooth, **settings) -> Analysis:
    return forecaster_of(twin, **settings).analyse_observations(seen, twin.start + DAYS, DAYS, smooth)


def at(twin, *days) -> np.ndarray:
    return datetime_of(twin.start + np.array(days))


@pytest.mark.parametrize("method", ["filter", "window"])
@pytest.mark.parametrize("bias", [0.0, 0.05])
def test_at_nodes_and_between_them_it_is_the_trajectory(twin, seen, method, bias):
    settings = {"method": method, "bias_error": bias}
    analysis = analysed(twin, seen, True, **settings)
    assert analysis.trajectory is not None
    mean, covariance = analysis.trajectory
    made = forecaster_of(twin, **settings).forecast(analysis, at(twin, 2.0, 3.25, 0.0), HERE)
    basis = twin.basis(*PLACES)
    modes, offset = basis.modes[:, 0], basis.offset[:, 0]
    for row, (node, share, nearest) in enumerate(((2, 0.0, 2), (3, 0.25, 3), (0, 0.0, 0))):
        code = torch.lerp(mean[node, 0, :6], mean[node + 1, 0, :6], share)
        np.testing.assert_allclose(made["adt"][row], (offset + modes @ code) * twin.spread, rtol=1e-4, atol=1e-6)
        variance = ((modes @ covariance[nearest, 0]) * modes).sum(-1) + 0.01
        np.testing.assert_allclose(made["adt_std"][row], variance.sqrt() * twin.spread, rtol=1e-4)


@pytest.mark.parametrize("method", ["filter", "window"])
def test_later_observations_make_the_past_better_known(twin, seen, method):
    """Against the analysis of that moment, which knows nothing of what came after it."""
    forecaster, moment = forecaster_of(twin, method), 3.0
    then = seen.select(seen.time <= twin.start + moment)
    first = forecaster.analyse_observations(then, twin.start + moment, moment, smooth=True)
    later = analysed(twin, seen, True, method=method)
    made, smoothed = (forecaster.forecast(a, at(twin, 1.0, moment), HERE) for a in (first, later))
    assert (smoothed["adt_std"] <= made["adt_std"] * (1 + 1e-6)).all()
    assert (smoothed["adt_std"] < 0.99 * made["adt_std"]).any()
    assert not np.allclose(smoothed["adt"], made["adt"], atol=1e-6)
    truth = np.stack([twin.field(np.full(4, twin.start + day), *PLACES) for day in (1.0, moment)])
    assert (np.abs(smoothed["adt"] - truth) < 4 * smoothed["adt_std"]).all()


@pytest.mark.parametrize("method", ["filter", "window"])
def test_smoothing_leaves_what_comes_later_as_it_is(twin, seen, method):
    plain, smooth = (analysed(twin, seen, wanted, method=method) for wanted in (False, True))
    assert plain.trajectory is None
    assert (plain.earliest, smooth.earliest) == (twin.start + DAYS, twin.start)
    forecaster = forecaster_of(twin, method)
    made = [forecaster.forecast(a, at(twin, DAYS, 7.5, 10.0), HERE) for a in (plain, smooth)]
    for name in ("adt", "adt_std"):
        np.testing.assert_allclose(made[0][name], made[1][name], rtol=1e-5, atol=1e-7)
    assert made[0]["forecast_reference_time"] == made[1]["forecast_reference_time"] == at(twin, DAYS)[0]


def test_there_is_no_jump_at_the_analysis(twin, seen):
    """Smoothed and filtered states are the same at the end; a moment before it is next to it."""
    analysis = analysed(twin, seen, True)
    made = forecaster_of(twin).forecast(analysis, at(twin, DAYS - 1e-3, DAYS, DAYS + 1e-3), HERE)
    np.testing.assert_allclose(made["adt"][0], made["adt"][1], atol=1e-4)
    np.testing.assert_allclose(made["adt"][2], made["adt"][1], atol=1e-4)
    np.testing.assert_allclose(made["adt_std"][0], made["adt_std"][1], rtol=1e-3)


def test_a_forecast_from_observations_smooths_when_it_must(twin, seen, monkeypatch):
    forecaster, table, asked = forecaster_of(twin), twin.table(seen), []
    analyse = forecaster.analyse_observations

    def watched(observations, end, length, smooth=False):
        asked.append(smooth)
        return analyse(observations, end, length, smooth)

    monkeypatch.setattr(forecaster, "analyse_observations", watched)
    end = datetime_of(float(seen.time[-1]))
    hours = np.array([-30, 0, 20, -3], "timedelta64[h]")
    inside = forecaster.forecast(table, end + hours, HERE)
    assert asked[-1] is True
    del asked[:]
    later = forecaster.forecast(table, end + hours[[1, 2]], HERE)
    assert asked == [False]
    for name in ("adt", "adt_std"):
        np.testing.assert_allclose(later[name], inside[name][[1, 2]], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(inside["time"], end + hours)
    told = forecaster.forecast(forecaster.analyse(table, smooth=True), end + hours, HERE)
    xr.testing.assert_identical(told, inside)


def test_what_lies_before_is_refused(twin, seen):
    forecaster, table = forecaster_of(twin), twin.table(seen)
    plain, smooth = (analysed(twin, seen, wanted) for wanted in (False, True))
    for start, day in ((plain, 5.9), (plain, 0.0), (smooth, -0.1), (table, -1.0)):
        with pytest.raises(ObservationError, match="lies before the analysis"):
            forecaster.forecast(start, at(twin, day, DAYS), HERE)


def test_tiles_inside_the_window(sea_run, sea_dataset, scattered):
    """Dynamics that are not linear, many charts, land: everywhere a value and a spread, and near the truth."""
    sea = sea_dataset()
    forecaster, seen = Forecaster.load(sea_run), scattered(sea, ["adt"], 3000)
    days = sea["time"].values[[20, 24, 27, 29]]
    made = forecaster.forecast(seen, days, sea[["longitude", "latitude"]])
    land = np.isnan(sea["adt"].values).all(0)
    for name in ("adt", "adt_std"):
        np.testing.assert_array_equal(np.isnan(made[name].values), np.broadcast_to(land, made[name].shape))
    error = (made["adt"] - sea["adt"].sel(time=days)).values[:, ~land]
    spread = sea["adt"].values[:, ~land].std()
    assert np.sqrt((error[:3] ** 2).mean()) < 0.8 * spread
