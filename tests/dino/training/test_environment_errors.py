"""Errors of observation apart from those of the model, environments' own noise, and the caution of posteriors."""

import numpy as np
import pytest
import torch

from dino.dynamics.primitives import Primitives
from dino.inference.family import ALIKE, Family, Prior
from dino.inference.transitions import Frames
from dino.space.harmonics import NoSpace
from dino.training.environment_errors import inverse_trigamma, own_noise, stretch, with_noise

DECAY = torch.tensor([[-0.1]], dtype=torch.float64)


def decaying(*, observed: float, model: float, trajectories: int = 60, frames: int = 20) -> tuple[Family, Frames]:
    """du/dt = -0.1 u with noise in every step and errors in every value, and the family that made it."""
    chance, states = np.random.default_rng(0), [np.ones(trajectories)]
    for _ in range(frames - 1):
        states.append(np.exp(-0.1) * states[-1] + model * chance.normal(size=trajectories))
    seen = np.stack(states, 1) + observed * chance.normal(size=(trajectories, frames))
    primitives = Primitives(NoSpace(("u",)), ["u: u"])
    noise = torch.full((1, 1), model**2 + observed**2 * (1 + np.exp(-0.2)), dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    family = Family(primitives, Prior(-0.1 * one, one[:, None], 0 * one), noise, noise, 2, 1.0)
    return family, Frames(torch.tensor(seen)[:, None, :, None, None], torch.arange(frames).double())


@pytest.mark.parametrize(("observed", "model"), [(0.05, 0.0), (0.0, 0.05), (0.05, 0.05)])
def test_errors_of_observation_and_of_the_model_are_told_apart(observed, model):
    family, frames = decaying(observed=observed, model=model)
    made = with_noise(family, DECAY.expand(len(frames.states), -1), frames)
    assert made.observed is not None
    assert made.model is not None
    assert float(made.observed.sqrt()) == pytest.approx(observed, rel=0.15, abs=0.01)
    assert float(made.model.sqrt()) == pytest.approx(model, rel=0.2, abs=0.02)
    assert made.seen == pytest.approx(observed**2 * (1 + np.exp(-0.2)), rel=0.3, abs=1e-4)


def test_degrees_of_freedom_of_own_noise_are_found():
    """Variances drawn from a scaled inverse chi-square distribution, each seen through 20 transitions."""
    chance = np.random.default_rng(1)
    variance = 3.0 * 4 / chance.chisquare(4, 2000)
    typical, freedom = own_noise(torch.tensor(variance * chance.chisquare(20, 2000) / 20), 20)
    assert typical == pytest.approx(3.0, rel=0.1)
    assert freedom == pytest.approx(4.0, rel=0.2)
    _, alike = own_noise(torch.tensor(0.9 + 0.2 * chance.random(50)), 20)
    assert alike == ALIKE


@pytest.mark.parametrize("argument", [0.01, 0.3, 2.0, 50.0])
def test_the_inverse_of_the_trigamma_function(argument):
    value = float(torch.special.polygamma(1, torch.tensor(argument, dtype=torch.float64)))
    assert inverse_trigamma(value) == pytest.approx(argument, rel=1e-6)


def test_estimates_with_the_errors_they_tell_want_no_caution_and_a_common_error_does():
    """Means of four values with errors of one against those of sixteen, under a wide prior."""
    chance = torch.Generator().manual_seed(0)
    values = torch.randn(500, 4, 4, generator=chance, dtype=torch.float64)
    alone, whole = values.mean(2), values.mean((1, 2))
    away = (alone - whole[:, None]).reshape(-1, 1)
    one, every = torch.full((2000, 1, 1), 4.0).double() * 1e6, torch.full((2000, 1, 1), 16.0).double() * 1e6
    root = torch.full((1, 1), 1e3, dtype=torch.float64)
    assert float(stretch(away, one, every, root)) == pytest.approx(1.0, rel=0.1)
    # Off by three for everyone: six standard deviations of such a mean, most of it at the 90 % quantile.
    assert 3 < float(stretch(away + 3, one, every, root)) < 6
