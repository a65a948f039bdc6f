"""What a network adds to the linear part: as much as held-out data want, in every run of a network."""

import pytest
import torch

from data_pipeline.system.progress import silent
from dino.experiments.train import _codes, _held_out_codes, train
from dino.model.checkpoint import load_model
from dino.numerics.parallel import ALONE
from dino.training.dynamics_stage import SHARES, held_out_error, shrink_network
from dino.training.prepare import prepare


@pytest.fixture
def held(sea_run, sea_config):
    """A trained model and its held-out codes."""
    model, _ = load_model(sea_run)
    splits, *_ = prepare(sea_config)
    return model, _held_out_codes(_codes(model, splits[0].series, ALONE), splits[0], model.lags)


def test_the_best_share_of_the_network_is_kept(held, sea_config):
    model, codes = held
    network = model.dynamics.network
    whole = network[-1].weight.detach().clone()
    errors = shrink_network(model, codes, sea_config.dynamics)
    assert len(errors) == len(SHARES)
    best = SHARES[errors.index(min(errors))]
    torch.testing.assert_close(network[-1].weight, best * whole)
    assert held_out_error(model, codes, sea_config.dynamics) == pytest.approx(min(errors), rel=1e-6)


def test_a_network_that_only_harms_is_taken_out(held, sea_config):
    model, codes = held
    with torch.no_grad():
        model.dynamics.network[-1].weight.mul_(1e4)
    errors = shrink_network(model, codes, sea_config.dynamics)
    assert errors.index(min(errors)) == len(SHARES) - 1
    assert not model.dynamics.network[-1].weight.any()


def test_without_a_network_nothing_changes(held, sea_config):
    model, codes = held
    model.dynamics.network = None
    assert shrink_network(model, codes, sea_config.dynamics) == [held_out_error(model, codes, sea_config.dynamics)]


def test_every_run_of_a_network_has_tried_the_shares(sea_run, box_run):
    for run in (sea_run, box_run):
        lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"shrink"' in line]
        assert len(lines) == len(SHARES)


def test_a_run_that_was_stopped_before_it_shrank_is_the_same(sea_config, tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(sea_config, tmp_path / "whole", silent)
    with monkeypatch.context() as patch:
        patch.setattr(
            "dino.experiments.train.shrink_network", lambda *arguments: (_ for _ in ()).throw(KeyError("cut"))
        )
        with pytest.raises(KeyError, match="cut"):
            train(sea_config, tmp_path / "cut", silent)
    train(sea_config, tmp_path / "cut", silent, resume=True)
    torch.set_num_threads(threads)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
