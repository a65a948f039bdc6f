"""Gaussian states: sampling and conditioning against closed forms."""

import pytest
import torch

from dino.errors import NonFiniteError
from dino.numerics.gaussian import Gaussian, _least_jitter, cholesky, cholesky_unwatched, condition, precision_of


def positive(randomly, *shape):
    root = randomly(*shape, shape[-1])
    return root @ root.mT + 0.1 * torch.eye(shape[-1], dtype=torch.float64)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_samples_have_the_mean_and_covariance(randomly, batch):
    state = Gaussian(randomly(*batch, 2), positive(randomly, *batch, 2))
    draws = state.sample(40_000, torch.Generator().manual_seed(0))
    assert draws.shape == (40_000, *batch, 2)
    centred = draws - draws.mean(0)
    covariance = torch.einsum("n...i,n...j->...ij", centred, centred) / len(draws)
    torch.testing.assert_close(draws.mean(0), state.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(covariance, state.covariance, atol=0.15, rtol=0.05)


def test_a_shared_covariance_serves_a_batch_of_means(randomly):
    state = Gaussian(1000 * randomly(3, 2), positive(randomly, 2))
    draws = state.sample(7, torch.Generator().manual_seed(0))
    assert draws.shape == (7, 3, 2)
    assert (draws - state.mean).abs().max() < 50


def test_samples_repeat_with_the_seed(randomly):
    state = Gaussian(randomly(3), positive(randomly, 3))
    first, second, other = (state.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_precision_is_the_inverse(randomly):
    covariance = positive(randomly, 4, 5)
    product = precision_of(covariance) @ covariance
    torch.testing.assert_close(product, torch.eye(5, dtype=torch.float64).expand(4, 5, 5), atol=1e-9, rtol=0)


def test_cholesky_helps_a_singular_matrix_and_leaves_others_alone(randomly):
    good = positive(randomly, 3)
    assert torch.equal(cholesky(good), torch.linalg.cholesky(good))
    vector = randomly(6, 1).float()
    singular = vector @ vector.T
    factor = cholesky(singular)
    torch.testing.assert_close(factor @ factor.T, singular, atol=1e-2 * float(singular.diagonal().mean()), rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), -1.0])
def test_a_hopeless_matrix_is_named(bad):
    matrix = torch.eye(3).repeat(4, 1, 1)
    matrix[2, 1, 1] = bad
    with pytest.raises(NonFiniteError, match=r"sample 2 \(3 x 3\)"):
        cholesky(matrix)


def test_without_a_watch_jitter_is_as_small_and_what_is_hopeless_is_nan(randomly):
    """On a device all jitters are tried at once; the arithmetic is the same here."""
    vector = randomly(6, 1).float()
    singular = vector @ vector.T
    batch = torch.stack([positive(randomly, 6).float(), singular])
    for matrix in (positive(randomly, 3), singular, batch):
        assert torch.equal(_least_jitter(matrix), cholesky(matrix))
        assert torch.equal(cholesky_unwatched(matrix), cholesky(matrix))
    assert _least_jitter(-torch.eye(3)).isnan().all()


@pytest.mark.parametrize("batched", [False, True])
def test_condition_is_bayes(randomly, batched):
    frames, n, code = 4, 9, 3
    operator = randomly(frames, n, code) if batched else randomly(n, code)
    precision = torch.rand(frames, n, dtype=torch.float64) if batched else torch.rand(n, dtype=torch.float64)
    innovation, prior_mean, prior = randomly(frames, n), randomly(code), positive(randomly, code)
    means = prior_mean.expand(frames, -1) if batched else prior_mean
    posterior = condition(operator, innovation, precision, means, torch.linalg.inv(prior))
    for frame in range(frames):
        h = operator[frame] if batched else operator
        r = torch.diag(1 / (precision[frame] if batched else precision))
        gain = prior @ h.T @ torch.linalg.inv(h @ prior @ h.T + r)  # the Kalman form: independent of ours
        torch.testing.assert_close(posterior.mean[frame], prior_mean + gain @ (innovation[frame] - h @ prior_mean))
        covariance = posterior.covariance[frame] if batched else posterior.covariance
        torch.testing.assert_close(covariance, prior - gain @ h @ prior)
