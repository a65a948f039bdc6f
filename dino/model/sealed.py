"""Tensors and their description on disk: safetensors beside JSON, which name each other by digests and run no code."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_pipeline.errors import StoreError
from data_pipeline.system.atomic import writing_file
from data_pipeline.system.capacity import read_json

from ..errors import CheckpointError, MissingFileError


def write_sealed(folder: Path, kind: str, version: int, tensors: Mapping[str, Tensor], content: Mapping) -> None:
    """Write `<kind>.safetensors` and `<kind>.json`; each appears whole or not at all, the JSON last.

    content : what JSON can hold
    """
    folder.mkdir(parents=True, exist_ok=True)
    with writing_file(folder / f"{kind}.safetensors") as partial:
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, partial)
        digest = _digest(partial)
    whole = {"format": f"dino-{kind}", "version": version, "weights_sha256": digest, "content": dict(content)}
    with writing_file(folder / f"{kind}.json") as partial:
        partial.write_text(json.dumps({**whole, "sha256": _seal(whole)}, indent=1) + "\n", encoding="utf-8")


def read_sealed(folder: Path, kind: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and content that `write_sealed` wrote.

    Raises MissingFileError where a file is missing, CheckpointError where one was cut short, changed, is of another
    kind or version, or where they belong to different saves.
    """
    weights, description = folder / f"{kind}.safetensors", folder / f"{kind}.json"
    for path in (description, weights):
        if not path.is_file():
            raise MissingFileError(f"{folder} holds no {kind}: it has no {path.name}; give a folder that has both")
    try:
        whole = read_json(description)
    except StoreError as error:
        raise CheckpointError(f"{description} is not readable JSON; copy the folder again or save anew") from error
    if not isinstance(whole, dict) or whole.get("format") != f"dino-{kind}":
        raise CheckpointError(f"{description} does not describe a {kind} of dino; give a folder that one was saved to")
    if whole.get("version") != version:
        raise CheckpointError(
            f"{description} has version {whole.get('version')}, this program reads {version}; fit and save anew"
        )
    seal = whole.pop("sha256", None)
    if seal != _seal(whole) or not isinstance(whole.get("content"), dict):
        raise CheckpointError(f"{description} was changed since it was saved; copy the folder again or save anew")
    if _digest(weights) != whole.get("weights_sha256"):
        raise CheckpointError(
            f"{weights} and {description.name} belong to different saves or are damaged; copy both from one"
        )
    try:
        return load_file(weights), whole["content"]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is foreign ({error}); copy the folder again or save anew") from error


def _seal(content: Mapping) -> str:
    """Digest of content, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
