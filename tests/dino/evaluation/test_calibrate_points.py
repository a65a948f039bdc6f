"""Calibration on the later points of a record, and what it must not touch."""

import numpy as np
import pytest
import torch

import dino
from dino.config import AssimilationConfig
from dino.errors import EmptyDataError
from dino.evaluation.calibrate_points import calibrate_from_points, samples_of_points
from dino.model import Start
from dino.model.checkpoint import load_model

SHORT = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=1)


@pytest.fixture
def drifting(box_run):
    """Of one chart, where analyses of points cost least."""
    return dino.Forecaster(*load_model(box_run), SHORT)


@pytest.fixture(scope="module")
def passes(box_dataset, scattered):
    """Points of a trajectory, over thirteen days."""
    return dino.Observations.from_dataset(scattered(box_dataset().isel(trajectory=7), ["ssh"], 400), ("ssh",))


def test_points_calibrated_spread_is_scaled_by_the_factors(drifting, passes):
    model = drifting.latent
    fitted = calibrate_from_points(drifting, passes, held_from=passes.time[0], reach_days=4.0, forecasts=2)
    assert (model.spread_factor[Start.POINTS] != 1).any()
    assert fitted.forecasts.max() == 2
    end = passes.time[0] + 9.0
    analysis = drifting.analyse_observations(passes.window(end - 4.0, end), end, 4.0)
    place = np.full(3, -60.0), np.full(3, 38.0)
    times = end + np.array([0.5, 1.5, 3.5])
    _, deviation = drifting.along_track(analysis, times, *place)
    model.spread_factor[Start.POINTS] = 1.0
    _, before = drifting.along_track(analysis, times, *place)
    expected = fitted.table(1.0).numpy()[:, 0, 0]
    np.testing.assert_allclose(
        deviation[:, 0] / before[:, 0], np.interp([0.5, 1.5, 3.5], np.arange(len(expected)), expected), rtol=1e-3
    )


@pytest.fixture
def twin(make_twin):
    """A linear ocean that obeys its model, so slow that sixty days of it stay within what the model expects."""
    twin = make_twin()
    twin.latent.dynamics.linear.fill_(-0.05)
    return twin


def test_a_perfect_model_calls_for_no_factor(twin):
    forecaster, record = twin.forecaster(window_days=4.0, node_days=1.0), twin.observed(700, 60.0, seed=2)
    fitted = calibrate_from_points(forecaster, record, held_from=twin.start, reach_days=4.0)
    assert fitted.forecasts.min() > 10
    np.testing.assert_allclose(fitted.factors, 1.0, atol=0.3)
    assert fitted.factors.mean() == pytest.approx(1.0, abs=0.1)


def test_a_spread_made_too_large_is_found_out(twin):
    """By a process noise that the ocean does not have; checked with forecasts that begin at other times."""
    twin.latent.process_noise.copy_(0.3 * torch.eye(12) * twin.latent.state_covariance)
    forecaster, record = twin.forecaster(window_days=4.0, node_days=1.0), twin.observed(700, 60.0, seed=2)
    ends = (twin.start + np.arange(5.5, 55.0, 3.0)).tolist()
    before, after = [], []
    for made in (before, after):
        samples = samples_of_points(forecaster, record, ends, 4.0, twin.start)
        made += [(samples.explained + samples.unresolved).mean(), (samples.squared - samples.noise).mean()]
        calibrate_from_points(forecaster, record, held_from=twin.start, reach_days=4.0)
    assert before[0] > 2.0 * before[1]
    assert after[0] == pytest.approx(after[1], rel=0.3)


def test_only_later_points_are_compared_with(drifting, passes):
    """A lie in the part that may have been learned from, about values that no analysis uses, changes nothing."""
    held = float(passes.time[0]) + 7.8  # a day is met a tenth of the reach later
    options = {"held_from": held, "reach_days": 4.0, "forecasts": 2}
    calibrate_from_points(drifting, passes, **options)
    honest = drifting.latent.spread_factor.clone()
    lie = passes.values.copy()
    lie[(passes.time < held) & (passes.time > held - 3.6)] += 5.0
    calibrate_from_points(drifting, dino.Observations(**{**vars(passes), "values": lie}), **options)
    torch.testing.assert_close(drifting.latent.spread_factor, honest)


def test_a_record_too_short_is_refused_and_leaves_the_model(drifting, passes):
    before = drifting.latent.spread_factor.clone()
    with pytest.raises(EmptyDataError, match="two forecasts"):
        calibrate_from_points(drifting, passes, held_from=passes.time[-1], reach_days=4.0)
    assert torch.equal(drifting.latent.spread_factor, before)


def test_samples_are_the_points_after_each_end(drifting, passes):
    first = float(passes.time[0])
    made = samples_of_points(drifting, passes, [first + 5.0, first + 8.0], 2.0, first)
    for number, end in enumerate((first + 5.0, first + 8.0)):
        ahead = passes.between(np.nextafter(end, np.inf), end + 2.0)
        np.testing.assert_array_equal(made.lead[made.start == number], ahead.time - end)
    assert ((made.lead > 0) & (made.lead <= 2.0)).all()
    np.testing.assert_allclose(made.noise, 0.01**2)
    assert (made.explained > 0).all()
    assert len(samples_of_points(drifting, passes, [first - 9.0], 2.0, first)) == 0
