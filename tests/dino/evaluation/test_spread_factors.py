"""Factors recover a spread that is known to be wrong, whatever the noise of the observations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.evaluation.samples import Samples
from dino.evaluation.spread_factors import LEAST, fit_factors
from dino.model import LEADS

EDGES = [0.0, 1.5, 3.5, 8.0]


def samples(factors, noise=0.0, count=60_000, seed=0, channels=1) -> Samples:
    """Errors whose deviations are `factors` (knot, part) times those predicted, at leads 1, 2.5 and 6."""
    chance = np.random.default_rng(seed)
    knot = chance.integers(0, 3, count)
    explained = chance.gamma(2.0, 0.5, (count, channels))
    rest = chance.gamma(2.0, 0.25, (count, channels))
    true = np.asarray(factors)[knot] ** 2
    deviation = np.sqrt(true[:, :1] * explained + true[:, 1:] * rest + noise**2)
    return Samples(
        lead=np.array([1.0, 2.5, 6.0])[knot],
        start=chance.integers(0, 9, count),
        weight=chance.uniform(0.5, 1.0, count),
        explained=explained,
        unresolved=rest,
        squared=np.square(deviation * chance.normal(size=(count, channels))),
        noise=np.full((count, channels), noise**2),
    )


@settings(max_examples=10, deadline=None)
@given(factors=st.lists(st.floats(0.4, 2.5), min_size=3, max_size=3), noise=st.floats(0.0, 1.0))
def test_a_known_factor_is_recovered(factors, noise):
    found = fit_factors(samples(np.repeat(factors, 2).reshape(3, 2), noise), EDGES)
    np.testing.assert_allclose(found.leads, [1.0, 2.5, 6.0])
    np.testing.assert_allclose(found.factors[:, 0, 0], factors, rtol=0.05 + 0.1 * noise**2 / min(factors) ** 2)
    assert (found.factors[..., 0] == found.factors[..., 1]).all()
    assert (found.forecasts == 9).all()
    assert not found.cut


def test_parts_are_told_apart_and_still_match_the_mean_square():
    true = np.array([[0.6, 1.8], [1.0, 1.0], [1.5, 0.7]])
    data = samples(true, count=200_000)
    found = fit_factors(data, EDGES, separate=True)
    # The pull towards a common factor moves them a little.
    np.testing.assert_allclose(found.factors[:, 0], true, rtol=0.2)
    assert found.factors[0, 0, 0] < 0.75 < 1.6 < found.factors[0, 0, 1]
    for lead, (code, rest) in zip((1.0, 2.5, 6.0), found.factors[:, 0] ** 2, strict=True):
        part = data.select(data.lead == lead)
        predicted = part.weight @ (code * part.explained + rest * part.unresolved)
        assert predicted == pytest.approx(part.weight @ part.squared)


def test_parts_in_proportion_share_a_factor():
    """Nothing tells them apart: the fit must not send them to opposite extremes."""
    data = samples(np.full((3, 2), 0.5))
    data = Samples(**{**vars(data), "unresolved": 0.5 * data.explained})
    squared = 0.25 * 1.5 * data.explained * np.random.default_rng(3).normal(size=data.squared.shape) ** 2
    found = fit_factors(Samples(**{**vars(data), "squared": squared}), EDGES, separate=True)
    np.testing.assert_allclose(found.factors, 0.5, rtol=0.05)


def test_channels_have_their_own_factors_and_gaps_do_not_count():
    data = samples(np.full((3, 2), 2.0), channels=2)
    squared = data.squared * [1.0, 0.25]
    squared[::2, 0] = np.nan
    found = fit_factors(Samples(**{**vars(data), "squared": squared}), EDGES)
    np.testing.assert_allclose(found.factors[:, :, 0], np.tile([2.0, 1.0], (3, 1)), rtol=0.04)


def test_a_channel_never_seen_keeps_a_factor_of_one():
    data = samples(np.full((3, 2), 2.0), channels=2, count=3000)
    squared = data.squared * [1.0, np.nan]
    assert (fit_factors(Samples(**{**vars(data), "squared": squared}), EDGES).factors[:, 1] == 1.0).all()


def test_errors_below_the_noise_leave_the_spread_and_are_told():
    data = samples(np.full((3, 2), 1.0), count=3000)
    found = fit_factors(Samples(**{**vars(data), "noise": data.noise + 100.0}), EDGES)
    assert found.cut
    assert (found.factors == 1.0).all()


def test_errors_far_below_their_spread_are_cut_and_told():
    data = samples(np.full((3, 2), 1.0), count=3000)
    found = fit_factors(Samples(**{**vars(data), "squared": data.squared * 1e-6, "noise": 0 * data.noise}), EDGES)
    assert found.cut
    assert (found.factors == LEAST).all()


def test_the_table_goes_through_the_knots_and_stays_level_beyond():
    found = fit_factors(samples(np.repeat([0.5, 1.0, 2.0], 2).reshape(3, 2)), EDGES)
    table = found.table(0.5).numpy()[:, 0, 0]
    assert table.shape == (LEADS,)
    assert table[[0, 1, 2]] == pytest.approx(found.factors[0, 0, 0])
    assert table[5] == pytest.approx(found.factors[1, 0, 0])
    assert table[12:] == pytest.approx(found.factors[2, 0, 0])
    halfway = np.sqrt(found.factors[0, 0, 0] * found.factors[1, 0, 0])
    assert np.interp(3.5, [3, 4], table[3:5]) == pytest.approx(halfway, rel=0.01)


def test_a_misfit_that_an_assumed_error_explains_does_not_shrink_a_spread():
    rng = np.random.default_rng(3)
    count = 4000
    error = rng.normal(0, 0.03, count)  # half of what the values are assumed to err by
    samples = Samples(
        lead=np.ones(count), start=np.arange(count) % 9, weight=np.ones(count), explained=np.full((count, 1), 0.0004),
        unresolved=np.zeros((count, 1)), squared=np.square(error)[:, None], noise=np.full((count, 1), 0.0016),
    )  # fmt: skip
    fitted = fit_factors(samples, [0.0, 2.0])
    assert fitted.factors.tolist() == [[[1.0, 1.0]]]
    assert fitted.cut
