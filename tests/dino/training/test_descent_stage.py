"""Descent on forecasts: its coordinates are alike, held-out forecasts gain, and its state is all that resumes it."""

import copy
import dataclasses

import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.dynamics import QuadraticODE, integrate
from dino.dynamics.quadratic import quadratic_features
from dino.model import LatentModel, LatentSpec
from dino.numerics.parallel import ALONE
from dino.training import collocation, descent_stage
from dino.training.descent_stage import DescentStage, WhitenedAdam, whitening_of

SIZE, FRAMES = 3, 9


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def truth():
    """Three modes of sizes 30 to 1 that exchange energy and turn."""
    ode = QuadraticODE(SIZE)
    a = ode.coefficients.data
    a[1, 1], a[2, 0], a[3, 3 - 1] = 0.3, -0.3, -0.05
    a[1 + SIZE + 1, 2] = 0.002  # the first two make the third
    return ode


def codes_of(ode, count, seed, error=0.0):
    start = torch.tensor([30.0, 10.0, 1.0]) * torch.randn(count, SIZE, generator=generator(seed))
    with torch.no_grad():
        paths = integrate(ode.bind(), start, torch.arange(float(FRAMES)), "rk4", 0.1).movedim(0, 1)
    paths = paths + error * torch.randn(paths.shape, generator=generator(seed + 1))
    persistence = torch.stack([(paths[:, k:] - paths[:, :-k]).square().sum(-1).mean() for k in range(1, FRAMES)])
    rest = torch.zeros(count, FRAMES, 1), torch.zeros(count, 0)
    return CodeSeries(paths, torch.eye(SIZE)[None], *rest, persistence, 1.0)


@pytest.fixture
def model(truth):
    config = DynamicsConfig(
        form="quadratic", order=1, horizons=[FRAMES - 1], descent_steps=60, descent_rate=3e-3, segments_per_step=400,
        step_days=0.25,
    )  # fmt: skip
    decoder = DecoderConfig(code_size=SIZE, hidden=4, layers=1)
    sizes = {"input_size": 2, "channels": 1, "interval_days": 1.0, "noise_variance": 0.01}
    made = LatentModel(LatentSpec(decoder=decoder, dynamics=config, data_digest="descent", **sizes))
    disturbed = truth.coefficients + 0.03 * truth.coefficients.abs() * torch.randn(10, SIZE, generator=generator(9))
    made.dynamics.coefficients.data.copy_(disturbed)
    return made


def test_every_direction_changes_a_one_interval_forecast_alike(model, truth, monkeypatch):
    monkeypatch.setattr(collocation, "INTERVALS_PER_UNKNOWN", 240)
    training = codes_of(truth, 300, 1)
    whitening = whitening_of(model, [training], ALONE).double()
    points = training.codes[:, :-1].flatten(0, 1)
    features = quadratic_features(points, model.dynamics.pairs).double()
    moved = features @ whitening  # by a unit change in each direction, for one output
    normal = moved.T @ moved / len(moved)
    # Between the start of an interval, at which this looks, and its mean the features change by a third.
    values = torch.linalg.eigvalsh(normal)
    assert values[0] > 0.5
    assert values[-1] < 2.0
    assert torch.linalg.cond(features.T @ features) > 1e6


def test_held_out_forecasts_gain(model, truth):
    training, held = codes_of(truth, 300, 1, error=0.05), codes_of(truth, 40, 5)
    stage = DescentStage(model, [training], held, model.spec.dynamics, generator())
    before = stage.validate()
    losses = [float(stage.step(index)) for index in range(stage.steps)]
    assert stage.validate() < 0.3 * before
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_stage_goes_on_from_its_state_to_the_bit(model, truth):
    training, held = codes_of(truth, 50, 1), codes_of(truth, 10, 5)

    def begin():
        return DescentStage(model, [training], held, model.spec.dynamics, generator())

    stage = begin()
    for index in range(3):
        stage.step(index)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    kept = stage.optimiser.state_dict(), stage.schedule.state_dict(), stage.generator.get_state()
    optimiser, schedule, chance = copy.deepcopy(kept)
    for index in range(3, 6):
        stage.step(index)
    expected = model.dynamics.coefficients.detach().clone()
    model.load_state_dict(weights)
    again = begin()
    again.optimiser.load_state_dict(optimiser)
    again.schedule.load_state_dict(schedule)
    again.generator.set_state(chance)
    for index in range(3, 6):
        again.step(index)
    assert torch.equal(model.dynamics.coefficients, expected)


def test_steps_are_those_of_adam_on_whitened_coordinates():
    weights = torch.nn.Parameter(torch.randn(4, 2, generator=generator()))
    start, whitening = weights.detach().clone(), torch.randn(4, 4, generator=generator(1))
    inner = torch.nn.Parameter(torch.zeros(4, 2))
    ours = WhitenedAdam(weights, 0.1)
    ours.whitening = whitening
    plain = torch.optim.Adam([inner], 0.1, betas=(0.9, 0.99))
    for _ in range(5):
        weights.grad = 2 * weights.detach()
        ours.step()
        plain.zero_grad()
        (start + whitening @ inner).square().sum().backward()
        plain.step()
        torch.testing.assert_close(weights.detach(), (start + whitening @ inner).detach())


def test_a_stage_that_goes_on_makes_no_whitening_of_its_own(model, truth, monkeypatch):
    training, held = codes_of(truth, 50, 1), codes_of(truth, 10, 5)
    stage = DescentStage(model, [training], held, model.spec.dynamics, generator())
    stage.step(0)
    state = copy.deepcopy(stage.optimiser.state_dict())
    again = DescentStage(model, [training], held, model.spec.dynamics, generator())
    again.optimiser.load_state_dict(state)
    monkeypatch.setattr("dino.training.descent_stage.whitening_of", None)
    again.step(1)
    assert torch.equal(again.optimiser.whitening, stage.optimiser.whitening)


def test_stores_are_drawn_by_their_shares(model, truth, monkeypatch):
    often, seldom = codes_of(truth, 20, 1), dataclasses.replace(codes_of(truth, 20, 3), share=0.0)
    stage = DescentStage(model, [seldom, often], codes_of(truth, 10, 5), model.spec.dynamics, generator())
    used = []
    from_store = descent_stage.segment_errors
    monkeypatch.setattr(
        descent_stage, "segment_errors", lambda m, store, *rest: used.append(store) or from_store(m, store, *rest)
    )
    for index in range(6):
        stage.step(index)
    assert all(store is often for store in used)
