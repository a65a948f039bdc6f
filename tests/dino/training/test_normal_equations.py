"""The normal equations of the quadratic form against integrals and systems that are known."""

import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.dynamics import integrate
from dino.dynamics.quadratic import all_pairs, quadratic_features
from dino.model import LatentModel, LatentSpec
from dino.numerics.parallel import ALONE
from dino.training import normal_equations as module
from dino.training.normal_equations import NormalEquations, normal_equations

SIZE, INTERVAL = 4, 0.5
PAIRS = all_pairs(SIZE)
FEATURES = 1 + SIZE + PAIRS.shape[1]


def a_model() -> LatentModel:
    spec = LatentSpec(
        input_size=2,
        channels=1,
        decoder=DecoderConfig(code_size=SIZE, hidden=4, layers=1),
        dynamics=DynamicsConfig(form="quadratic", order=1, step_days=INTERVAL / 4),
        interval_days=INTERVAL,
        noise_variance=0.01,
        data_digest="quadratic",
    )
    return LatentModel(spec).double().requires_grad_(False)


def codes_of(values: torch.Tensor) -> CodeSeries:
    metric, context = torch.eye(SIZE)[None], values.new_zeros(len(values), 0)
    return CodeSeries(values, metric, values[..., :1], context, values.new_ones(1), 1.0)


def empty_equations(interval: float, size: torch.Tensor | None = None) -> NormalEquations:
    return NormalEquations.empty(PAIRS, torch.ones(FEATURES) if size is None else size, SIZE, interval)


def test_features_are_the_monomials():
    codes = torch.randn(3, SIZE)
    features = quadratic_features(codes, PAIRS)
    assert features.shape == (3, FEATURES)
    pairs = [codes[:, i] * codes[:, j] for i in range(SIZE) for j in range(i, SIZE)]
    torch.testing.assert_close(features, torch.stack([torch.ones(3), *codes.T, *pairs], dim=-1))


def test_the_squares_are_where_the_normal_equations_look_for_them():
    equations = empty_equations(1.0)
    codes = torch.arange(2.0, 2.0 + SIZE)
    torch.testing.assert_close(quadratic_features(codes, PAIRS)[equations.squares], codes.square())


def test_penalties_are_on_the_coefficients_they_name():
    """Against ridge regression on the features themselves: products have their own penalty, small features more."""
    codes, change = torch.randn(60, SIZE).double(), torch.randn(60, SIZE).double()
    size = quadratic_features(torch.arange(1.0, 1.0 + SIZE), PAIRS)
    equations = empty_equations(0.5, size)
    equations.add(quadratic_features(codes, PAIRS).clone(), change)
    shifted = quadratic_features(codes, PAIRS)
    shifted[:, equations.squares] -= 1
    shifted *= 0.5
    penalty = torch.tensor([0.1] * (1 + SIZE) + [7.0] * (FEATURES - 1 - SIZE)).double() * 16 / size
    penalty[0] = 0.1
    expected = torch.linalg.solve(shifted.T @ shifted / 60 + torch.diag(penalty), shifted.T @ change / 60)
    made = equations.solve(0.1, 7.0)
    torch.testing.assert_close(shifted @ expected, 0.5 * quadratic_features(codes, PAIRS) @ made)
    torch.testing.assert_close(made[1:], expected[1:])


def test_intervals_that_are_no_numbers_do_not_spread():
    codes = torch.randn(5, 8, SIZE)
    codes[3] *= 1e30  # whose squares are infinite
    equations = empty_equations(INTERVAL)
    features = quadratic_features(codes.flatten(0, 1), PAIRS)
    equations.add(features, torch.zeros(len(features), SIZE))
    assert torch.isfinite(equations.gram).all()
    assert equations.count == 4 * 8


def test_cubics_integrate_the_features_of_straight_lines_exactly(randomly):
    """Features of codes that move evenly are of second degree in time."""
    start, speed = randomly(6, 1, SIZE), 0.3 * randomly(6, 1, SIZE)
    frame = torch.arange(7, dtype=torch.float64)[None, :, None]
    codes = codes_of(start + speed * frame)
    blocks = list(module._cubic_blocks(a_model(), codes.codes, ALONE))
    features, change = (torch.cat(part) for part in zip(*blocks, strict=True))
    assert len(features) == 6 * (7 - 3)
    torch.testing.assert_close(change, speed.expand(-1, 4, -1).flatten(0, 1))
    fine = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None, None, None]
    paths = quadratic_features(codes.codes[:, 1:-2] + speed * fine, PAIRS)
    expected = torch.trapezoid(paths, fine.flatten(), dim=0).flatten(0, 1)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("block", [7, 2048])
def test_on_its_own_paths_a_system_solves_its_equations(randomly, block, monkeypatch):
    """Whatever the blocks: what the right-hand side integrates to is the change of the codes."""
    monkeypatch.setattr(module, "BLOCK", block)
    model = a_model()
    model.dynamics.coefficients.copy_(0.02 * randomly(FEATURES, SIZE))
    times = INTERVAL * torch.arange(6)
    codes = integrate(model.dynamics.bind(), randomly(40, SIZE), times, "rk4", INTERVAL / 16).movedim(0, 1)
    equations = normal_equations(model, [codes_of(codes)], torch.ones(FEATURES).double(), ALONE, first=False)
    assert equations.count == 40 * 5
    found = equations.solve(0.0, 0.0)
    torch.testing.assert_close(found, model.dynamics.coefficients.detach(), atol=1e-4, rtol=1e-3)


def test_a_path_that_misses_the_next_frame_tells_nothing(randomly):
    model = a_model()
    codes = randomly(40, 1, SIZE) + 0.01 * randomly(40, 6, SIZE)
    codes[:10, 3:] += 5.0
    equations = normal_equations(model, [codes_of(codes)], torch.ones(FEATURES).double(), ALONE, first=False)
    assert equations.count == 40 * 5 - 10
