"""The baseline that is fitted to a user's own observations: to those before the scored period, and to nothing else."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from dino.data.observations import Observations, day_of
from dino.evaluation import fitted_interpolation as module
from dino.evaluation.averages import averaged
from dino.evaluation.covariance import Component, Covariance, positions_km
from dino.evaluation.fitted_interpolation import (
    CANDIDATES,
    FittedInterpolation,
    fitted_interpolation,
    validation_split,
)
from dino.evaluation.optimal_interpolation import OptimalInterpolation

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
    """What covariances are fitted to: the arguments of every call."""
    calls = []

    def fit(*columns, **options):
        calls.append((columns, options))
        return FOUND

    monkeypatch.setattr(module, "fit_covariance", fit)
    return calls


@pytest.fixture
def places(monkeypatch):
    """The validation places of every choice."""
    made = []
    real = module.validation_places
    monkeypatch.setattr(module, "validation_places", lambda *given: made.append(real(*given)) or made[-1])
    return made


def test_nothing_of_the_scored_period_is_fitted_or_chosen_by(fits, places):
    record, before = observed(), START + dt.timedelta(days=20)
    record = replace(
        record, time=np.where(np.arange(300) == 150, day_of(before), record.time)
    )  # one at the very moment
    record = record.select(np.argsort(record.time))
    fitted = fitted_interpolation(record, before)
    early = record.select(record.time < day_of(before))
    split = validation_split(early)
    assert len(fits) == len(CANDIDATES) + 1
    for (time, *_), _ in fits[:-1]:
        np.testing.assert_array_equal(time, early.time[early.time < split])
    (time, longitude, latitude, anomaly), options = fits[-1]
    np.testing.assert_array_equal(time, early.time)
    np.testing.assert_array_equal((longitude, latitude), (early.longitude, early.latitude))
    np.testing.assert_allclose(anomaly, early.values[:, 0] - early.values[:, 0].mean())
    np.testing.assert_array_equal(options["error"], early.error[:, 0])
    (chosen_by,) = places
    assert len(chosen_by) > 1
    for place in chosen_by:
        assert split <= place.start
        assert place.seen.time.max() < place.start <= place.ahead.time.min()
        assert place.ahead.time.max() < day_of(before)
    assert set(fitted.validation_misfit) == set(CANDIDATES)


def test_a_record_that_is_scored_whole_is_fitted_without_a_choice(fits, places):
    fitted = fitted_interpolation(observed(), START - dt.timedelta(days=5))
    assert [len(columns[0]) for columns, _ in fits] == [300]
    assert (fitted.preferred, fitted.validation_misfit, places) == ("two rough scales", {}, [])


def test_without_a_scored_period_the_last_fifth_is_chosen_by(fits, places):
    record = observed()
    fitted_interpolation(record, None)
    split = record.time[0] + 0.8 * np.ptp(record.time)
    assert [len(columns[0]) for columns, _ in fits] == [(record.time < split).sum()] * len(CANDIDATES) + [300]
    assert min(place.start for place in places[0]) == pytest.approx(split)


def test_a_small_gain_leaves_the_default(fits, monkeypatch):
    misfits = dict.fromkeys(CANDIDATES, 1.0)
    monkeypatch.setattr(module, "validation_misfit", lambda *given: next(values))
    for gain, preferred in ((0.96, "two rough scales"), (0.94, "two gaussian scales that travel")):
        values = iter((misfits | {"two gaussian scales that travel": gain}).values())
        assert fitted_interpolation(observed(), None).preferred == preferred


def test_of_many_observations_a_random_subset_is_fitted(fits, monkeypatch):
    monkeypatch.setattr(module, "FITTED_OBSERVATIONS", 50)
    for seed in (0, 0, 1):
        fitted_interpolation(observed(), None, seed, customary=True)
    times = [columns[0] for columns, _ in fits]
    assert all(len(time) == 50 and (np.diff(time) > 0).all() for time in times)
    np.testing.assert_array_equal(times[0], times[1])
    assert not np.array_equal(times[0], times[2])


def test_the_customary_kind_has_one_gaussian_scale(fits):
    fitted_interpolation(observed(), None, customary=True)
    ((_, options),) = fits
    assert (options["components"], options["space_kernel"], options["time_kernel"]) == (1, "gaussian", "gaussian")


def test_unknown_errors_are_left_to_the_fit(fits):
    fitted_interpolation(observed(error=np.nan), None)
    assert all(options["error"] is None for _, options in fits)


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


def drawn(covariance: Covariance, count: int = 1800, seed: int = 0) -> Observations:
    """Forty days of points of a field with that covariance, seen with an error of a twentieth of its amplitude."""
    rng = np.random.default_rng(seed)
    time = 20_000.0 + np.sort(rng.uniform(0, 40, count))
    longitude, latitude = rng.uniform(0, 5, count), rng.uniform(35, 39, count)
    error = np.full(count, 0.05)
    matrix = covariance.of_observations(positions_km(longitude, latitude), time, np.zeros(count), error**2)
    values = np.linalg.cholesky(matrix) @ rng.normal(size=count)
    return Observations(time, longitude, latitude, values[:, None], error[:, None], np.zeros(count, int), ("adt",))


KNOWN = {
    "one gaussian scale": Covariance((Component(1.0, 90.0, 8.0),), 0.0, 0.0, "gaussian", "gaussian"),
    "one gaussian scale that travels": Covariance((Component(1.0, 90.0, 15.0, 0.1),), 0.0, 0.0, "gaussian", "gaussian"),
    "two rough scales": Covariance((Component(0.5, 60.0, 5.0), Component(0.5, 250.0, 40.0)), 0.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_covariance_that_made_the_record_is_preferred(name):
    """Or one that holds it: what travels may stand still, and two scales may be one. The wrong kernel is worse."""
    made = fitted_interpolation(drawn(KNOWN[name]), None)
    misfit = made.validation_misfit
    smooth, travels = "gaussian" in name, "travel" in name
    assert ("gaussian" in made.preferred) == smooth
    assert misfit[name] < 1.03 * misfit[made.preferred]
    assert misfit[name] < 0.95 * misfit["two rough scales" if smooth else "one gaussian scale"]
    if travels:
        assert "travel" in made.preferred
        assert misfit[made.preferred] < 0.8 * misfit["one gaussian scale"]
        assert made.covariance.components[-1].drift == pytest.approx(0.1, rel=0.2)


def test_averages_keep_a_plane_and_their_errors_fall_with_their_number():
    record = observed(2000)
    record = replace(record, longitude=(record.longitude + 177.0 + 180.0) % 360.0 - 180.0)  # across the date line
    values = record.values.copy()
    values[5] = np.nan
    record = replace(record, values=values, correlated_error=0.5 * record.error)  # as a sampler of swaths tells it
    made, count = averaged(record, 200.0, 20.0)
    assert count.sum() == 1999
    assert 10 < len(made) < 400
    east = (made.longitude - 177.0) % 360.0
    np.testing.assert_allclose(made.values[:, 0], 0.1 * east - 0.2 * (made.latitude - 37.0) + 5.0)
    np.testing.assert_allclose(made.error[:, 0], 0.02 / np.sqrt(count))
    assert (np.diff(made.time) >= 0).all()


def test_sources_are_not_averaged_with_each_other():
    record = observed(400)
    record = replace(record, source=np.arange(400) % 2, values=record.values + np.arange(400)[:, None] % 2)
    made, _ = averaged(record, 1e4, 1e3)
    assert sorted(made.source) == [0, 1]
    assert np.ptp(made.values) == pytest.approx(1.0, abs=0.2)


def test_dense_windows_are_interpolated_from_averages_as_well_as_whole():
    covariance = KNOWN["one gaussian scale that travels"]
    record = drawn(covariance, 2500)
    make = FittedInterpolation(covariance, "known", {})
    seen = record.window(record.time[0], record.time[0] + 20)
    assert len(seen) > module.AVERAGED_BEYOND
    at = (seen.time[-1], np.linspace(1, 4, 7)[None, :], np.linspace(35.5, 38.5, 6)[:, None])
    ours, spread = make(seen, float(seen.time[-1])).predict(*at)
    whole = OptimalInterpolation(
        covariance,
        seen.time,
        seen.longitude,
        seen.latitude,
        seen.values[:, 0],
        error=seen.error[:, 0],
        exact_below=5000,
    )
    expected, expected_spread = whole.predict(*at)
    assert np.sqrt(np.mean((ours - expected) ** 2)) < expected_spread.mean()
    np.testing.assert_allclose(spread, expected_spread, rtol=0.5)
