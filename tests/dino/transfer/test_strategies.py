"""All strategies on a trained run: the best round stays, harm does not, and what they are given is what taught the run.

What each of them gains where there is something to gain is the matter of `test_gains`.
"""

import math
from functools import partial

import pytest
import torch

import dino
from dino.commands.common import transfer_task
from dino.errors import ConfigError
from dino.model.checkpoint import load_run_config
from dino.transfer import STRATEGIES, strategy
from dino.transfer.base import improve


@pytest.fixture(
    scope="module", params=[name for name in STRATEGIES if name not in ("none", "statistics", "modulation", "numbers")]
)
def done(request, adapted):
    return request.param, *adapted(request.param)


def moved(latent, run) -> set[str]:
    before, now = dino.load(run).latent.state_dict(), latent.state_dict()
    return {name for name, value in now.items() if name not in before or not torch.equal(value, before[name])}


def test_the_best_round_stays(done, box_run):
    """The observed ocean is half as strong and moved upwards: whatever fits the decoder must gain."""
    _, task, result, calls = done
    assert len(result.rounds) == 3
    assert len(set(result.rounds)) == 3  # every round did something
    assert all(map(math.isfinite, result.rounds))
    assert result.before == result.rounds[0]
    assert result.after == (min(result.rounds) if result.kept else result.before)
    assert bool(moved(task.latent, box_run)) == result.kept
    assert calls == [(1, 2), (2, 2)]


def test_harm_is_not_kept(task, box_run):
    """Codes moved far off make every round worse: the model stays what it was."""
    given = task(rounds=2)
    latent, calls = given.latent, []

    def spoil(analyse) -> None:
        assert analyse()
        latent.decoder.change_codes(torch.eye(len(latent.code_variance)), 30.0 * latent.code_variance.sqrt())

    result = improve(given, spoil, lambda *step: calls.append(step))
    assert len(result.rounds) == 3
    assert result.before < result.rounds[1] < result.rounds[2]
    assert result.after == result.before
    assert not result.kept
    assert not moved(latent, box_run)
    assert calls == [(1, 2), (2, 2)]


def test_none_changes_nothing_and_tells_the_misfit(adapted, box_run):
    task, result, calls = adapted("none")
    assert not moved(task.latent, box_run)
    assert not result.kept
    assert result.before == result.after == adapted("pace", rounds=1)[1].before
    assert calls == [(1, 1)]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="known: statistics, modulation"):
        strategy("magic")


@pytest.mark.parametrize("name", ["context", "shared-residual", "physics"])
def test_a_strategy_that_is_gone_is_told_as_such(name):
    assert name not in STRATEGIES
    with pytest.raises(ConfigError, match=f"'{name}' came, which is gone.*choose 'statistics' or 'modulation'"):
        strategy(name)


def test_a_relocated_run_is_compared_with_what_taught_it(task, box_run, tmp_path):
    """The store of the new sea, here one that is not there, is not read."""
    given, config = task(), load_run_config(box_run)
    here = [config.data.stores[0].model_copy(update={"path": tmp_path / "absent.zarr"})]
    data = config.data.model_copy(update={"stores": here, "simulated": config.data, "channels": ["sla"]})
    make = partial(transfer_task, given.forecaster, given.observations)
    one, other = (make(c).simulated() for c in (config, config.model_copy(update={"data": data})))
    assert len(one) == len(other) == 1
    assert torch.equal(one[0].codes, other[0].codes)
    assert float(one[0].codes.std()) > 0
