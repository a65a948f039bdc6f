"""Closed-form tangents against autograd, flows of tangents against differences and exponentials, over charts."""

import itertools

import pytest
import torch
from torch import Tensor

from dino.dynamics import Dynamics, LatentODE, QuadraticODE, by_modes, integrate, mode_flows, tangent_flow
from dino.dynamics.base import Swish, swish_network, value_and_jacobian

CODE, CHARTS = 4, 5


def latent(order: int, depth: int, context: int = 0) -> LatentODE:
    torch.manual_seed(10 * order + depth)
    ode = LatentODE(CODE, order, context, hidden=7, depth=depth, rates=[0.5, 0.25, 2.0][:order])
    torch.nn.init.normal_(ode.linear, std=0.4)
    if ode.network is not None:  # strong enough that the tangent depends on the state
        for layer in ode.network:
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=0.6)
                torch.nn.init.normal_(layer.bias)
            else:
                torch.nn.init.constant_(layer.beta, 0.9)
    return ode.double().requires_grad_(False)


def quadratic() -> QuadraticODE:
    torch.manual_seed(1)
    made = QuadraticODE(CODE).double()
    torch.nn.init.normal_(made.coefficients, std=0.2)
    made.trust(torch.randn(20, CODE, dtype=torch.float64), 1.0)
    return made.requires_grad_(False)


def bundle(states: Tensor, tangents: Tensor) -> Tensor:
    """States with tangents behind them (sample, state, 1 + direction)."""
    return torch.cat([states.unsqueeze(-1), tangents], dim=-1)


def exact_jacobian(ode: Dynamics, states: Tensor, context: Tensor | None) -> Tensor:
    if context is None:
        return torch.func.vmap(torch.func.jacrev(ode.derivative))(states)
    return torch.stack([torch.func.jacrev(ode.derivative)(s, c) for s, c in zip(states, context, strict=True)])


def check(ode: Dynamics, randomly, context: Tensor | None = None) -> Tensor:
    """The push is the derivative, and its tangent the product with autograd's Jacobian."""
    states, tangents = randomly(CHARTS, ode.state_size), randomly(CHARTS, ode.state_size, 3)
    given = bundle(states, tangents)
    moved, jacobian = ode.push(given, context), exact_jacobian(ode, states, context)
    torch.testing.assert_close(moved[..., 0], ode.derivative(states, context), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(moved[..., 1:], jacobian @ tangents, rtol=1e-10, atol=1e-11)
    assert torch.equal(given, bundle(states, tangents))  # what it is given stays as it is
    # A state by itself, and with as many directions as it has entries.
    torch.testing.assert_close(ode.push(given[..., :1], context), moved[..., :1])
    eye = torch.eye(ode.state_size, dtype=torch.float64).expand(CHARTS, -1, -1)
    torch.testing.assert_close(ode.push(bundle(states, eye), context)[..., 1:], jacobian, rtol=1e-10, atol=1e-11)
    return jacobian


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("context", [0, 2])
def test_push_of_the_latent_ode(order, depth, context, randomly):
    ode = latent(order, depth, context)
    jacobian = check(ode, randomly, randomly(CHARTS, context) if context else None)
    # A deep network bends the flow: its tangent is not the same everywhere.
    assert ((jacobian - jacobian[:1]).abs().max() > 0.01) == (depth > 1)


def test_one_context_serves_all_charts(randomly):
    ode, given, context = latent(2, 2, 3), randomly(5, 8, 3), randomly(1, 3)
    torch.testing.assert_close(ode.push(given, context), ode.push(given, context.expand(5, -1)))


@pytest.mark.parametrize("make", [lambda: latent(2, 3), lambda: quadratic()])
def test_a_push_leaves_no_trace_for_gradients(make, randomly):
    ode = make()
    ode.requires_grad_(True)
    assert not ode.push(randomly(3, ode.state_size, 2)).requires_grad


def test_the_slope_of_swish_is_its_derivative():
    swish, x = Swish().double(), torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    swish(x).sum().backward()
    torch.testing.assert_close(swish.slope(x).detach(), x.grad)


@pytest.mark.parametrize("widths", [[5, 3], [5, 4, 3], [5, 4, 6, 3]])
def test_values_and_jacobian_of_a_network_by_its_first_inputs(widths, randomly):
    torch.manual_seed(0)
    network, inputs = swish_network(widths).double().requires_grad_(False), randomly(6, 5)
    for columns in (5, 2):
        value, jacobian = value_and_jacobian(network, inputs, columns)
        torch.testing.assert_close(value, network(inputs))
        torch.testing.assert_close(jacobian, torch.func.vmap(torch.func.jacrev(network))(inputs)[..., :columns])


@pytest.mark.parametrize("make", [lambda: latent(2, 3, 4), quadratic])
def test_the_tangent_flow_of_charts_is_the_derivative_of_their_flow(make, randomly):
    ode = make()
    nodes = torch.tensor([2.0, 2.3, 3.5], dtype=torch.float64)  # counted from the first one
    context = torch.rand(CHARTS, 4, dtype=torch.float64) + 0.5 if ode.context_size else None
    start, tangents = 0.5 * randomly(CHARTS, ode.state_size), randomly(CHARTS, ode.state_size, 2)
    states, turned = tangent_flow(ode, context, start, tangents, nodes, "rk4", 0.1)
    assert states.shape == (3, CHARTS, ode.state_size)
    assert turned.shape == (3, CHARTS, ode.state_size, 2)
    torch.testing.assert_close(turned[0], tangents)
    moved = lambda start: integrate(ode.bind(context), start, nodes - 2.0, "rk4", 0.1)  # noqa: E731
    torch.testing.assert_close(states, moved(start))
    step = 1e-6
    for direction in range(2):
        away = step * tangents[..., direction]
        slope = (moved(start + away) - moved(start - away)) / (2 * step)
        torch.testing.assert_close(turned[..., direction], slope, rtol=1e-6, atol=1e-7)
    # No chart sees another.
    for chart in range(CHARTS):
        own = None if context is None else context[chart, None]
        alone = tangent_flow(ode, own, start[chart, None], tangents[chart, None], nodes, "rk4", 0.1)
        torch.testing.assert_close(states[:, chart], alone[0][:, 0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(turned[:, chart], alone[1][:, 0], rtol=1e-12, atol=1e-12)


def test_one_node_moves_nothing(randomly):
    ode, start, tangents = latent(2, 2), randomly(3, 8), randomly(3, 8, 8)
    states, turned = tangent_flow(ode, None, start, tangents, torch.tensor([4.0]), "rk4", 1.0)
    assert torch.equal(states, start[None])
    assert torch.equal(turned, tangents[None])


def matrix_of(ode: LatentODE) -> Tensor:
    return ode.derivative(torch.eye(ode.state_size, dtype=torch.float64)).T


def whole(flow: Tensor) -> Tensor:
    """A matrix a mode (order, order, code) as one of the state."""
    return torch.cat([torch.cat([torch.diag(entry) for entry in row], dim=1) for row in flow])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("days", [[0.0, 0.3, 1.7], [1.7, 0.3, 1.7, 0.0], [0.4], [0.0], [2.0, 2.0], []])
def test_flows_of_modes_are_matrix_exponentials_in_any_order(order, days):
    ode = latent(order, 0)
    flows = mode_flows(ode, torch.tensor(days, dtype=torch.float64))
    assert flows.shape == (len(days), order, order, CODE)
    for flow, day in zip(flows, days, strict=True):
        torch.testing.assert_close(whole(flow), torch.linalg.matrix_exp(day * matrix_of(ode)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("more", [(), (1,), (5,), (4, 2)])
def test_products_by_modes_are_products_of_matrices(order, more, randomly):
    flow, x = randomly(order, order, CODE), randomly(3, order * CODE, *more)
    expected = torch.einsum("ij,cj...->ci...", whole(flow), x)
    torch.testing.assert_close(by_modes(flow, x), expected)
    backwards = torch.einsum("ji,cj...->ci...", whole(flow), x)
    torch.testing.assert_close(by_modes(flow.transpose(0, 1), x), backwards)


def test_flows_of_modes_are_the_limit_of_the_solver(randomly):
    ode, start, days = latent(2, 0), randomly(3, 8), torch.tensor([0.0, 0.7, 2.5], dtype=torch.float64)
    flows, eye = mode_flows(ode, days), torch.eye(8, dtype=torch.float64).expand(3, -1, -1)
    states = torch.stack([by_modes(flow, start) for flow in flows])
    torch.testing.assert_close(states, integrate(ode.bind(), start, days, "rk4", 0.02), rtol=1e-6, atol=1e-7)
    _, tangents = tangent_flow(ode, None, start, eye, days, "rk4", 0.02)
    turned = torch.stack([by_modes(flow, eye) for flow in flows])
    torch.testing.assert_close(turned, tangents, rtol=1e-6, atol=1e-7)
    # Exact for the dynamics of single precision too, which training leaves.
    coarse = mode_flows(latent(2, 0).float(), days.float())
    torch.testing.assert_close(coarse, flows.float())


@pytest.mark.parametrize(("method", "order"), [("midpoint", 2), ("rk4", 4)])
def test_order_of_convergence_of_tangents(method, order, randomly):
    """At nodes between the solver's steps too."""
    ode, start, nodes = latent(2, 2), randomly(1, 8), torch.tensor([0.0, 0.37, 1.9, 2.71], dtype=torch.float64)
    eye = torch.eye(8, dtype=torch.float64)[None]
    made = [tangent_flow(ode, None, start, eye, nodes, method, step)[1] for step in (0.2, 0.1, 0.005)]
    errors = [float((one - made[-1]).abs().max()) for one in made[:-1]]
    assert [a / b for a, b in itertools.pairwise(errors)] == pytest.approx([2**order], rel=0.3)
