"""The state of a daily cycle on disk: the latest analysis, for the next update to go on from.

A folder with `state.json` and the tensors that it names. New tensors get a name of their own before the JSON is
replaced: a process that is killed leaves the old state or the new one.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from data_pipeline.errors import StoreError
from data_pipeline.system.atomic import writing_file
from data_pipeline.system.capacity import read_json
from data_pipeline.system.inside import inside

from ..data.observations import datetime_of
from ..errors import CheckpointError, NonFiniteError
from ..inference.analysis import Analysis, Seen
from ..inference.offsets import Offset, StateAndOffsets
from ..model.checkpoint import run_identity

FORMAT = "dino-state"
VERSION = 1
DESCRIPTION = "state.json"
LONGEST_DAYS = 99_000.0  # from 1950, either way: what a store's nanoseconds hold


def save_cycle(analysis: Analysis, path: Path, run: Path | str) -> None:
    """Write the end of an analysis of points, whole or not at all, over the state that is there."""
    joint = analysis.joint or StateAndOffsets((), analysis.mean, analysis.covariance)
    if not (torch.isfinite(joint.mean).all() and torch.isfinite(joint.covariance).all()):
        raise NonFiniteError(
            f"the state at {analysis.time:.2f} days since 1950 is not finite and is not kept at {path}"
        )
    path.mkdir(parents=True, exist_ok=True)
    tensors = {"mean": joint.mean, "covariance": joint.covariance}
    if analysis.seen is not None:
        tensors["seen_time"] = torch.as_tensor(analysis.seen.time)
        tensors["seen_digest"] = torch.as_tensor(analysis.seen.digest.view(np.int64))
    packed = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(packed).hexdigest()
    content = {
        "format": FORMAT,
        "version": VERSION,
        "run": run_identity(run),
        "time": analysis.time,
        "moment": str(datetime_of(analysis.time)),
        "offsets": [list(offset) for offset in joint.offsets],
        "tensors": _tensors_name(digest),
        "sha256": digest,
        "quality": analysis.quality.attributes(),
    }
    with writing_file(path / _tensors_name(digest)) as partial:
        partial.write_bytes(packed)
    with writing_file(path / DESCRIPTION) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")
    # Hidden ones are what killed writers left: one process at a time holds a cycle.
    for old in [*path.glob("state-*.safetensors*"), *path.glob(".state-*.safetensors.partial-*")]:
        if old.name != _tensors_name(digest):
            old.unlink(missing_ok=True)


def load_cycle(path: Path, run: Path | str, device: str | torch.device = "cpu") -> Analysis | None:
    """The analysis that a state holds, ready to be updated or forecast from; None where there is no state yet.

    Raises `CheckpointError` when it is damaged, foreign, of another version, or belongs to another run.
    """
    description = path / DESCRIPTION
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    if not description.is_file():
        raise CheckpointError(f"{path} is no state of a cycle: it has no {DESCRIPTION}; give a new or another folder")
    try:
        content = read_json(inside(path, DESCRIPTION))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise CheckpointError(f"{description} is no state that this program reads; begin anew in another folder")
        if content["tensors"] != _tensors_name(str(content["sha256"])):
            raise CheckpointError(f"{description} names {content['tensors']!r}, no tensors of a state; begin anew")
        packed = inside(path, content["tensors"]).read_bytes()
        if hashlib.sha256(packed).hexdigest() != content["sha256"]:
            raise CheckpointError(f"{path / content['tensors']} is damaged; begin anew in another folder")
        tensors = load(packed)
        belongs = content["run"] == run_identity(run)
        offsets = tuple(Offset(str(source), int(channel), float(last)) for source, channel, last in content["offsets"])
        joint = StateAndOffsets(offsets, tensors["mean"].to(device), tensors["covariance"].to(device))
        time = float(content["time"])
        _refuse_other_shapes(joint, time)
        seen = _seen(tensors)
    except (StoreError, ValueError, KeyError, TypeError, OverflowError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); begin anew in another folder") from error
    if not belongs:
        raise CheckpointError(f"the state {path} belongs to another run than {run}; give its run, or another state")
    size = joint.state_size
    return Analysis(
        time,
        joint.mean[:, :size],
        joint.covariance[:, :size, :size],
        joint=joint if offsets else None,
        seen=seen,
    )


def _refuse_other_shapes(joint: StateAndOffsets, time: float) -> None:
    """ValueError for tensors that are no Gaussian of a state, and for a time beyond those of a store."""
    mean, covariance = joint.mean, joint.covariance
    if mean.ndim != 2 or covariance.shape != (*mean.shape, mean.shape[1]) or joint.state_size < 1:
        raise ValueError(f"mean {tuple(mean.shape)} and covariance {tuple(covariance.shape)} are of no state")
    if not (mean.is_floating_point() and mean.isfinite().all() and covariance.isfinite().all()):
        raise ValueError("its numbers are not finite")
    if not abs(time) < LONGEST_DAYS:
        raise ValueError(f"its time is day {time}")


def _seen(tensors: dict[str, Tensor]) -> Seen | None:
    if "seen_time" not in tensors:
        return None
    time, digest = tensors["seen_time"], tensors["seen_digest"]
    if time.ndim != 1 or time.shape != digest.shape or time.dtype != torch.float64 or digest.dtype != torch.int64:
        raise ValueError("what it remembers of observations is no list of times and digests")
    return Seen(time.numpy(), digest.numpy().view(np.uint64))


def _tensors_name(digest: str) -> str:
    return f"state-{digest[:16]}.safetensors"
