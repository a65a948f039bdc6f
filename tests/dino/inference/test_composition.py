"""Terms put together by the evidence: it is that of a Gaussian, and the search finds the terms that are there."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from dino.inference.composition import ABSENT, FREE, SEEN, Normal, Vocabulary, search


@pytest.fixture(scope="module")
def problem():
    chance = np.random.default_rng(0)
    features = chance.normal(size=(60, 5))
    values = features @ [0.0, 1.0, 0.0, -2.0, 0.0] + chance.normal(size=60)
    matrix, side = features.T @ features, features.T @ values
    return features, values, Normal(torch.from_numpy(matrix), torch.from_numpy(side))


def test_the_evidence_is_that_of_a_gaussian(problem):
    features, values, normal = problem
    mean, spread = np.array([0.3, 0.9, 0, 0, 0]), np.array([0.5, 0.1, 0, 2.0, 0])
    covariance = np.eye(60) + features * spread**2 @ features.T
    wanted = multivariate_normal(features @ mean, covariance).logpdf(values)
    wanted -= multivariate_normal(np.zeros(60), np.eye(60)).logpdf(values)
    assert normal.evidence(torch.from_numpy(mean), torch.from_numpy(spread)) == pytest.approx(wanted, abs=1e-8)


def test_the_search_finds_what_is_there_and_calls_it_seen_where_it_was(problem):
    _, _, normal = problem
    word = Vocabulary(*torch.tensor([[0, 0.5, 0.5, 0, 0], [0, 1.0, 1.0, 0, 0], [0, 0.2, 0.2, 0, 0]]).double())
    free = torch.full((5,), 3.0).double()
    _, state = search(normal, word, free, torch.full((5,), ABSENT))
    assert state.tolist() == [ABSENT, SEEN, ABSENT, FREE, ABSENT]
    mean = normal.estimate(torch.tensor([0, 1.0, 0, 0, 0]).double(), torch.tensor([0, 0.2, 0, 3.0, 0]).double())
    assert mean[0] == mean[2] == 0
    np.testing.assert_allclose(mean[[1, 3]], [1, -2], atol=0.4)
