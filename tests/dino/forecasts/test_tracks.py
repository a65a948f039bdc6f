"""Predictions at places and times of observations against forecasts of the same moments, one by one."""

import numpy as np
import pytest

from data_pipeline.stores.writing import open_store
from dino.errors import DomainError, ObservationError
from dino.forecaster import Forecaster
from dino.forecasts import along_track as module
from dino.forecasts.along_track import along_track


@pytest.fixture(scope="module")
def sea(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def forecaster(sea_run):
    return Forecaster.load(sea_run)


@pytest.fixture(scope="module", params=["maps", "points", "window"])
def analysis(request, forecaster, sea, scattered):
    """Of maps, of points, and of points with the trajectory before."""
    if request.param == "maps":
        return forecaster.analyse(sea)
    return forecaster.analyse(scattered(sea, ["adt"], 600), smooth=request.param == "window")


def track(analysis, count=120, seed=0):
    """Days, longitudes and latitudes from a day before the analysis, where that is known, to four days after it."""
    rng = np.random.default_rng(seed)
    before = min(analysis.time - analysis.earliest, 1.0)
    return (
        analysis.time + rng.uniform(-before, 4.0, count),
        rng.uniform(2.0, 6.0, count),
        rng.uniform(36.0, 40.0, count),
    )


def one_by_one(forecaster, analysis, time, longitude, latitude):
    made = [
        forecaster.predict(analysis, time[i : i + 1], longitude[i : i + 1], latitude[i : i + 1])
        for i in range(len(time))
    ]
    return tuple(np.stack([part[which][0, 0] for part in made]) for which in (0, 1))


def on_nodes(analysis, time, hours):
    """The nodes of the trajectory nearest to times, and the analysis itself."""
    step = hours / 24.0
    near = np.round(time / step) * step
    return np.where(near < analysis.earliest, analysis.time, near)


def test_on_nodes_it_is_the_forecast(forecaster, analysis):
    time, *place = track(analysis)
    time = on_nodes(analysis, time, 3.0)
    mean, deviation = forecaster.along_track(analysis, time, *place)
    expected = one_by_one(forecaster, analysis, time, *place)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(deviation, expected[1], rtol=1e-3, atol=1e-5)


def test_between_nodes_it_is_nearly_the_forecast_and_the_nearer_the_closer_they_are(forecaster, analysis):
    time, *place = track(analysis)
    expected = one_by_one(forecaster, analysis, time, *place)
    scale, errors = np.nanstd(expected[0]), []
    for hours in (24.0, 3.0):
        made = along_track(forecaster.latent, forecaster.ocean, analysis, time, *place, node_hours=hours)
        np.testing.assert_array_equal(np.isnan(made[0]), np.isnan(expected[0]))
        errors.append(np.nanmax(np.abs(made[0] - expected[0])) / scale)
    assert errors[1] < min(errors[0], 0.02)
    # The spread too; nowhere does it fall between two nodes.
    np.testing.assert_allclose(made[1], expected[1], rtol=0.1)


def test_the_spread_does_not_fall_between_two_nodes(sea_run, sea, scattered):
    """On both sides of the analysis, where what is known becomes an ensemble; without what hides it."""
    forecaster = Forecaster.load(sea_run)
    forecaster.latent.unresolved_variance.zero_()
    analysis = forecaster.analyse(scattered(sea, ["adt"], 600), smooth=True)
    hours, count = np.array([-4.5, -3.0, -1.5, -0.75, 0.0, 1.5, 3.0, 30.0]), 50
    _, longitude, latitude = track(analysis, count)
    place = np.tile(longitude, len(hours)), np.tile(latitude, len(hours))
    time = analysis.time + np.repeat(hours, count) / 24.0
    _, deviation = forecaster.along_track(analysis, time, *place)
    _, expected = forecaster.predict(analysis, analysis.time + hours / 24.0, longitude, latitude)
    ratio = deviation.reshape(expected.shape) / expected
    np.testing.assert_allclose(np.nanmean(ratio, axis=(1, 2)), 1.0, atol=0.05)


def test_the_order_of_observations_and_the_sizes_of_batches_are_nothing(forecaster, analysis, monkeypatch):
    time, *place = track(analysis)
    mean, deviation = forecaster.along_track(analysis, time, *place)
    order = np.random.default_rng(2).permutation(len(time))
    monkeypatch.setattr(module, "PLACES", 5)
    made = forecaster.along_track(analysis, time[order], *(part[order] for part in place))
    np.testing.assert_allclose(made[0], mean[order], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made[1], deviation[order], rtol=1e-4, atol=1e-6)


def test_a_single_point_at_the_analysis(forecaster, analysis):
    here = np.array([analysis.time]), np.array([4.4]), np.array([38.2])
    mean, deviation = forecaster.along_track(analysis, *here)
    expected = one_by_one(forecaster, analysis, *here)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-4)
    np.testing.assert_allclose(deviation, expected[1], rtol=1e-4)


def test_land_and_points_outside_are_missing_and_none_inside_is_an_error(forecaster, analysis):
    time = np.full(4, analysis.time + 1.0)
    mean, deviation = forecaster.along_track(
        analysis, time, np.array([2.2, 4.4, 100.0, np.nan]), np.array([36.2, 38.2, 38.0, 38.0])
    )
    assert np.isfinite(mean[:, 0]).tolist() == np.isfinite(deviation[:, 0]).tolist() == [False, True, False, False]
    with pytest.raises(DomainError):
        forecaster.along_track(analysis, time[:1], np.array([100.0]), np.array([38.0]))


def test_what_lies_before_the_analysis_is_refused(forecaster, analysis):
    early = np.array([analysis.earliest - 0.5, analysis.time])
    with pytest.raises(ObservationError, match="before the analysis"):
        forecaster.along_track(analysis, early, np.array([4.4, 4.4]), np.array([38.2, 38.2]))
