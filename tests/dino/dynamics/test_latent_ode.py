"""The latent vector field: companion form, linear limits and initial derivatives."""

import pytest
import torch

from dino.dynamics import HistoryInitialiser, LatentODE, integrate
from dino.dynamics.base import Swish
from dino.dynamics.latent_ode import mode_bands

CODE = 6


def make(order, **options):
    torch.manual_seed(order)
    rates = [0.5, 0.25, 2.0][:order]
    return LatentODE(CODE, order, **({"hidden": 8, "depth": 2, "rates": rates} | options)).double()


def test_order_one_is_dinos(randomly):
    ode, state = make(1), randomly(5, CODE)
    assert ode.state_size == CODE
    torch.testing.assert_close(ode.derivative(state), 0.5 * ode.network(state))
    assert torch.equal(ode.codes(state), state)


@pytest.mark.parametrize("order", [2, 3])
def test_companion_form(randomly, order):
    ode, state = make(order), randomly(5, order * CODE)
    parts, derivative = state.split(CODE, -1), ode.derivative(state).split(CODE, -1)
    for j in range(order - 1):
        torch.testing.assert_close(derivative[j], ode.rates[j] * parts[j + 1])
    torch.testing.assert_close(derivative[-1], ode.rates[-1] * ode.network(state))
    assert torch.equal(ode.codes(state), parts[0])


def test_the_context_enters_the_network_alone(randomly):
    ode = make(2, context_size=3)
    state, context = randomly(5, 2 * CODE), randomly(5, 3)
    torch.nn.init.normal_(ode.linear)
    highest = lambda context: ode.derivative(state, context)[:, CODE:] / ode.rates[-1]  # noqa: E731
    network = ode.network(torch.cat([state, context], -1))
    torch.testing.assert_close(highest(context), state[:, CODE:] * (ode.linear @ ode.bands)[0] + network)
    assert (highest(context) - highest(context.flip(0))).abs().max() > 1e-3
    # One context for all states, and states with dimensions before the place.
    shared = ode.bind(context[:1])(torch.zeros(()), state)
    torch.testing.assert_close(shared, ode.derivative(state, context[:1].expand(5, -1)))
    members = randomly(4, 5, 2 * CODE)
    for member, moved in zip(members, ode.derivative(members, context), strict=True):
        torch.testing.assert_close(moved, ode.derivative(member, context))


@pytest.mark.parametrize("order", [1, 2])
def test_without_a_network_the_flow_is_the_matrix_exponential(randomly, order):
    ode = make(order, depth=0)
    assert ode.network is None
    torch.nn.init.normal_(ode.linear, std=0.3)
    eye = torch.eye(order * CODE, dtype=torch.float64)
    matrix = ode.derivative(eye).T.detach()
    start = randomly(3, order * CODE)
    states = integrate(ode.bind(), start, torch.tensor([2.0], dtype=torch.float64), "rk4", 0.05)[0]
    torch.testing.assert_close(states, start @ torch.linalg.matrix_exp(2 * matrix).T, atol=1e-6, rtol=1e-6)
    off_diagonal = matrix[-CODE:, -CODE:] - torch.diag(matrix[-CODE:, -CODE:].diagonal())
    assert (off_diagonal == 0).all()


def test_linear_damping_of_the_tendency_alone():
    """From order two on, a code at rest stays where it is."""
    ode = make(2, depth=0)
    torch.nn.init.constant_(ode.linear, -1.0)
    rest = torch.cat([torch.ones(CODE), torch.zeros(CODE)]).double()
    assert (ode.derivative(rest) == 0).all()
    moving = torch.cat([torch.zeros(CODE), torch.ones(CODE)]).double()
    torch.testing.assert_close(ode.derivative(moving)[CODE:], torch.full((CODE,), -0.25, dtype=torch.float64))


def test_bands_are_a_partition_of_unity_with_nodes_at_powers_of_four():
    bands = mode_bands(64)
    torch.testing.assert_close(bands.sum(0), torch.ones(64))
    for band, rank in enumerate((1, 4, 16, 64)):
        assert bands[band, rank - 1] == 1
    assert (bands >= 0).all()
    assert mode_bands(1).tolist() == [[1.0]]


def test_a_fresh_network_pushes_gently():
    torch.manual_seed(0)
    ode, state = LatentODE(CODE, 1, hidden=64), torch.randn(1000, CODE)
    assert 0 < ode.derivative(state).std() < 0.1


def test_swish():
    x = torch.linspace(-3, 3, 7)
    beta = torch.nn.functional.softplus(torch.tensor(0.5))
    torch.testing.assert_close(Swish()(x), x * torch.sigmoid(beta * x) / 1.1)


def test_initial_tendency_of_a_straight_line_is_its_slope(randomly):
    """Codes that grow linearly have s_1 = slope / rate whatever the interval; higher derivatives start at zero."""
    slope, interval = randomly(2, CODE), 0.5
    for order in (2, 3):
        start = HistoryInitialiser(CODE, order, lags=4, interval=interval, rates=[0.2, 0.1, 0.1]).double()
        history = randomly(2, 1, CODE) + slope[:, None] * interval * torch.arange(5.0).double()[:, None]
        state = start(history)
        assert state.shape == (2, order * CODE)
        assert torch.equal(state[:, :CODE], history[:, -1])
        torch.testing.assert_close(state[:, CODE : 2 * CODE], slope / 0.2)
        assert (state[:, 2 * CODE :] == 0).all()
        ode = LatentODE(CODE, order, depth=0, rates=[0.2, 0.1, 0.1][:order]).double()
        ahead = integrate(ode.bind(), state, torch.tensor([interval], dtype=torch.float64))[0, :, :CODE]
        torch.testing.assert_close(ahead, history[:, -1] + interval * slope)


def test_filters_weigh_the_newest_difference_first(randomly):
    start = HistoryInitialiser(CODE, 2, lags=3, interval=1.0).double()
    history = randomly(1, 4, CODE)
    with torch.no_grad():
        start.weights.zero_()
        start.weights[0, 0] = 1.0
    torch.testing.assert_close(start(history)[:, CODE:], history[:, -1] - history[:, -2])
    with torch.no_grad():
        start.weights.zero_()
        start.weights[0, 2] = 1.0
    torch.testing.assert_close(start(history)[:, CODE:], history[:, 1] - history[:, 0])


def test_order_one_needs_no_history(randomly):
    start = HistoryInitialiser(CODE, 1, lags=9, interval=1.0)
    assert start.lags == 0
    latest = randomly(3, 1, CODE)
    assert torch.equal(start(latest), latest[:, 0])


def test_the_pace_and_the_damping_of_the_dynamics(randomly):
    """A state of order two at twice the pace: the same path, with tendencies in units twice as large."""
    ode, start = make(2), randomly(3, 2 * CODE)
    torch.nn.init.normal_(ode.linear, std=0.3)
    days = torch.linspace(0, 2, 5, dtype=torch.float64)
    with torch.no_grad():
        before = integrate(ode.bind(), start, days, step=0.02)
        ode.change_pace(2.0)
        torch.testing.assert_close(integrate(ode.bind(), start, days / 2, step=0.01), before)
        slow, state = ode.derivative(start), start
        ode.damp(0.3)
        parts = (slow - ode.derivative(state)).unflatten(-1, (2, CODE))
    assert (parts[:, 0] == 0).all()
    torch.testing.assert_close(parts[:, 1], 0.3 * start[:, CODE:])
