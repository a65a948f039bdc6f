"""The window: against conditioning written out for linear dynamics, and on a nonlinear flow with a known start."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dino.dynamics import LatentODE, integrate
from dino.errors import NonFiniteError
from dino.inference import encode
from dino.inference.observed import Rows
from dino.inference.window import assimilate_window, tangent_flow
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import Basis, SirenDecoder, values_at_points

CODE, ORDER = 3, 2
STATE = CODE * ORDER
NODES = torch.linspace(0, 2, 5, dtype=torch.float64)
STEP = 0.125


@pytest.fixture
def linear(randomly):
    """A linear ODE of order two and its matrix."""
    ode = LatentODE(CODE, ORDER, depth=0, rates=[0.5, 0.3]).double().requires_grad_(False)
    ode.linear.copy_(randomly(*ode.linear.shape))
    matrix = ode.derivative(torch.eye(STATE, dtype=torch.float64)).T
    return ode.bind(), matrix


@pytest.fixture
def coupled(randomly):
    """A linear ODE whose modes all push each other, and its matrix."""
    matrix = 0.2 * randomly(STATE, STATE)
    return lambda time, state: state @ matrix.T, matrix


@pytest.fixture
def prior(randomly):
    root = randomly(STATE, STATE)
    return Gaussian(randomly(STATE), root @ root.T + 0.1 * torch.eye(STATE))


def make_rows(randomly, node, fraction) -> Rows:
    """Random operators and values at places of the trajectory."""
    count = len(node)
    return Rows(
        operator=randomly(count, CODE),
        innovation=randomly(count),
        variance=0.1 + randomly(count).abs(),
        node=torch.tensor(node, dtype=torch.long),
        fraction=torch.tensor(fraction, dtype=torch.float64),
        offset=torch.zeros(count, dtype=torch.float64),
        coordinates=torch.zeros(count, 2, dtype=torch.float64),
        channel=torch.zeros(count, dtype=torch.long),
    )


def flows(matrix: Tensor) -> Tensor:
    """(node, state, state) exact propagators from the first node."""
    return torch.stack([torch.linalg.matrix_exp(matrix * t) for t in NODES - NODES[0]])


def by_hand(prior: Gaussian, rows: Rows, propagators: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed means and covariances at all nodes: one joint Gaussian of start and observations, conditioned."""
    following = (rows.node + 1).clamp_max(len(NODES) - 1)
    along = torch.lerp(propagators[rows.node], propagators[following], rows.fraction[:, None, None])
    design = torch.einsum("rc,rcs->rs", rows.operator, along[:, :CODE])
    cross = prior.covariance @ design.T
    gain = cross @ torch.linalg.inv(design @ cross + torch.diag(rows.variance))
    mean = prior.mean + gain @ (rows.innovation - design @ prior.mean)
    covariance = prior.covariance - gain @ cross.T
    return propagators @ mean, propagators @ covariance @ propagators.mT


@pytest.mark.parametrize("system", ["linear", "coupled"])
def test_linear_window_is_the_kalman_smoother_without_process_noise(system, prior, randomly, request):
    right, matrix = request.getfixturevalue(system)
    rows = make_rows(randomly, [0, 0, 1, 2, 3, 3, 3], [0.0, 0.4, 0.0, 0.5, 0.25, 0.9, 1.0])
    window = assimilate_window(right, prior, rows, NODES, CODE, iterations=3, step=STEP)
    mean, covariance = by_hand(prior, rows, flows(matrix))
    torch.testing.assert_close(window.mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(window.covariance, covariance, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(window.end.mean, mean[-1], rtol=1e-4, atol=1e-5)


def test_flow_does_not_depend_on_whether_steps_meet_the_nodes(linear, prior):
    """Nodes twice as dense as the solver's steps, as in the shipped configurations."""
    right, matrix = linear
    states, jacobians = tangent_flow(right, prior.mean, NODES, "rk4", 1.0)
    torch.testing.assert_close(jacobians, flows(matrix), rtol=0, atol=1e-4)
    torch.testing.assert_close(states, integrate(right, prior.mean, NODES, "rk4", 0.5))
    dense, _ = tangent_flow(right, prior.mean, NODES, "dopri5", 1.0)
    torch.testing.assert_close(states, dense, rtol=0, atol=1e-3)


def test_window_without_observations_keeps_the_prior(linear, prior, randomly):
    right, matrix = linear
    window = assimilate_window(right, prior, make_rows(randomly, [], []), NODES, CODE, step=STEP)
    torch.testing.assert_close(window.mean, flows(matrix) @ prior.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(window.covariance[0], prior.covariance)


def test_window_of_one_instant_is_encoding(linear, prior, randomly):
    right, _ = linear
    basis = Basis(randomly(6, 2), randomly(6, 2, CODE))
    values = randomly(1, 6, 2)
    values[0, 1, 0] = torch.nan
    point, channel = torch.nonzero(torch.isfinite(values[0]), as_tuple=True)
    rows = replace(
        make_rows(randomly, [0] * len(point), [0.0] * len(point)),
        operator=basis.modes[point, channel],
        innovation=(values[0] - basis.offset)[point, channel],
        variance=torch.full((len(point),), 0.3, dtype=torch.float64),
    )
    window = assimilate_window(right, prior, rows, NODES[:1], CODE)
    plain = encode(basis, values, 0.3, Gaussian(prior.mean[:CODE], prior.covariance[:CODE, :CODE]))
    torch.testing.assert_close(window.mean[0, :CODE], plain.mean[0])
    torch.testing.assert_close(window.covariance[0, :CODE, :CODE], plain.covariance.reshape(CODE, CODE))


@pytest.fixture
def nonlinear(randomly):
    """A flow of order two whose network matters: it bends the trajectory by more than its own spread."""
    torch.manual_seed(4)
    ode = LatentODE(CODE, ORDER, hidden=16, depth=2, rates=[1.0, 1.0]).double().requires_grad_(False)
    assert ode.network is not None
    ode.network[-1].weight.mul_(30.0)
    right = ode.bind()
    truth = randomly(STATE)
    exact = integrate(right, truth, NODES, step=0.5)
    small = integrate(right, 1e-3 * truth, NODES, step=0.5)
    assert (exact - 1e3 * small).abs().max() > 0.5
    return right, truth, exact


def noise_free(randomly, exact: Tensor) -> Rows:
    node = torch.arange(len(NODES)).repeat_interleave(4).clamp_max(len(NODES) - 2)
    rows = make_rows(randomly, node.tolist(), [0.0] * 16 + [1.0] * 4)
    following = exact[rows.node + rows.fraction.long(), :CODE]
    return replace(rows, innovation=(rows.operator * following).sum(-1), variance=torch.full_like(rows.variance, 1e-8))


def test_gauss_newton_recovers_the_start_of_a_nonlinear_flow(nonlinear, randomly):
    right, truth, exact = nonlinear
    rows = noise_free(randomly, exact)
    prior = Gaussian(torch.zeros(STATE, dtype=torch.float64), torch.eye(STATE, dtype=torch.float64))
    window = assimilate_window(right, prior, rows, NODES, CODE, iterations=20, step=0.5)
    torch.testing.assert_close(window.mean[0], truth, rtol=0, atol=1e-4)
    torch.testing.assert_close(window.mean, exact, rtol=0, atol=1e-4)


def test_every_iteration_lowers_the_cost(nonlinear, randomly):
    right, _, exact = nonlinear
    rows = replace(noise_free(randomly, exact), variance=torch.full((20,), 1e-2, dtype=torch.float64))
    prior = Gaussian(randomly(STATE), 2 * torch.eye(STATE, dtype=torch.float64))

    def cost(start: Tensor) -> float:
        codes = integrate(right, start, NODES, step=0.5)[:, :CODE]
        seen = (rows.operator * codes[rows.node + rows.fraction.long()]).sum(-1)
        return float((start - prior.mean).square().sum() / 4 + (rows.innovation - seen).square().sum() / 2e-2)

    costs = [cost(prior.mean)]
    for iterations in range(1, 7):
        window = assimilate_window(right, prior, rows, NODES, CODE, iterations=iterations, step=0.5)
        costs.append(cost(window.mean[0]))
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(costs))
    assert costs[-1] < 0.2 * costs[0]


def test_more_observations_never_raise_the_variance(linear, prior, randomly):
    right, _ = linear
    rows = make_rows(randomly, [0, 1, 2, 3, 3, 2], [0.0, 0.3, 0.6, 0.9, 0.1, 0.0])
    before = prior.covariance
    for count in range(1, 7):
        some = rows.select(slice(count))
        after = assimilate_window(right, prior, some, NODES, CODE, step=0.5).covariance[0]
        assert torch.linalg.eigvalsh(before - after).min() > -1e-9
        before = after


def test_a_flow_that_explodes_is_a_typed_error(prior, randomly):
    rows = make_rows(randomly, [0, 3], [0.0, 1.0])
    with pytest.raises(NonFiniteError):
        assimilate_window(lambda t, s: 1e3 * s**3, prior, rows, NODES, CODE, step=0.5)


def sine_rows(rows: Rows, seed: int = 0) -> tuple[Rows, SirenDecoder]:
    """The same places observed through a decoder that is not affine, about a code of zero."""
    torch.manual_seed(seed)
    decoder = SirenDecoder(2, CODE, 2, hidden=8, layers=1, w0_first=3.0).double().requires_grad_(False)
    count = len(rows)
    generator = torch.Generator().manual_seed(seed)
    seen = replace(
        rows,
        coordinates=2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1,
        channel=torch.arange(count) % 2,
        operator=torch.zeros(count, CODE, dtype=torch.float64),
        decoder=decoder,
    )
    return seen.about(torch.zeros(count, CODE, dtype=torch.float64)), decoder


def test_rows_of_a_sine_decoder_keep_their_values_about_any_code(randomly):
    rows, decoder = sine_rows(make_rows(randomly, [0, 1, 2, 3], [0.0, 0.3, 0.6, 0.9]))
    codes = randomly(4, CODE)
    about = rows.about(codes)
    torch.testing.assert_close(about.innovation + about.offset, rows.innovation + rows.offset)
    values = values_at_points(decoder, rows.coordinates, codes)[torch.arange(4), rows.channel]
    torch.testing.assert_close((about.operator * codes).sum(-1) + about.offset, values)
    plain = make_rows(randomly, [0], [0.0])
    assert plain.about(codes[:1]) is plain


@pytest.mark.parametrize("seed", range(3))
def test_window_with_a_sine_decoder_is_the_brute_force_minimum(linear, seed, randomly):
    right, matrix = linear
    rows, decoder = sine_rows(make_rows(randomly, [0, 0, 1, 2, 3, 3, 3], [0.0, 0.4, 0.0, 0.5, 0.25, 0.9, 1.0]), seed)
    prior = Gaussian(0.2 * randomly(STATE), 0.5 * torch.eye(STATE, dtype=torch.float64))
    window = assimilate_window(right, prior, rows, NODES, CODE, iterations=40, step=STEP)
    propagators, observed = flows(matrix), rows.innovation + rows.offset

    def cost(start: Tensor) -> Tensor:
        along = rows.along((propagators @ start)[:, :CODE])
        values = values_at_points(decoder, rows.coordinates, along)[torch.arange(len(rows)), rows.channel]
        return (start - prior.mean).square().sum() + 0.5 * ((observed - values).square() / rows.variance).sum()

    start = window.mean[0].clone().requires_grad_()
    search = torch.optim.LBFGS([start], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = cost(start)
        value.backward()
        return value

    search.step(closure)
    assert cost(window.mean[0]) < 0.8 * cost(prior.mean)
    assert cost(window.mean[0]) <= cost(start.detach()) * (1 + 1e-3)
    torch.testing.assert_close(window.mean[0], start.detach(), atol=0.03, rtol=0)
