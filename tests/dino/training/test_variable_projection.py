"""Variable projection: value and gradient against a solve that autograd differentiates."""

import pytest
import torch

from dino.space.decoders import Basis, FourierDecoder, SirenDecoder
from dino.training.variable_projection import CODE_LENGTH, project, project_by_steps

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


def siren(dtype=torch.float64):
    torch.manual_seed(4)
    return SirenDecoder(3, CODE, CHANNELS, hidden=8, layers=1, w0_first=3.0).to(dtype)


@pytest.mark.parametrize("gaps", [False, True])
def test_steps_end_where_the_gradient_by_the_codes_vanishes(randomly, gaps):
    """Then the gradient with codes held constant is the whole gradient of the reduced objective."""
    _, points, values, weights = problem(randomly, own=False, gaps=gaps)
    decoder, ridge = siren(), 0.1
    result = project_by_steps(decoder, points, values, weights, ridge, 40)
    codes = result.codes.clone().requires_grad_()
    misfit = values - decoder(points, codes)
    written_out = (weights[:, None] * misfit.square()).sum() / (weights.sum() * FRAMES)
    written_out = written_out + ridge / CODE_LENGTH**2 * codes.square().sum() / (GROUPS * FRAMES)
    torch.testing.assert_close(result.objective, written_out)
    (slope,) = torch.autograd.grad(written_out, codes)
    assert slope.abs().max() < 1e-3 * values[weights.expand_as(values[:, 0])[:, None].expand_as(values) > 0].abs().max()
    (ours,) = torch.autograd.grad(result.objective, [decoder.readout.weight])
    with torch.no_grad():
        weight, h = decoder.readout.weight, 1e-4
        moved = []
        for sign in (1, -1):
            weight[0, 1] += sign * h
            moved.append(float(project_by_steps(decoder, points, values, weights, ridge, 60).objective))
            weight[0, 1] -= sign * h
    assert float(ours[0, 1]) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=0.05, abs=2e-3)


def test_steps_of_an_affine_decoder_are_the_projection_with_that_penalty(randomly):
    decoder, points, values, weights = problem(randomly, own=False, gaps=True)
    found = project_by_steps(decoder, points, values, weights, 0.1, 1)
    basis, pull = decoder.basis(points), 0.1 / CODE_LENGTH**2 * weights.sum() / GROUPS
    for group in range(GROUPS):
        phi, w = basis.modes.reshape(-1, CODE), weights[group].reshape(-1, 1)
        right = phi.T @ (w * (values[group] - basis.offset).reshape(FRAMES, -1).T)
        expected = torch.linalg.inv(phi.T @ (w * phi) + pull * torch.eye(CODE)) @ right
        torch.testing.assert_close(found.codes[group], expected.T)
