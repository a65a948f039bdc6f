"""A run on disk: weights in safetensors, everything else in JSON. It loads whole or not at all, and runs no code."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from data_pipeline.errors import StoreError
from data_pipeline.system.atomic import writing_file
from data_pipeline.system.capacity import read_json

from ..config import Config, load_config
from ..errors import CheckpointError, MissingFileError
from ..numerics.modes import without_gradients
from ..space.gridmap import GridMap
from .latent import LatentModel
from .ocean import Ocean
from .spec import LatentSpec, OceanSpec

FORMAT = "dino-run"
VERSION = 3
_MAPS = ("background.longitude", "background.latitude", "background.values")
# Layers and widths that a description may name whatever the weights are: settings of the other kind stay as they are.
_ALWAYS_ALLOWED = 2**12
_ALWAYS_HELD = 4e6  # numbers of a model that is built whatever its file holds


def save_model(latent: LatentModel, ocean: Ocean, folder: Path) -> None:
    """Write `model.safetensors` and `model.json`; each appears whole or not at all, the JSON last."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in latent.state_dict().items()}
    background = ocean.background
    for name, array in zip(_MAPS, (background.longitude, background.latitude, background.values), strict=True):
        tensors[name] = torch.as_tensor(np.ascontiguousarray(array, np.float64))
    weights = folder / "model.safetensors"
    with writing_file(weights) as partial:
        save_file(tensors, partial)
        digest = _digest(partial)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "weights_sha256": digest,
        "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "latent": latent.spec.model_dump(mode="json"),
        "ocean": ocean.spec.model_dump(mode="json"),
    }
    with writing_file(folder / "model.json") as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def save_config(config: Config, folder: Path) -> None:
    """Write `config.yaml` of a run, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing_file(folder / "config.yaml") as partial:
        partial.write_text(config.to_yaml())


def load_run_config(folder: Path | str, overrides: Sequence[str] = ()) -> Config:
    """The configuration a run was made with.

    Raises `MissingFileError` when there is none, `CheckpointError` when it was cut short: what is left would validate,
    with defaults for what is lost.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise MissingFileError(f"{folder} is no run folder: it has no config.yaml; give one made by `dino train`")
    # Slow levels beside the dynamics of a run of earlier versions are gone; hindcasts do what they did.
    config = load_config(path, ["dynamics.drift=false", *overrides])
    if not path.read_text(encoding="utf-8").rstrip().endswith("\n..."):
        raise CheckpointError(f"{path} was cut short: its last line is not '...'; copy the run again or train anew")
    return config


@without_gradients
def load_model(folder: Path | str, device: str = "cpu") -> tuple[LatentModel, Ocean]:
    """The model of a run folder, in evaluation mode, and the ocean it lies over.

    Raises `MissingFileError` when there is no run, `CheckpointError` when a file is truncated, foreign, of another
    version, or when the weights and the description do not fit each other.
    """
    folder = Path(folder)
    description, weights = folder / "model.json", folder / "model.safetensors"
    for path in (description, weights):
        if not path.is_file():
            raise MissingFileError(f"{folder} is no finished run: it has no {path.name}; train one or resume it")
    content = _described(description)
    try:
        latent_spec = LatentSpec.model_validate(_without_drift(_without_residuals(content["latent"], description)))
        ocean_spec = OceanSpec.model_validate(content["ocean"])
        tensors = load_file(weights)
    except (ValidationError, KeyError) as error:
        raise CheckpointError(f"{description} is damaged: its description does not validate; train anew") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{weights} is truncated or foreign ({error}); copy the run again or train anew"
        ) from error
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    # Runs of equal sizes differ in nothing but numbers: only the digest tells their files apart.
    if shapes != content.get("tensors") or _digest(weights) != content.get("weights_sha256"):
        raise CheckpointError(
            f"{weights} and {description.name} belong to different runs, or the weights are damaged; "
            "copy both from one run"
        )
    background = _background(tensors, ocean_spec, weights)
    _refuse_other_sizes(latent_spec, tensors, weights)
    latent = LatentModel(latent_spec)
    try:
        latent.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{weights} does not fit its description; train anew") from error
    latent.origin = content["weights_sha256"]
    return latent.to(device).eval(), Ocean.of(ocean_spec, background)


def _without_residuals(latent: object, description: Path) -> object:
    """The description of a model less its list of residuals, which earlier versions wrote and mostly left empty.

    `CheckpointError` when a strategy that is gone has put something there.
    """
    if not isinstance(latent, dict) or not isinstance(latent.get("residuals"), list):
        return latent
    if latent["residuals"]:
        raise CheckpointError(
            f"{description} has {len(latent['residuals'])} residuals, of the transfer strategies 'shared-residual' or "
            "'physics', which are gone; transfer the run that they began with again, by 'statistics' or 'modulation'"
        )
    return {name: value for name, value in latent.items() if name != "residuals"}


def _without_drift(latent: object) -> object:
    """The description of a model less the setting of slow levels, which earlier versions had beside the dynamics."""
    dynamics = latent.get("dynamics") if isinstance(latent, dict) else None
    if not isinstance(latent, dict) or not isinstance(dynamics, dict):
        return latent
    return {**latent, "dynamics": {name: value for name, value in dynamics.items() if name != "drift"}}


def _background(tensors: dict[str, torch.Tensor], spec: OceanSpec, weights: Path) -> GridMap:
    """The mean field, taken out of the tensors; `CheckpointError` when it is none."""
    if not set(_MAPS) <= set(tensors):
        raise CheckpointError(f"{weights} holds no mean field; copy the run again or train anew")
    longitude, latitude, values = (tensors.pop(name).numpy() for name in _MAPS)
    space = (len(latitude), len(longitude)) if longitude.ndim == latitude.ndim == 1 else longitude.shape
    fits = longitude.ndim in (1, 2) and latitude.ndim == longitude.ndim and 0 not in space
    if not fits or values.shape != (len(spec.channels), *space) or (latitude.ndim == 2 and latitude.shape != space):
        raise CheckpointError(f"{weights} holds a mean field of odd shape; copy the run again or train anew")
    if len(spec.charts) != len(spec.amplitude) or not (spec.charts or spec.tiled):
        raise CheckpointError(f"{weights}: its description has charts without an amplitude; copy the run again")
    return GridMap(longitude, latitude, values)


def _refuse_other_sizes(spec: LatentSpec, tensors: dict[str, torch.Tensor], weights: Path) -> None:
    """`CheckpointError` when a description has sizes that the weights cannot have; nothing of its sizes is allocated.

    What remains, a model of a few times their size, is built and compared name by name.
    """
    held = sum(tensor.numel() for tensor in tensors.values())
    decoder, dynamics = spec.decoder, spec.dynamics
    # A code has its variance among the weights, and a layer that computes has at least a number of its own.
    sizes = {"code_size": decoder.code_size, "input_size": spec.input_size, "channels": spec.channels}
    layers = {
        "layers": decoder.layers,
        "depth": dynamics.depth,
        "lags": dynamics.lags,
        "tracers": dynamics.tracers,
    }
    widths = {"hidden": max(decoder.hidden, dynamics.hidden)}
    bounds = (
        (sizes, 1, held),
        (layers, 0, max(len(tensors), _ALWAYS_ALLOWED)),
        (widths, 0, max(held, _ALWAYS_ALLOWED)),
    )
    for named, least, most in bounds:
        for name, size in named.items():
            if not least <= size <= most:
                raise CheckpointError(
                    f"the description beside {weights} has a {name} of {size}, where the weights are {held} numbers; "
                    "copy the run again or train anew"
                )
    if _numbers(spec) > 4 * held + _ALWAYS_HELD:
        raise CheckpointError(
            f"the description beside {weights} wants some {_numbers(spec):.0e} numbers where the weights are {held}; "
            "copy the run again or train anew"
        )


def _numbers(spec: LatentSpec) -> float:
    """About how many weights a described model has: products of widths, which its file must hold."""
    decoder, dynamics = spec.decoder, spec.dynamics
    state = dynamics.order * decoder.code_size
    of_decoder = (decoder.layers + 1) * decoder.hidden * (spec.input_size + decoder.hidden + decoder.code_size)
    of_network = dynamics.hidden * (state + len(spec.context) + max(dynamics.depth - 2, 0) * dynamics.hidden)
    of_network = (of_network + dynamics.hidden * decoder.code_size) * bool(dynamics.depth)
    of_readout = decoder.hidden * spec.channels * decoder.layers
    of_products = (
        min(dynamics.products, decoder.code_size**2) * float(decoder.code_size) * (dynamics.form == "quadratic")
    )
    # Fields at the points, and of products what four matrices of twice as many rows hold.
    of_layers = 6.0 * (2 + dynamics.tracers) * dynamics.points**2 * (decoder.code_size + 1)
    of_layers *= dynamics.form == "layers"
    return of_layers + float(of_decoder + of_network + of_readout) + of_products + 2.0 * state**2


def _described(description: Path) -> dict:
    """The content of `model.json`; `CheckpointError` when it is no description of this version."""
    try:
        content = read_json(description)
    except StoreError as error:
        raise CheckpointError(f"{description} is not readable JSON; copy the run again or train anew") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{description} does not describe a run of dino; give a folder made by `dino train`")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{description} has version {content.get('version')}, this program reads {VERSION}; train anew"
        )
    return content


def run_identity(folder: Path | str) -> str:
    """What tells a run from all others: a digest of its description, which holds that of its weights.

    Raises `MissingFileError` when there is no finished run.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise MissingFileError(f"{folder} is no finished run: it has no {path.name}; train one or resume it")
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
