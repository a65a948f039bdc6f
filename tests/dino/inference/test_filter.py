"""The filter and its smoother: against one joint Gaussian of all states, a textbook smoother, and chart by chart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import (
    CODE,
    COUNTS,
    NODES,
    STATE,
    alone,
    correlated,
    dense,
    error_covariance,
    make_latent,
    make_problem,
    numbers,
)

from dino.dynamics import integrate, tangent_flow
from dino.inference import filter as filter_module
from dino.inference.filter import Problem, filtered
from dino.inference.window import minimised
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import values_at_points

CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # what the solver's steps leave
EXACT = {"rtol": 1e-8, "atol": 1e-8}


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("offsets", [0, 2])
def test_filter_and_smoother_are_conditioning_of_all_states(dynamics, noise, offsets):
    """Charts with few, many and no observations; errors are correlated in time by process noise and offsets."""
    latent = make_latent(dynamics, noise=noise)
    problem = make_problem(latent, offsets=offsets)
    made = filtered(problem)
    means, covariances = dense(problem, by_nearest=True, noise=latent.process_noise)
    end = problem.layout.parted(made.end)
    torch.testing.assert_close(end.mean, means[-1], **CLOSE)
    torch.testing.assert_close(end.covariance, covariances[-1], **CLOSE)
    assert made.trajectory is not None
    torch.testing.assert_close(made.trajectory.mean, means[..., :STATE], **CLOSE)
    torch.testing.assert_close(made.trajectory.covariance, covariances[..., :CODE, :CODE], **CLOSE)
    assert (made.weight == 1).all()


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("offsets", [0, 2])
@pytest.mark.parametrize("longest", [512, 4])
def test_with_errors_that_rows_share_filter_and_smoother_are_conditioning_with_the_whole_covariance(
    dynamics, noise, offsets, longest, monkeypatch
):
    """Also where a piece is a batch of its own, and where its rows are far from each other in the table."""
    monkeypatch.setattr("dino.inference.errors.BATCH_NUMBERS", longest)
    latent = make_latent(dynamics, noise=noise)
    problem = correlated(make_problem(latent, (*COUNTS[:3], 60), offsets=offsets))
    assert (problem.rows.piece.diff() < 0).any()
    made = filtered(problem)
    means, covariances = dense(problem, by_nearest=True, noise=latent.process_noise, stepped=True)
    end = problem.layout.parted(made.end)
    torch.testing.assert_close(end.mean, means[-1], **EXACT)
    torch.testing.assert_close(end.covariance, covariances[-1], **EXACT)
    torch.testing.assert_close(made.trajectory.mean, means[..., :STATE], **EXACT)
    torch.testing.assert_close(made.trajectory.covariance, covariances[..., :CODE, :CODE], **EXACT)
    # What white errors of the same variance make of it is something else.
    white = filtered(replace(problem, rows=replace(problem.rows, errors=None, piece=None)))
    assert (white.end.mean - made.end.mean).abs().max() > 0.05


@pytest.mark.parametrize("offsets", [0, 2])
@pytest.mark.parametrize("method", [filtered, minimised])
def test_with_a_sine_decoder_shared_errors_are_whitened_about_the_codes_that_are_found(method, offsets):
    """One node: the minimum of the cost with the whole covariance, by a general search."""
    latent = make_latent(decoder="siren")
    problem = correlated(make_problem(latent, (24, 0, 9), NODES[:1], offsets))
    size = STATE + offsets
    spread = 0.3 * torch.eye(size, dtype=torch.float64)
    prior = problem.layout.augmented(Gaussian(0.1 * numbers(3, size, seed=1), spread.expand(3, -1, -1)))
    rows, which = problem.rows, torch.arange(33)
    codes = 0.5 * numbers(3, CODE, seed=2)[rows.chart]
    value = values_at_points(latent.decoder, rows.coordinates, codes)[which, rows.channel] + 0.2 * rows.value
    problem = replace(problem, prior=prior, rows=replace(rows, value=value))
    made = problem.layout.parted(method(problem, 60).end if method is minimised else method(problem).end)
    inverse, parted = torch.linalg.inv(error_covariance(rows)), problem.layout.parted(prior)

    def misfit(state: torch.Tensor) -> torch.Tensor:
        seen = values_at_points(latent.decoder, rows.coordinates, state[rows.chart, :CODE])[which, rows.channel]
        return value - seen - (state[rows.chart, STATE + problem.group] if offsets else 0.0)

    def cost(state: torch.Tensor) -> torch.Tensor:
        return 0.5 * misfit(state) @ inverse @ misfit(state) + 0.5 * (state - parted.mean).square().sum() / 0.3

    found = parted.mean.clone().requires_grad_()
    search = torch.optim.LBFGS([found], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        value = cost(found)
        value.backward()
        return value

    search.step(closure)
    torch.testing.assert_close(made.mean, found.detach(), atol=5e-3, rtol=0)
    slope = torch.func.jacrev(misfit)(made.mean).flatten(1)
    curvature = slope.T @ inverse @ slope + torch.eye(3 * size).double() / 0.3
    expected = torch.linalg.inv(curvature).view(3, size, 3, size)
    for chart in range(3):
        torch.testing.assert_close(made.covariance[chart], expected[chart, :, chart], atol=1e-3, rtol=0)


def test_without_a_trajectory_the_end_is_the_same():
    problem = make_problem(make_latent(noise=0.2), offsets=1)
    made, short = filtered(problem), filtered(replace(problem, smooth=False))
    assert short.trajectory is None
    torch.testing.assert_close(short.end.mean, made.end.mean)
    torch.testing.assert_close(short.end.covariance, made.end.covariance)


def by_the_book(problem: Problem) -> tuple[torch.Tensor, torch.Tensor, Gaussian]:
    """An extended Kalman filter and the smoother of Rauch, Tung and Striebel, of one chart without offsets."""
    latent, rows = problem.latent, problem.rows
    assert rows.form is not None
    mean, covariance = problem.prior.mean[0], problem.prior.covariance[0]
    at_node, kept, eye = rows.node + (rows.fraction > 0.5).long(), [], torch.eye(STATE, dtype=torch.float64)
    for node, day in enumerate(problem.nodes):
        predicted, flow = Gaussian(mean, covariance), None
        if node:
            between = torch.tensor([0.0, day - problem.nodes[node - 1]], dtype=torch.float64)
            states, turned = tangent_flow(latent.dynamics, problem.context, mean[None], eye[None], between, "rk4", 0.25)
            flow = turned[-1, 0]
            noise = latent.process_noise * between[1]
            predicted = Gaussian(states[-1, 0], flow @ covariance @ flow.T + noise)
        here = at_node == node
        h = torch.cat([rows.form.operator[here], torch.zeros(int(here.sum()), STATE - CODE).double()], dim=1)
        surprise = (rows.value - rows.form.offset)[here] - h @ predicted.mean
        gain = (
            predicted.covariance
            @ h.T
            @ torch.linalg.inv(h @ predicted.covariance @ h.T + torch.diag(rows.variance[here]))
        )
        mean = predicted.mean + gain @ surprise
        covariance = predicted.covariance - gain @ h @ predicted.covariance
        kept.append((predicted, flow, Gaussian(mean, covariance)))
    smoothed = [kept[-1][2]]
    for (_, _, seen), (predicted, flow, _) in zip(kept[-2::-1], kept[:0:-1], strict=True):
        assert flow is not None
        back, later = seen.covariance @ flow.T @ torch.linalg.inv(predicted.covariance), smoothed[-1]
        spread = seen.covariance + back @ (later.covariance - predicted.covariance) @ back.T
        smoothed.append(Gaussian(seen.mean + back @ (later.mean - predicted.mean), spread))
    smoothed.reverse()
    return torch.stack([s.mean for s in smoothed]), torch.stack([s.covariance for s in smoothed]), kept[-1][2]


@pytest.mark.parametrize("context", [0, 2])
def test_with_nonlinear_dynamics_filter_and_smoother_are_those_of_the_book(context):
    problem = make_problem(make_latent("network", context=context, noise=0.2))
    made = filtered(problem)
    assert made.trajectory is not None
    for chart in range(len(COUNTS)):
        means, covariances, end = by_the_book(alone(problem, chart))
        torch.testing.assert_close(made.end.mean[chart], end.mean, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(made.end.covariance[chart], end.covariance, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(made.trajectory.mean[:, chart], means, rtol=1e-7, atol=1e-8)
        codes = covariances[:, :CODE, :CODE]
        torch.testing.assert_close(made.trajectory.covariance[:, chart], codes, rtol=1e-7, atol=1e-8)
    # The flow bends: it is not that of a linear model about one state.
    jacobian = (
        tangent_flow(
            problem.latent.dynamics, problem.context, problem.prior.mean, torch.eye(STATE).double().expand(4, -1, -1),
            torch.tensor([0.0, 1.0]).double(), "rk4", 0.25,
        )[1][-1]
    )  # fmt: skip
    assert (jacobian - jacobian[:1]).abs().max() > 0.1


@pytest.mark.parametrize("decoder", ["fourier", "siren"])
@pytest.mark.parametrize("dynamics", ["modes", "network"])
@pytest.mark.parametrize("offsets", [0, 2])
def test_smoothed_and_filtered_agree_at_the_last_node(dynamics, decoder, offsets):
    problem = make_problem(make_latent(dynamics, decoder, noise=0.1), offsets=offsets, bound=2.0)
    made = filtered(problem)
    assert made.trajectory is not None
    end = problem.layout.parted(made.end)
    torch.testing.assert_close(made.trajectory.mean[-1], end.mean[:, :STATE])
    torch.testing.assert_close(made.trajectory.covariance[-1], end.covariance[:, :CODE, :CODE])
    assert torch.linalg.eigvalsh(made.trajectory.covariance).min() > 0
    assert torch.linalg.eigvalsh(made.end.covariance).min() > 0


@pytest.mark.parametrize("method", [filtered, minimised])
@pytest.mark.parametrize("decoder", ["fourier", "siren"])
@pytest.mark.parametrize("dynamics", ["modes", "network"])
@pytest.mark.parametrize("bound", [math.inf, 1.5])
def test_charts_side_by_side_are_each_chart_alone(method, decoder, dynamics, bound):
    """Charts of about the same size share batches; how soon one settles is nothing to the others."""
    counts = (24, 20, 0, 22, 26, 3, 25)
    latent = make_latent(dynamics, decoder, context=2 * (dynamics == "network"), noise=0.1)
    problem = make_problem(latent, counts, offsets=2, bound=bound)
    made, close = method(problem), {"rtol": 1e-7, "atol": 1e-8}
    assert made.trajectory is not None
    for chart in range(len(counts)):
        one = method(alone(problem, chart))
        assert one.trajectory is not None
        torch.testing.assert_close(made.end.mean[chart], one.end.mean[0], **close)
        torch.testing.assert_close(made.end.covariance[chart], one.end.covariance[0], **close)
        torch.testing.assert_close(made.trajectory.mean[:, chart], one.trajectory.mean[:, 0], **close)
        torch.testing.assert_close(made.trajectory.covariance[:, chart], one.trajectory.covariance[:, 0], **close)
        torch.testing.assert_close(made.weight[problem.rows.chart == chart], one.weight, **close)
    assert bool((made.weight < 1).any()) == (bound < math.inf)


@pytest.mark.parametrize("method", [filtered, minimised])
@pytest.mark.parametrize("dynamics", ["modes", "network"])
def test_blocks_of_charts_and_batches_of_rows_change_nothing(method, dynamics, monkeypatch):
    problem = make_problem(make_latent(dynamics, noise=0.1), (3, 0, 9, 1, 0, 30, 2), offsets=1, bound=2.0)
    whole, size, close = method(problem), STATE + 1, {"rtol": 1e-7, "atol": 1e-8}
    for charts, rows in ((1, 3), (3, 2**14)):
        monkeypatch.setattr(filter_module, "BLOCK_NUMBERS", charts * size * size * (1 + len(NODES) // 4))
        monkeypatch.setattr("dino.inference.window.BLOCK_NUMBERS", charts * size * size * len(NODES))
        monkeypatch.setattr(filter_module, "BATCH_ROWS", rows)
        monkeypatch.setattr("dino.inference.window.BATCH_ROWS", rows)
        made = method(problem)
        torch.testing.assert_close(made.weight, whole.weight, **close)
        torch.testing.assert_close(made.end.mean, whole.end.mean, **close)
        torch.testing.assert_close(made.trajectory.mean, whole.trajectory.mean, **close)
        torch.testing.assert_close(made.trajectory.covariance, whole.trajectory.covariance, **close)


@pytest.mark.parametrize("dynamics", ["modes", "coupled"])
@pytest.mark.parametrize("offsets", [0, 2])
def test_without_process_noise_the_filter_is_the_window(dynamics, offsets):
    problem = make_problem(make_latent(dynamics), offsets=offsets, at_nodes=True)
    one, other = filtered(problem), minimised(problem, 3)
    torch.testing.assert_close(one.end.mean, other.end.mean, **CLOSE)
    torch.testing.assert_close(one.end.covariance, other.end.covariance, **CLOSE)
    torch.testing.assert_close(one.trajectory.mean, other.trajectory.mean, **CLOSE)
    torch.testing.assert_close(one.trajectory.covariance, other.trajectory.covariance, **CLOSE)


def test_process_noise_widens_the_analysis_and_forgets_old_observations():
    latent = make_latent("coupled")
    problem = make_problem(latent, at_nodes=True, smooth=False)
    old = replace(problem, rows=problem.rows.select((problem.rows.node == 0) & (problem.rows.fraction == 0)))
    assert len(old.rows) > 3
    still = integrate(latent.dynamics.bind(), problem.prior.mean, torch.tensor([NODES[-1]]), step=0.05)[0]
    traces, moves = [], []
    for noise in (0.0, 0.1, 1.0):
        latent.process_noise.copy_(noise * torch.eye(STATE))
        traces.append(float(filtered(problem).end.covariance.diagonal(dim1=1, dim2=2).sum()))
        moves.append(float((filtered(old).end.mean - still).norm()))
    assert traces == sorted(traces)
    assert traces[-1] > traces[0] + 1.0
    # What the first node says reaches the last one whole: noise in between widens the error, it does not pull back.
    assert moves == pytest.approx([moves[0]] * 3, rel=1e-6)
    assert moves[0] > 0.1


@pytest.mark.parametrize("method", [filtered, minimised])
def test_a_single_node_without_observations_is_the_prior(method):
    problem = make_problem(make_latent(noise=1.0), counts=(0, 0), nodes=NODES[:1])
    made = method(problem)
    torch.testing.assert_close(made.end.mean, problem.prior.mean)
    torch.testing.assert_close(made.end.covariance, problem.prior.covariance)
    torch.testing.assert_close(made.trajectory.mean[0], problem.prior.mean)
    torch.testing.assert_close(made.trajectory.covariance[0], problem.prior.covariance[:, :CODE, :CODE])


def test_without_observations_charts_follow_their_flow():
    latent = make_latent("network", noise=0.1)
    problem = make_problem(latent, counts=(0, 0, 0))
    made = filtered(problem)
    truth = integrate(latent.dynamics.bind(), problem.prior.mean, torch.as_tensor(NODES), step=0.25)
    torch.testing.assert_close(made.trajectory.mean, truth)
    torch.testing.assert_close(made.end.mean, truth[-1])


@pytest.mark.parametrize("seed", range(3))
def test_filter_of_one_node_with_a_sine_decoder_is_the_window_of_one_node(seed):
    """The iterated update and the window minimise the same cost; a linear update would not find its minimum."""
    latent, counts = make_latent(decoder="siren"), (15, 0, 30, 20)
    problem = make_problem(latent, counts, nodes=NODES[:1])
    rows, total = problem.rows, sum(counts)
    mean, spread = 0.1 * numbers(4, STATE, seed=seed), 0.3 * torch.eye(STATE, dtype=torch.float64)
    codes = 0.5 * numbers(4, CODE, seed=seed + 10)
    value = values_at_points(latent.decoder, rows.coordinates, codes[rows.chart])[torch.arange(total), rows.channel]
    value += 0.1 * rows.value
    rows = replace(rows, value=value, variance=torch.full_like(value, 0.05))
    problem = replace(problem, prior=Gaussian(mean, spread.expand(4, -1, -1)), rows=rows)
    end, window = filtered(problem).end, minimised(problem, 50).end
    torch.testing.assert_close(end.mean, window.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(end.covariance, window.covariance, atol=1e-2, rtol=0)
    # About the prior alone the update stops short.
    about = rows.about(latent.decoder, mean[rows.chart, :CODE]).select(rows.chart == 2)
    assert about.form is not None
    h = torch.cat([about.form.operator, torch.zeros(30, STATE - CODE).double()], dim=1)
    gain = 0.3 * h.T @ torch.linalg.inv(0.3 * h @ h.T + 0.05 * torch.eye(30).double())
    once = mean[2] + gain @ (about.value - about.form.offset - h @ mean[2])
    assert (once - window.mean[2]).abs().max() > 0.02


@pytest.mark.parametrize("method", [filtered, minimised])
@pytest.mark.parametrize("dynamics", ["modes", "network"])
def test_single_precision_is_enough(method, dynamics):
    """Entries of very different size, and many rows far sharper than the prior: what is left is right and positive."""
    latent = make_latent(dynamics, noise=1e-3)
    units = torch.tensor([30.0, 1.0, 0.02] * 2, dtype=torch.float64)
    for table in (latent.state_covariance, latent.process_noise):
        table.copy_(table * units * units[:, None])
    latent.decoder.shift /= units[:CODE]
    if dynamics == "network":
        latent.dynamics.network[0].weight.div_(units)
        latent.dynamics.network[-1].weight.mul_(units[:CODE, None])
    problem = make_problem(latent, (40, 3, 0, 60), offsets=1)
    where = torch.ones(STATE + 1, dtype=torch.float64)
    where[problem.layout.state] = units
    prior = Gaussian(problem.prior.mean * where, problem.prior.covariance * where * where[:, None])
    # What a state of the prior shows, with errors.
    truth = prior.mean + (torch.linalg.cholesky(prior.covariance) @ numbers(4, STATE + 1, 1, seed=50)).squeeze(-1)
    right, days = latent.dynamics.bind(problem.context), torch.as_tensor(NODES)
    codes = problem.rows.along(integrate(right, truth[:, problem.layout.state], days, step=0.05)[..., :CODE])
    seen = values_at_points(latent.decoder, problem.rows.coordinates, codes)[torch.arange(103), problem.rows.channel]
    variance = 1e-4 * problem.rows.variance
    value = seen + truth[problem.rows.chart, CODE] + variance.sqrt() * problem.rows.value
    rows = replace(problem.rows, value=value, variance=variance, form=None).formed(latent.decoder)
    problem = replace(problem, prior=prior, rows=rows)
    exact = method(problem)
    half = lambda part: part.float() if torch.is_tensor(part) and part.is_floating_point() else part  # noqa: E731
    rows = replace(rows, **{name: half(part) for name, part in vars(rows).items() if name != "form"}, form=None)
    coarse = replace(
        problem, latent=make_latent(dynamics).float(), context=problem.context.float(),
        prior=Gaussian(prior.mean.float(), prior.covariance.float()), rows=rows,
    )  # fmt: skip
    coarse.latent.load_state_dict(latent.state_dict())
    made = method(replace(coarse, rows=rows.formed(coarse.latent.decoder)))
    assert made.end.mean.dtype == made.trajectory.covariance.dtype == torch.float32
    spread = exact.end.covariance.diagonal(dim1=1, dim2=2).sqrt()
    assert ((made.end.mean.double() - exact.end.mean) / spread).abs().max() < 0.1
    scaled = made.end.covariance.double() / spread[:, None] / spread[:, :, None]
    torch.testing.assert_close(scaled, exact.end.covariance / spread[:, None] / spread[:, :, None], rtol=0, atol=0.05)
    codes = exact.trajectory.covariance.diagonal(dim1=2, dim2=3).sqrt()
    missed = (made.trajectory.mean.double() - exact.trajectory.mean)[..., :CODE] / codes
    assert missed.abs().max() < 0.1
    ratio = made.trajectory.covariance.diagonal(dim1=2, dim2=3) / codes.square()
    torch.testing.assert_close(ratio.double(), torch.ones_like(codes), rtol=0, atol=0.1)


def test_nodes_at_intervals_of_many_lengths():
    """As an update between two deliveries makes them."""
    nodes = np.array([0.0, 1 / 3, 1 / 3 + 1e-3, 0.7000001, 1.7, 1.7000004])
    latent = make_latent(noise=0.3)
    problem = make_problem(latent, nodes=nodes)
    made = filtered(problem)
    means, covariances = dense(problem, by_nearest=True, noise=latent.process_noise)
    torch.testing.assert_close(made.trajectory.mean, means, **CLOSE)
    torch.testing.assert_close(made.trajectory.covariance, covariances[..., :CODE, :CODE], **CLOSE)
