"""What a run says of its parts: the decoder on held-out maps, the dynamics against persistence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_pipeline.system.progress import silent
from dino.experiments.train import _codes, _held_out_codes, train
from dino.model.checkpoint import load_model
from dino.numerics.parallel import ALONE
from dino.space.decoders import decode
from dino.training import held_out as module
from dino.training.code_statistics import encode_series
from dino.training.dynamics_stage import forecast_errors
from dino.training.held_out import FILE, HeldOut, explained_share, measure_held_out
from dino.training.prepare import prepare


def test_a_run_tells_what_its_parts_do_on_held_out_maps(box_run):
    found = HeldOut.read(box_run)
    assert 0.1 < found.explained <= 1
    assert found.lead_days == [1.0, 3.0]
    assert all(0 < error < 2 for error in found.error_over_persistence)
    decoder, dynamics = found.lines()
    assert decoder.startswith("decoder: explains")
    assert "at 3 d" in dynamics


def test_what_is_written_is_measured_on_the_maps_that_were_held_out(sea_run, sea_config):
    """Days after the training period: from the store again, with the weights as they were saved."""
    model, _ = load_model(sea_run)
    (split,), *_ = prepare(sea_config)
    codes = _held_out_codes(_codes(model, split.series, ALONE), split, model.lags)
    assert split.validation.times.tolist() == split.series.times[24:].tolist()
    found, written = measure_held_out(model, split.validation, codes), HeldOut.read(sea_run)
    assert found.explained == pytest.approx(written.explained, abs=1e-3)
    assert found.lead_days == written.lead_days
    assert found.error_over_persistence == pytest.approx(written.error_over_persistence, abs=2e-3)
    error, change = forecast_errors(model, codes, 3)
    assert found.error_over_persistence == pytest.approx((error / change).sqrt()[[0, 2]].tolist(), abs=1e-4)


def test_the_explained_share_is_that_of_the_weighted_squares(sea_run, sea_config, monkeypatch):
    model, _ = load_model(sea_run)
    maps = prepare(sea_config)[0][0].validation
    assert (maps.weights == 0).any()  # land, which counts for nothing
    codes, _ = encode_series(model, maps, model.code_prior)
    with torch.no_grad():
        left = maps.values - decode(model.decoder, maps.coordinates, codes)
    wrong, whole = ((maps.weights[:, None] * part.square()).sum() for part in (left, maps.values))
    share = explained_share(model, maps)
    assert share == pytest.approx(1 - float(wrong / whole), abs=1e-4)
    loud = replace(maps, values=torch.where(maps.weights[:, None] > 0, maps.values, 1e6))
    assert explained_share(model, loud) == share
    other = explained_share(model, maps.subset(slice(0, None, 2)))
    monkeypatch.setattr(module, "VALUES", -(-maps.values.numel() // 2))  # of twice as many, every other series
    assert explained_share(model, maps) == other


def test_a_decoder_that_knows_nothing_explains_nothing(box_run, box_config):
    model, _ = load_model(box_run)
    maps = prepare(box_config)[0][0].validation
    good = explained_share(model, maps)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    assert explained_share(model, maps) == pytest.approx(0.0, abs=0.05)
    assert good > 0.1
    assert np.isnan(explained_share(model, replace(maps, values=0 * maps.values)))


def test_a_report_comes_back_and_is_never_half(tmp_path, monkeypatch):
    made = HeldOut(0.875, [1.0, 5.0], [0.5, 0.75], 5.0)
    made.write(tmp_path)
    assert HeldOut.read(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert made.lines() == [
        "decoder: explains 87.5 % of the variance of held-out maps",
        "dynamics: error of forecasts over that of persistence on held-out maps 0.50 at 1 d, 0.75 at 5 d",
    ]
    monkeypatch.setattr(module, "asdict", lambda part: {"explained": object()})
    with pytest.raises(TypeError):
        made.write(tmp_path)
    assert HeldOut.read(tmp_path) == made


def test_a_horizon_beyond_the_record_is_said_once(box_config, tmp_path, caplog):
    dynamics = box_config.dynamics.model_copy(update={"horizons": [2, 20], "steps": 4})
    train(box_config.model_copy(update={"dynamics": dynamics}), tmp_path, silent)
    (line,) = [record.message for record in caplog.records if "horizons" in record.message]
    assert "asks for 20 frames" in line
    assert "train up to 10" in line
    assert "20 d asked for" in HeldOut.read(tmp_path).lines()[-1]
