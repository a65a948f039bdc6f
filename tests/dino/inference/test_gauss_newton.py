"""Codes by damped Gauss-Newton: generated codes come back, minima are minima, affine decoders need one step."""

from itertools import pairwise

import pytest
import torch

from dino.errors import NonFiniteError
from dino.inference import encode, encode_frames
from dino.inference.gauss_newton import Prior, minimise
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import FourierDecoder, SirenDecoder

FRAMES, POINTS, CHANNELS, CODE = 5, 60, 2, 4


def siren(seed=0):
    torch.manual_seed(seed)
    return SirenDecoder(3, CODE, CHANNELS, hidden=16, layers=2, w0_first=4.0).double().requires_grad_(False)


def points(seed=0, own=False):
    generator = torch.Generator().manual_seed(seed)
    shape = (FRAMES, POINTS, 3) if own else (POINTS, 3)
    return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1


def wide():
    return Gaussian(torch.zeros(CODE, dtype=torch.float64), torch.eye(CODE, dtype=torch.float64))


class Counting:
    """A decoder that counts its linearisations."""

    def __init__(self, decoder, affine):
        self.decoder, self.is_affine, self.calls = decoder, affine, 0
        self.code_size = decoder.code_size

    def linearise(self, coordinates, codes):
        self.calls += 1
        return self.decoder.linearise(coordinates, codes)


def cost_of(decoder, x, values, variance, prior):
    """code (code,) to the cost of one frame, written out."""
    known = torch.isfinite(values)
    inverse = torch.linalg.inv(prior.covariance)

    def cost(code):
        misfit = (torch.where(known, values, 0.0) - decoder(x, code)) * known
        away = code - prior.mean
        return 0.5 * (misfit.square() / variance).sum() + 0.5 * away @ inverse @ away

    return cost


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_codes_that_made_a_field_come_back(seed, own, gaps, randomly):
    decoder, x = siren(seed), points(seed, own)
    codes = 0.3 * randomly(FRAMES, CODE)
    values = decoder(x, codes)
    if gaps:
        values[torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)) < 0.5] = torch.nan
    found = encode_frames(decoder, x, values, 1e-8, wide())
    torch.testing.assert_close(found.mean, codes, atol=1e-4, rtol=1e-4)
    assert found.covariance.shape == (FRAMES, CODE, CODE)


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_is_that_of_lbfgs_and_the_covariance_its_curvature(seed, randomly):
    decoder, x, prior = siren(seed), points(seed), wide()
    values = decoder(x, 0.3 * randomly(FRAMES, CODE)) + 0.3 * randomly(FRAMES, POINTS, CHANNELS)
    values[2, :40] = torch.nan
    variance = 0.05 + torch.rand(POINTS, CHANNELS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = encode_frames(decoder, x, values, variance, prior)
    for frame in range(FRAMES):
        cost = cost_of(decoder, x, values[frame], variance, prior)
        code = prior.mean.clone().requires_grad_()
        search = torch.optim.LBFGS([code], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

        def closure(code=code, cost=cost, search=search):
            search.zero_grad()
            value = cost(code)
            value.backward()
            return value

        search.step(closure)
        assert cost(found.mean[frame]) <= cost(code.detach()) * (1 + 1e-4)
        torch.testing.assert_close(found.mean[frame], code.detach(), atol=5e-3, rtol=0)
        modes = decoder.linearise(x, found.mean[frame][None]).modes.reshape(-1, CODE)
        weight = (torch.isfinite(values[frame]) / variance).reshape(-1, 1)
        hessian = (modes * weight).T @ modes + torch.linalg.inv(prior.covariance)
        torch.testing.assert_close(found.covariance[frame], torch.linalg.inv(hessian))


def test_no_iteration_raises_the_cost_of_any_frame(randomly):
    """Far starts and fields that the decoder cannot make: full steps would overshoot."""
    decoder, x = siren(1), points(1)
    values = 3 * randomly(FRAMES, POINTS, CHANNELS)
    prior = Prior(torch.zeros(CODE, dtype=torch.float64), 1e-3 * torch.eye(CODE, dtype=torch.float64))
    start = 3 * randomly(FRAMES, CODE)
    precision = torch.ones(1, POINTS, CHANNELS, dtype=torch.float64)
    costs = [minimise(decoder, x, values, precision, prior, start, n).cost for n in range(12)]
    assert all((after <= before).all() for before, after in pairwise(costs))
    assert (costs[-1] < costs[0]).all()
    written_out = torch.stack(
        [
            cost_of(decoder, x, v, 1.0, Gaussian(prior.mean, torch.linalg.inv(prior.precision)))(c)
            for v, c in zip(values, minimise(decoder, x, values, precision, prior, start, 11).codes, strict=True)
        ]
    )
    torch.testing.assert_close(written_out, costs[-1])


@pytest.mark.parametrize("own", [False, True])
def test_an_affine_decoder_takes_one_step_and_gives_the_exact_posterior(own, randomly):
    torch.manual_seed(0)
    affine, x = FourierDecoder(3, CODE, CHANNELS, hidden=16, layers=2).double().requires_grad_(False), points(0, own)
    values = randomly(FRAMES, POINTS, CHANNELS)
    values[1, 3] = torch.nan
    prior = Gaussian(randomly(CODE), torch.diag(1 + randomly(CODE).abs()))
    exact = encode(affine.basis(x), values, 0.1, prior)
    torch.testing.assert_close(encode_frames(affine, x, values, 0.1, prior).mean, exact.mean)
    counting = Counting(affine, affine=False)
    found = encode_frames(counting, x, values, 0.1, prior)
    assert counting.calls == 2  # at the start, and where the only step leads
    torch.testing.assert_close(found.mean, exact.mean)
    torch.testing.assert_close(found.covariance, exact.covariance.expand(FRAMES, -1, -1))


def test_a_frame_without_a_value_keeps_its_prior(randomly):
    decoder, x, prior = siren(), points(), Gaussian(0.1 * randomly(CODE), wide().covariance)
    values = decoder(x, 0.2 * randomly(FRAMES, CODE))
    values[3] = torch.nan
    found = encode_frames(decoder, x, values, 0.01, prior)
    torch.testing.assert_close(found.mean[3], prior.mean)
    torch.testing.assert_close(found.covariance[3], prior.covariance)
    assert encode_frames(decoder, x, values[:0], 0.01, prior).mean.shape == (0, CODE)


def test_many_frames_and_points_are_worked_in_blocks(randomly, monkeypatch):
    decoder, x = siren(), points()
    values = decoder(x, 0.2 * randomly(FRAMES, CODE))
    whole = encode_frames(decoder, x, values, 0.01, wide())
    monkeypatch.setattr("dino.inference.gauss_newton.BLOCK_POINTS", 2 * POINTS)
    torch.testing.assert_close(encode_frames(decoder, x, values, 0.01, wide()).mean, whole.mean)


def test_what_is_not_finite_is_named(randomly):
    decoder, x = siren(), points()
    values = decoder(x, 0.2 * randomly(FRAMES, CODE))
    values[2, 0] = torch.inf
    with pytest.raises(NonFiniteError, match="frame 2"):
        encode_frames(decoder, x, values, 0.01, wide())
