"""A run on disk: it comes back bit for bit, or a typed error says why not."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dino.config import Config, DecoderConfig, DynamicsConfig
from dino.errors import CheckpointError, ConfigError, MissingFileError
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean, OceanSpec
from dino.model.checkpoint import load_model, load_run_config, run_identity, save_config, save_model
from dino.space.cover import CONTEXT
from dino.space.domain import Region
from dino.space.gridmap import GridMap


def small_latent(seed: int = 0, code: int = 4, **spec) -> LatentModel:
    torch.manual_seed(seed)
    settings = {
        "decoder": DecoderConfig(code_size=code, hidden=8, layers=1),
        "dynamics": DynamicsConfig(hidden=8, depth=2, lags=2),
        "input_size": 2,
        "channels": 1,
        "context": CONTEXT,
        "interval_days": 1.0,
        "noise_variance": 0.1 + 0.2 + seed,
        "data_digest": "0" * 64,
    }
    model = LatentModel(LatentSpec(**(settings | spec)))
    for name, tensor in model.state_dict().items():
        if tensor.dtype.is_floating_point and name != "dynamics.rates":
            tensor.copy_(torch.rand(tensor.shape))
    return model


def small_ocean(seed: int = 0) -> Ocean:
    spec = OceanSpec(
        channels=[ChannelSpec(name="adt", units="m", standard_name=None, spread=0.1 + 0.2 + seed)],
        charts=[
            Region.from_bounds(0.1, 4.7, 30.0, 1 / 3 + 34.0, isotropic=False),
            Region.from_bounds(179.9, -175.1, 30.0, 34.0, isotropic=False),
        ],
        amplitude=[1 / 7, 0.1 + 0.2],
        tiled=True,
    )
    values = np.random.default_rng(seed).normal(size=(1, 2, 3))
    values[0, 0, 0] = np.nan
    return Ocean.of(spec, GridMap(np.linspace(0.1, 4.7, 3), np.linspace(30.0, 34.0, 2), values))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    save_model(small_latent(), small_ocean(), folder)
    return folder


def check_same(latent: LatentModel, again: LatentModel) -> None:
    assert again.spec == latent.spec
    assert not again.training
    state, loaded = latent.state_dict(), again.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[name], loaded[name]) and state[name].dtype == loaded[name].dtype for name in state)


def test_round_trip_is_exact(run):
    (latent, ocean), (loaded, there) = (small_latent(), small_ocean()), load_model(run)
    check_same(latent, loaded)
    assert there.spec == ocean.spec
    assert there.channels == ocean.channels
    for name in ("longitude", "latitude", "values"):
        np.testing.assert_array_equal(getattr(there.background, name), getattr(ocean.background, name))
    place = np.array([1.0, 2.0, 180.0]), np.array([31.0, 32.0, 33.0])
    for mine, other in zip(ocean.cover.pairs(*place), there.cover.pairs(*place), strict=True):
        np.testing.assert_array_equal(mine, other)
    points = torch.as_tensor(ocean.cover.pairs(*place).coordinates).float()
    assert torch.equal(latent.decoder.basis(points).modes, loaded.decoder.basis(points).modes)
    assert sorted(path.name for path in run.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize(
    "spec",
    [
        {"decoder": DecoderConfig(kind="siren", code_size=4, hidden=8, layers=1)},
        {"dynamics": DynamicsConfig(form="quadratic", order=1, products=3), "context": ()},
        {"dynamics": DynamicsConfig(order=3, depth=0), "context": ("log_size",)},
        {"channels": 2, "input_size": 4, "context": ()},
    ],
)
def test_every_kind_of_model_comes_back(spec, tmp_path):
    latent, ocean = small_latent(**spec), small_ocean()
    save_model(latent, ocean, tmp_path)
    again, _ = load_model(tmp_path)
    check_same(latent, again)
    state, context = torch.rand(2, latent.dynamics.state_size), torch.rand(2, len(latent.spec.context)) + 0.5
    assert torch.equal(latent.dynamics.derivative(state, context), again.dynamics.derivative(state, context))


def test_a_run_that_lists_no_residuals_is_one_of_an_earlier_version(run):
    """What every run had in its description; other keys that are unknown are still refused."""
    path = run / "model.json"
    content = json.loads(path.read_text())
    assert "residuals" not in content["latent"]
    for residuals, taken in (([], True), (None, False), (0, False)):
        content["latent"]["residuals"] = residuals
        path.write_text(json.dumps(content))
        if taken:
            check_same(small_latent(), load_model(run)[0])
        else:
            with pytest.raises(CheckpointError, match="damaged"):
                load_model(run)


def test_settings_of_strategies_that_are_gone_stay_behind(tmp_path):
    """A run of an earlier version lists their defaults, which nobody chose."""
    config = Config.model_validate({"data": {"stores": [{"path": "here.zarr"}], "channels": ["adt"]}})
    save_config(config, tmp_path)
    path, gone = tmp_path / "config.yaml", "  learning_rate: 0.003\n  pull: 1.0\n  context_size: 4\n  hidden: 64\n"
    written = path.read_text()
    assert written.count("transfer:\n") == 1
    path.write_text(written.replace("transfer:\n", "transfer:\n" + gone))
    assert load_run_config(tmp_path) == config
    path.write_text(written.replace("strategy: modulation", "strategy: shared-residual"))
    with pytest.raises(ConfigError, match=r"'shared-residual' came, which is gone.*choose 'statistics'"):
        load_run_config(tmp_path)
    assert load_run_config(tmp_path, ["transfer.strategy=modulation"]) == config


def test_a_model_in_double_precision_is_kept_in_single(tmp_path):
    save_model(small_latent().double(), small_ocean(), tmp_path)
    check_same(small_latent(), load_model(tmp_path)[0])


def test_saving_again_replaces_both_files(run):
    before = run_identity(run)
    save_model(small_latent(seed=1), small_ocean(seed=1), run)
    latent, ocean = load_model(run)
    assert latent.spec == small_latent(seed=1).spec
    assert ocean.spec == small_ocean(seed=1).spec
    assert run_identity(run) != before


def test_runs_are_told_by_weights_and_by_place(run, tmp_path):
    for name, latent, ocean in (("again", small_latent(), small_ocean()), ("there", small_latent(), small_ocean(1))):
        save_model(latent, ocean, tmp_path / name)
    assert run_identity(tmp_path / "again") == run_identity(run)
    assert run_identity(tmp_path / "there") != run_identity(run)


def test_a_configuration_comes_back_and_one_cut_short_is_refused(tmp_path):
    config = Config.model_validate({"data": {"stores": [{"path": "here.zarr"}], "channels": ["adt"]}, "seed": 7})
    save_config(config, tmp_path)
    assert load_run_config(tmp_path) == config
    assert load_run_config(tmp_path, ["seed=8"]).seed == 8
    path = tmp_path / "config.yaml"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-20]))
    with pytest.raises(CheckpointError, match="cut short"):
        load_run_config(tmp_path)
    with pytest.raises(MissingFileError, match=r"no config\.yaml"):
        load_run_config(tmp_path / "none")
    with pytest.raises(MissingFileError, match="no finished run"):
        run_identity(tmp_path)


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
    ["", "{", "[]", "null", '{"format": "onnx"}', "\x80", '{"format": "dino-run", "version": 3}'],
)
def test_foreign_description(run, text):
    (run / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError):
        load_model(run)


@pytest.mark.parametrize("version", [1, 2, 99])
def test_other_versions_are_refused(run, version):
    path = run / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    with pytest.raises(CheckpointError, match=f"version {version}, this program reads 3"):
        load_model(run)


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("latent", {"interval_days": "soon"}),
        ("latent", {"color": "blue"}),
        ("ocean", {"amplitude": "large"}),
        ("ocean", {"charts": [{"kind": "cube"}]}),
        ("ocean", None),
    ],
)
def test_description_that_does_not_validate(run, part, changed):
    path = run / "model.json"
    content = json.loads(path.read_text())
    content[part] = None if changed is None else content[part] | changed
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not validate"):
        load_model(run)
    del content[part]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not validate"):
        load_model(run)


def test_weights_that_do_not_fit_their_description(run):
    """A description of a wider network, with the sizes of the tensors that are there."""
    path = run / "model.json"
    content = json.loads(path.read_text())
    content["latent"]["dynamics"]["hidden"] = 16
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not fit its description"):
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
    save_model(small_latent(seed, code), small_ocean(), other)
    shutil.copy(other / "model.safetensors", run)
    with pytest.raises(CheckpointError, match="different runs"):
        load_model(run)
