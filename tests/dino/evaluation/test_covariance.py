"""Covariances along scattered observations: kernels, their likelihood, and fits that find a known one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import ConfigError, EmptyDataError, SchemaError
from dino.evaluation.covariance import (
    Component,
    Covariance,
    kernel,
    kernel_slope,
    positions_km,
    valid_observations,
)
from dino.evaluation.covariance_fit import TIME_BOUNDS_DAYS, _Subset, at_bounds, fit_covariance

TWO_SCALES = Covariance((Component(0.6, 80.0, 6.0), Component(0.4, 300.0, 30.0)), 0.05, 0.1)
KERNELS = ["gaussian", "matern32", "exponential"]


def scattered(count, seed=0, days=20.0):
    random = np.random.default_rng(seed)
    return random.uniform(0, days, count), random.uniform(0, 6, count), random.uniform(35, 40, count)


def drawn(covariance, time, lon, lat, source=None, seed=1):
    """One draw of observations from the prior."""
    source = np.zeros(len(time), int) if source is None else source
    matrix = covariance.of_observations(positions_km(lon, lat), time, source, np.zeros(len(time)))
    return np.linalg.cholesky(matrix) @ np.random.default_rng(seed).normal(size=len(time))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_fall_from_one_with_their_stated_slope(name):
    separation = np.linspace(0.0, 6.0, 200)
    value, slope = kernel(name, separation), kernel_slope(name, separation)
    assert value[0] == 1.0
    assert (np.diff(value) < 0).all()
    step = 1e-6  # the derivative in the logarithm of the scale, by which separations are divided
    larger, smaller = (kernel(name, separation * np.exp(sign * step)) for sign in (-1, 1))
    np.testing.assert_allclose(slope, (larger - smaller) / (2 * step), atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(KERNELS), seed=st.integers(0, 999), length=st.floats(20.0, 4000.0), drift=st.floats(-1.0, 1.0)
)
def test_any_points_of_the_sphere_have_a_proper_covariance(name, seed, length, drift):
    random = np.random.default_rng(seed)
    place = positions_km(random.uniform(-180, 180, 40), random.uniform(-90, 90, 40))
    covariance = Covariance((Component(1.0, length, 5.0, drift),), 0.0, space_kernel=name, time_kernel=name)
    time = random.uniform(20_000, 20_020, 40)
    matrix = covariance.between(place, time, place, time)
    np.testing.assert_allclose(matrix, matrix.T)
    np.testing.assert_allclose(np.diag(matrix), covariance.variance)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-9


def test_observed_values_share_the_error_of_their_source():
    time, lon, lat = scattered(6)
    source, error = np.array([0, 0, 1, 1, 2, 2]), np.arange(6.0)
    place = positions_km(lon, lat)
    rest = TWO_SCALES.of_observations(place, time, source, error) - TWO_SCALES.between(place, time, place, time)
    expected = 0.1 * (source[:, None] == source) + np.diag(0.05 + error)
    np.testing.assert_allclose(rest, expected, atol=1e-8)


def test_what_is_not_finite_is_left_out():
    time, lon, lat = scattered(5)
    value = np.array([1.0, np.nan, 3.0, 4.0, 5.0])
    error = np.array([0.1, 0.1, np.inf, 0.1, 0.1])
    lon[4] = np.nan
    kept = valid_observations(time, lon, lat, value, [3, 1, 4, 1, 5], error)
    assert kept[3].tolist() == [1.0, 4.0]
    assert kept[4].tolist() == [3, 1]
    np.testing.assert_allclose(kept[5], 0.01)
    with pytest.raises(SchemaError, match="same length"):
        valid_observations(time, lon, lat, value[:4], None, None)


@pytest.mark.parametrize("drifts", [(), (0.3, -0.7)])
@pytest.mark.parametrize("name", KERNELS)
def test_likelihood_gradient_against_differences(name, drifts):
    time, lon, lat = scattered(25)
    value = drawn(TWO_SCALES, time, lon, lat)
    subset = _Subset.of(positions_km(lon, lat), time, value, np.arange(25) % 2, np.full(25, 0.01))
    parameters = np.append(np.log([0.6, 80.0, 6.0, 0.4, 300.0, 30.0, 0.05, 0.1]), drifts)
    shape = (name, name, 2, 0.1 if drifts else None)
    _, gradient = subset.loss(parameters, *shape)
    steps = 1e-5 * np.eye(len(parameters))
    ends = [[subset.loss(parameters + sign * step, *shape)[0] for sign in (1, -1)] for step in steps]
    np.testing.assert_allclose(gradient, [(up - down) / 2e-5 for up, down in ends], rtol=1e-4, atol=1e-6)


def test_fit_recovers_the_covariance_and_repeats_itself():
    truth = Covariance((Component(1.0, 100.0, 8.0),), 0.05)
    time, lon, lat = scattered(1000, seed=6)
    value = drawn(truth, time, lon, lat)
    options = {"components": 1, "subsets": 4, "subset_size": 250, "seed": 3}
    found = fit_covariance(time, lon, lat, value, **options)
    (part,) = found.components
    assert part.variance == pytest.approx(1.0, rel=0.4)
    assert part.length_km == pytest.approx(100.0, rel=0.3)
    assert part.time_days == pytest.approx(8.0, rel=0.4)
    assert found.noise_variance == pytest.approx(0.05, rel=0.6)
    assert fit_covariance(time, lon, lat, value, **options) == found


def test_a_travelling_pattern_is_found_with_its_speed():
    """Seven kilometres a day eastward at 37.5 degrees north; a covariance at rest takes it for a short memory."""
    drift = np.rad2deg(7.0 / (6371.0 * np.cos(np.deg2rad(37.5))))
    truth = Covariance((Component(1.0, 100.0, 30.0, drift),), 0.01, space_kernel="gaussian", time_kernel="matern32")
    time, lon, lat = scattered(1000, seed=6)
    value = drawn(truth, time, lon, lat)
    options = {"components": 1, "subsets": 4, "subset_size": 250, "space_kernel": "gaussian", "time_kernel": "matern32"}
    (part,) = fit_covariance(time, lon, lat, value, travelling=True, **options).components
    assert part.drift == pytest.approx(drift, rel=0.1)
    assert part.time_days == pytest.approx(30.0, rel=0.5)
    (still,) = fit_covariance(time, lon, lat, value, **options).components
    assert still.drift == 0.0
    assert still.time_days < 0.6 * part.time_days


def test_scales_at_the_bounds_of_the_search_are_told():
    """A field that never changes has no time scale: the fit ends at its bound."""
    time, lon, lat = scattered(300, seed=2)
    value = drawn(Covariance((Component(1.0, 100.0, 1e9),), 0.01), time, lon, lat)
    found = fit_covariance(time, lon, lat, value, components=1, subsets=2, subset_size=100)
    assert at_bounds(found) == [f"time {TIME_BOUNDS_DAYS[1]:g} days"]
    assert at_bounds(TWO_SCALES) == []


def test_a_drift_carries_patterns_eastward():
    covariance = Covariance((Component(1.0, 50.0, 1e9, 0.5),), 0.0)
    here, there = positions_km([10.0], [40.0]), positions_km([12.0, 8.0], [40.0, 40.0])
    later = covariance.between(here, np.array([20_000.0]), there, np.array([20_004.0, 20_004.0]))
    np.testing.assert_allclose(later, [[1.0, 0.0]], atol=1e-3)


def test_two_components_are_ordered_by_length_and_source_error_is_found():
    time, lon, lat = scattered(400, seed=7)
    source = np.arange(400) % 8
    offsets = np.random.default_rng(8).normal(size=8)
    value = drawn(Covariance(TWO_SCALES.components, 0.01), time, lon, lat) + offsets[source]
    found = fit_covariance(time, lon, lat, value, source=source, subsets=2, subset_size=200)
    assert found.components[0].length_km <= found.components[1].length_km
    assert found.source_variance == pytest.approx(np.mean(offsets**2), rel=0.8)


def test_what_cannot_be_fitted_is_refused():
    time, lon, lat = scattered(30)
    with pytest.raises(EmptyDataError, match="at least 10"):
        fit_covariance(time, lon, lat, np.zeros(30))
    with pytest.raises(ConfigError, match="components=0"):
        fit_covariance(time, lon, lat, np.ones(30), components=0)
    with pytest.raises(ConfigError, match="kernel"):
        fit_covariance(time, lon, lat, np.ones(30), space_kernel="sinc")
