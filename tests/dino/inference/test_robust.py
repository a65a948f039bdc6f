"""Huber's cost: its definition, its minimum by brute force, and what it leaves alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import CODE, STATE, make_latent, make_problem, matrix_of, numbers
from torch import Tensor

from dino.inference.filter import Problem, filtered
from dino.inference.robust import huber_cost, huber_weight
from dino.inference.window import minimised
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import values_at_points

BOUND, EACH, CHARTS = 2.0, 60, 2
NODES = np.array([0.0, 1.0, 2.0])
METHODS = [minimised, filtered]


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(0.5, 6))
def test_cost_is_smooth_and_its_slope_is_weight_times_misfit(misfit, bound):
    r = torch.tensor([misfit], dtype=torch.float64, requires_grad=True)
    cost = huber_cost(r, bound)
    cost.sum().backward()
    assert r.grad is not None
    torch.testing.assert_close(r.grad, huber_weight(r.detach(), bound) * r.detach())
    assert float(r.grad.abs()) <= bound * (1 + 1e-12)
    assert float(cost.detach()) <= 0.5 * misfit**2 + 1e-9
    plain = huber_cost(r.detach(), math.inf)
    torch.testing.assert_close(plain, 0.5 * r.detach().square())
    assert float(huber_weight(torch.zeros(1), bound)) == 1.0


@pytest.fixture
def problem() -> tuple[Problem, Tensor]:
    """Rows on nodes seen through a coupled linear flow, a tenth of them far off; two charts and their true starts."""
    latent = make_latent("coupled")
    made = make_problem(latent, (EACH, EACH), NODES, at_nodes=True)
    truth = numbers(CHARTS, STATE, seed=40)
    rows = made.rows
    value = seen(made, truth) + 0.3 * numbers(EACH * CHARTS, seed=41)
    value[::10] += 8.0
    rows = replace(rows, value=value, variance=torch.full_like(value, 0.09))
    prior = Gaussian(torch.zeros(CHARTS, STATE).double(), 4 * torch.eye(STATE).double().expand(CHARTS, -1, -1))
    return replace(made, rows=rows, prior=prior), truth


def seen(problem: Problem, start: Tensor) -> Tensor:
    """(row,) what rows would see of trajectories from `start` (chart, state)."""
    matrix, rows = matrix_of(problem.latent), problem.rows
    flows = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in problem.nodes])
    codes = rows.along(torch.einsum("nij,cj->nci", flows, start)[..., :CODE])
    return values_at_points(problem.latent.decoder, rows.coordinates, codes)[torch.arange(len(rows)), rows.channel]


def cost(problem: Problem, start: Tensor, bound: float) -> Tensor:
    """Huber's cost of starts, written out."""
    misfit = (problem.rows.value - seen(problem, start)) / problem.rows.variance.sqrt()
    away = start - problem.prior.mean
    far = 0.5 * (away * torch.linalg.solve(problem.prior.covariance, away)).sum()
    return far + torch.where(misfit.abs() <= bound, misfit**2 / 2, bound * misfit.abs() - bound**2 / 2).sum()


def minimum(problem: Problem, bound: float) -> Tensor:
    """The starts that minimise Huber's cost, by a descent that knows nothing of weights."""
    start = problem.prior.mean.clone().requires_grad_()
    search = torch.optim.LBFGS([start], max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = cost(problem, start, bound)
        value.backward()
        return value

    search.step(closure)
    return start.detach()


def test_window_is_the_brute_force_minimum_and_close_to_the_truth(problem):
    plain, truth = problem
    bounded = replace(plain, bound=BOUND)
    robust = minimised(bounded, 40)
    torch.testing.assert_close(robust.trajectory.mean[0], minimum(bounded, BOUND), rtol=0, atol=3e-3)
    misled = minimised(plain, 40)
    for chart in range(CHARTS):
        near = (robust.trajectory.mean[0] - truth)[chart].norm()
        assert near < 0.3 * (misled.trajectory.mean[0] - truth)[chart].norm()
    assert (robust.weight[::10] < 0.2).all()
    assert (robust.weight < 1).sum() < 30  # the twelve, and few of those that chance put beyond two deviations


def test_a_few_iterations_are_enough(problem):
    bounded = replace(problem[0], bound=4.0)
    short = minimised(bounded, 6)
    torch.testing.assert_close(short.trajectory.mean[0], minimum(bounded, 4.0), rtol=0, atol=0.02)


def here(problem: Problem) -> Problem:
    """The rows of the first node alone, with a bound."""
    rows = problem.rows.select((problem.rows.node == 0) & (problem.rows.fraction == 0))
    return replace(problem, rows=rows, nodes=NODES[:1], bound=BOUND)


def test_filter_of_one_node_is_the_window_and_the_brute_force_minimum(problem):
    one = here(problem[0])
    window, made = minimised(one, 40), filtered(one)
    torch.testing.assert_close(made.end.mean, minimum(one, BOUND), rtol=0, atol=5e-3)
    torch.testing.assert_close(made.end.mean, window.end.mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(made.end.covariance, window.end.covariance, rtol=0, atol=5e-3)
    torch.testing.assert_close(made.weight, window.weight, rtol=0, atol=1e-2)
    assert (made.weight < 1).any()


def test_filter_is_close_to_the_truth(problem):
    plain, truth = problem
    flow = torch.linalg.matrix_exp(matrix_of(plain.latent) * NODES[-1])
    robust, misled = filtered(replace(plain, bound=BOUND)), filtered(plain)
    for chart in range(CHARTS):
        end = flow @ truth[chart]
        assert (robust.end.mean[chart] - end).norm() < 0.4 * (misled.end.mean[chart] - end).norm()
    assert (robust.weight[::10] < 0.3).all()


def test_with_a_sine_decoder_the_filter_still_finds_the_window(problem):
    latent = make_latent("coupled", "siren")
    one = replace(here(problem[0]), latent=latent)
    prior = Gaussian(one.prior.mean, 0.1 * one.prior.covariance)
    rows = one.rows.formed(latent.decoder)
    value = seen(replace(one, rows=rows), 0.3 * torch.ones(CHARTS, STATE).double())
    value[::10] += 5.0
    one = replace(one, prior=prior, rows=replace(rows, value=value))
    window, made = minimised(one, 50), filtered(one)
    truth = minimum(one, BOUND)
    for found in (window, made):
        torch.testing.assert_close(found.end.mean, truth, rtol=0, atol=2e-2)
        assert cost(one, found.end.mean, BOUND) < cost(one, truth, BOUND) * (1 + 5e-4)
    assert (made.weight[::10] < 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_clean_observations_far_from_the_prior_are_taken_as_without_a_bound(problem, method):
    """The first misfits are tens of standard deviations of the error, and within those of the prior."""
    plain, _ = problem
    clean = replace(plain, rows=plain.rows.select(torch.arange(len(plain.rows)) % 10 != 0))
    assert ((clean.rows.value - clean.rows.form.offset).abs() / 0.3).max() > 4
    bounded, free = (method(replace(clean, bound=bound)).trajectory.mean for bound in (5.0, math.inf))
    torch.testing.assert_close(bounded, free, rtol=0, atol=1e-10)
