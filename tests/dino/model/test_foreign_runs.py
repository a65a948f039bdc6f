"""Runs and states that somebody else made: sizes are those of the weights, files those of the folder, errors typed."""

import hashlib
import json
import shutil
import struct
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from dino.config import DecoderConfig, DynamicsConfig
from dino.errors import CheckpointError, DinoError
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean, OceanSpec
from dino.model.checkpoint import load_model, load_run_config, save_model
from dino.service.state import load_cycle
from dino.space.domain import Region
from dino.space.gridmap import GridMap

SOON = 5.0


def a_run(folder, **sections):
    decoder = {"code_size": 4, "hidden": 8, "layers": 1} | sections.get("decoder", {})
    dynamics = {"hidden": 8, "depth": 2, "lags": 2} | sections.get("dynamics", {})
    spec = LatentSpec(
        decoder=DecoderConfig(**decoder), dynamics=DynamicsConfig(**dynamics), input_size=2, channels=1,
        interval_days=1.0, noise_variance=0.1, data_digest="0",
    )  # fmt: skip
    ocean = OceanSpec(
        channels=[ChannelSpec(name="adt", units="m", spread=0.1)], charts=[Region.from_bounds(0.0, 4.0, 30.0, 34.0)],
        amplitude=[1.0], tiled=False,
    )  # fmt: skip
    axis = np.linspace(0.0, 4.0, 3)
    save_model(LatentModel(spec), Ocean.of(ocean, GridMap(axis, 30 + axis, np.zeros((1, 3, 3)))), folder)
    return folder


def edited(folder, *keys, value):
    path = folder / "model.json"
    content = json.loads(path.read_text())
    *above, last = keys
    place = content
    for key in above:
        place = place[key]
    place[last] = value
    path.write_text(json.dumps(content))


def refused(folder, match=None):
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=match):
        load_model(folder)
    assert time.monotonic() - began < SOON


KINDS = {
    "network": {},
    "siren": {"decoder": {"kind": "siren"}},
    "quadratic": {"dynamics": {"form": "quadratic", "order": 1, "products": 3}},
    "linear": {"dynamics": {"order": 3, "depth": 0}},
}
SIZES = [
    ("decoder", "hidden"), ("decoder", "layers"), ("decoder", "code_size"), ("dynamics", "hidden"),
    ("dynamics", "depth"), ("dynamics", "lags"), ("input_size",), ("channels",),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES, ids=".".join)
@pytest.mark.parametrize("value", [6, 10**4, 10**9, 10**13, 10**30, 0, -1])
def test_sizes_that_are_not_those_of_the_weights(tmp_path, kind, size, value):
    """A size without effect in this kind of model changes nothing, whatever it is within reason."""
    folder = a_run(tmp_path, **KINDS[kind])
    edited(folder, "latent", *size, value=value)
    began = time.monotonic()
    try:
        latent, _ = load_model(folder)
    except CheckpointError:
        assert time.monotonic() - began < SOON
        return
    weights = load((folder / "model.safetensors").read_bytes())
    assert value in (0, 6, 10**4)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in latent.state_dict().items())
    unused = {
        "quadratic": {("dynamics", "hidden"), ("dynamics", "depth"), ("dynamics", "lags")},
        "linear": {("dynamics", "hidden")} | ({("dynamics", "depth")} if value == 0 else set()),
    }
    assert size in unused.get(kind, set())


@pytest.mark.parametrize("residual", [{"hidden": 10**12, "drifts": True}, {"hidden": 3, "drifts": False}])
@pytest.mark.parametrize("count", [1, 2, 3, 100_000])
def test_residuals_of_strategies_that_are_gone(tmp_path, residual, count):
    folder = a_run(tmp_path)
    edited(folder, "latent", "residuals", value=[residual] * count)
    refused(folder, f"model.json has {count} residuals.*which are gone; transfer the run .* again, by 'statistics'")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SIZES), st.integers(-(2**70), 2**70)), min_size=1, max_size=4))
def test_any_sizes_are_soon_refused_or_of_no_effect(tmp_path_factory, changes):
    folder = a_run(tmp_path_factory.mktemp("run"))
    for size, value in changes:
        edited(folder, "latent", *size, value=value)
    began = time.monotonic()
    try:
        latent, _ = load_model(folder)
    except DinoError:
        pass
    else:
        assert latent.spec.decoder.code_size == 4
    assert time.monotonic() - began < SOON


def weights_of(folder, tensors):
    """Other weights, which the description names as its own."""
    packed = save(tensors)
    (folder / "model.safetensors").write_bytes(packed)
    edited(folder, "weights_sha256", value=hashlib.sha256(packed).hexdigest())
    edited(folder, "tensors", value={name: list(tensor.shape) for name, tensor in tensors.items()})


@pytest.mark.parametrize("change", ["gone", "flat", "cube", "channels", "empty", "other axes"])
def test_mean_fields_that_are_none(tmp_path, change):
    folder = a_run(tmp_path)
    tensors = load((folder / "model.safetensors").read_bytes())
    values, axis = tensors["background.values"], tensors["background.longitude"]
    tensors |= {
        "gone": {},
        "flat": {"background.values": values[0, 0]},
        "cube": {"background.longitude": axis.expand(2, 2, 3).contiguous()},
        "channels": {"background.values": values.expand(2, 3, 3).contiguous()},
        "empty": {"background.values": values[:, :, :0], "background.longitude": axis[:0]},
        "other axes": {"background.latitude": axis[:2].clone()},
    }[change]
    if change == "gone":
        del tensors["background.values"]
    weights_of(folder, tensors)
    refused(folder, "mean field")


def test_tensors_that_belong_to_no_model(tmp_path):
    folder = a_run(tmp_path)
    tensors = load((folder / "model.safetensors").read_bytes())
    weights_of(folder, tensors | {"stranger": torch.zeros(3)})
    refused(folder, "does not fit its description")
    weights_of(folder, {name: tensor for name, tensor in tensors.items() if name != "code_variance"})
    refused(folder, "does not fit its description")


@pytest.mark.parametrize("length", [10**13, 2**63, 2**20])
def test_a_header_longer_than_its_file(tmp_path, length):
    folder = a_run(tmp_path)
    packed = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + packed[8:])
    refused(folder, "truncated or foreign")


@pytest.mark.parametrize("shape", [[10**13], [2**32, 2**32], [2**64]])
def test_a_tensor_larger_than_its_file(tmp_path, shape):
    folder = a_run(tmp_path)
    header = json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    refused(folder, "truncated or foreign")


def test_descriptions_of_any_length_and_depth(tmp_path):
    folder = a_run(tmp_path)
    (folder / "model.json").write_text("[" * 200_000)
    refused(folder, "not readable JSON")
    with open(folder / "model.json", "r+b") as file:
        file.truncate(2**40)
    refused(folder, "not readable JSON")
    edited_spec = a_run(tmp_path / "other")
    edited(edited_spec, "ocean", "amplitude", value=[])
    refused(edited_spec)


# ---- the state of a cycle


@pytest.fixture
def state(tmp_path):
    """(folder, run, tensors) of a state whose numbers are plain."""
    run, folder = a_run(tmp_path / "run"), tmp_path / "state"
    folder.mkdir()
    tensors = {"mean": torch.zeros(1, 8), "covariance": torch.eye(8)[None].clone()}
    described(folder, run, tensors)
    assert load_cycle(folder, run) is not None
    return folder, run, tensors


def described(folder, run, held, /, **changes):
    from dino.model.checkpoint import run_identity

    packed = save(held)
    digest = hashlib.sha256(packed).hexdigest()
    name = f"state-{digest[:16]}.safetensors"
    (folder / name).write_bytes(packed)
    content = {
        "format": "dino-state", "version": 1, "run": run_identity(run), "time": 20000.0, "offsets": [],
        "tensors": name, "sha256": digest,
    } | changes  # fmt: skip
    (folder / "state.json").write_text(json.dumps(content))
    return folder / name


@pytest.mark.parametrize("kind", ["absolute", "above", "link", "folder link", "windows", "other name"])
def test_a_state_names_tensors_of_its_own_folder_only(state, tmp_path, kind):
    folder, run, tensors = state
    own = described(folder, run, tensors)
    other = tmp_path / own.name
    shutil.copy(own, other)
    named = {"absolute": str(other), "above": f"../{own.name}", "windows": f"..\\{own.name}", "other name": "x.tensors"}
    if kind in named:
        shutil.copy(own, folder / "x.tensors")
        described(folder, run, tensors, tensors=named[kind])
    else:
        own.unlink()
        own.symlink_to(other)
        if kind == "folder link":
            description = (folder / "state.json").read_text()
            (tmp_path / "state.json").write_text(description)
            (folder / "state.json").unlink()
            (folder / "state.json").symlink_to(tmp_path / "state.json")
    with pytest.raises(CheckpointError):
        load_cycle(folder, run)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": torch.zeros(8)},
        {"mean": torch.zeros(1, 7)},
        {"mean": torch.full((1, 8), torch.nan)},
        {"mean": torch.zeros(1, 8, dtype=torch.int64)},
        {"covariance": torch.zeros(1, 8)},
        {"covariance": torch.full((1, 8, 8), torch.inf)},
        {"seen_time": torch.zeros(3, dtype=torch.float64)},
        {"seen_time": torch.zeros(3, dtype=torch.float64), "seen_digest": torch.zeros(2, dtype=torch.int64)},
        {"seen_time": torch.zeros(3, dtype=torch.float16), "seen_digest": torch.zeros(3, dtype=torch.int64)},
        {"seen_time": torch.zeros(3, dtype=torch.float64), "seen_digest": torch.zeros(3, dtype=torch.int32)},
    ],
)
def test_tensors_that_are_no_state(state, change):
    folder, run, tensors = state
    described(folder, run, tensors | change)
    with pytest.raises(CheckpointError, match="damaged"):
        load_cycle(folder, run)


@pytest.mark.parametrize(
    "change",
    [
        {"time": 1e300},
        {"time": "nan"},
        {"time": None},
        {"time": 200_000.0},
        {"offsets": [["a", 0, 1.0]] * 8},
        {"offsets": [["a", 0]]},
        {"offsets": 7},
        {"tensors": None},
        {"tensors": ["x"]},
        {"sha256": 7},
    ],
)
def test_descriptions_that_are_of_no_state(state, change):
    folder, run, tensors = state
    described(folder, run, tensors, **change)
    with pytest.raises(CheckpointError):
        load_cycle(folder, run)


@pytest.mark.parametrize("drift", [False, True])
def test_runs_of_before_with_slow_levels_are_read(sea_run, tmp_path, drift):
    """Their setting in both files, and its sizes among the weights."""
    run = tmp_path / "run"
    shutil.copytree(sea_run, run)
    content, weights = json.loads((run / "model.json").read_text()), run / "model.safetensors"
    packed = save(load(weights.read_bytes()) | {"drift_noise": torch.full((1, 2), 0.1)})
    weights.write_bytes(packed)
    content["tensors"]["drift_noise"], content["weights_sha256"] = [1, 2], hashlib.sha256(packed).hexdigest()
    content["latent"]["dynamics"]["drift"] = drift
    (run / "model.json").write_text(json.dumps(content))
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("dynamics:\n", f"dynamics:\n  drift: {str(drift).lower()}\n"))
    before, now = load_model(run), load_model(sea_run)
    assert before[0].spec == now[0].spec
    for name, value in now[0].state_dict().items():
        assert torch.equal(before[0].state_dict()[name], value)
    assert load_run_config(run) == load_run_config(sea_run)
