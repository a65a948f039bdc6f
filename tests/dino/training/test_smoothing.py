"""Smoothing along trajectories against the dense solution of the same problem, and codes of moved fields."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.decoders import decode
from dino.domain import PeriodicBox
from dino.dynamics import QuadraticODE
from dino.gridmap import GridMap
from dino.model import ChannelSpec, ModelSpec, OceanModel
from dino.training.smoothing import Smoother, information_of_a_map, moves_of_codes
from dino.training.symmetries import Move, Symmetry

SIZE, LENGTH, SERIES, INTERVAL = 3, 5, 70, 0.5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def positive(scale, seed):
    root = torch.randn(SIZE, SIZE, dtype=torch.float64, generator=generator(seed))
    return scale * (root @ root.T / SIZE + 0.3 * torch.eye(SIZE, dtype=torch.float64))


@pytest.fixture
def linear():
    ode = QuadraticODE(SIZE)
    ode.coefficients.data[1 : 1 + SIZE] = torch.tensor([[-0.2, 1.0, 0.0], [-1.0, -0.2, 0.3], [0.0, 0.1, -0.4]])
    ode.coefficients.data[0] = torch.tensor([0.1, 0.0, -0.2])
    return ode


def test_one_step_on_linear_dynamics_is_the_dense_solution(linear):
    information, prior, noise = positive(5.0, 1), positive(1.0, 2), positive(0.1, 3)
    smoother = Smoother(linear, information, prior, INTERVAL, INTERVAL / 8)
    seen = torch.randn(SERIES, LENGTH, SIZE, generator=generator(4))
    start = torch.randn(SERIES, LENGTH, SIZE, generator=generator(5))
    made = smoother.smooth(seen, start, noise)
    flow, jacobian = smoother.flow(torch.zeros(1, SIZE))
    step, push = jacobian[0].double(), flow[0].double()
    # Rows of the whole least-squares problem: the start, every map, every interval.
    eye = torch.eye(LENGTH, dtype=torch.float64)
    advance = torch.kron(eye[1:], torch.eye(SIZE).double()) - torch.kron(eye[:-1].contiguous(), step.contiguous())
    weight = torch.linalg.inv(noise)
    weights = torch.block_diag(*[weight] * (LENGTH - 1))
    normal = torch.block_diag(*[information] * LENGTH) + advance.T @ weights @ advance
    normal[:SIZE, :SIZE] += prior
    right = (seen.double() @ (information + prior)).flatten(1)
    right = right + (weight @ push).repeat(LENGTH - 1) @ advance
    expected = torch.linalg.solve(normal, right.T).T.unflatten(1, (LENGTH, SIZE))
    torch.testing.assert_close(made.double(), expected, rtol=1e-4, atol=1e-5)


def noisy_trajectories(ode, noise, error, count):
    """True codes with random jumps, and what single maps of error variance `error` give of them (prior variance 1)."""
    smoother = Smoother(ode, torch.eye(SIZE) / error, torch.eye(SIZE), INTERVAL, INTERVAL / 8)
    truth = [torch.randn(count, SIZE, generator=generator(6))]
    root = torch.linalg.cholesky(noise).float()
    for time in range(LENGTH - 1):
        jump = torch.randn(count, SIZE, generator=generator(7 + time)) @ root.T
        truth.append(smoother.flow(truth[-1])[0] + jump)
    truth = torch.stack(truth, 1)
    seen = truth + error**0.5 * torch.randn(truth.shape, generator=generator(20))
    return truth, seen / (1 + error)


def test_the_error_of_the_flow_is_found_and_codes_gain(linear):
    noise, error = positive(0.02, 3), 0.05
    truth, seen = noisy_trajectories(linear, noise, error, 2000)
    double = torch.eye(SIZE, dtype=torch.float64)
    smoother = Smoother(linear, double / error, double, INTERVAL, INTERVAL / 8)
    found = smoother.noise(seen, seen)
    assert (found - noise).norm() < 0.5 * noise.norm()
    made = smoother.smooth(seen, seen, noise)
    assert (made - truth).square().mean() < 0.6 * (seen - truth).square().mean()


def test_nonlinear_steps_converge():
    ode = QuadraticODE(SIZE)
    ode.coefficients.data.normal_(std=0.2, generator=generator(1))
    noise, error = positive(1e-3, 3), 0.05
    double = torch.eye(SIZE, dtype=torch.float64)
    truth, seen = noisy_trajectories(ode, noise, error, 200)
    smoother = Smoother(ode, double / error, double, INTERVAL, INTERVAL / 8)
    codes, moved = seen, []
    for _ in range(4):
        after = smoother.smooth(seen, codes, noise)
        moved.append((after - codes).detach().square().mean())
        codes = after
    assert moved[-1] < 1e-6 * moved[0]
    assert (codes - truth).square().mean() < 0.5 * (seen - truth).square().mean()


@pytest.fixture
def model():
    torch.manual_seed(0)
    box = PeriodicBox(length_km=(100.0, 100.0))
    degrees = (np.arange(12) / 12 - 0.5) * box.period_degrees[0]
    spec = ModelSpec(
        channels=[ChannelSpec(name="a", units="1", spread=1.0), ChannelSpec(name="b", units="1", spread=1.0)],
        decoder=DecoderConfig(code_size=6, hidden=16, layers=1, scale=2.0),
        dynamics=DynamicsConfig(form="quadratic", order=1),
        charts=[box], amplitude=[1.0], tiled=False, interval_days=1.0, noise_variance=0.04, data_digest="",
    )  # fmt: skip
    return OceanModel(spec, GridMap(degrees, degrees, np.zeros((2, 12, 12))))


def test_moved_codes_are_the_best_fit_of_the_moved_field(model):
    """Of the moved field there is no better code; a move that changes nothing gives the codes back."""
    codes = torch.randn(4, 6, generator=generator())
    still = Move((), np.ones(2))
    turn = Move(((Symmetry(swap=True, shift=(0.25, 0.0)), 0.0),), np.array([1.0, -1.0]))
    maps = list(moves_of_codes(model, (still, turn)))
    torch.testing.assert_close(codes @ maps[0][0] + maps[0][1], codes, rtol=1e-3, atol=1e-3)
    made = codes @ maps[1][0] + maps[1][1]
    longitude, latitude = model.background.cells()
    field = decode(model.decoder, model.coordinates(0, longitude, latitude), codes) * torch.tensor([1.0, -1.0])
    places = torch.as_tensor(turn.coordinates(model.cover.charts[0], longitude, latitude)).float()

    def misfit(those):
        return (decode(model.decoder, places, those) - field).square().flatten(1).sum(1)

    nudges = 1e-2 * torch.randn(20, 4, 6, generator=generator(1))
    assert all((misfit(made + nudge) > misfit(made)).all() for nudge in nudges)


def test_information_is_the_precision_that_a_map_adds(model):
    longitude, latitude = model.background.cells()
    coordinates = model.coordinates(0, longitude, latitude)[:20]
    series = SimpleNamespace(coordinates=coordinates)
    basis = model.decoder.linearise(coordinates, torch.zeros(1, 6))
    rows = basis.modes.flatten(0, 1).double()
    torch.testing.assert_close(information_of_a_map(model, series), sum(torch.outer(r, r) for r in rows) / 0.04)
