"""`dino train`."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.system.progress import reported

from ..config import load_config
from ..errors import ConfigError
from ..experiments.train import train as train_run
from ..model import LatentModel
from ..numerics.parallel import joined
from ..plotting import plot_training
from .common import Overrides, console, use_device


def train(
    config: Annotated[Path, typer.Argument(help="Experiment file, e.g. configs/mediterranean.yaml.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")] = Path("runs/run"),
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
) -> None:
    """Train a run: decoder, code statistics, dynamics.

    Example: dino train configs/mediterranean.yaml --out runs/mediterranean --set seed=1

    Several processes train one run together, and give the same but for rounding, under torchrun (one GPU each with
    --set device=cuda; any number may resume what another number began):

    torchrun --nproc-per-node 2 -m dino train configs/mediterranean.yaml --out runs/mediterranean
    """
    settings = load_config(config, overrides)
    use_device(settings)
    if (out / "model.json").exists() and not resume:
        raise ConfigError(f"{out} holds a finished run already; choose another --out or remove it")
    with joined(settings.device) as group, reported("training") if group.leads else nullcontext(_silent) as report:
        model = train_run(settings, out, report, resume, group)
    if group.leads:
        _summarise(model, out)


def _silent(done: int, total: int) -> None:
    """One process of a group shows progress."""


def _summarise(model: LatentModel, out: Path) -> None:
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    plot_training(records, out / "figures" / "training.png")
    weights = sum(p.numel() for p in model.parameters())
    console().print(
        f"trained {out}: {len(model.cover.charts)} charts, {weights:,} weights, {', '.join(model.spec.names)}"
    )
