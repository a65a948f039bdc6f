"""The baseline that is fitted to a user's own observations: to those before the scored period, and to nothing else."""

import datetime as dt

import numpy as np
import pytest

from dino.data.observations import Observations, day_of
from dino.evaluation import fitted_interpolation as module
from dino.evaluation.covariance import Component, Covariance
from dino.evaluation.fitted_interpolation import fitted_interpolation

START = dt.datetime(2010, 1, 1)
FOUND = Covariance((Component(1.0, 100.0, 8.0),), 0.05)


def observed(count: int = 300, error: float = 0.02, seed: int = 0) -> Observations:
    """Two months of points from the start, of a field that is a plane."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 60, count))
    longitude, latitude = rng.uniform(0, 6, count), rng.uniform(35, 40, count)
    values = 0.1 * longitude - 0.2 * (latitude - 37.0) + 5.0
    source = np.zeros(count, np.int64)
    return Observations(
        day_of(START) + time, longitude, latitude, values[:, None], np.full((count, 1), error), source, ("adt",)
    )


@pytest.fixture
def fits(monkeypatch):
    """What the covariance is fitted to: the arguments of every call."""
    calls = []

    def fit(*columns, **options):
        calls.append((columns, options))
        return FOUND

    monkeypatch.setattr(module, "fit_covariance", fit)
    return calls


def test_only_what_lies_before_the_scored_period_is_fitted(fits):
    record, before = observed(), START + dt.timedelta(days=20)
    fitted_interpolation(record, before)
    (time, longitude, latitude, anomaly), options = fits[0]
    early = record.window(record.time[0], day_of(before))
    np.testing.assert_array_equal(time, early.time)
    np.testing.assert_array_equal((longitude, latitude), (early.longitude, early.latitude))
    np.testing.assert_allclose(anomaly, early.values[:, 0] - early.values[:, 0].mean())
    np.testing.assert_array_equal(options["error"], early.error[:, 0])


def test_a_record_that_begins_later_is_fitted_whole(fits):
    for before in (None, START - dt.timedelta(days=5)):
        fitted_interpolation(observed(), before)
    assert [len(columns[0]) for columns, _ in fits] == [300, 300]


def test_of_many_observations_a_random_subset_is_fitted(fits, monkeypatch):
    monkeypatch.setattr(module, "FITTED_OBSERVATIONS", 50)
    for seed in (0, 0, 1):
        fitted_interpolation(observed(), None, seed)
    times = [columns[0] for columns, _ in fits]
    assert all(len(time) == 50 and (np.diff(time) > 0).all() for time in times)
    np.testing.assert_array_equal(times[0], times[1])
    assert not np.array_equal(times[0], times[2])


def test_the_customary_kind_has_one_gaussian_scale(fits):
    fitted_interpolation(observed(), None, customary=True)
    options = fits[0][1]
    assert (options["components"], options["space_kernel"], options["time_kernel"]) == (1, "gaussian", "gaussian")


def test_unknown_errors_are_left_to_the_fit(fits):
    fitted_interpolation(observed(error=np.nan), None)
    assert fits[0][1]["error"] is None


def test_maps_are_made_of_what_is_seen_with_that_covariance(fits):
    record = observed()
    make = fitted_interpolation(record, None)
    seen = record.window(record.time[0] + 10, record.time[0] + 25)
    oi = make(seen, float(seen.time[-1]))
    assert oi.covariance is FOUND
    estimate, deviation = oi.predict(seen.time[-1], 3.0, 37.0)
    assert estimate == pytest.approx(5.3, abs=0.1)
    assert 0 < deviation < 1


def test_a_real_fit_maps_the_plane():
    record = observed(120)
    oi = fitted_interpolation(record, None)(record, float(record.time[-1]))
    estimate, _ = oi.predict(record.time[-1], np.array([2.0, 4.0]), np.array([36.0, 38.0]))
    np.testing.assert_allclose(estimate, [5.4, 5.2], atol=0.1)
