"""`dino reproduce`: DINo's experiments and published protocols of many physics, from data to a table."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from data_pipeline.system.progress import reported

from ..config import Config, load_config
from ..errors import ConfigError
from ..evaluation.report import Row, write_report
from ..experiments.reproduce import PROTOCOLS, QUICK_SETTINGS, System, filled, score, shipped_name, simulate, store_path
from ..experiments.sequences import SequenceScores
from ..experiments.shipped import experiments, find_experiment
from ..experiments.train import train
from ..training.held_out import HeldOut
from .common import Overrides, Threads, console, use_device, use_threads

MANY_PHYSICS = ("ttg", "coda", "zebra", "enma")
WIDTH = 170  # of their tables
SPANS = {
    "in_t": "In-t",
    "in_t_in_s": "In-t In-s",
    "in_t_out_s": "In-t Out-s",
    "out_t": "Out-t",
    "out_t_in_s": "Out-t In-s",
    "out_t_out_s": "Out-t Out-s",
}


class SystemName(StrEnum):
    """The systems of the paper, and protocols of many physics."""

    NAVIER_STOKES = "navier-stokes"
    WAVE = "wave"
    SHALLOW_WATER = "shallow-water"
    TTG = "ttg"
    CODA = "coda"
    ZEBRA = "zebra"
    ENMA = "enma"


class PresetName(StrEnum):
    """The published sizes, or sizes of seconds."""

    PAPER = "paper"
    QUICK = "quick"


class ProtocolName(StrEnum):
    """DINo's frames and cells, or those of its successors."""

    DINO = "dino"
    SUCCESSORS = "successors"


def reproduce(
    system: Annotated[SystemName, typer.Argument(help="Which experiment.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for stores and runs; runs/SYSTEM by default.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Share of the grid cells that is seen, e.g. 0.05.")] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="dino: 10 + 10 frames; successors: 20 + 20 frames, 20 % of the cells.")
    ] = ProtocolName.DINO,
    preset: Annotated[PresetName, typer.Option(help="Sizes of the paper, or of seconds.")] = PresetName.PAPER,
    config: Annotated[str | None, typer.Option(help="Experiment, by name or file; the system's by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of data, kept cells and training.")] = 0,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    threads: Threads = None,
    full: Annotated[
        bool, typer.Option("--full", help="Many physics: counts as published, not those of minutes.")
    ] = False,
    seeds: Annotated[list[int], typer.Option(help="Many physics: a seed; repeatable.")] = [0],  # noqa: B006
    only: Annotated[list[str], typer.Option(help="Many physics: a task by name; repeatable.")] = [],  # noqa: B006
) -> None:
    """Simulate an experiment of DINo's paper, train on it, and score every test of the paper.

    `ttg`, `coda`, `zebra` and `enma` are protocols of many physics. Their tables stand beside published numbers, tagged
    P where they were read in the paper and C in its authors' code; of the options they take --out, --full, --seeds,
    --only and --threads.

    Stores that are there already are used again. Mean squared errors, in the squared units of the field: In-t are the
    leads that training had, Out-t those beyond; In-s the cells seen in the first frame, Out-s all others.

    Example: dino reproduce navier-stokes --keep 0.05
    """
    folder = out or Path("runs") / system.value
    if system.value in MANY_PHYSICS:
        given = {"--keep": keep, "--config": config, "--set": overrides, "--resume": resume, "--seed": seed}
        refused = [name for name, value in given.items() if value]
        if refused:
            raise ConfigError(f"{', '.join(refused)} came with {system.value}, which takes --full, --seeds and --only")
        use_threads(threads)
        many_physics(system.value, folder, seeds, full, only)
        return
    quick = QUICK_SETTINGS if preset is PresetName.QUICK else []
    shipped = shipped_name(experiments(), system.value, protocol.value, keep)
    settings = load_config(find_experiment(config or shipped), [*quick, *overrides])
    use_device(settings.device)

    def store(name: str) -> xr.Dataset:
        with reported(f"simulating ({name})") as report:
            return simulate(cast(System, system.value), folder, preset.value, protocol.value, seed, name, report)

    training = store("train")
    where = store_path(folder, preset.value, protocol.value, seed, "train")
    settings = filled(settings, where, training, protocol.value, seed, keep)
    run = folder / f"{preset.value}-{protocol.value}-{seed}" / f"run-{100 * settings.data.keep:g}"
    if (run / "model.json").exists() and not resume:
        raise ConfigError(f"{run} holds a finished run already; choose another --out or remove it")
    use_threads(threads)
    began, busy = time.perf_counter(), time.process_time()
    with reported("training") as report:
        forecaster = train(settings, run, report, resume)
    for line in HeldOut.read(run).lines():
        console().print(line, highlight=False)
    trained, busy = time.perf_counter() - began, time.process_time() - busy
    from ..plotting import plot_sequences, plot_training

    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    plot_training(records, run / "figures" / "training.png")
    scores = score(forecaster, settings, store, protocol.value)
    rows = score_rows(scores, forecaster.ocean.names)
    plot_sequences(scores, forecaster.ocean.names, run / "figures" / "error.png")
    about = {"system": system.value, "protocol": protocol.value, "keep": settings.data.keep, "seed": seed}
    spent = {"training_seconds": round(trained, 1), "training_cpu_seconds": round(busy, 1)}
    write_report(run / "scores.json", rows, **about, **spent, by_frame=_by_frame(scores))
    console().print(_table(rows, system.value, settings, PROTOCOLS[protocol.value].trained))
    took = f"trained in {trained:.0f} s ({busy:.0f} s of processors)"
    console().print(f"{took}; scores in {run}/scores.json, figures in {run}/figures")


def many_physics(name: str, folder: Path, seeds: list[int], full: bool, only: list[str]) -> None:
    """Print the tables of a protocol and write its rows to `folder`/scores.json."""
    from ..experiments.physics_table import PROTOCOLS, calibration_table, score_protocol, table_of

    def told(line: str) -> None:
        console().print(line, highlight=False)

    protocol = PROTOCOLS[name]
    with reported("simulating") as report:
        rows = score_protocol(protocol, folder / "stores", seeds, full=full, only=only, told=told, report=report)
    write_report(folder / "scores.json", rows, protocol=name, seeds=seeds, full=full, declared=protocol.declared)
    wide = Console(width=max(console().width, WIDTH))
    wide.print(table_of(protocol, rows))
    bars = calibration_table(rows)
    if bars is not None:
        wide.print(bars)
    told(f"scores in {folder}/scores.json, simulations in {folder}/stores")


def score_rows(scores: dict[str, SequenceScores], channels: tuple[str, ...]) -> list[Row]:
    """One row per test and channel: mean squared errors by span, and the variance of the field."""
    return [
        {"test": test, "channel": channel, "variance": float(result.variance[index])}
        | {span: values[index] for span, values in result.table().items()}
        for test, result in scores.items()
        for index, channel in enumerate(channels)
    ]


def _by_frame(scores: dict[str, SequenceScores]) -> dict[str, dict[str, list]]:
    return {
        test: {"lead_days": result.leads.tolist(), "mse": result.by_frame.tolist()} for test, result in scores.items()
    }


def _table(rows: list[Row], system: str, settings: Config, trained: int) -> Table:
    share = f"{100 * settings.data.keep:g} % of the cells"
    table = Table(title=f"{system}, {share}, first {trained} frames trained on: mean squared error")
    spans = [name for name in SPANS if name in rows[0]]
    for name in ("test", "channel"):
        table.add_column(name)
    for name in [*spans, "variance"]:
        table.add_column(SPANS.get(name, name), justify="right")
    for row in rows:
        cells = [f"{row[name]:.2e}" if name in row else "" for name in [*spans, "variance"]]
        table.add_row(row["test"], row["channel"], *cells)
    return table
