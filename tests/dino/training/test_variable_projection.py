"""Variable projection: value and gradient against a solve that autograd differentiates."""

import pytest
import torch

from dino.decoders import Basis, FourierDecoder
from dino.training.variable_projection import project

GROUPS, FRAMES, POINTS, CHANNELS, CODE = 3, 5, 20, 2, 4


def explicit(basis, values, weights, ridge):
    """(objective, codes) by the normal equations, group by group, everything differentiable."""
    own = basis.modes.dim() == 4
    total = weights.sum()
    modes = basis.modes if own else basis.modes.expand(GROUPS, -1, -1, -1)
    offset = basis.offset if own else basis.offset.expand(GROUPS, -1, -1)
    power = torch.einsum("gpck,gpc->k", modes.square(), weights) / total
    objective, codes = torch.zeros((), dtype=torch.float64), []
    for group in range(GROUPS):
        phi, w = modes[group].reshape(-1, CODE), torch.diag(weights[group].reshape(-1))
        for frame in range(values.shape[1]):
            y = (values[group, frame] - offset[group]).reshape(-1)
            normal = phi.T @ w @ phi + ridge * torch.diag(power)
            code = torch.linalg.inv(normal) @ (phi.T @ w @ y)
            misfit = y - phi @ code
            objective = objective + misfit @ w @ misfit + ridge * (power * code.square()).sum()
            codes.append(code)
    return objective / (total * values.shape[1]), torch.stack(codes).unflatten(0, (GROUPS, -1))


def problem(randomly, own, gaps):
    torch.manual_seed(2)
    decoder = FourierDecoder(3, CODE, CHANNELS, hidden=8, layers=2).double()
    points = torch.rand(*((GROUPS,) if own else ()), POINTS, 3, dtype=torch.float64)
    values = randomly(GROUPS, FRAMES, POINTS, CHANNELS)
    weights = 0.5 + torch.rand(GROUPS, POINTS, CHANNELS, dtype=torch.float64)
    if gaps:
        weights[0, :4], weights[2, 7, 1] = 0.0, 0.0
        values[0, :, :4] = 1e6  # anything finite where missing
    return decoder, points, values, weights


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ridge", [1e-6, 0.5])
def test_value_and_gradient_are_those_of_the_differentiated_solve(randomly, own, gaps, ridge):
    decoder, points, values, weights = problem(randomly, own, gaps)
    parameters = list(decoder.parameters())
    ours = project(decoder.basis(points), values, weights, ridge)
    theirs, codes = explicit(decoder.basis(points), values, weights, ridge)
    torch.testing.assert_close(ours.objective, theirs, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(ours.codes, codes, atol=1e-8, rtol=1e-7)
    for one, other in zip(
        torch.autograd.grad(ours.objective, parameters), torch.autograd.grad(theirs, parameters), strict=True
    ):
        assert other.abs().max() > 1e-9
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-6)


def test_residual_is_the_weighted_misfit(randomly):
    decoder, points, values, weights = problem(randomly, own=False, gaps=True)
    basis = decoder.basis(points)
    result = project(basis, values, weights, 0.1)
    misfit = values - basis.decode(result.codes)
    expected = (weights[:, None] * misfit.square()).sum() / (weights.sum() * FRAMES)
    torch.testing.assert_close(result.residual, expected)
    assert result.residual < result.objective


def test_frames_inside_the_basis_leave_nothing(randomly):
    decoder, points, _, weights = problem(randomly, own=False, gaps=False)
    basis = decoder.basis(points)
    codes = randomly(GROUPS, FRAMES, CODE)
    result = project(basis, basis.decode(codes), weights, 1e-12)
    assert result.residual < 1e-12
    torch.testing.assert_close(result.codes, codes, atol=1e-4, rtol=1e-4)


def test_missing_values_do_not_matter(randomly):
    decoder, points, values, weights = problem(randomly, own=False, gaps=True)
    result = project(decoder.basis(points), values, weights, 0.1)
    values[0, :, :4] = -3.0
    torch.testing.assert_close(project(decoder.basis(points), values, weights, 0.1).objective, result.objective)


def test_objective_does_not_depend_on_the_size_of_the_modes(randomly):
    """Ridge is relative to the modes' mean square: a decoder cannot escape it by growing."""
    decoder, points, values, weights = problem(randomly, own=False, gaps=False)
    basis = decoder.basis(points)
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0], dtype=torch.float64)
    larger = project(Basis(basis.offset, basis.modes * scale), values, weights, 0.3)
    torch.testing.assert_close(larger.objective, project(basis, values, weights, 0.3).objective)


def test_a_mode_that_vanishes_does_no_harm(randomly):
    decoder, points, values, weights = problem(randomly, own=False, gaps=False)
    basis = decoder.basis(points)
    modes = basis.modes.detach().clone()
    modes[..., 1] = 0
    modes.requires_grad_()
    result = project(Basis(basis.offset, modes), values, weights, 0.1)
    result.objective.backward()
    assert torch.isfinite(modes.grad).all()
    assert torch.isfinite(result.codes).all()
