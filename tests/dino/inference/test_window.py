"""The window: against conditioning written out for linear dynamics, and on a nonlinear flow with a known start."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import CODE, COUNTS, NODES, ORDER, STATE, Coupled, correlated, dense, make_latent, make_problem, numbers
from torch import Tensor

from dino.dynamics import Dynamics, integrate, tangent_flow
from dino.errors import NonFiniteError
from dino.inference import encode
from dino.inference.filter import Problem
from dino.inference.window import minimised
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import at_points, values_at_points

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
DENSE_NODES = np.linspace(0.0, 2.0, 5)


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("offsets", [0, 2])
def test_linear_window_is_the_kalman_smoother_without_process_noise(dynamics, offsets):
    problem = make_problem(make_latent(dynamics, noise=0.5), offsets=offsets)  # of which the window knows nothing
    window = minimised(problem, 3)
    means, covariances = dense(problem, by_nearest=False)
    end = problem.layout.parted(window.end)
    torch.testing.assert_close(end.mean, means[-1], **CLOSE)
    torch.testing.assert_close(end.covariance, covariances[-1], **CLOSE)
    torch.testing.assert_close(window.trajectory.mean, means[..., :STATE], **CLOSE)
    torch.testing.assert_close(window.trajectory.covariance, covariances[..., :CODE, :CODE], **CLOSE)
    short = minimised(replace(problem, smooth=False), 3)
    assert short.trajectory is None
    torch.testing.assert_close(short.end.mean, window.end.mean)


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("offsets", [0, 2])
def test_with_errors_that_rows_share_the_window_is_conditioning_with_the_whole_covariance(dynamics, offsets):
    """Rows lie between nodes."""
    problem = correlated(make_problem(make_latent(dynamics), (7, 0, 2, 60), offsets=offsets))
    window = minimised(problem, 3)
    means, covariances = dense(problem, by_nearest=False, stepped=True)
    end, exact = problem.layout.parted(window.end), {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(end.mean, means[-1], **exact)
    torch.testing.assert_close(end.covariance, covariances[-1], **exact)
    torch.testing.assert_close(window.trajectory.mean, means[..., :STATE], **exact)
    torch.testing.assert_close(window.trajectory.covariance, covariances[..., :CODE, :CODE], **exact)


def test_flow_does_not_depend_on_whether_steps_meet_the_nodes():
    """Nodes twice as dense as the solver's steps, as in the shipped configurations."""
    latent, start = make_latent(), numbers(2, STATE)
    nodes, eye = torch.as_tensor(DENSE_NODES), torch.eye(STATE, dtype=torch.float64)
    matrix = latent.dynamics.derivative(eye).T
    states, jacobians = tangent_flow(latent.dynamics, None, start, eye.expand(2, -1, -1), nodes, "rk4", 1.0)
    exact = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in nodes])
    torch.testing.assert_close(jacobians, exact[:, None].expand(-1, 2, -1, -1), rtol=0, atol=1e-3)
    torch.testing.assert_close(states, integrate(latent.dynamics.bind(), start, nodes, "rk4", 0.5))


def test_window_without_observations_keeps_the_prior():
    problem = make_problem(make_latent(), counts=(0, 0))
    window = minimised(problem)
    matrix = problem.latent.dynamics.derivative(torch.eye(STATE, dtype=torch.float64)).T
    exact = torch.stack([problem.prior.mean @ torch.linalg.matrix_exp(matrix * t).T for t in NODES])
    torch.testing.assert_close(window.trajectory.mean, exact, **CLOSE)
    torch.testing.assert_close(window.trajectory.covariance[0], problem.prior.covariance[:, :CODE, :CODE])
    assert len(window.weight) == 0


def test_window_of_one_instant_is_encoding():
    problem = make_problem(make_latent(), nodes=NODES[:1])
    window = minimised(problem)
    for chart, count in enumerate(COUNTS):
        rows = problem.rows.select(problem.rows.chart == chart)
        basis = at_points(problem.latent.decoder, rows.coordinates, numbers(1, CODE).expand(count, -1))
        values = torch.full((1, count, 2), torch.nan, dtype=torch.float64)
        values[0, torch.arange(count), rows.channel] = rows.value
        variance = rows.variance[None, :, None].expand(1, -1, 2)
        mean, covariance = problem.prior.mean[chart], problem.prior.covariance[chart]
        plain = encode(basis, values, variance, Gaussian(mean[:CODE], covariance[:CODE, :CODE]))
        torch.testing.assert_close(window.end.mean[chart, :CODE], plain.mean[0])
        torch.testing.assert_close(window.end.covariance[chart, :CODE, :CODE], plain.covariance.reshape(CODE, CODE))


@pytest.fixture
def nonlinear() -> tuple[Problem, Tensor, Tensor]:
    """A flow that its network bends by more than its own spread, seen without errors at its nodes; three charts."""
    latent = make_latent("network")
    latent.dynamics.rates.fill_(1.0)
    latent.dynamics.network[-1].weight.mul_(2.0)
    counts = (25, 25, 25)
    problem = make_problem(latent, counts, DENSE_NODES, at_nodes=True)
    truth = numbers(3, STATE, seed=21)
    exact = integrate(latent.dynamics.bind(), truth, torch.as_tensor(DENSE_NODES), step=0.25)
    small = integrate(latent.dynamics.bind(), 1e-3 * truth, torch.as_tensor(DENSE_NODES), step=0.25)
    assert (exact - 1e3 * small).abs().max() > 0.5
    rows = problem.rows
    codes = rows.along(exact[..., :CODE])
    value = values_at_points(latent.decoder, rows.coordinates, codes)[torch.arange(75), rows.channel]
    rows = replace(rows, value=value, variance=torch.full_like(value, 1e-8))
    prior = Gaussian(torch.zeros(3, STATE).double(), torch.eye(STATE).double().expand(3, -1, -1))
    return replace(problem, rows=rows, prior=prior), truth, exact


def test_gauss_newton_recovers_the_start_of_a_nonlinear_flow(nonlinear):
    problem, truth, exact = nonlinear
    window = minimised(problem, 20)
    torch.testing.assert_close(window.trajectory.mean[0], truth, rtol=0, atol=1e-3)
    torch.testing.assert_close(window.trajectory.mean, exact, rtol=0, atol=1e-3)


def test_every_iteration_lowers_the_cost_of_every_chart(nonlinear):
    problem, _, _ = nonlinear
    rows = replace(problem.rows, variance=torch.full((75,), 1e-2, dtype=torch.float64))
    prior = Gaussian(numbers(3, STATE, seed=22), 2 * torch.eye(STATE).double().expand(3, -1, -1))
    problem = replace(problem, rows=rows, prior=prior)
    right, nodes = problem.latent.dynamics.bind(), torch.as_tensor(DENSE_NODES)

    def cost(start: Tensor) -> Tensor:
        codes = rows.along(integrate(right, start, nodes, step=0.25)[..., :CODE])
        seen = values_at_points(problem.latent.decoder, rows.coordinates, codes)[torch.arange(75), rows.channel]
        made = (start - prior.mean).square().sum(-1) / 4
        return made.index_add(0, rows.chart, (rows.value - seen).square() / 2e-2)

    costs = [cost(prior.mean)]
    for iterations in range(1, 7):
        costs.append(cost(minimised(problem, iterations).trajectory.mean[0]))
    assert all((after <= before * (1 + 1e-5)).all() for before, after in pairwise(costs))
    assert (costs[-1] < 0.2 * costs[0]).all()


def test_more_observations_never_raise_the_variance():
    problem = make_problem(make_latent(), counts=(6,))
    before = problem.prior.covariance[0, :CODE, :CODE]
    for count in range(1, 7):
        some = replace(problem, rows=problem.rows.select(slice(count)))
        after = minimised(some).trajectory.covariance[0, 0]
        assert torch.linalg.eigvalsh(before - after).min() > -1e-9
        before = after


class Exploding(Dynamics):
    """A flow that leaves the numbers wherever it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.order, self.code_size, self.context_size, self.is_linear = ORDER, CODE, 0, False
        self.register_buffer("rates", torch.ones(ORDER).double())

    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        state = bundle[..., :1]
        return torch.cat([1e3 * state**3, 3e3 * state.square() * bundle[..., 1:]], dim=-1)


def test_a_flow_that_explodes_is_a_typed_error():
    latent = make_latent()
    latent.dynamics = Exploding()
    with pytest.raises(NonFiniteError):
        minimised(make_problem(latent))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
def test_window_with_a_sine_decoder_is_the_brute_force_minimum(seed, dynamics):
    latent = make_latent(dynamics, "siren")
    problem = make_problem(latent, counts=(7, 12))
    prior = Gaussian(0.2 * numbers(2, STATE, seed=seed), 0.5 * torch.eye(STATE).double().expand(2, -1, -1))
    matrix = latent.dynamics.derivative(torch.eye(STATE, dtype=torch.float64)).T
    flows = torch.stack([torch.linalg.matrix_exp(matrix * t) for t in NODES])
    rows = problem.rows

    def seen(start: Tensor) -> Tensor:
        along = rows.along(torch.einsum("nij,cj->nci", flows, start)[..., :CODE])
        return values_at_points(latent.decoder, rows.coordinates, along)[torch.arange(len(rows)), rows.channel]

    # What some state shows, with errors: of values of any kind the cost may have several minima.
    value = seen(0.7 * numbers(2, STATE, seed=seed + 30)) + 0.3 * rows.value
    rows = replace(rows, value=value)
    window = minimised(replace(problem, prior=prior, rows=rows), 40)

    def cost(start: Tensor) -> Tensor:
        misfit = 0.5 * (rows.value - seen(start)).square() / rows.variance
        return (start - prior.mean).square().sum(-1).index_add(0, rows.chart, misfit)

    start = window.trajectory.mean[0].clone().requires_grad_()
    search = torch.optim.LBFGS([start], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = cost(start).sum()
        value.backward()
        return value

    search.step(closure)
    found = window.trajectory.mean[0]
    assert (cost(found) < 0.9 * cost(prior.mean)).all()
    assert (cost(found) <= cost(start.detach()) * (1 + 1e-3)).all()
    torch.testing.assert_close(found, start.detach(), atol=0.03, rtol=0)


def test_charts_with_contexts_of_their_own_follow_flows_of_their_own():
    """The same observations and prior in every chart: what differs is what its place tells the dynamics."""
    latent = make_latent("network", context=2)
    problem = make_problem(latent, counts=(9, 9))
    half = slice(0, 9)
    same = lambda part: torch.cat([part[half], part[half]])  # noqa: E731
    columns = {
        name: same(getattr(problem.rows, name))
        for name in ("value", "variance", "node", "fraction", "coordinates", "channel")
    }
    rows = replace(problem.rows, **columns, form=None).formed(latent.decoder)
    prior = Gaussian(*(part[:1].expand_as(part) for part in (problem.prior.mean, problem.prior.covariance)))
    problem = replace(problem, rows=rows, prior=prior)
    other = minimised(problem).trajectory.mean
    assert (other[:, 0] - other[:, 1]).abs().max() > 0.01
    alike = minimised(replace(problem, context=problem.context[:1].expand(2, -1))).trajectory.mean
    torch.testing.assert_close(alike[:, 0], alike[:, 1])
    torch.testing.assert_close(alike[:, 0], other[:, 0])


def test_coupled_dynamics_of_the_tests_are_linear():
    """What stands for truth elsewhere: the push is the matrix, and no propagator by modes would do."""
    matrix = numbers(STATE, STATE)
    dynamics, tangents = Coupled(matrix), numbers(2, STATE, 3)
    state = numbers(2, STATE, seed=1)
    moved = dynamics.push(torch.cat([state.unsqueeze(-1), tangents], dim=-1))
    torch.testing.assert_close(moved[..., 0], state @ matrix.T)
    torch.testing.assert_close(moved[..., 1:], matrix @ tangents)
