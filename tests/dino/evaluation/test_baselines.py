import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import EmptyDataError, SchemaError
from dino.evaluation.baselines import climatology, half_trend, persistence, slope, training_mean
from dino.evaluation.scores import area_weights, remove_area_mean, score_forecasts

LEADS = [0.5, 1.0, 3.0]


@pytest.fixture
def linear():
    """A field that grows linearly, its rate and its times, which are not evenly spaced."""
    times = 20000.0 + np.array([0.0, 1.0, 2.5, 3.0, 4.0, 5.5, 6.0, 7.0])
    rate = np.random.default_rng(0).normal(size=(2, 5))
    return rate * (times - times[0])[:, None, None] + 1.0, rate, times


def test_persistence_repeats_the_last_map(linear):
    history, _, times = linear
    forecast = persistence(history, times, LEADS)
    assert forecast.shape == (3, 2, 5)
    np.testing.assert_array_equal(forecast, np.broadcast_to(history[-1], forecast.shape))


def test_full_trend_is_exact_on_a_linear_field_and_half_trend_half_way(linear):
    history, rate, times = linear
    growth = np.array(LEADS)[:, None, None] * rate
    np.testing.assert_allclose(half_trend(history, times, LEADS, fraction=1.0), history[-1] + growth, rtol=1e-9)
    np.testing.assert_allclose(half_trend(history, times, LEADS), history[-1] + 0.5 * growth, rtol=1e-9)


def test_the_trend_sees_only_five_daily_maps():
    times = np.arange(10.0)
    history = np.where(times < 5, 100.0, times)[:, None, None]
    np.testing.assert_allclose(half_trend(history, times, [2.0])[0], [[10.0]])


def test_rare_maps_use_the_last_two_and_one_map_has_no_trend():
    times = np.array([0.0, 30.0, 60.0])
    history = np.array([0.0, 0.0, 3.0])[:, None, None]
    np.testing.assert_allclose(half_trend(history, times, [10.0])[0], [[3.5]])
    np.testing.assert_allclose(half_trend(history[:1], times[:1], [10.0])[0], [[0.0]])


def test_missing_values_leave_the_trend_of_a_point_to_its_other_maps(linear):
    history, rate, times = linear
    history[-2, 0, 0] = np.nan
    history[:-1, 0, 1] = np.nan
    history[-1, 0, 2] = np.nan
    found = slope(history, times)
    assert found[0, 0] == pytest.approx(rate[0, 0])
    assert found[0, 1] == 0.0
    forecast = half_trend(history, times, [1.0])
    assert np.isfinite(forecast[0, 0, :2]).all()
    assert np.isnan(forecast[0, 0, 2])


def test_climatology_skips_missing_maps():
    training = np.array([[1.0, np.nan], [3.0, np.nan]])[:, None, :]
    mean = climatology(training)
    np.testing.assert_array_equal(mean, [[2.0, np.nan]])
    np.testing.assert_array_equal(training_mean(mean, [1, 2])[1], mean)


def test_bad_histories_are_refused():
    with pytest.raises(SchemaError, match="one time per map"):
        persistence(np.zeros((3, 1, 2)), [0.0, 1.0], [1.0])
    with pytest.raises(EmptyDataError, match="no map"):
        persistence(np.zeros((0, 1, 2)), [], [1.0])
    with pytest.raises(SchemaError, match="increase"):
        half_trend(np.zeros((2, 1, 2)), [1.0, 1.0], [1.0])


def test_half_trend_beats_persistence_on_the_mediterranean_up_to_five_days(real_data):
    with xr.open_dataset(real_data / "grids" / "duacs_l4_med_adt_2005-04-01_2005-06-09.nc") as dataset:
        maps = dataset["adt"].values.astype(np.float64)
        latitude = np.broadcast_to(dataset["latitude"].values[:, None], maps.shape[1:])
    valid = np.isfinite(maps).all(axis=0)
    weights = area_weights(latitude[valid])
    history = remove_area_mean(maps[:, None, valid], weights)
    times, leads, starts = np.arange(70.0), [1, 3, 5], range(59, 65)
    truth = np.stack([history[[start + lead for lead in leads]] for start in starts])
    forecasts = {
        method.__name__: np.stack([method(history[: start + 1], times[: start + 1], leads) for start in starts])
        for method in (persistence, half_trend)
    }
    scores = score_forecasts(truth, forecasts, climatology(history[:60]), weights, without_area_mean=True)
    centimetres = 100 * scores["persistence"].rmse[:, 0]
    np.testing.assert_allclose(centimetres, [0.35, 0.90, 1.38], rtol=0.1)
    assert (scores["half_trend"].rmse < scores["persistence"].rmse).all()
