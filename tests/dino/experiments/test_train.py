"""Training as a whole, on toy stores: reproducible, resumable to the bit, and typed errors for what cannot be."""

import functools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import dino
from data_pipeline.system.progress import silent
from dino.config import AssimilationConfig, Config, load_config
from dino.errors import ConfigError, EmptyDataError
from dino.experiments import train as module
from dino.experiments.train import train
from dino.model.checkpoint import load_model
from dino.training.code_statistics import encode_series, series_metric
from dino.training.field_stage import FieldStage
from dino.training.loop import Interrupted, Loop
from dino.training.prepare import prepare
from dino.training.variable_projection import project


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(box_config, sea_config, tmp_path_factory):
    """Finished runs of both configurations."""
    runs = {}
    for name, config in (("box", box_config), ("sea", sea_config)):
        runs[name] = tmp_path_factory.mktemp("runs") / name
        torch.set_num_threads(1)
        train(config, runs[name], silent)
    return runs


def config_of(name, box_config, sea_config):
    return {"box": box_config, "sea": sea_config}[name]


def assert_same_run(one, other):
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "model.json").read_text() == (other / "model.json").read_text()
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()


@pytest.mark.parametrize("name", ["box", "sea"])
def test_same_seed_same_numbers_and_another_seed_others(name, whole, box_config, sea_config, tmp_path):
    config = config_of(name, box_config, sea_config)
    train(config, tmp_path / "again", silent)
    assert_same_run(whole[name], tmp_path / "again")
    other = train(config.model_copy(update={"seed": 1}), tmp_path / "other", silent)
    assert not torch.equal(other.latent.decoder.shift, load_model(whole[name])[0].decoder.shift)


@pytest.mark.parametrize("name", ["box", "sea"])
@pytest.mark.parametrize(("stage", "index"), [("field", 7), ("dynamics", 2), ("dynamics", 9)])
def test_resume_after_a_crash_equals_not_having_stopped(
    name, stage, index, whole, box_config, sea_config, tmp_path, monkeypatch
):
    config = config_of(name, box_config, sea_config)
    monkeypatch.setattr(module, "Loop", functools.partial(Loop, save_every=5))
    kind = {"field": FieldStage, "dynamics": module.DynamicsStage}[stage]
    with monkeypatch.context() as patch:
        step = kind.step

        def failing(self, number):
            if number == index:
                raise KeyError("power cut")
            return step(self, number)

        patch.setattr(kind, "step", failing)
        with pytest.raises(KeyError, match="power cut"):
            train(config, tmp_path, silent)
    assert not (tmp_path / "model.json").exists()
    torch.rand(5)  # the state of the global generator must not matter
    train(config, tmp_path, silent, resume=True)
    assert_same_run(whole[name], tmp_path)


@pytest.mark.parametrize("at", [3, 15])
def test_resume_after_an_interruption_equals_not_having_stopped(at, whole, box_config, tmp_path):
    calls = []

    def interrupt(done, total, note=""):
        calls.append(done)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(box_config, tmp_path, interrupt)
    train(box_config, tmp_path, silent, resume=True)
    assert_same_run(whole["box"], tmp_path)


KILLED = """
import os, signal, sys, functools
from pathlib import Path
import torch
from data_pipeline.system.progress import silent
from dino.config import load_config
from dino.experiments import train as module
from dino.training.loop import Loop
torch.set_num_threads(1)
module.Loop = functools.partial(Loop, save_every=4)
calls = []
def report(done, total, note=""):
    calls.append(done)
    if len(calls) == 18:
        os.kill(os.getpid(), signal.SIGKILL)
module.train(load_config(sys.argv[1]), Path(sys.argv[2]), report)
"""


def test_resume_after_a_kill_equals_not_having_stopped(whole, box_config, tmp_path):
    """No handler, no cleanup: what is on disk must be enough."""
    path = tmp_path / "config.yaml"
    path.write_text(box_config.to_yaml())
    command = [sys.executable, "-c", KILLED, str(path), str(tmp_path / "run")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.getcwd()}, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    train(box_config, tmp_path / "run", silent, resume=True)
    assert_same_run(whole["box"], tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(whole, box_config, tmp_path):
    train(box_config, tmp_path, silent)
    calls = []
    train(box_config, tmp_path, lambda done, total, note="": calls.append(done), resume=True)
    assert calls == []
    assert_same_run(whole["box"], tmp_path)


def test_resuming_with_another_configuration_is_refused(whole, box_config, tmp_path):
    train(box_config, tmp_path, silent)
    before = (tmp_path / "config.yaml").read_text()
    for changed in ({"seed": 5}, {"decoder": box_config.decoder.model_copy(update={"code_size": 5})}):
        with pytest.raises(ConfigError, match=f"another {next(iter(changed))}"):
            train(box_config.model_copy(update=changed), tmp_path, silent, resume=True)
    assert (tmp_path / "config.yaml").read_text() == before


@pytest.mark.parametrize("name", ["box", "sea"])
def test_a_run_says_what_it_is(name, whole, box_config, sea_config):
    config, run = config_of(name, box_config, sea_config), whole[name]
    assert load_config(run / "config.yaml") == config
    model, ocean = load_model(run)
    (channel,) = ocean.channels
    assert channel.units == "m"
    assert channel.spread > 0
    assert model.spec.interval_days == 1.0
    assert ocean.cover.tiled == (name == "sea")
    assert (model.code_variance.diff() <= 0).all()
    assert float(model.code_variance.mean()) == pytest.approx(1.0, abs=1e-4)
    torch.linalg.cholesky(model.state_covariance)
    assert (model.lead_error[0] == 0).all()
    assert (model.lead_error[1:] > 0).all()


def test_what_is_given_back_is_what_is_left_on_disk(box_config, tmp_path):
    """The model, the ocean it lies over and how observations are assimilated."""
    config = box_config.model_copy(update={"assimilation": AssimilationConfig(window_days=3.0)})
    made, read = train(config, tmp_path, silent), dino.load(tmp_path)
    assert made.assimilation == read.assimilation == config.assimilation
    assert made.latent.spec == read.latent.spec
    assert made.ocean.spec == read.ocean.spec
    np.testing.assert_array_equal(made.ocean.background.values, read.ocean.background.values)
    for name, value in made.latent.state_dict().items():
        assert torch.equal(value, read.latent.state_dict()[name]), name
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml", "held_out.json", "metrics.jsonl", "model.json", "model.safetensors", "state.pt",
    }  # fmt: skip


def test_progress_names_the_stage_and_its_losses(box_config, tmp_path):
    told = []
    train(box_config, tmp_path, lambda *report: told.append(report))
    assert [report[:2] for report in told] == [(n, 12) for n in range(1, 13)] * 2
    assert all(report[2].startswith("field loss ") for report in told[:12])
    assert all(report[2].startswith("dynamics loss ") for report in told[12:])
    assert "held-out" in told[-1][2]


def test_the_field_stage_learns(box_config):
    """Six waves have twelve degrees of freedom: a trained basis of twelve leaves little of them."""
    config = Config.model_validate(
        box_config.model_dump()
        | {
            "decoder": {"code_size": 12, "hidden": 32, "layers": 2, "scale": 4},
            "field": {"steps": 80, "frames_per_step": 64},
        }
    )
    torch.manual_seed(0)
    splits, model, _ = prepare(config)
    held = splits[0].validation
    stage = FieldStage(model, [splits[0].training], held, config.field, torch.Generator().manual_seed(0))
    before = stage.validate()
    losses = [stage.step(index) for index in range(80)]
    assert losses[-1] < 0.1 * losses[0]
    assert stage.validate() < 0.1 * before
    result = project(model.decoder.basis(held.coordinates), held.values, held.weights, config.field.ridge)
    assert stage.validate() == pytest.approx(float(result.residual.detach()), rel=0.05)


def test_code_statistics_turn_codes_to_field_units(whole, box_config):
    """In a finished run, latent length is field size and the population of training codes is the prior."""
    model, _ = load_model(whole["box"])
    splits, *_ = prepare(box_config)
    with torch.no_grad():
        codes, covariance = encode_series(model, splits[0].training, model.code_prior)
        metric = series_metric(model, splits[0].training, codes)[0]
    # All modes weigh alike: the metric is a number times the identity, up to the latitude weights of the series.
    off = metric - metric.diagonal().mean() * torch.eye(8)
    assert off.abs().max() < 0.02 * metric.diagonal().mean()
    population = codes.flatten(0, 1).var(0, correction=0) + covariance.diagonal(dim1=-2, dim2=-1).mean(0)
    torch.testing.assert_close(population, model.code_variance, rtol=0.3, atol=0.02)


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        (
            {"dynamics": {"lags": 13}},
            EmptyDataError,
            "has 14 maps to train on where dynamics.lags=13 wants at least 15",
        ),
        ({"data": {"channels": ["sst"]}}, ConfigError, "where sst .* is wanted"),
        ({"data": {"train_end": "2000-01-01T12:00:00"}}, EmptyDataError, "a single map"),
        ({"data": {"train_start": "2010-01-01"}}, EmptyDataError, "no map lies between"),
        ({"domain": {"kind": "tiles", "tile_degrees": 0.1}}, ConfigError, "cells a side"),
        ({"decoder": {"code_size": 300, "hidden": 64, "layers": 3}}, ConfigError, "spans 256 dimensions"),
    ],
)
def test_what_cannot_be_trained_is_refused_first(section, error, message, box_config, tmp_path):
    settings = box_config.model_dump(mode="json")
    for name, values in section.items():
        settings[name] |= values
    with pytest.raises(error, match=message):
        train(Config.model_validate(settings), tmp_path, silent)
    assert not (tmp_path / "model.json").exists()


def test_a_refused_run_leaves_no_folder(box_config, tmp_path):
    data = box_config.data.model_copy(update={"channels": ["salinity"]})
    with pytest.raises(ConfigError, match="salinity"):
        train(box_config.model_copy(update={"data": data}), tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()
