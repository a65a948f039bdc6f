"""Predicted variances beside squared errors: parts of the variance, and samples put together."""

import numpy as np
import pytest
import torch

from dino.evaluation.samples import Samples, split_variance
from dino.model.checkpoint import load_model


@pytest.fixture(scope="module")
def run(sea_run):
    return load_model(sea_run)


PLACE = np.array([2.6, 4.0, 5.0]), np.array([38.0, 38.5, 39.0])


def test_parts_of_the_variance_add_up(run):
    model, ocean = run
    left = model.unresolved_variance.new_full((2, 1), 0.04)
    _, alone = split_variance(ocean, np.full((2, 3, 1), 1e3), left, *PLACE)
    explained, rest = split_variance(ocean, np.sqrt(alone + 0.5), left, *PLACE)
    np.testing.assert_allclose(explained, 0.5, rtol=1e-6)
    np.testing.assert_allclose(rest, alone)
    assert (alone > 0).all()


def test_what_the_basis_leaves_out_is_scaled_by_the_amplitudes(run):
    """Deviations of charts blend as the fields do: of tiles of one amplitude that of the whole is the same."""
    _, ocean = run
    left = torch.tensor([[0.04], [0.09]])
    _, rest = split_variance(ocean, np.full((2, 3, 1), 1e3), left, *PLACE)
    pairs = ocean.cover.pairs(*PLACE)
    total = np.bincount(pairs.point, pairs.weight)
    amplitude = np.bincount(pairs.point, pairs.weight * ocean.cover.amplitude[pairs.chart]) / total
    for row, deviation in enumerate((0.2, 0.3)):
        np.testing.assert_allclose(np.sqrt(rest[row, :, 0]), deviation * amplitude * ocean.spread[0], rtol=1e-6)


def test_deviations_that_hindcasts_scale_are_split_with_their_factor(run):
    _, ocean = run
    left, whole = torch.tensor([[0.04]]), np.full((1, 3, 1), 1e3)
    twice = split_variance(ocean, whole, left, *PLACE, torch.full((1, ocean.charts), 2.0))
    once = split_variance(ocean, whole, left, *PLACE)
    np.testing.assert_allclose(twice[1], 4 * once[1], rtol=1e-6)


def test_the_rest_is_never_more_than_the_whole(run):
    _, ocean = run
    explained, rest = split_variance(ocean, np.full((1, 3, 1), 1e-6), torch.full((1, 1), 0.5), *PLACE)
    np.testing.assert_allclose(explained, 0.0)
    np.testing.assert_allclose(rest, 1e-12)


def test_samples_are_joined_and_selected():
    chance = np.random.default_rng(0)
    one, other = (Samples(*(chance.normal(size=shape) for shape in ((n,), (n,), (n,), *[(n, 2)] * 4))) for n in (3, 4))
    both = Samples.join([Samples.none(2), one, other])
    assert len(both) == 7
    for name in vars(both):
        np.testing.assert_array_equal(getattr(both, name)[:3], getattr(one, name))
        np.testing.assert_array_equal(getattr(both.select(both.lead > 0), name), getattr(both, name)[both.lead > 0])
