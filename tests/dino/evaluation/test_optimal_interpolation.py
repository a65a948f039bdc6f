"""Optimal interpolation against the algebra of Gaussian processes, and in what it leaves alone."""

import numpy as np
import pytest

from data_pipeline.errors import EmptyDataError, SchemaError
from dino.evaluation.covariance import Component, Covariance, positions_km
from dino.evaluation.optimal_interpolation import OptimalInterpolation

TWO_SCALES = Covariance((Component(0.6, 80.0, 6.0), Component(0.4, 300.0, 30.0)), 0.05, 0.1)


def scattered(count, seed=0, days=20.0):
    random = np.random.default_rng(seed)
    return random.uniform(0, days, count), random.uniform(0, 6, count), random.uniform(35, 40, count)


def drawn(covariance, time, lon, lat, source=None, seed=1):
    """One draw of observations from the prior."""
    source = np.zeros(len(time), int) if source is None else source
    matrix = covariance.of_observations(positions_km(lon, lat), time, source, np.zeros(len(time)))
    return np.linalg.cholesky(matrix) @ np.random.default_rng(seed).normal(size=len(time))


def haversine_km(lon, lat):
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    across = np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(np.sin((lat[:, None] - lat) / 2) ** 2 + across))


def test_exact_solution_is_the_algebra_of_gaussian_processes():
    time, lon, lat = scattered(60)
    source = np.arange(60) % 3
    error = np.full(60, 0.1)
    value = 2.0 + drawn(TWO_SCALES, time, lon, lat, source)
    targets = scattered(15, seed=2)

    every = [np.concatenate([a, b]) for a, b in zip((time, lon, lat), targets, strict=True)]
    distance = haversine_km(every[1], every[2])
    lag = np.abs(every[0][:, None] - every[0])
    prior = sum(
        part.variance
        * (1 + np.sqrt(3) * distance / part.length_km)
        * np.exp(-np.sqrt(3) * distance / part.length_km)
        * np.exp(-lag / part.time_days)
        for part in TWO_SCALES.components
    )
    data = prior[:60, :60] + 0.1 * (source[:, None] == source) + (0.05 + 0.01) * np.eye(60)
    gain = prior[60:, :60] @ np.linalg.inv(data)
    expected = 2.0 + gain @ (value - 2.0)
    variance = np.diag(prior[60:, 60:] - gain @ prior[:60, 60:])

    oi = OptimalInterpolation(TWO_SCALES, time, lon, lat, value, mean=2.0, source=source, error=error)
    mean, std = oi.predict(*targets)
    np.testing.assert_allclose(mean, expected, atol=1e-4)
    np.testing.assert_allclose(std, np.sqrt(variance), atol=1e-4)


def test_local_solution_agrees_with_the_exact_one():
    covariance = Covariance((Component(1.0, 60.0, 5.0),), 0.02)
    time, lon, lat = scattered(900)
    value = drawn(covariance, time, lon, lat)
    day, grid_lon, grid_lat = 10.0, np.linspace(0.5, 5.5, 15)[None, :], np.linspace(35.5, 39.5, 12)[:, None]
    exact = OptimalInterpolation(covariance, time, lon, lat, value, mean=0.0, exact_below=900)
    local = OptimalInterpolation(covariance, time, lon, lat, value, mean=0.0, neighbours=150, exact_below=0)
    (ours, spread), (expected, expected_spread) = (oi.predict(day, grid_lon, grid_lat) for oi in (local, exact))
    assert ours.shape == spread.shape == (12, 15)
    assert np.sqrt(np.mean((ours - expected) ** 2)) < 0.03 * np.std(expected)
    np.testing.assert_allclose(spread, expected_spread, rtol=0.02)


def test_maps_a_known_field_within_its_error_bar():
    covariance = Covariance((Component(1.0, 150.0, 10.0),), 0.01)
    time, lon, lat = scattered(700, seed=3)
    value = drawn(covariance, time, lon, lat, seed=4)
    oi = OptimalInterpolation(covariance, time[:600], lon[:600], lat[:600], value[:600], mean=0.0)
    mean, std = oi.predict(time[600:], lon[600:], lat[600:])
    error = mean - value[600:]
    assert np.sqrt(np.mean(error**2)) < 0.6 * np.std(value[600:])
    assert np.sqrt(np.mean(error**2 / (std**2 + 0.01))) == pytest.approx(1.0, abs=0.2)


def test_far_from_data_the_estimate_is_the_mean_field_and_the_prior_spread():
    def field(longitude, latitude):
        return 0.1 * longitude + latitude

    time, lon, lat = scattered(40)
    oi = OptimalInterpolation(TWO_SCALES, time, lon, lat, field(lon, lat) + 1.0, mean=field)
    mean, std = oi.predict(10.0, -150.0, -30.0)
    assert mean == pytest.approx(field(-150.0, -30.0))
    assert std == pytest.approx(1.0)
    later, _ = oi.predict(10_000.0, 3.0, 37.0)
    assert later == pytest.approx(field(3.0, 37.0))


def test_there_is_no_seam_at_the_antimeridian():
    covariance = Covariance((Component(1.0, 100.0, 10.0),), 1e-4)
    oi = OptimalInterpolation(covariance, [0.0], [179.9], [0.0], [1.0], mean=0.0)
    mean, _ = oi.predict(0.0, np.array([-179.9, 180.0]), 0.0)
    assert (mean > 0.9).all()


def test_source_error_is_not_taken_for_signal():
    covariance = Covariance((Component(1.0, 100.0, 10.0),), 0.01, source_variance=4.0)
    time, lon, lat = scattered(300, seed=5)
    source = np.arange(300) % 2
    signal = drawn(Covariance(covariance.components, 0.01), time, lon, lat)
    value = signal + np.array([1.5, -1.5])[source]
    aware = OptimalInterpolation(covariance, time, lon, lat, value, mean=0.0, source=source)
    unaware = OptimalInterpolation(Covariance(covariance.components, 0.01), time, lon, lat, value, mean=0.0)
    errors = [np.std(oi.predict(time, lon, lat)[0] - signal) for oi in (aware, unaware)]
    assert errors[0] < 0.3 * errors[1]


def test_missing_values_are_dropped_and_missing_targets_stay_missing():
    time, lon, lat = scattered(30)
    value = drawn(TWO_SCALES, time, lon, lat)
    gappy = np.concatenate([value, [np.nan]])
    longer = [np.append(a, a[0]) for a in (time, lon, lat)]
    whole = OptimalInterpolation(TWO_SCALES, time, lon, lat, value)
    mean, std = OptimalInterpolation(TWO_SCALES, *longer, gappy).predict(5.0, [1.0, np.nan], [36.0, 36.0])
    assert mean[0] == pytest.approx(whole.predict(5.0, 1.0, 36.0)[0])
    assert np.isnan([mean[1], std[1]]).all()


def test_repeated_observations_without_noise_can_be_solved():
    covariance = Covariance((Component(1.0, 100.0, 10.0),), 0.0)
    oi = OptimalInterpolation(covariance, [0.0, 0.0], [1.0, 1.0], [36.0, 36.0], [2.0, 2.0], mean=0.0)
    assert oi.predict(0.0, 1.0, 36.0)[0] == pytest.approx(2.0, rel=1e-6)


def test_wrong_input_is_refused():
    time, lon, lat = scattered(30)
    with pytest.raises(SchemaError, match="same length"):
        OptimalInterpolation(TWO_SCALES, time, lon, lat, np.zeros(29))
    with pytest.raises(EmptyDataError, match="none of the 30"):
        OptimalInterpolation(TWO_SCALES, time, lon, lat, np.full(30, np.nan))


@pytest.mark.parametrize("exact_below", [0, 2000])
def test_maps_at_several_times_are_the_estimates_for_each(exact_below):
    """One drifting scale and one at rest; with local cells the observations of a cell serve all its times."""
    covariance = Covariance((Component(0.6, 60.0, 5.0, 0.1), Component(0.4, 150.0, 20.0)), 0.02)
    time, lon, lat = scattered(900)
    time = 20_000.0 + time
    value = drawn(covariance, time, lon, lat)
    oi = OptimalInterpolation(covariance, time, lon, lat, value, neighbours=300, exact_below=exact_below)
    days, grid_lon, grid_lat = (
        20_018.0 + np.array([0.0, 4.0]),
        np.linspace(1, 5, 9)[None, :],
        np.array([[36.0], [39.0]]),
    )
    maps = oi.maps(days, grid_lon, grid_lat)
    assert maps.shape == (2, 2, 9)
    for made, day in zip(maps, days, strict=True):
        expected, _ = oi.predict(day, grid_lon, grid_lat)
        np.testing.assert_allclose(made, expected, atol=1e-9 if exact_below else 0.03)
    grid_lon = grid_lon.copy()
    grid_lon[0, 3] = np.nan
    np.testing.assert_array_equal(
        np.isnan(oi.maps(days, grid_lon, grid_lat)), np.isnan(grid_lon)[None] & np.full(maps.shape, True)
    )


def test_a_travelling_pattern_is_forecast_where_it_has_gone():
    """A bump seen at 10 degrees east that moves half a degree a day is two degrees on after four days."""
    covariance = Covariance((Component(1.0, 60.0, 1000.0, 0.5),), 1e-4)
    lon = np.linspace(6.0, 14.0, 81)
    bump = np.exp(-(((lon - 10.0) / 0.8) ** 2))
    oi = OptimalInterpolation(covariance, np.full(81, 20_000.0), lon, np.full(81, 40.0), bump, mean=0.0)
    now, later = oi.maps([20_000.0, 20_004.0], lon, 40.0)
    assert lon[now.argmax()] == pytest.approx(10.0, abs=0.11)
    assert lon[later.argmax()] == pytest.approx(12.0, abs=0.11)
