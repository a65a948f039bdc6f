"""A run on disk: it comes back bit for bit, or a typed error says why not."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dino.config import DecoderConfig, DynamicsConfig
from dino.errors import CheckpointError, MissingFileError
from dino.model.checkpoint import load_model, save_model
from dino.model.latent import ChannelSpec, ModelSpec, OceanModel
from dino.space.domain import Region
from dino.space.gridmap import GridMap


def small_model(seed: int = 0, code: int = 4) -> OceanModel:
    torch.manual_seed(seed)
    spec = ModelSpec(
        channels=[ChannelSpec(name="adt", units="m", standard_name=None, spread=0.1 + 0.2 + seed)],
        decoder=DecoderConfig(code_size=code, hidden=8, layers=1),
        dynamics=DynamicsConfig(hidden=8, depth=2, lags=2),
        charts=[Region.from_bounds(0.1, 4.7, 30.0, 1 / 3 + 34.0, isotropic=False)],
        amplitude=[1 / 7],
        tiled=True,
        interval_days=1.0,
        noise_variance=0.01,
        data_digest="0" * 64,
    )
    longitude, latitude = np.linspace(0.1, 4.7, 3), np.linspace(30.0, 34.0, 2)
    values = np.random.default_rng(seed).normal(size=(1, 2, 3))
    values[0, 0, 0] = np.nan
    model = OceanModel(spec, GridMap(longitude, latitude, values))
    model.code_variance.copy_(torch.rand(code))
    return model


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    save_model(small_model(), folder)
    return folder


def test_round_trip_is_exact(run):
    model, loaded = small_model(), load_model(run)
    assert loaded.spec == model.spec
    assert not loaded.training
    state, again = model.state_dict(), loaded.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) and state[name].dtype == again[name].dtype for name in state)
    for name in ("longitude", "latitude", "values"):
        np.testing.assert_array_equal(getattr(loaded.background, name), getattr(model.background, name))
    points = model.coordinates(0, np.array([1.0, 2.0]), np.array([31.0, 32.0]))
    assert torch.equal(model.decoder.basis(points).modes, loaded.decoder.basis(points).modes)
    assert sorted(path.name for path in run.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_again_replaces_both_files(run):
    save_model(small_model(seed=1), run)
    assert load_model(run).spec == small_model(seed=1).spec


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_missing_file(run, name):
    (run / name).unlink()
    with pytest.raises(MissingFileError, match=f"no finished run: it has no {name}"):
        load_model(run)


def test_missing_folder(tmp_path):
    with pytest.raises(MissingFileError):
        load_model(tmp_path / "none")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated_weights(run, share):
    weights = run / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        load_model(run)


def test_one_changed_byte_is_found(run):
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 0x40
    weights.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(run)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": "onnx"}', "\x80", '{"format": "dino-run", "version": 1}'],
)
def test_foreign_description(run, text):
    (run / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError):
        load_model(run)


def test_other_version(run):
    path = run / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(CheckpointError, match="version 99"):
        load_model(run)


def test_the_factors_of_the_spread_are_kept(run):
    model = small_model()
    model.spread_factor.copy_(torch.rand(model.spread_factor.shape))
    save_model(model, run)
    assert torch.equal(load_model(run).spread_factor, model.spread_factor)


def test_a_run_of_the_first_version_has_factors_of_one(run):
    """Written as that version wrote: without the tensor and with its own number."""
    model = small_model()
    weights, description = run / "model.safetensors", run / "model.json"
    tensors = load_file(weights)
    del tensors["spread_factor"]
    save_file(tensors, weights)
    content = json.loads(description.read_text()) | {"version": 1}
    del content["tensors"]["spread_factor"]
    content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    description.write_text(json.dumps(content))
    loaded = load_model(run)
    assert torch.equal(loaded.spread_factor, torch.ones(2, 32, 1, 2))
    assert torch.equal(loaded.code_variance, model.code_variance)


def test_description_that_does_not_validate(run):
    path = run / "model.json"
    content = json.loads(path.read_text())
    content["spec"]["interval_days"] = "soon"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not validate"):
        load_model(run)


def test_foreign_weights(run):
    (run / "model.safetensors").write_bytes(b"PK\x03\x04 a pickle in disguise")
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        load_model(run)
    save_file({"weight": torch.zeros(3)}, run / "model.safetensors")
    with pytest.raises(CheckpointError, match="different runs"):
        load_model(run)


@pytest.mark.parametrize(("seed", "code"), [(1, 4), (0, 6)])
def test_weights_of_another_run(run, tmp_path, seed, code):
    """Of other sizes, and of equal ones: those differ in nothing but numbers."""
    other = tmp_path / "other"
    save_model(small_model(seed, code), other)
    shutil.copy(other / "model.safetensors", run)
    with pytest.raises(CheckpointError, match="different runs"):
        load_model(run)
