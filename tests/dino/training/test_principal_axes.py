"""Principal axes: the same field in coordinates where latent length is field size."""

import pytest
import torch

from dino.space.decoders import FourierDecoder
from dino.training.principal_axes import principal_axes

CODE, POINTS, FRAMES = 6, 400, 500


@pytest.fixture
def turned(randomly):
    """A decoder, codes with a mean and correlations, and the decoder and codes in principal axes."""
    torch.manual_seed(4)
    decoder = FourierDecoder(3, CODE, 2, hidden=16, layers=2).double()
    points = torch.rand(POINTS, 3, dtype=torch.float64)
    codes = randomly(CODE) + randomly(FRAMES, CODE) @ randomly(CODE, CODE)
    before = decoder(points, codes).detach()
    modes = decoder.basis(points).modes.detach().flatten(0, 1)
    axes = principal_axes(modes.T @ modes / len(modes), codes.mean(0), codes.T.cov(correction=0))
    decoder.change_codes(axes.transform, axes.origin)
    new = torch.linalg.solve(axes.transform, (codes - axes.origin).T).T
    return decoder, points, before, new, axes


def test_field_is_unchanged(turned):
    decoder, points, before, new, _ = turned
    torch.testing.assert_close(decoder(points, new), before, atol=1e-9, rtol=1e-9)


def test_new_codes_are_uncorrelated_with_descending_variance_of_mean_one(turned):
    *_, new, axes = turned
    torch.testing.assert_close(new.mean(0), torch.zeros(CODE).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(new.T.cov(correction=0), torch.diag(axes.variance), atol=1e-8, rtol=1e-6)
    assert (axes.variance.diff() <= 0).all()
    assert float(axes.variance.mean()) == pytest.approx(1.0)


def test_latent_length_is_the_root_mean_square_of_the_field(turned, randomly):
    decoder, points, _, _, axes = turned
    step = randomly(5, CODE)
    fields = decoder.basis(points).decode(step) - decoder.basis(points).offset
    expected = axes.field_scale * step.norm(dim=-1)
    torch.testing.assert_close(fields.square().mean(dim=(-2, -1)).sqrt(), expected, atol=1e-9, rtol=1e-9)


def test_unused_directions_keep_a_proper_prior():
    covariance = torch.diag(torch.tensor([4.0, 1.0, 0.0]))
    axes = principal_axes(torch.eye(3), torch.zeros(3), covariance)
    assert (axes.variance > 0).all()
    assert float(axes.variance[2] / axes.variance[0]) == pytest.approx(1e-7)
