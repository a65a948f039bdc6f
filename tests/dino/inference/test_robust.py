"""Huber's cost: its definition, its minimum by brute force, and what it leaves alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dino.inference.filter import Filter
from dino.inference.observed import Rows
from dino.inference.robust import huber_cost, huber_weight
from dino.inference.window import assimilate_window
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import SirenDecoder

CODE, STATE, BOUND = 3, 5, 2.0
NODES = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
ZERO = torch.zeros(STATE, STATE, dtype=torch.float64)


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
def problem(randomly):
    """Rows on nodes seen through a coupled linear flow, a tenth of them far off."""
    matrix, truth = 0.2 * randomly(STATE, STATE), randomly(STATE)
    node = torch.arange(60) % 2
    fraction = (torch.arange(60) % 3 == 0).double()
    operator = randomly(60, CODE)
    flows = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in NODES])
    codes = (flows @ truth)[node + fraction.long(), :CODE]
    innovation = (operator * codes).sum(-1) + 0.3 * randomly(60)
    innovation[::10] += 8.0
    nothing = torch.zeros(60, dtype=torch.float64)
    rows = Rows(operator, innovation, torch.full_like(nothing, 0.09), node, fraction, nothing,
                torch.zeros(60, 2, dtype=torch.float64), torch.zeros(60, dtype=torch.long))  # fmt: skip
    prior = Gaussian(torch.zeros(STATE, dtype=torch.float64), 4 * torch.eye(STATE, dtype=torch.float64))
    return lambda time, state: state @ matrix.T, prior, rows, flows, truth


def minimum(prior: Gaussian, rows: Rows, flows: Tensor, bound: float) -> Tensor:
    """The start that minimises Huber's cost, by a descent that knows nothing of weights."""
    start = prior.mean.clone().requires_grad_()
    search = torch.optim.LBFGS([start], max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        seen = (rows.operator * rows.along((flows @ start)[:, :CODE])).sum(-1)
        misfit = (rows.innovation - seen) / rows.variance.sqrt()
        away = start - prior.mean
        cost = 0.5 * away @ torch.linalg.solve(prior.covariance, away)
        cost = cost + torch.where(misfit.abs() <= bound, misfit**2 / 2, bound * misfit.abs() - bound**2 / 2).sum()
        cost.backward()
        return cost

    search.step(closure)
    return start.detach()


def test_window_is_the_brute_force_minimum_and_close_to_the_truth(problem):
    right, prior, rows, flows, truth = problem
    robust = assimilate_window(right, prior, rows, NODES, CODE, 40, step=0.25, bound=BOUND)
    torch.testing.assert_close(robust.mean[0], minimum(prior, rows, flows, BOUND), rtol=0, atol=2e-3)
    plain = assimilate_window(right, prior, rows, NODES, CODE, 40, step=0.25)
    assert (robust.mean[0] - truth).norm() < 0.3 * (plain.mean[0] - truth).norm()
    assert (robust.weight[::10] < 0.2).all()
    assert (robust.weight < 1).sum() < 15  # the six, and few of those that chance put beyond two deviations


def test_a_few_iterations_are_enough(problem):
    right, prior, rows, flows, _ = problem
    short = assimilate_window(right, prior, rows, NODES, CODE, 6, step=0.25, bound=4.0)
    torch.testing.assert_close(short.mean[0], minimum(prior, rows, flows, 4.0), rtol=0, atol=0.02)


def test_filter_of_one_node_is_the_window_of_one_node(problem):
    right, prior, rows, _, _ = problem
    here = rows.select((rows.node == 0) & (rows.fraction == 0))
    window = assimilate_window(right, prior, here, NODES[:1], CODE, 40, bound=BOUND)
    filtered = Filter(right, prior, here, NODES[:1], CODE, ZERO, bound=BOUND)
    torch.testing.assert_close(filtered.end.mean, window.end.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(filtered.end.covariance, window.end.covariance, rtol=0, atol=2e-3)
    torch.testing.assert_close(filtered.weight, window.weight, rtol=0, atol=1e-2)
    torch.testing.assert_close(filtered.smoothed.weight, filtered.weight)


def test_with_a_sine_decoder_the_filter_still_finds_the_window(problem):
    right, prior, rows, _, _ = problem
    torch.manual_seed(1)
    decoder = SirenDecoder(2, CODE, hidden=8, layers=1, w0_first=3.0).double().requires_grad_(False)
    place = torch.rand(60, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = decoder(place, torch.full((CODE,), 0.3, dtype=torch.float64))[:, 0]
    values[::10] += 5.0
    zero = torch.zeros(60, CODE, dtype=torch.float64)
    seen = Rows(
        zero, values, rows.variance, 0 * rows.node, 0 * rows.fraction, rows.offset, place, rows.channel, decoder
    )
    seen, prior = seen.about(zero), Gaussian(prior.mean, 0.1 * prior.covariance)
    window = assimilate_window(right, prior, seen, NODES[:1], CODE, 50, bound=BOUND)
    filtered = Filter(right, prior, seen, NODES[:1], CODE, ZERO, bound=BOUND)
    torch.testing.assert_close(filtered.end.mean, window.end.mean, rtol=0, atol=5e-3)
    assert (filtered.weight[::10] < 0.5).all()


@pytest.mark.parametrize("method", ["window", "filter"])
def test_clean_observations_far_from_the_prior_are_taken_as_without_a_bound(problem, method):
    """The first misfits are tens of standard deviations of the error, and within those of the prior."""
    right, prior, rows, _, _ = problem
    clean = rows.select(torch.arange(60) % 10 != 0)
    sharp = Rows(**(vars(clean) | {"variance": torch.full_like(clean.variance, 0.09)}))
    assert (sharp.innovation.abs() / 0.3).max() > 4

    def made(bound: float) -> Tensor:
        if method == "window":
            return assimilate_window(right, prior, sharp, NODES, CODE, 6, step=0.25, bound=bound).mean
        return Filter(right, prior, sharp, NODES, CODE, ZERO, step=0.25, bound=bound).mean

    torch.testing.assert_close(made(5.0), made(math.inf), rtol=0, atol=1e-12)
