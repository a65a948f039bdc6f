"""Transfer by the decoder's modulation: what moves, what does not, and that it never does harm on held-out windows."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.stores import open_store
from dino.config import AssimilationConfig, TransferConfig
from dino.errors import ConfigError, EmptyDataError
from dino.transfer import strategy

SETTINGS = TransferConfig(rounds=2, steps=10, window_days=6.0)
SHORT = AssimilationConfig(window_days=6.0, node_days=3.0, iterations=1)


@pytest.fixture(scope="module")
def observations(sea_store, scattered):
    """Another ocean: half as strong and moved upwards."""
    fields = open_store(sea_store).load()
    return dino.Observations.from_dataset(
        scattered(fields.assign(adt=0.5 * fields["adt"] + 0.3), ["adt"], 300), ("adt",)
    )


def adapted(run, observations, seed=0, settings=SETTINGS):
    forecaster = dino.Forecaster(dino.load(run).model, SHORT)
    calls = []
    result = strategy("modulation")(forecaster, observations, settings, seed, lambda *step: calls.append(step))
    return forecaster.model, result, calls


@pytest.fixture(scope="module")
def once(sea_run, observations):
    return adapted(sea_run, observations)


def test_only_the_modulation_moves_and_never_for_the_worse(once, sea_run):
    model, result, calls = once
    before = dino.load(sea_run).model.state_dict()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"decoder.shift", "decoder.shift_bias"}
    assert result.after < result.before
    assert result.after == min(result.rounds)
    assert result.before == result.rounds[0]
    assert len(result.rounds) == 3
    assert calls == [(1, 2), (2, 2)]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_same_seed_gives_the_same_weights(once, sea_run, observations):
    model, result, _ = once
    again, same, _ = adapted(sea_run, observations)
    assert torch.equal(model.decoder.shift, again.decoder.shift)
    assert same == result


def test_a_harmful_adaptation_is_not_kept(sea_run, observations):
    """Steps far too long make every round worse: the model stays what it was."""
    model, result, _ = adapted(sea_run, observations, settings=SETTINGS.model_copy(update={"learning_rate": 1e3}))
    assert result.after == result.before
    assert torch.equal(model.decoder.shift, dino.load(sea_run).model.decoder.shift)


def test_a_short_record_is_refused(sea_run, observations):
    first = observations.time[0]
    with pytest.raises(EmptyDataError, match="two windows of 6 days"):
        adapted(sea_run, observations.window(first, first + 11.0))


def test_a_record_with_a_gap_is_used_or_refused_in_words(sea_run, observations):
    """A satellite that was off for a week leaves windows without observations."""
    first = observations.time[0]
    outside = np.abs(observations.time - first - 9.0) > 5.0
    _, result, _ = adapted(sea_run, observations.select(outside))
    assert result.after <= result.before


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="known: modulation"):
        strategy("magic")
