"""Two layers from points: stopped anywhere a run goes on to the bit, and two processes train the decoder of one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.data.points import PointStore
from dino.experiments import points_layers
from dino.experiments import train as recipe
from dino.experiments.train import train
from dino.training.field_stage import FieldStage

pytestmark = pytest.mark.slow


class PowerCut(Exception):
    """A process that ends."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    truth = simulate(QuasiGeostrophicConfig(trajectories=1, days=34, seed=5, length_km=500, grid=24, shear_m_s=0.13))
    looks = {"seed": 0, "instruments": [{"name": "nadir", "kind": "nadir", "orbit": "jason", "error_std": 0.02}]}
    store = tmp_path_factory.mktemp("points") / "seen.zarr"
    write_store(sample(truth, SampleConfig.model_validate(looks)), store)
    return Config.model_validate(
        {
            "data": {
                "stores": [{"path": str(store)}], "channels": ["ssh"], "hidden": ["lower_layer"], "validation_days": 3,
            },
            "domain": {"kind": "periodic_box"},
            "decoder": {"code_size": 12, "hidden": 16, "layers": 1},
            "field": {"steps": 12, "frames_per_step": 8},
            "dynamics": {"form": "layers", "order": 1, "points": 16, "horizons": [1, 2]},
            "assimilation": {"window_days": 5},
            "points": {"rounds": 2, "runs": 8, "oceans": 8, "days": 6},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    torch.set_num_threads(1)
    train(config, folder, silent)
    return folder


BOUNDARIES = {
    "before the first ocean": (points_layers, "_simulated", 0),
    "in the decoder of the first round": (FieldStage, "step", 3),
    "in the model error of the first round": (recipe, "measure_model_error", 0),
    "before the first fit": (points_layers, "_adapted", 0),
    "between fit and its file": (points_layers, "_numbers", 0),
    "in the decoder of the second round": (FieldStage, "step", 12),
    "before the last fit": (points_layers, "_adapted", 1),
    "before the model is saved": (points_layers, "save_model", 0),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_run_that_was_killed_goes_on_to_the_bit(boundary, config, whole, tmp_path, monkeypatch):
    where, name, number = BOUNDARIES[boundary]
    once, calls = getattr(where, name), []
    with monkeypatch.context() as patch:

        def failing(*arguments, **named):
            calls.append(name)
            if len(calls) == number + 1:
                raise PowerCut
            return once(*arguments, **named)

        patch.setattr(where, name, failing)
        with pytest.raises(PowerCut):
            train(config, tmp_path, silent)
    torch.rand(3)
    np.random.default_rng().random(3)
    train(config, tmp_path, silent, resume=(tmp_path / "config.yaml").exists())
    for file in ("model.safetensors", "held_out.json", "rounds/1/numbers.json", "rounds/2/numbers.json"):
        assert (tmp_path / file).read_bytes() == (whole / file).read_bytes(), file


def test_two_processes_train_the_decoder_of_one_but_for_rounding(config, whole, tmp_path):
    path = tmp_path / "layers.yaml"
    path.write_text(config.to_yaml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*torchrun, "dino", "train", str(path), "--out", str(tmp_path / "both"), "--threads", "1"]
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert made.returncode == 0, made.stderr[-2000:]
    # Twelve steps make no basis that would tell the numbers: their fit, by the first process alone, blows rounding up.
    # What both make together is the decoder, of which the first round's is of the same ocean.
    one, both = (
        [json.loads(line) for line in (folder / "rounds/1/run/metrics.jsonl").read_text().splitlines()]
        for folder in (whole, tmp_path / "both")
    )
    decoder = [told for told in one if told["stage"] == "field"]
    assert decoder
    for a, b in zip(decoder, both, strict=False):
        assert b["stage"] == "field"
        assert b["validation"] == pytest.approx(a["validation"], rel=1e-4)
        assert b["train"] == pytest.approx(a["train"], rel=1e-4)


def test_no_more_than_a_window_of_days_is_read_at_a_time(config, tmp_path, monkeypatch):
    """Memory: of a record only days are read, and as many are kept as there is room for."""
    kept = []
    monkeypatch.setattr(
        PointStore, "of_day", lambda self, day, once=PointStore.of_day: kept.append(self.room) or once(self, day)
    )
    small = config.model_copy(update={"data": config.data.model_copy(update={"memory_gb": 0.01})})
    train(small.model_copy(update={"points": small.points.model_copy(update={"rounds": 1})}), tmp_path, silent)
    assert kept
    assert max(kept) <= 4
