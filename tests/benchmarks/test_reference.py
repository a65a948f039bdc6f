"""`--reference DIR` of the scripts, on a stand-in for the authors' checkout."""

import json

import encode
import pytest
import reproduce
import torch
import training_step
from peers import Experiment, Task

from dino.space.decoders import FourierDecoder, SirenDecoder

SCRIPTS = {
    "encode": (encode, ["--steps", "2"]),
    "training_step": (training_step, []),
    "reproduce": (reproduce, ["wave"]),
}


@pytest.fixture
def small(monkeypatch):
    """Few maps."""
    monkeypatch.setattr(encode, "FRAMES", 2)
    monkeypatch.setattr(encode, "TRAINING_FRAMES", 4)
    monkeypatch.setattr(training_step, "FRAMES", 2)


@pytest.mark.parametrize("name", ["encode", "training_step"])
def test_the_authors_code_is_timed_beside_the_imitation(name, small, checkout, tmp_path, capsys):
    script, options = SCRIPTS[name]
    options = [*options, "--repeats", "1", "--training-steps", "1", "--json", str(tmp_path / "report.json")]
    script.main(options)
    without = json.loads((tmp_path / "report.json").read_text())["results"]
    script.main([*options, "--reference", str(checkout)])
    made = json.loads((tmp_path / "report.json").read_text())["results"]
    added = {"reference_seconds", "ratio_reference", "reference_relative_difference"}
    assert set(made) - set(without) == added | ({"reference_mse"} if name == "encode" else set())
    assert made["reference_relative_difference"] < 1e-5
    ours = made["exact_seconds" if name == "encode" else "projection_seconds"]
    assert made["ratio_reference"] == pytest.approx(made["reference_seconds"] / ours)
    if name == "encode":
        # The same weights, the same steps, and the check draws nothing from the seed.
        assert made["reference_mse"] == pytest.approx(made["plain_mse"], rel=1e-3)
        assert made["plain_mse"] == pytest.approx(without["plain_mse"], rel=1e-5)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_folder_is_refused_before_any_work(name, tmp_path, capsys, monkeypatch):
    script, options = SCRIPTS[name]
    monkeypatch.setattr(script, "prepare", lambda arguments: pytest.fail("work began"))
    with pytest.raises(SystemExit) as stop:
        script.main([*options, "--reference", str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert "has no network.py" in " ".join(capsys.readouterr().err.split())


def test_a_reference_that_no_seed_would_use_is_refused(checkout, capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce.main(["wave", "--reference", str(checkout), "--seeds", "1", "--peer-seeds", "0"])
    assert stop.value.code == 2
    assert "none of them is among --seeds" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def wave(coordinates):
    """wave(keep): an experiment of two channels on 16 x 16 points, a share of which is kept."""

    def make(keep: float) -> Experiment:
        kept = torch.arange(256) < 256 * keep
        task = Task(coordinates, (16, 16), kept, 0.25, torch.randn(3, 4, 256, 2), 0, 1.0)
        return Experiment(task, torch.randn(2, 5, 256, 2), torch.zeros(2), torch.ones(2), ("w", "rate"))

    return make


@pytest.mark.parametrize("keep", [1.0, 0.25])
def test_the_wave_is_compared_on_all_points_and_on_few(keep, wave, checkout, monkeypatch):
    # The published 300 steps take seconds; what is timed here is nothing.
    compare = reproduce.compare
    monkeypatch.setattr(reproduce, "compare", lambda *given, **named: compare(*given, **named, adam_steps=3, repeats=1))
    made = reproduce.beside_reference(checkout, FourierDecoder(4, 8, 2, hidden=16, layers=2), wave(keep))
    assert "refused" not in made
    assert made["relative_difference"] < 1e-5
    assert (made["frames"], made["training_frames"]) == (2, 12)


def test_a_decoder_that_the_reference_has_not_leaves_the_report(wave, checkout):
    made = reproduce.beside_reference(checkout, SirenDecoder(4, 8, 2, hidden=16), wave(1.0))
    assert "SirenDecoder" in made["refused"]
