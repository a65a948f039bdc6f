"""`dino train`."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.progress import reported

from ..config import load_config
from ..errors import ConfigError
from ..plotting import plot_training
from ..training.train import train as train_run
from .common import Overrides, console, use_device


def train(
    config: Annotated[Path, typer.Argument(help="Experiment file, e.g. configs/mediterranean.yaml.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")] = Path("runs/run"),
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
) -> None:
    """Train a run: decoder, code statistics, dynamics.

    Example: dino train configs/mediterranean.yaml --out runs/mediterranean --set seed=1
    """
    settings = load_config(config, overrides)
    use_device(settings)
    if (out / "model.json").exists() and not resume:
        raise ConfigError(f"{out} holds a finished run already; choose another --out or remove it")
    import json

    with reported("training") as report:
        model = train_run(settings, out, report, resume)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    plot_training(records, out / "figures" / "training.png")
    weights = sum(p.numel() for p in model.parameters())
    console().print(
        f"trained {out}: {len(model.cover.charts)} charts, {weights:,} weights, {', '.join(model.spec.names)}"
    )
