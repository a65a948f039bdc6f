"""Two processes under torchrun give what one gives, and end together; the steps never wait for their device."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from data_pipeline.stores import writing as stores
from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.experiments.train import _codes, _set_rates, train
from dino.model.checkpoint import load_model
from dino.numerics.parallel import ALONE, Group, _own_device, joined
from dino.training import normal_equations
from dino.training.dynamics_stage import DynamicsStage
from dino.training.field_stage import FieldStage
from dino.training.loop import Losses
from dino.training.prepare import prepare

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
WORKER = Path(__file__).with_name("processes.py")
SIREN = {"kind": "siren", "code_size": 6, "hidden": 8, "layers": 1, "w0_first": 3.0}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def configs(box_config, sea_config, box_dataset, tmp_path_factory) -> dict[str, Config]:
    box, map_bytes = box_config.model_dump(), 4 * 16 * 16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "CHUNK_BYTES", 14 * map_bytes)
        chunked = write_store(box_dataset(), tmp_path_factory.mktemp("stores") / "chunked.zarr")
    data = box["data"] | {"stores": [{"path": str(chunked)}], "memory_gb": 60 * map_bytes / 1e9}
    quadratic = {"form": "quadratic", "order": 1, "rounds": 3, "ridge": 1.0, "descent_steps": 5}
    return {
        "box": box_config,
        "sea": sea_config,
        "quadratic": Config.model_validate(box | {"dynamics": box["dynamics"] | quadratic}),
        "streamed": Config.model_validate(box | {"data": data}),
        "siren": Config.model_validate(box | {"decoder": SIREN, "field": box["field"] | {"frames_per_step": 7}}),
    }


@pytest.fixture(scope="module")
def folder(configs, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("parallel")
    for name, config in configs.items():
        (made / f"{name}.yaml").write_text(config.to_yaml())
    return made


def start(*arguments) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    command = [*TORCHRUN, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def together(folder) -> Path:
    """What two processes left after comparisons in float64: runs that were finished, and one that was stopped."""
    done = start(WORKER, "work", folder)
    assert done.returncode == 0, done.stderr
    return folder


def assert_close_runs(one: Path, other: Path, tolerance: float) -> None:
    """The same metrics, and weights that are the same function up to rounding in float32."""
    ours, theirs = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)
    )
    assert [(m["stage"], m["step"]) for m in ours] == [(m["stage"], m["step"]) for m in theirs]
    for mine, its in zip(ours, theirs, strict=True):
        assert mine["validation"] == pytest.approx(its["validation"], rel=tolerance)
        assert mine["train"] == (None if its["train"] is None else pytest.approx(its["train"], rel=tolerance))
    state = load_model(other)[0].state_dict()
    for name, value in load_model(one)[0].state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=10 * tolerance, atol=10 * tolerance, msg=name)


@pytest.mark.parametrize("name", ["quadratic", "streamed"])
def test_two_processes_are_one_to_rounding(name, together, configs, tmp_path, monkeypatch):
    monkeypatch.setattr(normal_equations, "BLOCK", 16)
    train(configs[name], tmp_path, silent)
    assert_close_runs(together / name, tmp_path, 1e-3)


def test_a_run_of_two_that_was_told_to_end_is_resumed_by_one(together, configs, box_run):
    assert not (together / "stopped" / "model.json").exists()
    train(configs["box"], together / "stopped", silent, resume=True)
    assert_close_runs(together / "stopped", box_run, 1e-3)


def test_the_command_under_torchrun(folder, box_run, tmp_path):
    run = tmp_path / "command"
    done = start("-m", "dino", "train", folder / "box.yaml", "--out", run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained") == 1
    assert_close_runs(run, box_run, 1e-3)
    written = {path.name for path in run.iterdir()}
    files = {"config.yaml", "held_out.json", "metrics.jsonl", "model.json", "model.safetensors", "state.pt"}
    assert written == files | {"figures"}


def test_a_process_that_fails_takes_the_others_with_it(folder):
    began = time.monotonic()
    done = start(WORKER, "fail", folder)
    assert done.returncode != 0
    assert "power cut" in done.stderr
    assert time.monotonic() - began < 60
    assert not (folder / "failed" / "model.json").exists()


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_shares_are_whole_and_even(count):
    parts = [list(range(count))[Group(rank=rank, size=3).share(count)] for rank in range(3)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_without_torchrun_a_process_is_alone():
    with joined("cpu") as group:
        assert group == ALONE
        assert group.any(True)
        tensor = torch.ones(2)
        group.sum_([tensor])
        assert torch.equal(tensor, torch.ones(2))


@pytest.mark.parametrize(("device", "message"), [("cuda:1", "set device=cuda"), ("cuda", "no GPU")])
def test_devices_that_cannot_be_shared_out_are_refused(device, message):
    with pytest.raises(Exception, match=message):
        _own_device(device, 64)


class Transfers(TorchDispatchMode):
    """Notes copies between devices that wait."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        if function is torch.ops.aten._to_copy.default:
            there, here = torch.device(keywords.get("device") or arguments[0].device), arguments[0].device
            if there != here and not keywords.get("non_blocking"):
                self.waits.append((here, there))
        return function(*arguments, **keywords)


@pytest.mark.parametrize("name", ["box", "sea"])
@pytest.mark.parametrize("order", [1, 2])
def test_steps_do_not_wait_for_their_device(name, order, configs):
    """On the meta device there are no numbers: whatever would ask for one, and so wait for a GPU, is an error."""
    config = configs[name].model_copy(update={"dynamics": configs[name].dynamics.model_copy(update={"order": order})})
    splits, model, _ = prepare(config)
    codes = _codes(model, splits[0].training, ALONE)
    _set_rates(model, [codes])
    model.to("meta")
    field = FieldStage(model, [splits[0].training], splits[0].training, config.field, torch.Generator())
    field.training = [series.to("meta") for series in field.training]
    dynamics = DynamicsStage(model, [on_meta(codes)], codes, config.dynamics, torch.Generator())
    with Transfers() as transfers:
        for stage, index in ((field, 0), (field, 1), (dynamics, 0), (dynamics, 11)):
            assert stage.step(index).device.type == "meta"
    assert transfers.waits == []


def on_meta(codes):
    names = ("codes", "metric", "unresolved", "context", "persistence")
    return type(codes)(*(getattr(codes, name).to("meta") for name in names), codes.share)


def test_losses_of_a_device_are_read_when_wanted():
    losses = Losses("field", [])
    for index in range(3):
        losses.add(index, torch.ones((), device="meta"))
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        losses.read()
    losses = Losses("field", [1.0])
    losses.add(0, torch.tensor(3.0))
    assert losses.mean() == 2.0
    losses.add(1, torch.tensor(5.0))
    assert losses.mean() == 5.0
