"""The demo's table of yardsticks: the same cells for all, means of methods, ratios over leads and seeds."""

import demo
import numpy as np
import pytest

from dino.evaluation.evaluate import ScoredMaps

LEADS = np.array([1.0, 5.0])


@pytest.fixture
def maps() -> ScoredMaps:
    """Three starts, two leads, four cells; dino misses by +1 and interpolation by -3 cm, the last cell has no truth."""
    truth = np.random.default_rng(0).normal(size=(3, 2, 1, 4))
    at_start = np.random.default_rng(1).normal(size=(3, 1, 4))
    forecasts = {"dino": truth + 0.01, "optimal_interpolation": truth - 0.03, "mean": 0.0 * truth}
    analyses = {"dino": at_start + 0.005, "optimal_interpolation": at_start - 0.015}
    truth, at_start = truth.copy(), at_start.copy()
    truth[..., 3] = at_start[..., 3] = np.nan
    return ScoredMaps(np.arange(3.0), truth, forecasts, at_start, analyses, np.zeros((1, 4)), np.ones(4))


def test_all_methods_are_scored_with_the_means_of_two(maps):
    peer = np.concatenate([maps.at_start[:, None] - 0.005, maps.truth - 0.02], axis=1)
    peer[..., 3] = 7.0
    rmse, analysis = demo.compared(maps, LEADS, peer)
    expected = {
        "dino": 1.0,
        "optimal_interpolation": 3.0,
        "quasi_geostrophic": 2.0,
        "mean_of_dino_and_quasi_geostrophic": 0.5,
        "mean_of_dino_and_interpolation": 1.0,
    }
    for method, value in expected.items():
        assert rmse[method] == pytest.approx({"1": value, "5": value})
    assert set(rmse) == {*expected, "mean"}
    assert analysis["dino"] == pytest.approx(0.5)
    assert analysis["mean_of_dino_and_quasi_geostrophic"] == pytest.approx(0.0, abs=1e-12)
    assert analysis["mean_of_dino_and_interpolation"] == pytest.approx(0.5)


def test_the_largest_ratio_is_over_leads_and_seeds():
    runs = {"seed_0": {"ratio": {"peer": {"1": 0.5, "5": 0.7}}}, "seed_1": {"ratio": {"peer": {"1": 0.9, "5": 0.6}}}}
    assert demo.largest(runs, "ratio") == {"peer": 0.9}
