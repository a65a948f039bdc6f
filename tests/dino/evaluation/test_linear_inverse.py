import numpy as np
import pytest

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from dino.evaluation.linear_inverse import LinearInverseModel


@pytest.fixture
def system():
    """Maps (time, channel, point) of whole turns of two patterns, their times and weights; one point is land."""
    random = np.random.default_rng(0)
    phase = 2 * np.pi * np.arange(175) / 25
    maps = np.einsum("kt,kcp->tcp", [np.cos(phase), np.sin(phase)], random.normal(size=(2, 2, 12))) + 3.0
    maps[:, 1, 3] = np.nan
    return maps, np.arange(175.0), random.uniform(0.5, 1.0, 12)


def test_recovers_a_linear_system_at_whole_and_fractional_leads(system):
    maps, times, weights = system
    model = LinearInverseModel.fit(maps, times, weights, modes=2)
    assert model.explained_variance == pytest.approx(1.0)
    forecast = model.forecast(maps[:100], [1.0, 5.0, 70.0])
    np.testing.assert_allclose(forecast, maps[[100, 104, 169]], atol=1e-8)
    half = model.forecast(maps[:100], [0.5])
    assert not np.allclose(half, maps[99], equal_nan=True)
    np.testing.assert_allclose(model.forecast(half, [0.5])[0], maps[100], atol=1e-8)


def test_recovers_the_propagator_of_a_driven_system():
    random = np.random.default_rng(1)
    truth = np.array([[0.9, 0.2], [-0.1, 0.8]])
    states = np.zeros((20000, 2))
    for i in range(1, len(states)):
        states[i] = truth @ states[i - 1] + random.normal(size=2)
    model = LinearInverseModel.fit(states[:, None, :], np.arange(20000.0), np.ones(2), modes=2)
    start = np.array([[[1.0, -1.0]]])
    anomaly = start[0, 0] - model.mean[0]
    for lead in (1, 4):
        expected = model.mean[0] + np.linalg.matrix_power(truth, lead) @ anomaly
        np.testing.assert_allclose(model.forecast(start, [lead])[0, 0], expected, atol=0.06)


def test_a_long_lead_of_a_damped_system_is_the_mean():
    random = np.random.default_rng(2)
    series = np.zeros(3000)
    for i in range(1, len(series)):
        series[i] = 0.8 * series[i - 1] + random.normal()
    maps = 5.0 + series[:, None, None] * np.ones((1, 1, 4))
    model = LinearInverseModel.fit(maps, np.arange(3000.0), np.ones(4))
    np.testing.assert_allclose(model.forecast(maps, [200.0])[0], model.mean, atol=1e-6)


def test_growth_is_held_neutral():
    maps = (1.1 ** np.arange(30.0))[:, None, None] * np.ones((1, 1, 3))
    model = LinearInverseModel.fit(maps, np.arange(30.0), np.ones(3))
    assert np.abs(model.forecast(maps, [100.0])).max() <= np.abs(maps[-1]).max() * 1.001


def test_what_is_outside_the_patterns_is_held_still(system):
    maps, times, weights = system
    model = LinearInverseModel.fit(maps[:, :1], times, weights, modes=1)
    beyond = np.random.default_rng(3).normal(size=12)
    metric = model.weights
    pattern = model.patterns[:, 0]
    beyond -= pattern * (pattern * metric @ beyond) / (pattern * metric @ pattern)
    start = (model.mean + beyond)[None]
    np.testing.assert_allclose(model.forecast(start, [1.0])[0], start[0], atol=1e-10)


def test_a_gap_in_the_last_map_is_bridged(system):
    maps, times, weights = system
    model = LinearInverseModel.fit(maps, times, weights, modes=2)
    gappy = maps[:80].copy()
    gappy[-1, 0, :8] = np.nan
    np.testing.assert_allclose(model.forecast(gappy, [3.0]), maps[[82]], atol=1e-8)


def test_pairs_do_not_cross_a_gap_between_runs():
    decay = 0.5 ** np.arange(6.0)
    runs = np.concatenate([decay, -decay, decay, -decay])
    times = np.concatenate([np.arange(6.0) + 100.0 * run for run in range(4)])
    model = LinearInverseModel.fit(runs[:, None, None], times, np.ones(1), modes=1)
    np.testing.assert_allclose(model.forecast(np.ones((1, 1, 1)), [1.0, 2.0]).ravel(), [0.5, 0.25])


def test_modes_are_few_where_maps_are_few():
    maps = np.random.default_rng(4).normal(size=(26, 1, 100))
    model = LinearInverseModel.fit(maps, np.arange(26.0), np.ones(100), explained=1.0)
    assert model.patterns.shape == (100, 5)


def test_wrong_input_is_refused():
    maps = np.random.default_rng(5).normal(size=(10, 1, 4))
    with pytest.raises(EmptyDataError, match="lag_days"):
        LinearInverseModel.fit(maps, np.arange(10.0) * 30, np.ones(4))
    with pytest.raises(EmptyDataError, match="valid at all times"):
        LinearInverseModel.fit(np.full((10, 1, 4), np.nan), np.arange(10.0), np.ones(4))
    with pytest.raises(ConfigError, match="modes"):
        LinearInverseModel.fit(maps, np.arange(10.0), np.ones(4), modes=0)
    with pytest.raises(SchemaError, match="weights"):
        LinearInverseModel.fit(maps, np.arange(10.0), np.ones(3))
    model = LinearInverseModel.fit(maps, np.arange(10.0), np.ones(4))
    with pytest.raises(EmptyDataError, match="no valid point"):
        model.forecast(np.full((1, 1, 4), np.nan), [1.0])
