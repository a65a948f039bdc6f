"""Forecasts of many physics: any times, ensembles, what is done where a forecast leaves the numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.dynamics.primitives import Primitives
from dino.forecasts.rollout import Rollout, closure, drawn, roll, spread_of
from dino.inference.family import Family, Posterior, Prior
from dino.space.harmonics import Harmonics, NoSpace

BOX = Harmonics(("u",), (5.0,), (12,))
FAR = torch.full((1,), 1e6, dtype=torch.float64)


def rollout(modes, terms, theta, states, *, noise: float = 0.0, spread: float = 0.0, time: float = 0.0) -> Rollout:
    """Coefficients (environment, term) with independent errors of one size; states (trajectory, block, channel)."""
    primitives, mean = Primitives(modes, terms), torch.tensor(theta, dtype=torch.float64)
    variance = torch.full((modes.blocks, len(modes.channels)), noise, dtype=torch.float64)
    identity = torch.eye(len(terms), dtype=torch.float64)
    prior = Prior(torch.zeros_like(mean[0]), identity, torch.zeros(len(terms)))
    family = Family(primitives, prior, variance, variance, 4, 0.2)
    # The factor of a precision; without spread one so large that nothing is left to draw.
    factor = (identity / max(spread, 1e-150)).expand(len(mean), -1, -1)
    posterior = Posterior(prior, mean, factor, torch.ones(len(mean), dtype=torch.float64))
    return Rollout(family, posterior, np.arange(len(states)) % len(mean), states, time)


def waves(trajectories: int = 2) -> torch.Tensor:
    x = torch.arange(12).double() * 2 * math.pi / 12
    fields = [0.3 * torch.cos(x + number) + 0.2 * torch.sin(2 * x) for number in range(trajectories)]
    return BOX.encode(torch.stack(fields)[:, None])


def test_irregular_times_are_those_of_regular_ones():
    start = rollout(BOX, ["u: dx(u**2)", "u: dxx(u)"], [[-0.5, 0.1], [0.4, 0.2]], waves(), time=3.0)
    regular = roll(start, 3.0 + 0.2 * np.arange(11), FAR)
    odd = roll(start, np.array([3.0, 3.07, 3.2, 3.9, 4.0, 4.611, 5.0]), FAR)
    torch.testing.assert_close(odd[:, 0], start.states)
    torch.testing.assert_close(odd[:, [2, 4, 6]], regular[:, [1, 5, 10]], atol=1e-6, rtol=0)


def test_a_forcing_is_taken_at_the_times_of_the_forecast():
    start = rollout(NoSpace(("u",)), ["u: t**2"], [[1.0]], torch.zeros(1, 1, 1, dtype=torch.float64), time=7.0)
    made = roll(start, np.array([7.5, 9.0]), FAR).flatten()
    torch.testing.assert_close(made, torch.tensor([(7.5**3 - 7**3) / 3, (9.0**3 - 7**3) / 3], dtype=torch.float64))


def test_each_trajectory_has_the_coefficients_of_its_environment():
    start = rollout(NoSpace(("u",)), ["u: u"], [[-1.0], [0.5]], torch.ones(3, 1, 1, dtype=torch.float64))
    made = roll(replace(start, place=np.array([1, 0, 1])), np.array([1.0]), FAR).flatten()
    torch.testing.assert_close(made, torch.tensor([0.5, -1.0, 0.5], dtype=torch.float64).exp())


def test_the_spread_is_that_of_the_coefficients():
    """u = exp(theta t): the spread of the ensemble grows with that of theta and with time, as in closed form."""
    ones, times = torch.ones(1, 1, 1, dtype=torch.float64), np.array([1.0, 2.0])
    widths = []
    for spread in (0.01, 0.02, 0.04):
        start = rollout(NoSpace(("u",)), ["u: u"], [[-1.0]], ones, spread=spread)
        widths.append(spread_of(start, times, (), 400, 0, FAR).flatten())
    for spread, width in zip((0.01, 0.02, 0.04), widths, strict=True):
        truth = torch.tensor([spread * math.exp(-1.0), 2 * spread * math.exp(-2.0)], dtype=torch.float64)
        torch.testing.assert_close(width, truth, rtol=0.12, atol=0)
    assert torch.equal(widths[0], spread_of(replace_spread(ones), times, (), 400, 0, FAR).flatten())


def replace_spread(ones: torch.Tensor) -> Rollout:
    return rollout(NoSpace(("u",)), ["u: u"], [[-1.0]], ones, spread=0.01)


def test_a_small_spread_of_large_values_is_not_lost_to_rounding():
    large = torch.full((1, 1, 1), 1e9, dtype=torch.float64)
    start = rollout(NoSpace(("u",)), ["u: 1"], [[0.0]], large, spread=1.0)
    width = float(spread_of(start, np.array([1e-3]), (), 400, 0, torch.full((1,), 1e20, dtype=torch.float64)))
    assert width == pytest.approx(1e-3, rel=0.12)


@pytest.mark.parametrize(
    "modes", [BOX, Harmonics(("u",), (3.0, 5.0), (6, 8), 1), Harmonics(("u",), (3.0, 5.0), (7, 9))]
)
def test_noise_of_all_waves_has_its_variance_in_the_fields(modes):
    """The mean square of the fields is that of the waves, those that have no mirror included."""
    count = 4000
    states = torch.zeros(count, modes.blocks, 1, dtype=torch.complex128)
    start = rollout(modes, ["u: u"], [[0.0]], states, noise=1.0)
    made = drawn(start.family, start, 2.0, states[:, None], torch.Generator().manual_seed(0))[:, 0]
    torch.testing.assert_close(made.abs().square().mean(0), torch.full_like(made[0].real, 2.0), rtol=0.15, atol=0)
    assert float(modes.decode(made).square().mean()) == pytest.approx(2 * float(modes.weights.sum()), rel=0.05)
    torch.testing.assert_close(modes.encode(modes.decode(made)), made)


def test_a_forecast_that_leaves_the_numbers_stays_finite():
    """Growth without bound in one environment does not touch the other."""
    start = rollout(NoSpace(("u",)), ["u: u**2"], [[1.0], [-1.0]], torch.ones(2, 1, 1, dtype=torch.float64))
    made = roll(start, np.array([0.5, 2.0, 3.0]), torch.ones(1, dtype=torch.float64))
    assert bool(torch.isfinite(made).all())
    torch.testing.assert_close(made[1].flatten(), 1 / (1 + torch.tensor([0.5, 2.0, 3.0]).double()), rtol=1e-4, atol=0)
    assert float(made[0].abs().max()) <= 10


def test_a_closure_damps_the_shortest_waves_alone():
    damping = closure(Harmonics(("u",), (5.0,), (32,)), 3.0)
    assert float(damping[-1]) == pytest.approx(3.0)
    assert float(damping[5]) < 1e-3
