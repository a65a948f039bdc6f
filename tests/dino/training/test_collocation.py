"""The quadratic fit against a quadratic system that is known, and what it does when data cannot determine one."""

import pytest
import torch

from data_pipeline.system.progress import silent
from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.dynamics import QuadraticODE, integrate
from dino.dynamics.quadratic import all_pairs, quadratic_features
from dino.errors import EmptyDataError, NonFiniteError
from dino.model import LatentModel, LatentSpec
from dino.training import collocation
from dino.training.collocation import fit_quadratic
from dino.training.normal_equations import NormalEquations

SIZE, INTERVAL = 4, 0.5
PAIRS = all_pairs(SIZE)
FEATURES = 1 + SIZE + PAIRS.shape[1]


def known_system() -> QuadraticODE:
    """Two damped turning pairs, coupled by products that keep the sum of squares, about a steady push."""
    ode = QuadraticODE(SIZE)
    a = ode.coefficients.data
    for first, rate in ((0, 1.5), (2, 3.0)):
        a[1 + first, first + 1], a[2 + first, first] = rate, -rate
    for k in range(SIZE):
        a[1 + k, k] = -0.3
    pairs = [(i, j) for i in range(SIZE) for j in range(i, SIZE)]
    row = {pair: 1 + SIZE + n for n, pair in enumerate(pairs)}
    a[row[0, 1], 2], a[row[0, 2], 1], a[row[1, 2], 0] = 0.8, -0.5, -0.3
    a[row[1, 3], 2], a[row[2, 3], 1] = 0.4, -0.4
    a[0] = torch.tensor([0.5, -0.2, 0.3, 0.1])
    return ode


def trajectories(ode: QuadraticODE, count: int, frames: int, seed: int) -> torch.Tensor:
    start = 1.5 * torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))
    times = INTERVAL * torch.arange(frames)
    with torch.no_grad():
        return integrate(ode.bind(), start, times, "rk4", INTERVAL / 32).movedim(0, 1)


def codes_of(values: torch.Tensor) -> CodeSeries:
    count = len(values)
    rest = torch.zeros(*values.shape[:2], 3), torch.zeros(count, 0)
    persistence = torch.stack([(values[:, k:] - values[:, :-k]).square().sum(-1).mean() for k in range(1, 8)])
    return CodeSeries(values, torch.eye(SIZE)[None], *rest, persistence, 1.0)


def a_model(**settings) -> LatentModel:
    config = DynamicsConfig(form="quadratic", order=1, horizons=[6], step_days=INTERVAL / 4, **settings)
    spec = LatentSpec(
        input_size=2,
        channels=1,
        decoder=DecoderConfig(code_size=SIZE, hidden=4, layers=1),
        dynamics=config,
        interval_days=INTERVAL,
        noise_variance=0.01,
        data_digest="quadratic",
    )
    return LatentModel(spec)


def test_a_quadratic_system_is_found_from_frames_that_cubics_cannot_follow():
    truth = known_system()
    training, held = trajectories(truth, 200, 8, 0), trajectories(truth, 20, 8, 1)
    model = a_model(rounds=14, ridge=1e-9)
    errors = fit_quadratic(model, [codes_of(training)], codes_of(held), silent)
    assert errors[0] > 1e-3  # the fast pair turns by 1.5 radians between frames
    assert min(errors) < 1e-6
    torch.testing.assert_close(model.dynamics.coefficients, truth.coefficients, rtol=0, atol=0.02)
    torch.testing.assert_close(model.dynamics.derivative(held[0]), truth.derivative(held[0]), rtol=0, atol=0.02)


def test_a_jump_between_frames_does_not_spoil_the_fit():
    """No path meets both its ends, so that the interval is left out of all rounds but the first."""
    truth = known_system()
    training, held = trajectories(truth, 200, 8, 0), trajectories(truth, 20, 8, 1)
    training[:5, 4:] += 4.0
    errors = fit_quadratic(a_model(rounds=8), [codes_of(training)], codes_of(held), silent)
    clean = fit_quadratic(a_model(rounds=8), [codes_of(training[5:])], codes_of(held), silent)
    assert min(errors) < min(0.1, 0.2 * errors[0])
    assert min(clean) <= min(errors)


def test_too_few_frames_are_refused():
    short = codes_of(torch.randn(10, 8, SIZE)).frames(slice(0, 3))
    with pytest.raises(EmptyDataError, match="4 frames"):
        fit_quadratic(a_model(), [short], short, silent)


def test_fewer_intervals_than_unknowns_still_give_a_finite_fit():
    truth = known_system()
    training, held = trajectories(truth, 1, 8, 0), trajectories(truth, 20, 8, 1)
    model = a_model(rounds=3)
    fit_quadratic(model, [codes_of(training)], codes_of(held), silent)
    assert torch.isfinite(model.dynamics.coefficients).all()


def test_products_that_few_data_cannot_tell_apart_are_held_down():
    """A linear system seen along three trajectories: with its products as free as the rest it would be lost."""
    truth = known_system()
    truth.coefficients.data[1 + SIZE :] = 0
    training, held = trajectories(truth, 3, 8, 0), trajectories(truth, 20, 8, 1)
    training = training + 1e-2 * torch.randn(training.shape, generator=torch.Generator().manual_seed(2))
    model, reports = a_model(rounds=3), []
    errors = fit_quadratic(model, [codes_of(training)], codes_of(held), lambda *done: reports.append(done))
    assert min(errors) < 0.05 * errors[0]  # that of the first penalty, which is the ridge
    assert [done for done, *_ in reports] == list(range(1, len(errors) + 1))
    assert all(done <= total for done, total, _ in reports)
    assert reports[-1][2] == f"dynamics held-out {min(errors):.3g}"
    codes = training.flatten(0, 1).square().mean(0).sqrt()
    size = quadratic_features(codes, PAIRS)[:, None] * model.dynamics.coefficients
    products, linear = size[1 + SIZE :].norm(), size[1 : 1 + SIZE].norm()
    assert products < 0.05 * linear


def test_a_penalty_that_leaves_the_equations_singular_is_passed_over(monkeypatch):
    truth = known_system()
    training, held = trajectories(truth, 50, 8, 0), trajectories(truth, 20, 8, 1)
    solve = NormalEquations.solve

    def singular(self, ridge, products):
        if products < 1e-3:
            raise NonFiniteError("singular")
        return solve(self, ridge, products)

    monkeypatch.setattr(NormalEquations, "solve", singular)
    model = a_model(rounds=3)
    errors = fit_quadratic(model, [codes_of(training)], codes_of(held), silent)
    assert errors[0] == errors[1] == errors[2] == float("inf")
    assert min(errors) < 0.1
    monkeypatch.setattr(NormalEquations, "solve", lambda *_: solve(*_).fill_(float("nan")))
    with pytest.raises(NonFiniteError, match="no fit of the quadratic dynamics"):
        fit_quadratic(a_model(rounds=2), [codes_of(training)], codes_of(held), silent)


@pytest.mark.parametrize("cuts", [2, 4, 8])
def test_thinned_data_hold_every_part_of_the_trajectories(cuts, monkeypatch):
    """Trajectories are cut into series that follow each other: every n-th series would be the same part of each."""
    monkeypatch.setattr(collocation, "INTERVALS_PER_UNKNOWN", 60)
    wanted = 60 * FEATURES
    count = -(-wanted // 7) * cuts
    part = torch.arange(count) % cuts
    few = collocation.enough_series([codes_of(part[:, None, None].expand(count, 8, SIZE).float())], FEATURES)[0]
    kept = few.codes[:, 0, 0].long()
    assert len(kept) == count // cuts
    assert torch.bincount(kept, minlength=cuts).min() > 0.4 * len(kept) / cuts
    everything = codes_of(torch.randn(4, 8, SIZE))
    assert collocation.enough_series([everything], FEATURES)[0] is everything
