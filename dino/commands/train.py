"""`dino train`."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.system.progress import reported, silent

from ..config import load_config
from ..errors import ConfigError
from ..experiments.shipped import find_experiment
from ..experiments.train import train as train_run
from ..forecaster import Forecaster
from ..numerics.parallel import joined
from ..training.held_out import HeldOut
from .common import Experiment, Overrides, Threads, console, use_device, use_threads


def train(
    config: Experiment,
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")] = Path("runs/run"),
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    threads: Threads = None,
) -> None:
    """Train a run: decoder, code statistics, dynamics.

    Example: dino train mediterranean --out runs/mediterranean --set seed=1

    Several processes train one run together, and give the same but for rounding, under torchrun (one GPU each with
    --set device=cuda; any number may resume what another number began):

    torchrun --nproc-per-node 2 -m dino train mediterranean --out runs/mediterranean
    """
    settings = load_config(find_experiment(config), overrides)
    use_device(settings.device)
    if (out / "model.json").exists() and not resume:
        raise ConfigError(f"{out} holds a finished run already; choose another --out or remove it")
    use_threads(threads)
    with joined(settings.device) as group, reported("training") if group.leads else nullcontext(silent) as report:
        forecaster = train_run(settings, out, report, resume, group)
    if group.leads:
        _summarise(forecaster, out)


def _summarise(forecaster: Forecaster, out: Path) -> None:
    from ..plotting import plot_training

    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    plot_training(records, out / "figures" / "training.png")
    for line in HeldOut.read(out).lines():
        console().print(line, highlight=False)
    weights = sum(p.numel() for p in forecaster.latent.parameters())
    console().print(
        f"trained {out}: {forecaster.ocean.charts} charts, {weights:,} weights, {', '.join(forecaster.ocean.names)}"
    )
