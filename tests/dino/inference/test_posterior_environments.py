"""The posterior of an environment: against dense regression where the map is linear, and its coverage."""

import math
from dataclasses import replace

import numpy as np
import torch

from dino.dynamics.primitives import Primitives
from dino.inference.environments import adapt
from dino.inference.family import Family, Prior
from dino.inference.own_noise import left_by
from dino.inference.transitions import Frames, flow, weak_form
from dino.space.harmonics import Harmonics, NoSpace

BOX = Harmonics(("u",), (5.0,), (10,))


def family_of(primitives, mean, spread, noise: float, interval: float) -> Family:
    variance = torch.full((primitives.modes.blocks, len(primitives.modes.channels)), noise, dtype=torch.float64)
    prior = Prior(
        torch.tensor(mean, dtype=torch.float64),
        torch.diag(torch.tensor(spread, dtype=torch.float64)),
        torch.zeros(len(mean)),
    )
    return Family(primitives, prior, variance, variance, 1, interval)


def frames_of(primitives, theta, interval: float, count: int, trajectories: int = 3, size: float = 1.0) -> Frames:
    """Exact frames of environments with coefficients (environment, term)."""
    modes, chance = primitives.modes, torch.Generator().manual_seed(1)
    theta = torch.as_tensor(theta, dtype=torch.float64)
    shape = (len(theta), trajectories, len(modes.channels), *modes.sizes)
    states = [modes.encode(1 + size * torch.randn(shape, dtype=torch.float64, generator=chance))]
    for number in range(count - 1):
        time = torch.full((trajectories,), number * interval, dtype=torch.float64)
        states.append(flow(primitives, theta, states[-1], time, interval, 16, None))
    return Frames(torch.stack(states, 2), interval * torch.arange(count).double())


def dense(family: Family, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of Bayesian linear regression of increments on integrals, in real numbers."""
    increments, integrals = weak_form(family.primitives, frames)
    # A complex wave stands for two real ones, with half of its variance each.
    scale = (family.primitives.modes.weights[:, None] / family.weak_noise).sqrt()
    rows = torch.view_as_real((integrals[:, 0] * scale).resolve_conj()).flatten(1).T.numpy()
    target = torch.view_as_real((increments[0] * scale).resolve_conj()).flatten().numpy()
    precision = np.linalg.inv((family.prior.root @ family.prior.root.T).numpy())
    covariance = np.linalg.inv(rows.T @ rows + precision)
    return covariance @ (rows.T @ target + precision @ family.prior.mean.numpy()), covariance


def test_one_solve_is_dense_bayesian_regression():
    """Noise so large that all transitions have a like trust; the prior decides about half."""
    primitives = Primitives(BOX, ["u: dxx(u)", "u: u", "u: 1"])
    frames = frames_of(primitives, [[0.3, 0.5, 0.0]], 0.01, 6)
    family = family_of(primitives, [0.1, 0.0, 0.2], [0.2, 0.3, 0.1], 1.0, 0.01)
    made = adapt(family, frames, 0)
    # With residuals far below the noise Student's trust is the same for all: (freedom + values) / freedom.
    values = 2 * BOX.blocks
    freedom = max(4.0, 0.1 * values)
    tempered = replace(family, weak_noise=family.weak_noise * freedom / (freedom + values))
    mean, covariance = dense(tempered, frames)
    np.testing.assert_allclose(made.mean[0], mean, rtol=2e-4)
    np.testing.assert_allclose(made.covariance[0], covariance, rtol=2e-3, atol=1e-9)


def test_without_noise_to_speak_of_the_truth_is_found_whatever_the_prior():
    primitives = Primitives(BOX, ["u: dxx(u)", "u: dx(u**2)"])
    truth = torch.tensor([[0.3, -0.5], [0.1, 0.4]], dtype=torch.float64)
    frames = frames_of(primitives, truth, 0.05, 8, size=0.3)
    family = replace(family_of(primitives, [0.2, 0.0], [0.3, 0.7], 1e-12, 0.05), steps=8)
    made = adapt(family, frames, 8)
    torch.testing.assert_close(made.mean, truth, atol=1e-6, rtol=0)
    assert float(left_by(family, made.mean, frames).share.max()) < 1e-8


def test_posteriors_cover_the_truth():
    """Noisy next frames, forty times: errors over standard deviations are neither large nor small."""
    primitives = Primitives(NoSpace(("u", "v")), ["u: v", "v: u"])
    truth, noise = torch.tensor([[1.0, -1.5]], dtype=torch.float64).expand(40, -1), 1e-4
    frames = frames_of(primitives, truth, 0.3, 2, trajectories=12)
    chance = torch.Generator().manual_seed(7)
    states = frames.states.clone()
    states[:, :, 1] += math.sqrt(noise) * torch.randn(states[:, :, 1].shape, dtype=torch.float64, generator=chance)
    family = family_of(primitives, [0.5, -1.0], [1.0, 1.0], noise, 0.3)
    made = adapt(family, replace(frames, states=states), 6)
    spread = made.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    ratio = float(((made.mean - truth) / spread).square().mean().sqrt())
    assert 0.6 < ratio < 1.5
    # The same data with twenty times the trajectories narrow the posterior as they should.
    many = frames_of(primitives, truth[:1], 0.3, 2, trajectories=240)
    narrow = adapt(family, many, 6).covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    assert 3.5 < float((spread.mean(0) / narrow).mean()) < 6


def test_what_another_equation_made_stays_unexplained():
    primitives = Primitives(BOX, ["u: dxx(u)", "u: dx(u)"])
    other = Primitives(BOX, ["u: dxx(u)", "u: dx(u)", "u: u**2"])
    frames = frames_of(other, [[0.1, 1.0, 0.0], [0.1, 1.0, 1.0]], 0.05, 8, size=0.3)
    family = family_of(primitives, [0.0, 0.0], [1.0, 1.0], 1e-6, 0.05)
    left = left_by(family, adapt(family, frames).mean, frames).share
    assert float(left[0]) < 1e-6 < 1e-2 < float(left[1])
