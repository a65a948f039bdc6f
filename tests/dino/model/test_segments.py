"""Forecasts of training codes against motions that are known in closed form."""

import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries
from dino.model import LatentModel, LatentSpec
from dino.model.segments import forecast_codes, segment_errors

CODE, LAGS, INTERVAL = 3, 4, 0.5


@pytest.fixture(params=[1, 2])
def model(request) -> LatentModel:
    """Dynamics without a push: of order one codes stay where they are, of order two they go on as they went."""
    spec = LatentSpec(
        input_size=2,
        channels=1,
        decoder=DecoderConfig(code_size=CODE, hidden=4, layers=1),
        dynamics=DynamicsConfig(order=request.param, lags=LAGS, depth=0),
        interval_days=INTERVAL,
        noise_variance=0.01,
        data_digest="straight",
    )
    return LatentModel(spec).double().eval().requires_grad_(False)


def paths(count: int, length: int, bend: float = 0.0) -> torch.Tensor:
    """Codes (series, time, code) that move evenly, or on parabolas of half `bend` a squared frame."""
    generator = torch.Generator().manual_seed(0)
    start, speed = torch.randn(2, count, 1, CODE, dtype=torch.float64, generator=generator)
    time = torch.arange(length, dtype=torch.float64)[None, :, None]
    return start + speed * time + 0.5 * bend * time.square()


def codes_of(values: torch.Tensor, metric: torch.Tensor) -> CodeSeries:
    return CodeSeries(values, metric, values[..., :1], values.new_zeros(len(values), 0), values.new_ones(1), 1.0)


def test_codes_stay_or_go_on_as_they_went(model):
    codes = paths(5, LAGS + 7)
    history = codes[:, LAGS - model.lags : LAGS + 1]
    made = forecast_codes(model, history, 6, codes.new_zeros(5, 0))
    expected = codes[:, LAGS + 1 :] if model.spec.dynamics.order == 2 else codes[:, [LAGS]].expand(-1, 6, -1)
    torch.testing.assert_close(made, expected)


def test_errors_are_those_of_parabolas(model):
    """A mean tendency over the lags is that of their middle: after k frames a path is off by k (k + lags) / 2 bends."""
    bend, horizon = 0.2, 4
    store = codes_of(paths(3, 12, bend), torch.eye(CODE, dtype=torch.float64)[None])
    series, start = torch.tensor([2, 0, 1, 2]), torch.tensor([LAGS, LAGS + 3, 7, 6])
    errors = segment_errors(model, store, series, start, horizon)
    lead = torch.arange(1, horizon + 1, dtype=torch.float64)
    if model.spec.dynamics.order == 2:
        missed = (0.5 * bend * lead * (lead + LAGS)).expand(4, CODE, -1).mT
    else:
        pairs = zip(series.tolist(), start.tolist(), strict=True)
        missed = torch.stack([store.codes[s, t + 1 : t + 1 + horizon] - store.codes[s, t] for s, t in pairs])
    torch.testing.assert_close(errors, missed.square().sum(-1))


def test_every_series_has_its_own_metric(model):
    factor = torch.randn(3, CODE, CODE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    metric, values = factor @ factor.mT, paths(3, 12, 0.2)
    series, start = torch.tensor([2, 0, 2]), torch.tensor([LAGS, 6, 7])
    together = segment_errors(model, codes_of(values, metric), series, start, 3)
    for row, (s, t) in enumerate(zip(series.tolist(), start.tolist(), strict=True)):
        one = codes_of(values[[s]], metric[[s]])
        alone = segment_errors(model, one, torch.tensor([0]), torch.tensor([t]), 3)
        torch.testing.assert_close(together[[row]], alone)


def test_gradients_reach_the_dynamics(model):
    model.dynamics.linear.requires_grad_(True)
    store = codes_of(paths(3, 12, 0.2), torch.eye(CODE, dtype=torch.float64)[None])
    segment_errors(model, store, torch.tensor([0]), torch.tensor([LAGS]), 3).sum().backward()
    assert model.dynamics.linear.grad.abs().max() > 0
