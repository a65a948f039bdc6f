"""The dynamics stage on motions that are known: what it draws, weighs, learns and says of forecasts."""

from dataclasses import replace

import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig
from dino.data.codes import CodeSeries, field_square
from dino.data.series import Series
from dino.model import LatentModel, LatentSpec
from dino.training import dynamics_stage as module
from dino.training.dynamics_stage import DynamicsStage, all_segments, forecast_errors, held_out_error

CODE, COUNT, FRAMES = 4, 12, 10


def config_of(**settings) -> DynamicsConfig:
    made = {"order": 1, "lags": 2, "hidden": 8, "depth": 0, "steps": 12, "horizons": [1, 3], "segments_per_step": 60}
    return DynamicsConfig(**(made | settings))


def a_model(config: DynamicsConfig) -> LatentModel:
    torch.manual_seed(0)
    spec = LatentSpec(
        input_size=2,
        channels=1,
        decoder=DecoderConfig(code_size=CODE, hidden=4, layers=1),
        dynamics=config,
        interval_days=1.0,
        noise_variance=0.01,
        data_digest="decay",
    )
    return LatentModel(spec)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def decaying(rate: float = 0.2, seed: int = 0, frames: int = FRAMES) -> CodeSeries:
    """Codes that decay alike, and a residual field that decays twice as fast."""
    start = torch.randn(COUNT, 1, CODE, generator=torch.Generator().manual_seed(seed))
    day = torch.arange(float(frames))[None, :, None]
    codes, rest = start * torch.exp(-rate * day), start.repeat(1, 1, 2) * torch.exp(-2 * rate * day)
    context, values = torch.zeros(COUNT, 0), torch.zeros(COUNT, frames, 1, 1)
    series = Series(torch.zeros(1, 2), torch.ones(COUNT, 1, 1), values, day.flatten().numpy(), context)
    return CodeSeries.of(codes, torch.eye(CODE)[None], rest, series)


def test_horizons_share_the_steps():
    config = config_of(steps=10, horizons=[1, 3, 5])
    stage = DynamicsStage(a_model(config), [decaying()], decaying(seed=1), config, generator())
    assert [stage.horizon(index) for index in range(10)] == [1, 1, 1, 1, 3, 3, 3, 5, 5, 5]


def test_standing_still_is_the_measure_of_all():
    """Linear dynamics that have learned nothing forecast persistence: an error of one. The true ones have none."""
    config, held = config_of(), decaying()
    model = a_model(config)
    assert held_out_error(model, held, config) == pytest.approx(1.0)
    error, change = forecast_errors(model, held, 3)
    torch.testing.assert_close(error, change)
    torch.testing.assert_close(change, held.persistence[:3], rtol=1e-5, atol=0)
    with torch.no_grad():
        model.dynamics.linear.fill_(-0.2 / float(model.dynamics.rates[0]))
    assert held_out_error(model, held, config) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("order", "horizon"), [(1, 3), (2, 3), (2, 30)])
def test_segments_begin_wherever_there_is_history_and_a_map_after(order, horizon):
    model, data = a_model(config_of(order=order)), decaying()
    made = all_segments(model, data, horizon)
    leads = min(horizon, FRAMES - 1 - model.lags)
    assert made.forecast.shape == made.target.shape == (COUNT * (FRAMES - 1 - model.lags), leads, CODE)
    assert made.start.min() == model.lags
    assert made.start.max() == FRAMES - 2
    for row in (0, 4, len(made.start) - 1):
        s, t = int(made.series[row]), int(made.start[row])
        assert torch.equal(made.history[row], data.codes[s, t - model.lags : t + 1])
        assert made.known[row].tolist() == [t + lead < FRAMES for lead in range(1, leads + 1)]
        known = int(made.known[row].sum())
        assert torch.equal(made.target[row, :known], data.codes[s, t + 1 : t + 1 + known])
    values = field_square(made.target, data.metric)
    expected = torch.stack([values[made.known[:, k], k].mean() for k in range(leads)])
    torch.testing.assert_close(made.mean(values), expected)


def test_the_loss_weighs_leads_by_persistence(monkeypatch):
    """All segments at once, drawn one by one: the mean over leads of the error over the change."""
    config = config_of(segments_per_step=3 * 4000)
    model, data = a_model(config), decaying()
    with torch.no_grad():
        model.dynamics.linear.fill_(0.3)
    stage = DynamicsStage(model, [data], data, config, generator())
    loss, _ = stage._losses(data, 3, 4000)
    segments = all_segments(model, data, 3)
    whole = segments.known.all(1)
    error = field_square(segments.forecast - segments.target, data.metric)[whole].mean(0)
    assert float(loss.detach()) == pytest.approx(float((error / data.persistence[:3]).mean()), rel=0.1)


def test_a_decay_is_learned_with_that_of_the_residual_field():
    config = config_of(steps=150, horizons=[1, 3], learning_rate=2e-3)
    model, held = a_model(config), decaying(seed=1)
    stage = DynamicsStage(model, [decaying()], held, config, generator())
    losses = [float(stage.step(index)) for index in range(stage.steps)]
    assert losses[-1] < 1e-2 * losses[0]
    assert stage.validate() < 1e-2
    rate = (model.dynamics.linear @ model.dynamics.bands * model.dynamics.rates[0]).detach()
    torch.testing.assert_close(rate, torch.full_like(rate, -0.2), rtol=0, atol=0.02)
    history = held.unresolved[:, :1]
    ahead = model.forecast_unresolved(history, torch.tensor([1.0, 3.0])).detach()
    torch.testing.assert_close(ahead, held.unresolved[:, [1, 3]], rtol=0, atol=0.1)


def test_a_record_shorter_than_the_horizon_trains_as_far_as_it_reaches():
    config = config_of(order=2, lags=4, horizons=[30])
    short = decaying(frames=8)
    stage = DynamicsStage(a_model(config), [short], short, config, generator())
    assert torch.isfinite(stage.step(0))
    error, _ = forecast_errors(stage.model, short, 30)
    assert len(error) == 8 - 4 - 1


def test_stores_are_drawn_by_their_shares(monkeypatch):
    config, used = config_of(), []
    never, always = replace(decaying(), share=0.0), decaying(seed=5)
    stage = DynamicsStage(a_model(config), [never, always], always, config, generator())
    from_store = module.segment_errors
    monkeypatch.setattr(module, "segment_errors", lambda m, s, *rest: used.append(s) or from_store(m, s, *rest))
    for index in range(6):
        stage.step(index)
    assert len(used) == 6
    assert all(store is always for store in used)
