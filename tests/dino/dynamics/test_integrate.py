"""Integration: against the matrix exponential, in every order of times, and what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.dynamics import check_finite, integrate
from dino.errors import NonFiniteError

SIZE = 4
MATRIX = 0.5 * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
START = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def linear(time, state):
    return state @ MATRIX.T


def exact(times):
    return torch.stack([START @ torch.linalg.matrix_exp(float(t) * MATRIX).T for t in times])


def error(method, step, times=(3.0,)):
    times = torch.tensor(times, dtype=torch.float64)
    return float((integrate(linear, START, times, method, step) - exact(times)).abs().max())


@pytest.mark.parametrize(("method", "order"), [("midpoint", 2), ("rk4", 4)])
@pytest.mark.parametrize("times", [(3.0,), (0.37, 1.9, 2.71)])
def test_order_of_convergence(method, order, times):
    """At moments between the steps too: an interpolated state would be of second order there."""
    coarse, fine = error(method, 0.1, times), error(method, 0.05, times)
    assert coarse / fine == pytest.approx(2**order, rel=0.25)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3).map(lambda t: round(t, 2)), min_size=1, max_size=8))
def test_times_in_any_order_and_repeated(times):
    states = integrate(linear, START, torch.tensor(times, dtype=torch.float64), "rk4", 0.05)
    assert states.shape == (len(times), 3, SIZE)
    torch.testing.assert_close(states, exact(times), atol=1e-6, rtol=1e-6)


def test_the_start_itself():
    assert torch.equal(integrate(linear, START, torch.zeros(2)), START.expand(2, -1, -1))
    states = integrate(linear, START, torch.tensor([2.0, 0.0]))
    assert torch.equal(states[1], START)


def test_steps_are_no_longer_than_asked():
    """Two evaluations a step: the first at its start."""
    seen = []

    def record(time, state):
        seen.append(float(time))
        return torch.zeros_like(state)

    integrate(record, START, torch.tensor([0.25, 2.0]), "midpoint", 0.5)
    torch.testing.assert_close(torch.tensor(seen[::2]), torch.tensor([0.0, 0.25, 0.6875, 1.125, 1.5625]))
    torch.testing.assert_close(torch.tensor(seen[1:4:2]), torch.tensor([0.125, 0.46875]))


@pytest.mark.parametrize(("time", "steps"), [(1.0, 10), (0.3, 3), (0.7, 7), (0.31, 4)])
def test_whole_steps_take_no_extra_one(time, steps):
    """Rounding in float32 (0.3 is 0.30000001) must not add a step."""
    calls = []

    def count(time, state):
        calls.append(1)
        return torch.zeros_like(state)

    integrate(count, START.float(), torch.tensor([time]), "midpoint", 0.1)
    assert len(calls) == 2 * steps


def test_gradients_flow_to_the_start():
    start = START.clone().requires_grad_()
    integrate(linear, start, torch.tensor([1.0], dtype=torch.float64), "rk4", 0.1).sum().backward()
    expected = torch.linalg.matrix_exp(MATRIX).sum(0).expand(3, -1)
    torch.testing.assert_close(start.grad, expected, atol=1e-5, rtol=1e-5)


def test_times_before_the_start_are_refused():
    with pytest.raises(ValueError, match="before the initial state"):
        integrate(linear, START, torch.tensor([1.0, -0.5]))


def test_a_state_that_leaves_the_numbers_is_named():
    times = torch.tensor([1.0, 2.0, 3.0])

    def explode(time, state):
        push = torch.zeros_like(state)
        push[1] = torch.where(time > 1.5, torch.inf, 0.0)
        return push

    states = integrate(explode, torch.zeros(3, SIZE), times, "rk4", 1.0)
    with pytest.raises(NonFiniteError, match="sample 1 is not finite at 2 days"):
        check_finite(states, times)
    assert check_finite(states[:1], times[:1]) is not None
    with pytest.raises(NonFiniteError, match="sample 0 is not finite at 3 days"):
        check_finite(torch.tensor([[0.0], [0.0], [torch.nan]]), times)
