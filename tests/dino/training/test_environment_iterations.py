"""Iterations of adaptation that training chooses: none where frames are close, some where they are far apart."""

import numpy as np

import dino

CONFIG = dino.PhysicsConfig(candidates=["u: u", "u: u**2"])


def logistic(rate, interval: float, count: int):
    """du/dt = rate u - u**2, of environments with given rates, from two initial values each."""
    times, rate = interval * np.arange(count), np.repeat(rate, 2)[:, None]
    first = np.tile([0.1, 0.3], len(rate) // 2)[:, None]
    grown = np.exp(rate * times)
    values = rate * first * grown / (rate + first * (grown - 1))
    return dino.from_array(values[:, :, None], times, environments=np.arange(len(rate)) // 2)


RATES = np.array([0.8, 1.0, 1.3, 1.6])


def test_none_are_made_where_the_integral_form_forecasts_well_enough(monkeypatch):
    close = logistic(RATES, 0.02, 12)
    assert dino.fit(close, CONFIG).family.iterations > 0
    monkeypatch.setattr("dino.training.environment_iterations.ENOUGH", 1e-5)
    physics = dino.fit(close, CONFIG)
    assert physics.family.iterations == 0
    adapted = physics.adapt(logistic(np.array([1.1]), 0.02, 12))
    assert adapted.posterior.iterations == 0
    np.testing.assert_allclose(adapted.coefficients()["mean"], [[1.1, -1.0]], atol=0.02)


def test_frames_that_are_far_apart_want_iterations():
    physics = dino.fit(logistic(RATES, 1.0, 12), CONFIG)
    assert physics.family.iterations > 0
    new = logistic(np.array([1.15]), 1.0, 12)
    off = [
        np.abs(each.coefficients()["mean"].values - [1.15, -1.0]).max()
        for each in (physics.adapt(new, 0), physics.adapt(new))
    ]
    assert off[1] < 0.1 * off[0]


def test_an_environment_unlike_those_of_training_gets_all_iterations():
    physics = dino.fit(logistic(RATES, 0.02, 12), CONFIG)
    adapted = physics.adapt(logistic(np.array([1.2, 3.0]), 0.02, 12))
    assert adapted.posterior.iterations > physics.family.iterations
    np.testing.assert_allclose(adapted.coefficients()["mean"], [[1.2, -1.0], [3.0, -1.0]], rtol=1e-3)
