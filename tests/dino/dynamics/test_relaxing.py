"""Codes that relax: their flow, and the noise that keeps the population as it is."""

import pytest
import torch

from dino.dynamics import RelaxingODE, integrate, mode_flows


@pytest.fixture
def dynamics():
    made = RelaxingODE(3).double()
    made.days.copy_(torch.tensor([2.0, 10.0, 80.0]))
    return made


def test_its_flow_is_exponential(dynamics):
    days = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    expected = torch.exp(-days[:, None] / dynamics.days)
    torch.testing.assert_close(mode_flows(dynamics, days)[:, 0, 0], expected)
    start = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(integrate(dynamics.bind(), start, days, "rk4", 0.1)[:, 0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("days", [0.1, 0.5, 1.0, 2.0, 7.0])
def test_its_noise_keeps_the_population(dynamics, days):
    population = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    daily = torch.diag(population * dynamics.lost(torch.ones(1))[0])
    flow = torch.diag(torch.exp(-days / dynamics.days))
    kept = flow @ torch.diag(population) @ flow + dynamics.noise(daily, days)
    torch.testing.assert_close(kept, torch.diag(population))


def test_pace_and_decay(dynamics):
    before = dynamics.days.clone()
    dynamics.change_pace(2.0)
    torch.testing.assert_close(dynamics.days, before / 2)
    dynamics.damp(0.1)
    torch.testing.assert_close(1 / dynamics.days, 2 / before + 0.1)
