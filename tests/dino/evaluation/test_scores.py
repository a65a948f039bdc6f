import numpy as np
import pytest

from data_pipeline.errors import SchemaError
from dino.evaluation.scores import (
    anomaly_correlation,
    area_mean,
    area_weights,
    bias,
    common_mask,
    remove_area_mean,
    rmse,
    score_forecasts,
)


def maps(*starts):
    """(start, lead=1, channel=1, point) from rows of point values."""
    return np.array(starts, dtype=np.float64)[:, None, None, :]


def test_weights_follow_the_cosine_of_latitude():
    np.testing.assert_allclose(area_weights([0.0, 60.0, -60.0]), [1.0, 0.5, 0.5])


def test_rmse_and_bias_pool_starts_with_weights():
    truth = maps([0.0, 0.0], [0.0, 0.0])
    forecast = maps([1.0, 2.0], [3.0, np.nan])
    weights = np.array([1.0, 0.5])
    # Squared errors 1, 4, 9 with weights 1, 0.5, 1.
    assert rmse(truth, forecast, weights) == pytest.approx(np.sqrt((1 + 0.5 * 4 + 9) / 2.5))
    assert bias(truth, forecast, weights) == pytest.approx((1 + 0.5 * 2 + 3) / 2.5)


def test_scores_keep_lead_and_channel_apart():
    truth = np.zeros((3, 2, 2, 4))
    forecast = np.broadcast_to(np.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None], truth.shape)
    np.testing.assert_allclose(rmse(truth, forecast, np.ones(4)), [[1.0, 2.0], [3.0, 4.0]])


def test_nothing_to_score_is_nan_without_a_warning():
    truth = maps([np.nan, np.nan])
    assert np.isnan(rmse(truth, np.zeros_like(truth), np.ones(2))).all()


def test_anomaly_correlation_by_hand():
    climatology = np.array([[1.0, 1.0, 1.0]])
    truth = maps([2.0, 0.0, 1.0])
    forecast = maps([3.0, 1.0, 1.0])
    # Anomalies (1, -1, 0) and (2, 0, 0): 2 / sqrt(2 * 4).
    correlation = anomaly_correlation(truth, forecast, climatology, np.ones(3))
    assert correlation == pytest.approx(2 / np.sqrt(8))
    assert anomaly_correlation(truth, truth, climatology, np.ones(3)) == pytest.approx(1.0)


def test_climatology_as_forecast_has_no_anomaly_correlation():
    climatology = np.array([[0.1, 0.2]])
    forecast = climatology[None, None] + 1e-17
    assert np.isnan(anomaly_correlation(maps([1.0, 2.0]), forecast, climatology, np.ones(2))).all()


def test_common_mask_excludes_a_gap_of_one_method_from_all():
    truth = maps([0.0, 0.0, np.nan])
    forecasts = {"a": maps([1.0, np.nan, 1.0]), "b": maps([2.0, 5.0, 5.0])}
    np.testing.assert_array_equal(common_mask(truth, forecasts)[0, 0, 0], [True, False, False])
    scores = score_forecasts(truth, forecasts, np.zeros((1, 3)), np.ones(3))
    assert scores["a"].rmse == pytest.approx(1.0)
    assert scores["b"].rmse == pytest.approx(2.0)


def test_area_mean_ignores_missing_points():
    field = np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, np.nan]])
    mean = area_mean(field, np.array([1.0, 3.0, 1.0]))
    np.testing.assert_allclose(mean, [2.5, np.nan])
    np.testing.assert_allclose(remove_area_mean(field, np.array([1.0, 3.0, 1.0]))[0, :2], [-1.5, 0.5])


def test_without_area_mean_an_offset_of_the_basin_costs_nothing():
    random = np.random.default_rng(0)
    truth = random.normal(size=(4, 2, 1, 6))
    truth[:, :, :, 2] = np.nan
    weights = random.uniform(0.5, 1.0, 6)
    forecasts = {"offset": truth + random.normal(size=(4, 2, 1, 1)), "other": random.normal(size=truth.shape)}
    scores = score_forecasts(truth, forecasts, np.zeros((1, 6)), weights, without_area_mean=True)
    np.testing.assert_allclose(scores["offset"].rmse, 0.0, atol=1e-12)
    np.testing.assert_allclose(scores["offset"].anomaly_correlation, 1.0)
    np.testing.assert_allclose(scores["other"].bias, 0.0, atol=1e-12)
    with_mean = score_forecasts(truth, forecasts, np.zeros((1, 6)), weights)
    assert (with_mean["offset"].rmse > 0.1).all()


def test_shapes_that_disagree_are_refused():
    truth = maps([0.0, 0.0])
    with pytest.raises(SchemaError, match="shape"):
        common_mask(truth, {"a": truth[..., :1]})
    with pytest.raises(SchemaError, match="climatology"):
        score_forecasts(truth, {"a": truth}, np.zeros((1, 3)), np.ones(2))
