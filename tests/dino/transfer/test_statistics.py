"""The factor that an ocean of another energy asks for, and that models are compared with one variance for all."""

from types import SimpleNamespace

import torch

from dino.transfer.statistics import LIMIT, energy_ratio
from dino.transfer.windows import cut, held_out_misfit


def window(mean: torch.Tensor, covariance: torch.Tensor):
    return SimpleNamespace(analysis=SimpleNamespace(mean=mean, covariance=covariance))


def model_of(covariance: torch.Tensor):
    return SimpleNamespace(state_covariance=covariance, dynamics=SimpleNamespace(code_size=len(covariance)))


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


def test_who_expects_more_error_is_not_forgiven_more(task):
    given = task()
    plan = cut(given.observations, given.settings, given.forecaster.assimilation)
    before = given.model.unresolved_variance.clone()
    fair = held_out_misfit(given.forecaster, given.observations, plan)
    given.model.unresolved_variance.mul_(100.0)
    lenient = held_out_misfit(given.forecaster, given.observations, plan)
    same = held_out_misfit(given.forecaster, given.observations, plan, before)
    assert lenient.mean < 0.5 * fair.mean
    assert same.mean > 0.8 * fair.mean
