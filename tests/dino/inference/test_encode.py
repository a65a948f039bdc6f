"""Encoding: the exact posterior, against Gaussian algebra in the space of values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.inference import encode, encode_frames
from dino.inference.encode import encode_charts
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import Basis, FourierDecoder, SirenDecoder

FRAMES, POINTS, CHANNELS, CODE = 4, 7, 2, 3


def brute_force(modes, offset, values, variance, prior):
    """Mean and covariance of the code of one frame by conditioning a joint Gaussian, value by value."""
    known = torch.isfinite(values).reshape(-1)
    h = modes.reshape(-1, modes.shape[-1])[known]
    y = (values - offset).reshape(-1)[known]
    r = torch.diag(variance.expand_as(values).reshape(-1)[known])
    if not len(y):
        return prior.mean, prior.covariance
    gain = prior.covariance @ h.T @ torch.linalg.inv(h @ prior.covariance @ h.T + r)
    return prior.mean + gain @ (y - h @ prior.mean), prior.covariance - gain @ h @ prior.covariance


def make_prior(randomly):
    root = randomly(CODE, CODE)
    return Gaussian(randomly(CODE), root @ root.T + 0.2 * torch.eye(CODE, dtype=torch.float64))


def check(basis, values, variance, prior):
    posterior = encode(basis, values, variance, prior)
    variance = torch.as_tensor(variance, dtype=torch.float64)
    for frame in range(len(values)):
        own = basis.modes.dim() == 4
        offset, modes = (basis.offset[frame], basis.modes[frame]) if own else basis
        r = variance[frame] if variance.dim() == 3 and len(variance) > 1 else variance.reshape(variance.shape[-2:])
        mean, covariance = brute_force(modes, offset, values[frame], r, prior)
        torch.testing.assert_close(posterior.mean[frame], mean, atol=1e-10, rtol=1e-10)
        ours = posterior.covariance if posterior.covariance.dim() == 2 else posterior.covariance[frame]
        torch.testing.assert_close(ours, covariance, atol=1e-10, rtol=1e-10)
    return posterior


@pytest.mark.parametrize("own_points", [False, True])
@pytest.mark.parametrize("gaps", ["none", "shared", "differing"])
@pytest.mark.parametrize("errors", ["number", "channel", "point", "frame"])
def test_posterior_is_exact(randomly, own_points, gaps, errors):
    lead = (FRAMES,) if own_points else ()
    basis = Basis(randomly(*lead, POINTS, CHANNELS), randomly(*lead, POINTS, CHANNELS, CODE))
    values = randomly(FRAMES, POINTS, CHANNELS)
    if gaps == "shared":
        values[:, 2, 1] = values[:, 5] = torch.nan
    elif gaps == "differing":
        values[0, :3] = values[1, 4, 0] = values[2] = torch.nan
    shapes = {"number": (), "channel": (CHANNELS,), "point": (POINTS, CHANNELS), "frame": (FRAMES, POINTS, CHANNELS)}
    variance = 0.05 + torch.rand(shapes[errors], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    posterior = check(basis, values, float(variance) if errors == "number" else variance, make_prior(randomly))
    alike = not own_points and gaps != "differing" and errors != "frame"
    assert posterior.covariance.shape == ((CODE, CODE) if alike else (FRAMES, CODE, CODE))


def test_a_frame_without_a_value_keeps_its_prior(randomly):
    basis, prior = Basis(randomly(POINTS, CHANNELS), randomly(POINTS, CHANNELS, CODE)), make_prior(randomly)
    values = randomly(FRAMES, POINTS, CHANNELS)
    values[1] = torch.nan
    posterior = encode(basis, values, 0.1, prior)
    torch.testing.assert_close(posterior.mean[1], prior.mean)
    torch.testing.assert_close(posterior.covariance[1], prior.covariance)
    assert torch.linalg.det(posterior.covariance[0]) < torch.linalg.det(prior.covariance)
    nothing = encode(basis, torch.full_like(values, torch.nan), 0.1, prior)
    torch.testing.assert_close(nothing.mean, prior.mean.expand(FRAMES, -1))


def test_an_error_that_is_missing_with_its_value_does_no_harm(randomly):
    basis, prior = Basis(randomly(POINTS, CHANNELS), randomly(POINTS, CHANNELS, CODE)), make_prior(randomly)
    values = randomly(FRAMES, POINTS, CHANNELS)
    values[2, 3] = torch.nan
    variance = torch.full_like(values, 0.1)
    expected = encode(basis, values, variance, prior)
    for missing in (torch.nan, 0.0):
        variance[2, 3] = missing
        found = encode(basis, values, variance, prior)
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.covariance, expected.covariance)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_field_inside_the_basis_comes_back(seed):
    torch.manual_seed(seed)
    decoder = FourierDecoder(3, 8, channels=2, hidden=32, layers=2).double()
    points = torch.rand(200, 3, dtype=torch.float64)
    codes = torch.randn(5, 8, dtype=torch.float64)
    basis = decoder.basis(points)
    fields = basis.decode(codes)
    scale = basis.modes.square().mean()
    prior = Gaussian(torch.zeros(8, dtype=torch.float64), 1e3 * torch.eye(8, dtype=torch.float64))
    found = encode(basis, fields, float(scale.detach()) * 1e-10, prior).mean
    assert (basis.decode(found) - fields).abs().max() < 1e-5 * fields.std()


def test_a_field_inside_the_basis_comes_back_in_float32_from_half_its_points():
    torch.manual_seed(0)
    decoder = FourierDecoder(4, 10, channels=1, hidden=32, layers=2)
    points = torch.as_tensor(np.random.default_rng(0).normal(size=(400, 4)), dtype=torch.float32)
    basis = decoder.basis(points)
    unit = basis.modes.square().mean(dim=(0, 1)).sqrt()
    codes = torch.randn(3, 10) / unit
    fields = basis.decode(codes).detach()
    seen = torch.where(torch.rand(3, 400, 1) < 0.5, fields, torch.nan)
    found = encode(basis, seen, 1e-8, Gaussian(torch.zeros(10), torch.diag(10 / unit**2))).mean
    assert (basis.decode(found) - fields).square().mean().sqrt() < 1e-5 * fields.std() * 10


@pytest.mark.parametrize("kind", ["fourier", "siren"])
@pytest.mark.parametrize("gaps", ["none", "static", "moving"])
def test_charts_are_encoded_as_each_alone(kind, gaps, randomly):
    """Every chart has points and gaps of its own; the last one has nothing but gaps."""
    torch.manual_seed(0)
    sizes = (2, CODE, CHANNELS, 8, 1)
    decoder = (
        (FourierDecoder(*sizes) if kind == "fourier" else SirenDecoder(*sizes, 3.0)).double().requires_grad_(False)
    )
    charts, prior = 3, Gaussian(0.1 * randomly(CODE), make_prior(randomly).covariance)
    coordinates, values = randomly(charts, POINTS, 2), 0.3 * randomly(FRAMES, charts, POINTS, CHANNELS)
    if gaps != "none":
        values[:, 0, 2:5] = values[:, 1, 0, 1] = values[:, 2] = torch.nan
    if gaps == "moving":
        values[1, 0, 6], values[3, 1] = torch.nan, torch.nan
    made = encode_charts(decoder, coordinates, values, 0.05, prior)
    assert made.mean.shape == (FRAMES, charts, CODE)
    # One covariance for all frames where their gaps are the same.
    shared = kind == "fourier" and gaps != "moving"
    assert made.covariance.shape == (1 if shared else FRAMES, charts, CODE, CODE)
    for chart in range(charts):
        one = encode_frames(decoder, coordinates[chart], values[:, chart], 0.05, prior)
        torch.testing.assert_close(made.mean[:, chart], one.mean, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(
            made.covariance[:, chart].expand(FRAMES, -1, -1),
            one.covariance.expand(FRAMES, -1, -1),
            rtol=1e-9,
            atol=1e-10,
        )
    if gaps != "none":
        torch.testing.assert_close(made.mean[:, 2], prior.mean.expand(FRAMES, -1))
        torch.testing.assert_close(made.covariance[0, 2], prior.covariance)


def test_the_code_that_made_the_maps_of_a_chart_comes_back(randomly):
    torch.manual_seed(1)
    decoder = FourierDecoder(2, CODE, CHANNELS, 16, 2).double().requires_grad_(False)
    coordinates, codes = randomly(2, 50, 2), randomly(FRAMES, 2, CODE)
    values = torch.stack([decoder.basis(coordinates[c]).decode(codes[:, c]) for c in range(2)], dim=1)
    values[0, 1, :20] = torch.nan
    wide = Gaussian(torch.zeros(CODE).double(), 1e3 * torch.eye(CODE).double())
    torch.testing.assert_close(
        encode_charts(decoder, coordinates, values, 1e-10, wide).mean, codes, atol=1e-5, rtol=1e-5
    )
