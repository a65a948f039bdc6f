"""Honesty of error bars against draws whose distribution is known."""

import numpy as np
import pytest
import xarray as xr

from dino.experiments.physics_calibration import (
    calibration_error,
    coefficients_covered,
    crps,
    forecasts_calibrated,
)
from dino.physics import from_array


def test_crps_is_the_integral_of_its_definition():
    grid = np.linspace(-12, 12, 200_001)
    from scipy.stats import norm

    steps = (norm.cdf(grid, 0.3, 0.7) - (grid >= 1.1)) ** 2
    brute = float(steps.sum() * (grid[1] - grid[0]))
    assert crps(np.array(0.3), np.array(0.7), np.array(1.1)) == pytest.approx(brute, rel=1e-3)


def test_calibration_error_tells_honest_from_wrong():
    draws = np.random.default_rng(0).normal(size=40_000)
    mean, one = np.zeros_like(draws), np.ones_like(draws)
    assert calibration_error(mean, one, draws) < 0.01
    assert calibration_error(mean, 0.2 * one, draws) > 0.15
    assert calibration_error(mean + 1, one, draws) > 0.2


def test_forecasts_are_compared_channel_by_channel():
    draws = np.random.default_rng(1).normal(size=(50, 10, 2, 16))
    truth = from_array(draws, np.arange(10.0), (1.0,))
    made = xr.zeros_like(truth).assign({f"{name}_std": xr.ones_like(truth[name]) for name in truth.data_vars})
    found = forecasts_calibrated(made, truth)
    assert found["rmsce"] < 0.01
    assert found["covered_90"] == pytest.approx(0.9, abs=0.01)
    assert found["spread_over_error"] == pytest.approx(1.0, abs=0.02)


def test_coefficients_are_compared_with_their_parameters():
    values = np.zeros((4, 5, 1, 8))
    context = from_array(
        values, np.arange(5.0), (1.0,), environments=[0, 1, 2, 3], parameters={"a": np.array([1.0, 2.0, 3.0, 4.0])}
    )
    columns = {
        "mean": (("environment", "term"), np.array([[-1.0], [-2.1], [-3.0], [-9.0]])),
        "std": (("environment", "term"), np.full((4, 1), 0.1)),
    }
    found = xr.Dataset(columns, {"environment": np.arange(4), "term": ["u: dx(u*u)"]})
    covered = coefficients_covered(found, context, {"u: dx(u*u)": ("a", -1.0), "u: lap(u)": ("b", 1.0)})
    assert covered == {"coefficient_covered_90.a": 0.75}
