"""From a trained run to a shipped model: weights and settings without a place, a mean field or a path of a machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import parser, prepare, report
from realdata import add_options, configuration, make_stores, skip_without, train_run, work_folder

from dino.config import Config
from dino.model import LatentModel, Ocean
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model
from dino.model.named import SHIPPED

COPERNICUS = "Generated using E.U. Copernicus Marine Service Information; https://doi.org/10.48670/moi-00148"


def options(description: str, config: Path) -> argparse.ArgumentParser:
    """Options of a script that makes a model."""
    made = parser(description)
    add_options(made)
    made.set_defaults(config=config)
    made.add_argument("--out", type=Path, default=SHIPPED, help="folder of models to write to")
    return made


def trained(given: argparse.Namespace, work: Path, stores: dict[str, list[str]], overrides: Sequence[str]) -> Path:
    """The run folder, trained where the work folder does not hold it yet."""
    make_stores(work, given.data, stores)
    config = configuration(given.config, [*overrides, *given.overrides], work, given.seed)
    folder = work / "runs" / f"{given.config.stem}_{given.seed}"
    if not (folder / "model.json").exists():
        train_run(config, folder)
    return folder


def ship(run: Path, name: str, out: Path, credit: str) -> dict[str, float]:
    """Write weights, description and settings of a run as model `name`; its card is written by hand."""
    latent, ocean = load_model(run)
    spec = latent.spec.model_copy(update={"credit": credit})
    bare = LatentModel(spec)
    bare.load_state_dict(latent.state_dict())
    folder = out / name
    save_model(bare, Ocean.nowhere(ocean.channels), folder)
    save_config(without_folders(load_run_config(run)), folder)
    return {path.name: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}


def without_folders(config: Config) -> Config:
    """The settings with stores named as `dino-data` makes them, wherever they lay."""
    stores = [s.model_copy(update={"path": _from_stores(s.path)}) for s in config.data.stores]
    return config.model_copy(update={"data": config.data.model_copy(update={"stores": stores})})


def _from_stores(path: Path) -> Path:
    parts = path.parts
    return Path(*parts[parts.index("stores") :]) if "stores" in parts else Path("stores") / path.name


__all__ = ["COPERNICUS", "options", "prepare", "report", "ship", "skip_without", "trained", "work_folder"]
