"""The size and the shape that observed states ask of their population."""

from types import SimpleNamespace

import torch

from dino.numerics.gaussian import Gaussian
from dino.transfer.population import LIMIT, energy_ratio, reshape_population


def window(mean: torch.Tensor, covariance: torch.Tensor):
    analysis = SimpleNamespace(earliest=0.0, time=5.0)
    return SimpleNamespace(analysis=analysis, start=lambda size: Gaussian(mean[:, :size], covariance[:, :size, :size]))


def model_of(covariance: torch.Tensor):
    return SimpleNamespace(
        state_covariance=covariance.clone(),
        code_variance=covariance.diagonal().clone(),
        dynamics=SimpleNamespace(code_size=len(covariance)),
    )


def posterior(prior: torch.Tensor, truth: torch.Tensor, noise: float, seen: int, generator: torch.Generator):
    """States (chart, n) observed through their first `seen` entries with white noise: mean and covariance."""
    size = len(prior)
    operator = torch.eye(size, dtype=prior.dtype)[:seen]
    values = truth @ operator.T + noise * torch.randn(len(truth), seen, generator=generator, dtype=prior.dtype)
    gain = prior @ operator.T @ torch.linalg.inv(operator @ prior @ operator.T + noise**2 * torch.eye(seen).double())
    return values @ gain.T, (prior - gain @ operator @ prior).expand(len(truth), size, size)


def test_the_fixed_point_is_the_ratio_of_energies(randomly):
    """Partly observed states of a population three times as strong: repeated updates find it."""
    generator = torch.Generator().manual_seed(2)
    root = randomly(6, 6)
    prior = root @ root.T + 0.5 * torch.eye(6, dtype=root.dtype)
    truth = 3.0**0.5 * torch.randn(4000, 6, generator=generator, dtype=root.dtype) @ torch.linalg.cholesky(prior).T
    factor = 1.0
    for _ in range(8):
        generator.manual_seed(5)
        mean, covariance = posterior(factor * prior, truth, 0.4, 4, generator)
        factor *= energy_ratio(model_of(factor * prior), [window(mean, covariance)])
    assert abs(factor - 3.0) < 0.15


def test_charts_that_saw_nothing_do_not_count(randomly):
    prior = torch.eye(4, dtype=torch.float64)
    mean = torch.stack([torch.full((4,), 1.0).double(), torch.zeros(4).double()])
    covariance = torch.stack([0.01 * prior, prior])
    assert abs(energy_ratio(model_of(prior), [window(mean, covariance)]) - 1.0 / 0.99) < 1e-6


def test_the_factor_of_a_round_is_limited_and_nothing_seen_leaves_one():
    prior = torch.eye(4, dtype=torch.float64)
    strong = window(torch.full((1, 4), 100.0).double(), 0.01 * prior[None])
    assert energy_ratio(model_of(prior), [strong]) == LIMIT
    assert energy_ratio(model_of(prior), [window(torch.zeros(1, 4).double(), prior[None])]) == 1.0


def test_the_shape_of_the_population_is_found(randomly):
    """Partly observed states of another population than the prior: repeated updates bring its covariance near."""
    generator = torch.Generator().manual_seed(4)
    root = randomly(5, 5)
    prior = root @ root.T + torch.eye(5, dtype=root.dtype)
    turned = torch.linalg.qr(randomly(5, 5)).Q * torch.tensor([4.0, 1.0, 0.3, 2.0, 1.0]).double()
    covariance = turned @ turned.T + 0.1 * torch.eye(5, dtype=root.dtype)
    truth = torch.randn(4000, 5, generator=generator, dtype=root.dtype) @ torch.linalg.cholesky(covariance).T
    model = model_of(prior)
    for _ in range(30):
        generator.manual_seed(5)
        reshape_population(model, [window(*posterior(model.state_covariance, truth, 0.3, 4, generator))])
    before, after = ((matrix - covariance)[:4, :4].norm() for matrix in (prior, model.state_covariance))
    assert after < 0.08 * before
    torch.testing.assert_close(model.state_covariance, model.state_covariance.T)
    assert (torch.linalg.eigvalsh(model.state_covariance) > 0).all()


def test_tendencies_take_the_same_change_as_codes(randomly):
    """Codes twice as large in all directions: so are the tendencies, and their correlation with codes stays."""
    root = randomly(4, 4)
    covariance = root @ root.T + torch.eye(4, dtype=root.dtype)
    model = model_of(covariance)
    model.dynamics.code_size, model.code_variance = 2, torch.ones(2).double()
    states = 2.0 * torch.randn(20000, 2, dtype=root.dtype) @ torch.linalg.cholesky(covariance[:2, :2]).T
    reshape_population(model, [window(states, torch.zeros(20000, 2, 2, dtype=root.dtype))])
    torch.testing.assert_close(model.state_covariance, 4.0 * covariance, rtol=0.05, atol=0.1)
    torch.testing.assert_close(model.code_variance, torch.full((2,), 4.0).double(), rtol=1.0, atol=0.0)


def test_few_observations_change_little(randomly):
    root = randomly(6, 6)
    covariance = root @ root.T + torch.eye(6, dtype=root.dtype)
    blind, few = model_of(covariance), model_of(covariance)
    reshape_population(blind, [window(torch.zeros(3, 6).double(), covariance.expand(3, 6, 6))])
    torch.testing.assert_close(blind.state_covariance, covariance)
    seen = posterior(covariance, 3.0 * torch.randn(1, 6).double(), 0.1, 1, torch.Generator().manual_seed(1))
    reshape_population(few, [window(*seen)])
    assert (few.state_covariance - covariance).norm() < 0.7 * covariance.norm()
