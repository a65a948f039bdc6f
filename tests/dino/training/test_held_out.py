"""What a run says of its parts: the decoder on held-out maps, the dynamics against persistence."""

import pytest
import torch

from data_pipeline.system.progress import silent
from dino.experiments.train import train
from dino.model.checkpoint import load_model
from dino.training.held_out import HeldOut, explained_share
from dino.training.prepare import prepare


def test_a_run_tells_what_its_parts_do_on_held_out_maps(box_run):
    found = HeldOut.read(box_run)
    assert 0.1 < found.explained <= 1
    assert found.lead_days == [1.0, 3.0]
    assert all(0 < error < 2 for error in found.error_over_persistence)
    decoder, dynamics = found.lines()
    assert decoder.startswith("decoder: explains")
    assert "at 3 d" in dynamics


def test_a_decoder_that_knows_nothing_explains_nothing(box_run, box_config):
    model, _ = load_model(box_run)
    maps = prepare(box_config)[0][0].validation
    good = explained_share(model, maps)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    assert explained_share(model, maps) == pytest.approx(0.0, abs=0.05)
    assert good > 0.1


def test_a_horizon_beyond_the_record_is_said_once(box_config, tmp_path, caplog):
    dynamics = box_config.dynamics.model_copy(update={"horizons": [2, 20], "steps": 4})
    train(box_config.model_copy(update={"dynamics": dynamics}), tmp_path, silent)
    (line,) = [record.message for record in caplog.records if "horizons" in record.message]
    assert "asks for 20 frames" in line
    assert "train up to 10" in line
    assert "20 d asked for" in HeldOut.read(tmp_path).lines()[-1]
