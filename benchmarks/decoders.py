"""Fourier against Siren: the same store, code size and seconds of training; then held-out maps are encoded and decoded.

Reads stores of DINo's experiments as `dino reproduce` leaves them (`--store`, a test store beside it). Errors are
relative to the variance of the field, channels weighted alike; the best possible linear basis of the same size
(principal components of the training maps, fitted to the same maps) is given beside them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser, prepare, report
from torch import Tensor

from data_pipeline.stores.writing import open_store
from dino.config import Config
from dino.inference.encode import encode_frames
from dino.space.decoders import decode
from dino.training.code_statistics import learn_code_statistics
from dino.training.field_stage import FieldStage
from dino.training.prepare import prepare as prepare_training

CALIBRATION_STEPS = 6
FRAMES = 64
BASIS_FRAMES = 1024  # maps that the best linear basis is found from
PER_KIND = {
    "fourier": {"hidden": 128, "scale": 6.0, "learning_rate": 0.02, "frames_per_step": 256},
    "siren": {"hidden": 64, "learning_rate": 0.01, "frames_per_step": 32},
}


def settings(store: Path, kind: str, code: int, seed: int, steps: int) -> Config:
    """A configuration of the field stage alone; training frames are the first half of every sequence."""
    dataset = open_store(store)
    own = dict(PER_KIND[kind])
    field = {name: own.pop(name) for name in ("learning_rate", "frames_per_step")}
    channels = [str(name) for name in dataset.data_vars if dataset[name].ndim == 4]
    half = str(dataset["time"].values[dataset.sizes["time"] // 2 - 1].astype("datetime64[us]"))
    return Config.model_validate(
        {
            "seed": seed,
            "data": {"stores": [{"path": str(store)}], "channels": channels, "train_end": half},
            "decoder": {"kind": kind, "code_size": code, **own},
            "field": {"steps": steps, "noise_std": 0.01, **field},
            "dynamics": {"order": 1, "horizons": [5]},
        }
    )


def train(store: Path, kind: str, code: int, seed: int, seconds: float) -> dict[str, Any]:
    """Train one decoder for about `seconds` and score it on held-out trajectories."""
    rate = CALIBRATION_STEPS / _descend(store, kind, code, seed, CALIBRATION_STEPS)[1]
    steps = max(CALIBRATION_STEPS, int(rate * seconds))
    (stage, held, training), taken = _descend(store, kind, code, seed, steps)
    learn_code_statistics(stage.model, [training], stage.config)
    values = held.values.flatten(0, 1)
    values = values[torch.linspace(0, len(values) - 1, FRAMES).long()]
    model, began = stage.model, time.perf_counter()
    codes = encode_frames(model.decoder, held.coordinates, values, model.spec.noise_variance, model.code_prior).mean
    encoding = time.perf_counter() - began
    with torch.no_grad():
        error = (decode(model.decoder, held.coordinates, codes) - values).square().mean()
    return {
        "steps": steps,
        "seconds": taken,
        "held_out_mse": float(error),
        "encode_seconds_per_map": encoding / FRAMES,
        "linear_basis_mse": _linear_basis(training.values, values, code),
    }


def _descend(store: Path, kind: str, code: int, seed: int, steps: int):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    config = settings(store, kind, code, seed, steps)
    splits, model, _ = prepare_training(config)
    training, held = splits[0].training.at(0), splits[0].validation
    stage = FieldStage(model, [training], held, config.field, generator)
    began = time.perf_counter()
    for index in range(steps):
        stage.step(index)
    return (stage, held, training), time.perf_counter() - began


def _linear_basis(training: Tensor, held: Tensor, code: int) -> float:
    """What `code` principal components of training maps (series, frame, point, channel) leave of held-out ones."""
    seen = training.flatten(0, 1).flatten(1)
    seen = seen[:: max(1, len(seen) // BASIS_FRAMES)].double()
    mean = seen.mean(0)
    # By way of the maps, which are fewer than their values.
    variance, weights = torch.linalg.eigh((seen - mean) @ (seen - mean).T)
    modes = (seen - mean).T @ (weights[:, -code:] / variance[-code:].sqrt())
    rest = held.flatten(1).double() - mean
    return float((rest - (rest @ modes) @ modes.T).square().mean())


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--store", type=Path, nargs="+", required=True, help="training stores of `dino reproduce`")
    options.add_argument("--name", nargs="+", required=True, help="a name for each store")
    options.add_argument("--code", type=int, default=64)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments: argparse.Namespace = options.parse_args()
    prepare(arguments)
    results = {
        name: {
            f"seed_{seed}": {kind: train(store, kind, arguments.code, seed, arguments.seconds) for kind in PER_KIND}
            for seed in arguments.seeds
        }
        for name, store in zip(arguments.name, arguments.store, strict=True)
    }
    ratio = {
        name: float(np.mean([run["siren"]["held_out_mse"] / run["fourier"]["held_out_mse"] for run in runs.values()]))
        for name, runs in results.items()
    }
    report(arguments, {"code": arguments.code, "mean_ratio_siren_to_fourier": ratio, **results})


if __name__ == "__main__":
    main()
