"""The quadratic vector field: its formula, its derivatives, its convergence, and where it is not trusted."""

import math

import pytest
import torch

from dino.dynamics import QuadraticODE, integrate, tangent_flow
from dino.dynamics.quadratic import REACH, all_pairs, quadratic_features

SIZE = 3


@pytest.fixture
def ode():
    made = QuadraticODE(SIZE).double()
    made.coefficients.data.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    return made


def codes(count, scale=1.0):
    return scale * torch.randn(count, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_formula(ode, code):
    """c + A a + sum over i <= j of B_ij a_i a_j, one code at a time."""
    a, rows = code.tolist(), ode.coefficients.detach()
    out, row = rows[0].clone(), 1
    for i in range(SIZE):
        out, row = out + a[i] * rows[row], row + 1
    for i in range(SIZE):
        for j in range(i, SIZE):
            out, row = out + a[i] * a[j] * rows[row], row + 1
    assert row == ode.feature_count == 1 + SIZE + SIZE * (SIZE + 1) // 2
    return out


def test_derivative_is_the_formula(ode):
    points = codes(5)
    expected = torch.stack([by_formula(ode, point) for point in points])
    torch.testing.assert_close(ode.derivative(points), expected)
    torch.testing.assert_close(ode.bind()(torch.tensor(0.0), points[None])[0], expected)


@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
def test_push_agrees_with_finite_differences_and_autograd(ode, scale, randomly):
    """Inside the trusted ellipsoid, across its border and far out of it."""
    seen = codes(50)
    ode.trust(seen, 0.5)
    points = scale * randomly(7, SIZE)
    outside = float((points.abs() > ode.extent).double().mean())
    assert {0.1: outside == 0, 3.0: 0.2 < outside < 0.8, 300.0: outside > 0.9}[scale]
    step, eye = 1e-6 * scale, torch.eye(SIZE, dtype=torch.float64)
    with torch.no_grad():
        moved = ode.push(torch.cat([points.unsqueeze(-1), eye.expand(7, -1, -1)], dim=-1))
        slopes = [(ode.derivative(points + step * e) - ode.derivative(points - step * e)) / (2 * step) for e in eye]
    turned = moved[..., 1:]
    torch.testing.assert_close(moved[..., 0], ode.derivative(points))
    torch.testing.assert_close(turned, torch.stack(slopes, dim=-1), rtol=1e-5, atol=1e-7)
    exact = torch.func.vmap(torch.func.jacrev(ode.derivative))(points)
    torch.testing.assert_close(turned, exact)


def test_the_push_of_a_few_products_is_that_of_all_with_zeros(randomly):
    ode = QuadraticODE(4, products=5).double()
    ode.keep_products(torch.tensor([3.0, 0.1, 2.0, 1.0]))
    ode.coefficients.data.normal_(generator=torch.Generator().manual_seed(2))
    points, tangents = randomly(6, 4), randomly(6, 4, 3)
    turned = ode.push(torch.cat([points.unsqueeze(-1), tangents], dim=-1))[..., 1:]
    torch.testing.assert_close(turned, torch.func.vmap(torch.func.jacrev(ode.derivative))(points) @ tangents)


def test_the_tangent_flow_is_the_derivative_of_the_flow(ode):
    start, nodes = 0.5 * codes(2), torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    eye = torch.eye(SIZE, dtype=torch.float64)
    with torch.no_grad():
        states, jacobians = tangent_flow(ode, None, start, eye.expand(2, -1, -1), nodes, "rk4", 0.1)
        moved = 1e-5 * eye[:, None]
        there, back = (integrate(ode.bind(), start + sign * moved, nodes, "rk4", 0.1) for sign in (1, -1))
    torch.testing.assert_close(states, integrate(ode.bind(), start, nodes, "rk4", 0.1))
    torch.testing.assert_close(jacobians, ((there - back) / 2e-5).permute(0, 2, 3, 1), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("method", "order"), [("midpoint", 2), ("rk4", 4)])
def test_order_of_convergence_on_the_logistic_equation(method, order):
    """da/dt = a - a^2 has the solution 1 / (1 + (1 / a0 - 1) exp(-t))."""
    ode = QuadraticODE(1).double()
    ode.coefficients.data[:, 0] = torch.tensor([0.0, 1.0, -1.0])
    start, end = torch.tensor([[0.1]], dtype=torch.float64), torch.tensor([2.5], dtype=torch.float64)
    exact = 1 / (1 + 9 * math.exp(-2.5))
    errors = []
    for step in (0.1, 0.05):
        with torch.no_grad():
            errors.append(abs(float(integrate(ode.bind(), start, end, method, step)) - exact))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.25)


def test_trust_reaches_a_little_beyond_the_codes_mode_by_mode(ode):
    seen = codes(50) * torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)
    free = ode.derivative(seen)
    ode.trust(seen, interval=0.25)
    torch.testing.assert_close(ode.extent, REACH * seen.abs().amax(0))
    torch.testing.assert_close(ode.derivative(seen), free)
    outside = seen[0].clone()
    outside[2] = 5.0  # an ordinary size for the first mode
    inside = outside.clone()
    inside[2] = ode.extent[2]
    pull = torch.zeros(SIZE, dtype=torch.float64)
    pull[2] = (ode.extent[2] - 5.0) / 0.25
    torch.testing.assert_close(ode.derivative(outside), ode.derivative(inside) + pull)


@pytest.mark.parametrize("seed", range(3))
def test_every_trajectory_of_a_trusted_form_stays_near_what_it_was_fitted_to(seed):
    """Whatever the coefficients: at the border the form pushes by a bounded rate, and the pull answers."""
    ode = QuadraticODE(SIZE).double()
    ode.coefficients.data.normal_(generator=torch.Generator().manual_seed(seed))
    seen, times = codes(50), torch.linspace(0, 30, 11, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.isfinite(integrate(ode.bind(), seen, times, "rk4", 0.05)).all()
        ode.trust(seen, 1.0)
        grid = torch.cartesian_prod(*[torch.linspace(-float(e), float(e), 21).double() for e in ode.extent])
        fastest = ode.derivative(grid).abs().amax(0)
        assert (
            integrate(ode.bind(), seen, times, "rk4", 0.05).abs().amax((0, 1)) <= 1.05 * (ode.extent + fastest)
        ).all()


def test_a_mode_that_never_moved_is_held_still(ode):
    seen = codes(50)
    seen[:, 1] = 0
    ode.trust(seen, 1.0)
    assert 0 < ode.extent[1] < 1e-5
    assert torch.isfinite(ode.derivative(10 * codes(5))).all()


def test_the_largest_products_are_kept():
    ode = QuadraticODE(4, products=5)
    ode.keep_products(torch.tensor([3.0, 0.1, 2.0, 1.0]))
    # 9 (0, 0), 6 (0, 2), 4 (2, 2), 3 (0, 3), 2 (2, 3); then 1 (3, 3) and those of the second mode.
    assert ode.pairs.T.tolist() == [[0, 0], [0, 2], [0, 3], [2, 2], [2, 3]]
    assert ode.feature_count == 1 + 4 + 5
    assert ode.coefficients.shape == (10, 4)


def test_what_is_not_kept_has_no_effect():
    full, few = QuadraticODE(SIZE).double(), QuadraticODE(SIZE, products=2).double()
    spread = torch.tensor([5.0, 1.0, 0.1], dtype=torch.float64)
    few.keep_products(spread)
    few.coefficients.data.normal_(generator=torch.Generator().manual_seed(3))
    every = all_pairs(SIZE).T.tolist()
    full.coefficients.data[: 1 + SIZE] = few.coefficients.data[: 1 + SIZE]
    for row, pair in enumerate(few.pairs.T.tolist()):
        full.coefficients.data[1 + SIZE + every.index(pair)] = few.coefficients.data[1 + SIZE + row]
    points = codes(5)
    torch.testing.assert_close(few.derivative(points), full.derivative(points))
    assert quadratic_features(points, few.pairs).shape == (5, 1 + SIZE + 2)
