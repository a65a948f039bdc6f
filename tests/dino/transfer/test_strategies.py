"""All strategies: what moves, that the best round stays, that a run comes back as it was saved."""

import json
import math
from dataclasses import replace

import pytest
import torch

import dino
from dino.dynamics import AdaptedODE
from dino.errors import ConfigError
from dino.model.checkpoint import save_model
from dino.transfer import STRATEGIES, strategy
from dino.transfer.statistics import ENERGY

LEARNING = [name for name in STRATEGIES if name != "none"]


@pytest.fixture(scope="module", params=LEARNING)
def done(request, adapted):
    return request.param, *adapted(request.param)


def moved(model, run) -> set[str]:
    before = dino.load(run).model.state_dict()
    now = model.state_dict()
    return {name for name, value in now.items() if name not in before or not torch.equal(value, before[name])}


def test_the_best_round_stays(done):
    """The observed ocean is half as strong and moved upwards: whatever fits the decoder must gain."""
    name, _, result, calls = done
    assert result.gained or name not in ("modulation", "full")
    assert len(result.rounds) == 3
    assert all(map(math.isfinite, result.rounds))
    assert result.before == result.rounds[0]
    assert result.after in (min(result.rounds), result.before)
    assert calls == [(1, 2), (2, 2)]


def test_what_moves_is_what_the_strategy_names(done, box_run):
    name, model, result, _ = done
    names = moved(model, box_run)
    if not result.gained:
        assert not names
        return
    parts = {entry.split(".")[0] for entry in names}
    expected = {
        "statistics": set(ENERGY),
        "modulation": {"decoder"},
        "full": {"decoder", "dynamics"},
        "context": {"dynamics"},
        "shared-residual": {"dynamics"},
        "adversarial": {"decoder"},
        "optimal-transport": {"decoder"},
        "physics": {"dynamics"},
    }
    assert parts <= expected[name]


def test_weights_can_be_trained_on(done):
    _, model, _, _ = done
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())


def test_a_transferred_run_comes_back_as_it_was(done, tmp_path, box_run):
    _, model, _, _ = done
    (tmp_path / "config.yaml").write_bytes((box_run / "config.yaml").read_bytes())
    save_model(model, tmp_path)
    again = dino.load(tmp_path).model.state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["shared-residual", "adversarial"])
def test_the_same_seed_gives_the_same_weights(name, adapted):
    (one, first, _), (two, second, _) = (adapted(name, rounds=1, steps=3) for _ in range(2))
    assert first == second
    assert all(torch.equal(one.state_dict()[key], value) for key, value in two.state_dict().items())


@pytest.mark.parametrize("name", ["modulation", "full", "shared-residual", "physics"])
def test_harm_is_not_kept(name, adapted, box_run):
    """Steps far too long make every round worse: the model stays what it was."""
    model, result, _ = adapted(name, rounds=1, learning_rate=1e3)
    assert result.after == result.before
    assert not moved(model, box_run)
    assert not isinstance(model.dynamics, AdaptedODE)
    assert model.spec.residuals == []


def test_none_changes_nothing_and_tells_the_misfit(adapted, box_run):
    model, result, _ = adapted("none")
    assert not moved(model, box_run)
    assert result.before == result.after == adapted("modulation", rounds=1)[1].before


def test_a_second_transfer_builds_on_the_first(task, tmp_path, box_run):
    """Residuals stack: what the first added is part of the base of the second."""
    given = task(rounds=1, steps=4, learning_rate=1e-2)
    results = [strategy(name)(given, lambda *step: None) for name in ("physics", "shared-residual")]
    specs = [spec.drifts for spec in given.model.spec.residuals]
    assert specs == [drifts for drifts, result in zip((True, False), results, strict=True) if result.gained]
    (tmp_path / "config.yaml").write_bytes((box_run / "config.yaml").read_bytes())
    save_model(given.model, tmp_path)
    assert len(json.loads((tmp_path / "model.json").read_text())["spec"]["residuals"]) == len(specs)
    again = dino.load(tmp_path).model.state_dict()
    assert all(torch.equal(again[name], value) for name, value in given.model.state_dict().items())


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="known: none, statistics, modulation"):
        strategy("magic")


def test_a_relocated_run_is_compared_with_what_taught_it(task, tmp_path):
    """The store of the new sea, here one that is not there, is not read."""
    given = task()
    plain, data = given.simulated(), given.config.data
    here = [data.stores[0].model_copy(update={"path": tmp_path / "absent.zarr"})]
    moved = data.model_copy(update={"stores": here, "simulated": data, "channels": ["sla"]})
    relocated = replace(given, config=given.config.model_copy(update={"data": moved}))
    for one, other in zip(relocated.simulated(), plain, strict=True):
        assert torch.equal(one.codes, other.codes)
