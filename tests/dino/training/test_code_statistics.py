"""Statistics of codes against populations that are known: posteriors, their prior, and the field they make."""

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig, FieldConfig
from dino.data.series import Series
from dino.inference import encode
from dino.model import LatentModel, LatentSpec
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import SirenDecoder, decode
from dino.training import code_statistics as module
from dino.training.code_statistics import encode_series, learn_code_statistics, population_metric, series_metric

CODE, POINTS, NOISE = 4, 30, 1e-4


@pytest.fixture
def model() -> LatentModel:
    torch.manual_seed(2)
    spec = LatentSpec(
        input_size=2,
        channels=1,
        decoder=DecoderConfig(code_size=CODE, hidden=16, layers=2, scale=4.0),
        dynamics=DynamicsConfig(order=1),
        interval_days=1.0,
        noise_variance=NOISE,
        data_digest="population",
    )
    return LatentModel(spec).double().eval().requires_grad_(False)


def seen(model: LatentModel, codes: torch.Tensor, gaps: float = 0.0) -> Series:
    """Fields of codes (series, time, code) at random points, a share of them missing, other ones in every series."""
    generator = torch.Generator().manual_seed(1)
    points = 2 * torch.rand(POINTS, 2, dtype=torch.float64, generator=generator) - 1
    values = decode(model.decoder, points, codes)
    weights = 0.5 + torch.rand(POINTS, 1, dtype=torch.float64, generator=generator).expand(len(codes), -1, -1)
    present = torch.rand(len(codes), POINTS, 1, dtype=torch.float64, generator=generator) >= gaps
    context = torch.zeros(len(codes), 0)
    values, weights = values * present[:, None], weights * present
    charts = 1 if gaps == 0 else len(codes)
    return Series(points, weights, values, np.arange(float(codes.shape[1])), context, charts=charts)


def drawn(count: int, times: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (series, time, code) of a population with correlations, and its covariance."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(CODE, CODE, dtype=torch.float64, generator=generator)
    codes = torch.randn(count, times, CODE, dtype=torch.float64, generator=generator) @ factor.T
    return codes, factor @ factor.T


@pytest.mark.parametrize("together", [1, 50, 10**6])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_codes_of_series_are_the_posteriors_of_their_frames(model, gaps, together, monkeypatch):
    monkeypatch.setattr(module, "VALUES_AT_ONCE", together)  # only a matter of memory
    codes, covariance = drawn(5, 7)
    series, prior = seen(model, codes, gaps), Gaussian(codes.mean((0, 1)), covariance)
    means, covariances = encode_series(model, series, prior, slice(1, None, 2))
    basis = model.decoder.linearise(series.coordinates, prior.mean[None])
    for row in range(5):
        values = torch.where(series.weights[row] > 0, series.values[row, 1::2], torch.nan)
        expected = encode(basis, values, NOISE, prior)
        torch.testing.assert_close(means[row], expected.mean)
        torch.testing.assert_close(covariances[row], expected.covariance)


@pytest.mark.parametrize("gaps", [0.0, 0.9])
def test_the_population_is_learned_and_the_field_stays(model, gaps):
    """In field values, for codes are turned: also where a map shows three points, by what its codes leave open."""
    codes, covariance = drawn(400, 10)
    series = seen(model, codes, gaps)
    wanted = model.decoder.linearise(series.coordinates, codes[0]).modes[:, 0]
    variance = (wanted @ covariance * wanted).sum(-1)
    found = learn_code_statistics(model, [series], FieldConfig(prior_rounds=12))
    made = model.decoder.linearise(series.coordinates, codes[0]).modes[:, 0]
    ours = (made.square() * model.code_variance).sum(-1)
    torch.testing.assert_close(ours, variance, rtol=0.1, atol=0)
    assert (model.code_variance.diff() <= 0).all()
    assert float(model.code_variance.mean()) == pytest.approx(1.0)
    assert found**2 * CODE == pytest.approx(float(ours.mean()), rel=1e-6)
    torch.testing.assert_close(made.T @ made / POINTS, found**2 * torch.eye(CODE).double(), atol=1e-9, rtol=0)
    if not gaps:
        again, _ = encode_series(model, series, model.code_prior)
        torch.testing.assert_close(decode(model.decoder, series.coordinates, again), series.values, atol=0.02, rtol=0)


def test_metrics_are_mean_squares_of_small_changes_of_the_field(model):
    codes, _ = drawn(3, 6)
    series = seen(model, codes, gaps=0.4)
    metric = series_metric(model, series, codes)
    step = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    change = decode(model.decoder, series.coordinates, codes + step) - decode(model.decoder, series.coordinates, codes)
    for row in range(3):
        weight = series.weights[row]
        expected = (weight * change[row].square()).sum((-2, -1)) / weight.sum()
        torch.testing.assert_close(expected, (step @ metric[row] @ step).expand(6))
    alike = seen(model, codes)
    assert series_metric(model, alike, codes).shape == (1, CODE, CODE)


def test_the_metric_of_a_decoder_that_is_not_affine_is_a_mean_over_its_codes():
    torch.manual_seed(0)
    decoder = SirenDecoder(2, CODE, 1, hidden=8, layers=1, w0_first=3.0).double()
    points, codes = torch.rand(POINTS, 2, dtype=torch.float64), torch.randn(5, 2, CODE, dtype=torch.float64)
    weights = 0.5 + torch.rand(POINTS, 1, dtype=torch.float64)
    metric = population_metric(decoder, points, weights, codes)
    step = 1e-5 * torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    flat = codes.flatten(0, 1)
    with torch.no_grad():
        change = decoder(points, flat + step) - decoder(points, flat - step)
    squares = (weights * (0.5 * change).square()).sum((1, 2)) / weights.sum()
    assert squares.std() > 0.05 * squares.mean()  # the codes differ in it
    assert float(step @ metric @ step) == pytest.approx(float(squares.mean()), rel=1e-6)
    few = population_metric(decoder, points, weights, codes, most=1)
    assert float(step @ few @ step) == pytest.approx(float(squares[0]), rel=1e-6)
