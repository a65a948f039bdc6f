"""Scores of distributions against integrals, brute force and forecasts whose reliability is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from data_pipeline.errors import SchemaError
from dino.evaluation.probabilistic import (
    Judged,
    coverage,
    crps_gaussian,
    crps_of_gaussian,
    fair_crps,
    histogram,
    pit_of_members,
    reliability,
    spread_skill_ratio,
)

finite = st.floats(-5.0, 5.0)


def maps(*starts):
    """(start, lead=1, channel=1, point) from rows of point values."""
    return np.array(starts, dtype=np.float64)[:, None, None, :]


@settings(max_examples=30, deadline=None)
@given(truth=finite, mean=finite, std=st.floats(0.05, 3.0))
def test_gaussian_crps_is_its_integral(truth, mean, std):
    below, _ = quad(lambda x: ndtr((x - mean) / std) ** 2, min(mean, truth) - 12 * std, truth, limit=200, points=[mean])
    above, _ = quad(lambda x: ndtr((mean - x) / std) ** 2, truth, max(mean, truth) + 12 * std, limit=200, points=[mean])
    assert crps_of_gaussian(np.array(truth), np.array(mean), np.array(std)) == pytest.approx(below + above, abs=1e-6)


def test_crps_without_spread_is_the_absolute_error():
    score = crps_gaussian(maps([1.0, 2.0]), maps([1.0, 0.0]), maps([0.0, 0.0]), np.ones(2))
    assert score == pytest.approx(1.0)


def test_crps_weighs_by_area():
    score = crps_gaussian(maps([1.0, 3.0]), maps([0.0, 0.0]), maps([0.0, 0.0]), np.array([3.0, 1.0]))
    assert score == pytest.approx((3 * 1.0 + 1 * 3.0) / 4)


@given(truth=finite, members=st.lists(finite, min_size=2, max_size=7))
def test_fair_crps_is_the_sum_over_pairs(truth, members):
    count = len(members)
    pairs = sum(abs(a - b) for a in members for b in members) / (2 * count * (count - 1))
    expected = sum(abs(a - truth) for a in members) / count - pairs
    assert fair_crps(np.array([truth]), np.array(members)[:, None]) == pytest.approx(expected, abs=1e-9)


def test_fair_crps_of_few_members_is_that_of_their_distribution():
    """Whatever their number: the plain score of three members would be 0.19 too large here."""
    chance = np.random.default_rng(0)
    truth = chance.normal(size=200_000)
    expected = crps_of_gaussian(truth, np.zeros_like(truth), np.ones_like(truth)).mean()
    for count in (2, 3, 8):
        assert fair_crps(truth, chance.normal(size=(count, len(truth)))).mean() == pytest.approx(expected, abs=0.005)


def test_one_member_is_no_ensemble():
    with pytest.raises(SchemaError, match="two"):
        fair_crps(np.zeros(3), np.zeros((1, 3)))


def test_ranks():
    members = np.array([[1.0], [2.0], [3.0]])
    found = [pit_of_members(np.array([truth]), members).item() for truth in (0.0, 1.5, 2.0, 9.0)]
    assert found == pytest.approx([0.125, 0.375, 0.5, 0.875])
    assert np.isnan(pit_of_members(np.array([np.nan]), members)).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_known_spread_is_told(factor):
    """Truth from N(0, s), forecast N(0, factor s): every summary has its analytic value."""
    chance = np.random.default_rng(1)
    std = chance.uniform(0.5, 2.0, (40, 1, 1, 2000))
    truth = std * chance.normal(size=std.shape)
    limit = np.ones((1, 2000))
    judged = Judged.gaussian(truth, np.zeros_like(truth), factor * std, -limit, limit)
    weights = np.ones(2000)
    assert spread_skill_ratio(truth, judged.mean, judged.std, weights) == pytest.approx(factor, rel=0.02)
    for share, z in ((0.5, 0.67449), (0.9, 1.64485)):
        expected = 1 - 2 * ndtr(-z * factor)
        assert coverage(judged.pit, share, weights) == pytest.approx(expected, abs=0.01)
    counts = histogram(judged.pit, weights)[0, 0]
    assert counts.mean() == pytest.approx(1.0)
    assert (counts[0] > counts[10] + 0.3) == (factor < 1)
    assert (counts[0] < counts[10] - 0.3) == (factor > 1)
    curve = reliability(judged.probability, judged.happened, weights)
    off = (curve.share * (curve.observed - curve.forecast))[np.isfinite(curve.observed)]
    assert (np.abs(off).sum() < 0.01) == (factor == 1.0)
    assert curve.share.sum() == pytest.approx(1.0)
    assert (curve.share * np.nan_to_num(curve.observed)).sum() == pytest.approx(judged.happened.mean())


def test_an_ensemble_drawn_like_the_truth_is_reliable():
    chance = np.random.default_rng(2)
    shape = (30, 2, 1, 1000)
    centre = chance.normal(size=shape)
    truth = centre + chance.normal(size=shape)
    limit = np.ones((1, 1000))
    judged = Judged.ensemble(truth, centre + chance.normal(size=(39, *shape)), -limit, limit)
    weights = np.ones(1000)
    np.testing.assert_allclose(spread_skill_ratio(truth, judged.mean, judged.std, weights), 1.0, atol=0.02)
    np.testing.assert_allclose(coverage(judged.pit, 0.9, weights), 0.9, atol=0.01)
    np.testing.assert_allclose(coverage(judged.pit, 0.5, weights), 0.5, atol=0.01)
    np.testing.assert_allclose(histogram(judged.pit, weights), 1.0, atol=0.15)
    curve = reliability(judged.probability, judged.happened, weights)
    # Shares of 39 members scatter about the probability, which flattens the curve; the frequency stays.
    total = [(curve.share * np.nan_to_num(part)).sum(-1) for part in (curve.forecast, curve.observed)]
    np.testing.assert_allclose(*total, atol=0.01)


def test_missing_values_do_not_count():
    truth, mean = maps([0.0, np.nan, 0.0]), maps([0.0, 0.0, np.nan])
    limit = np.ones((1, 3))
    for judged in (
        Judged.gaussian(truth, mean, np.ones_like(truth), -limit, limit),
        Judged.ensemble(truth, np.stack([mean - 1.0, mean + 1.0]), -limit, limit),
    ):
        assert coverage(judged.pit, 0.5, np.ones(3)) == 1.0
        assert np.isfinite(judged.crps).sum() == np.isfinite(judged.pit).sum() == 1
        assert histogram(judged.pit, np.ones(3)).sum() == pytest.approx(20.0)
        assert reliability(judged.probability, judged.happened, np.ones(3)).share.sum() == pytest.approx(1.0)


def test_another_shape_is_refused():
    with pytest.raises(SchemaError, match="shape"):
        Judged.gaussian(maps([0.0]), maps([0.0, 1.0]), maps([1.0, 1.0]), np.zeros((1, 1)), np.zeros((1, 1)))


def test_starts_are_stacked():
    limit = np.ones((1, 2))
    parts = [
        Judged.gaussian(m[0], m[0], np.ones((1, 1, 2)), -limit, limit) for m in (maps([0.0, 1.0]), maps([2.0, 3.0]))
    ]
    assert Judged.stack(parts).mean.tolist() == [[[[0.0, 1.0]]], [[[2.0, 3.0]]]]
