"""DINo's experiments (Yin et al., ICLR 2023) from nothing: data, training, and every test of the paper."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
import yaml

from data_pipeline.simulators import navier_stokes, shallow_water, wave
from data_pipeline.simulators.sequences import Part, Preset, SequencesConfig
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import Progress
from data_pipeline.system.settings import validated

from ..config import Config
from ..data.charts import kept_cells
from ..data.observations import days_since_epoch
from ..forecaster import Forecaster
from .sequences import SequenceScores, score_sequences

System = Literal["navier-stokes", "wave", "shallow-water"]
FINER_IN_TIME = 4
SPARSE = 0.5  # below this share of the cells a system's settings for few points are taken, where it has any
_NEW_POINTS = 1_000_003  # added to the seed of the kept cells: other cells at test than in training


@dataclass(frozen=True)
class Protocol:
    """Frames of a sequence, how many of them training sees, and the share of cells that are kept by default."""

    frames: int
    trained: int
    keep: float


PROTOCOLS = {"dino": Protocol(20, 10, 1.0), "successors": Protocol(40, 20, 0.2)}


@dataclass(frozen=True)
class Experiment:
    """A system, how it is simulated, and the settings that see it on a finer grid."""

    config: type[SequencesConfig]
    parts: Callable[[Any], FieldParts]
    interval: str
    finer_in_space: dict[str, int]


EXPERIMENTS: dict[str, Experiment] = {
    "navier-stokes": Experiment(
        navier_stokes.NavierStokesConfig, navier_stokes.parts, "frame_interval", {"output_grid": 256}
    ),
    "wave": Experiment(wave.WaveConfig, wave.parts, "frame_interval", {"grid": 256}),
    "shallow-water": Experiment(
        shallow_water.ShallowWaterConfig, shallow_water.parts, "frame_interval_hours", {"output_latitudes": 128}
    ),
}
# Sizes at which an experiment of the quick preset takes seconds; its numbers are no result.
QUICK_SETTINGS = [
    "data.symmetries=12",
    "decoder.code_size=64",
    "decoder.hidden=48",
    "field.steps=250",
    "field.frames_per_step=64",
    "dynamics.rounds=3",
    "dynamics.descent_steps=20",
]


def shipped_name(names: Container[str], system: str, protocol: str, keep: float | None) -> str:
    """Which of the shipped experiments `names` suits a share of cells (the protocol's when None)."""
    share = PROTOCOLS[protocol].keep if keep is None else keep
    sparse = f"{system}-sparse"
    return sparse if share < SPARSE and sparse in names else system


def store_path(folder: Path, preset: Preset, protocol: str, seed: int, name: str) -> Path:
    """Where a store of an experiment lies; runs of other shares and settings use the same."""
    return folder / f"{preset}-{protocol}-{seed}" / f"{name}.zarr"


def simulate(
    system: System, folder: Path, preset: Preset, protocol: str, seed: int, name: str, report: Progress
) -> xr.Dataset:
    """The store `name` (train, test, fine-grid or fine-time) of an experiment, made when it is not there yet."""
    path = store_path(folder, preset, protocol, seed, name)
    if not path.exists():
        experiment = EXPERIMENTS[system]
        part: Part = "train" if name == "train" else "test"
        config = experiment.config.preset(preset, part)
        frames = PROTOCOLS[protocol].frames
        settings = config.model_dump() | {"seed": seed, "sequence_frames": frames, "workers": 2}
        if name == "fine-grid":
            settings |= experiment.finer_in_space
        if name == "fine-time":
            settings[experiment.interval] /= FINER_IN_TIME
            settings |= {"frames": FINER_IN_TIME * config.frames, "sequence_frames": FINER_IN_TIME * frames}
        grow_store(experiment.parts(validated(experiment.config, settings)), path, progress=report)
    return open_store(path)


def filled(config: Config, store: Path, dataset: xr.Dataset, protocol: str, seed: int, keep: float | None) -> Config:
    """The configuration with the experiment's store, seed, share of cells and training frames."""
    trained = PROTOCOLS[protocol].trained
    content = yaml.safe_load(config.to_yaml())
    content["seed"] = seed
    content["data"]["stores"][0]["path"] = str(store)
    content["data"]["train_end"] = str(dataset["time"].values[trained - 1].astype("datetime64[us]"))
    content["data"]["keep"] = PROTOCOLS[protocol].keep if keep is None else keep
    content["data"]["keep_seed"] = seed
    return validated(Config, content)


def score(
    forecaster: Forecaster, config: Config, stores: Callable[[str], xr.Dataset], protocol: str
) -> dict[str, SequenceScores]:
    """Every test: the training's points, new points, the finer grid and the finer times (`stores` opens them by name).

    The finer grid is scored from what the coarse one shows of the first frame, the finer times up to the same lead.
    """
    test = stores("test")
    days = days_since_epoch(test["time"].values)
    trained_days = float(days[PROTOCOLS[protocol].trained - 1] - days[0])
    shape = test.sizes["latitude"], test.sizes["longitude"]
    data = config.data
    seen = kept_cells(shape, data.keep, data.keep_seed)
    made = {"same points": score_sequences(forecaster, test, seen, trained_days)}
    if data.keep < 1:
        other = kept_cells(shape, data.keep, data.keep_seed + _NEW_POINTS)
        made["new points"] = score_sequences(forecaster, test, other, trained_days)
    fine = stores("fine-grid")
    made["finer grid"] = score_sequences(forecaster, fine, seen, trained_days, initial=test)
    between = stores("fine-time")
    reached = days_since_epoch(between["time"].values) - days[0] <= days[-1] - days[0] + 1e-6
    made["finer times"] = score_sequences(forecaster, between.isel(time=np.flatnonzero(reached)), seen, trained_days)
    return made
