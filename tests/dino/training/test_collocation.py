"""The quadratic fit against a quadratic system that is known, and what it does when data cannot determine one."""

from types import SimpleNamespace

import pytest
import torch

from dino.config import DynamicsConfig
from dino.dynamics import QuadraticODE, integrate
from dino.dynamics.quadratic import feature_count, quadratic_features
from dino.errors import EmptyDataError
from dino.training.collocation import NormalEquations, fit_quadratic
from dino.training.dynamics_stage import Codes

SIZE, INTERVAL = 4, 0.5


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


def codes_of(values: torch.Tensor) -> Codes:
    count = len(values)
    rest = torch.zeros(*values.shape[:2], 3), torch.zeros(count, 0), torch.ones(count)
    persistence = torch.stack([(values[:, k:] - values[:, :-k]).square().sum(-1).mean() for k in range(1, 8)])
    return Codes(values, torch.eye(SIZE)[None], *rest, persistence, 1.0)


def a_model(**settings) -> SimpleNamespace:
    config = DynamicsConfig(form="quadratic", order=1, horizons=[6], **settings)
    spec = SimpleNamespace(dynamics=config, interval_days=INTERVAL)
    unresolved = SimpleNamespace(linear=torch.zeros(1, 1), rates=torch.ones(1))
    return SimpleNamespace(
        dynamics=QuadraticODE(SIZE), spec=spec, step_days=INTERVAL / 4, lags=0, unresolved_dynamics=unresolved,
        initialiser=lambda history: history[:, -1],
    )  # fmt: skip


def silent(done: int, total: int) -> None:
    pass


def test_features_are_the_monomials():
    codes = torch.randn(3, SIZE)
    features = quadratic_features(codes)
    assert features.shape == (3, feature_count(SIZE))
    pairs = [codes[:, i] * codes[:, j] for i in range(SIZE) for j in range(i, SIZE)]
    torch.testing.assert_close(features, torch.stack([torch.ones(3), *codes.T, *pairs], dim=-1))


def test_the_squares_are_where_the_normal_equations_look_for_them():
    equations = NormalEquations.empty(SIZE, 1.0, torch.device("cpu"))
    codes = torch.arange(2.0, 2.0 + SIZE)
    torch.testing.assert_close(quadratic_features(codes)[equations.squares], codes.square())


def test_a_quadratic_system_is_found_from_frames_that_cubics_cannot_follow():
    truth = known_system()
    training, held = trajectories(truth, 200, 8, 0), trajectories(truth, 20, 8, 1)
    model = a_model(rounds=14, ridge=1e-9)
    errors = fit_quadratic(model, [codes_of(training)], codes_of(held), silent)
    assert errors[0] > 1e-3  # the fast pair turns by 1.5 radians between frames
    assert min(errors) < 1e-6
    torch.testing.assert_close(model.dynamics.coefficients, truth.coefficients, rtol=0, atol=0.02)
    torch.testing.assert_close(model.dynamics.derivative(held[0]), truth.derivative(held[0]), rtol=0, atol=0.02)


def test_outside_the_trusted_ball_trajectories_are_pulled_back():
    ode = QuadraticODE(SIZE)
    with torch.no_grad():
        ode.coefficients.normal_(generator=torch.Generator().manual_seed(0))
    start = torch.randn(50, SIZE, generator=torch.Generator().manual_seed(1))
    times = torch.linspace(0, 200.0, 21)
    with torch.no_grad():
        assert not torch.isfinite(integrate(ode.bind(), start, times, "rk4", 0.02)).all()
        ode.extent.fill_(3.0)
        ode.pull.fill_(1.0)
        assert integrate(ode.bind(), start, times, "rk4", 0.02).norm(dim=-1).max() < 200
    inside = 0.5 * start / start.norm(dim=-1, keepdim=True)
    free = QuadraticODE(SIZE)
    free.load_state_dict(ode.state_dict() | {"extent": torch.full((SIZE,), torch.inf)})
    torch.testing.assert_close(ode.derivative(inside), free.derivative(inside))


def test_a_lone_outlier_or_a_lost_path_does_not_spread():
    truth = known_system()
    training, held = trajectories(truth, 200, 8, 0), trajectories(truth, 20, 8, 1)
    training[3] *= 1e30
    model = a_model(rounds=4)
    model_errors = fit_quadratic(model, [codes_of(training[4:])], codes_of(held), silent)
    equations = NormalEquations.empty(SIZE, INTERVAL, torch.device("cpu"))
    features = quadratic_features(training[:5].flatten(0, 1))
    equations.add(features, torch.zeros(len(features), SIZE))
    assert torch.isfinite(equations.gram).all()
    assert equations.count == 4 * 8
    assert min(model_errors) < 1.0


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
