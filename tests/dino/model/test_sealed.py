"""What is saved is read as it was, or not at all."""

import json

import pytest
import torch

from dino.errors import CheckpointError, MissingFileError
from dino.model.sealed import read_sealed, write_sealed

TENSORS = {"a": torch.arange(6.0).double().reshape(2, 3).T, "b": torch.tensor(2.0)}
CONTENT = {"limit": 0.1, "terms": ["u: dx(u)"], "none": None, "on": True}


@pytest.fixture
def folder(tmp_path):
    write_sealed(tmp_path / "saved", "thing", 3, TENSORS, CONTENT)
    return tmp_path / "saved"


def test_all_comes_back(folder):
    tensors, content = read_sealed(folder, "thing", 3)
    assert content == CONTENT
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert {path.name for path in folder.iterdir()} == {"thing.safetensors", "thing.json"}


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(MissingFileError, match=r"thing\.json"):
        read_sealed(tmp_path, "thing", 3)
    (folder / "thing.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"thing\.safetensors"):
        read_sealed(folder, "thing", 3)


def test_files_cut_short_or_changed_are_refused(folder):
    text, weights = (folder / "thing.json").read_text(), (folder / "thing.safetensors").read_bytes()
    for changed, why in (
        (text[: len(text) // 2], "no.* JSON|readable JSON"),
        (text.replace("0.1", "0.2"), "was changed"),
        (text.replace("dino-thing", "dino-other"), "does not describe"),
        ("[]", "does not describe"),
        (text.replace('"version": 3', '"version": 2'), "has version 2, this program reads 3"),
    ):
        (folder / "thing.json").write_text(changed)
        with pytest.raises(CheckpointError, match=why):
            read_sealed(folder, "thing", 3)
    (folder / "thing.json").write_text(json.dumps(json.loads(text)))  # laid out anew, but the same
    read_sealed(folder, "thing", 3)
    for changed in (weights[:-3], weights[:-1] + bytes([weights[-1] ^ 1]), b""):
        (folder / "thing.safetensors").write_bytes(changed)
        with pytest.raises(CheckpointError, match="different saves"):
            read_sealed(folder, "thing", 3)


def test_a_save_that_fails_leaves_no_half_of_it(folder):
    with pytest.raises(TypeError):
        write_sealed(folder, "thing", 3, TENSORS, {"limit": object()})
    assert read_sealed(folder, "thing", 3)[1] == CONTENT
    assert not [path for path in folder.iterdir() if path.name not in ("thing.json", "thing.safetensors")]
