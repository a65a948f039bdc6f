"""Codes that push each other: their flow, exactly and at once, and noise that keeps a population as it is."""

import pytest
import torch

from dino.dynamics import CoupledODE, integrate, tangent_flow


@pytest.fixture
def dynamics():
    made = CoupledODE(3).double()
    made.generator.copy_(torch.tensor([[-0.2, 0.7, 0.0], [-0.7, -0.2, 0.1], [0.0, 0.0, -0.05]]))
    return made


def test_its_flow_is_that_of_its_equation(dynamics):
    days = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    start = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    expected = integrate(dynamics.bind(), start, days, "rk4", 0.02)
    torch.testing.assert_close((dynamics.flows(days) @ start[0])[:, None], expected, atol=1e-6, rtol=0)
    tangents = torch.eye(3, dtype=torch.float64)[None]
    states, moved = tangent_flow(dynamics, None, start, tangents, days + 4.0, "rk4", 1.0)
    torch.testing.assert_close(states, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved[:, 0], dynamics.flows(days))


@pytest.mark.parametrize("days", [0.1, 0.5, 1.0, 2.0, 7.0])
def test_its_noise_keeps_the_population(dynamics, days):
    population = torch.diag(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))
    flow = dynamics.flows(torch.ones(1))[0]
    daily = population - flow @ population @ flow.mT
    torch.testing.assert_close(dynamics.stationary(daily), population)
    flow = dynamics.flows(torch.tensor([days]))[0]
    torch.testing.assert_close(flow @ population @ flow.mT + dynamics.noise(daily, days), population)


def test_its_derivative_pace_and_decay(dynamics):
    state = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    bundle = torch.stack([state, 2 * state], dim=-1)
    torch.testing.assert_close(dynamics.push(bundle)[..., 0], dynamics.derivative(state))
    torch.testing.assert_close(dynamics.push(bundle)[..., 1], 2 * dynamics.derivative(state))
    before = dynamics.generator.clone()
    dynamics.change_pace(2.0)
    dynamics.damp(0.1)
    torch.testing.assert_close(dynamics.generator, 2 * before - 0.1 * torch.eye(3, dtype=torch.float64))
