"""`dino demo`: the main job from nothing to a scored forecast."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr
import yaml
from rich.console import Console

from data_pipeline.stores.stream import read_window
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from data_pipeline.system.settings import load_settings

from ..config import Config
from ..data.observations import Observations
from ..errors import ConfigError
from ..evaluation.evaluate import Evaluation, evaluate_observations
from ..evaluation.fitted_interpolation import FittedInterpolation, interpolations
from ..evaluation.report import area_mean_table, report_table, spread_table, write_report
from ..experiments.demo import FULL, QUICK, QUICK_SETTINGS, DemoSizes, make_oceans
from ..experiments.shipped import find_experiment
from ..experiments.train import train
from ..forecaster import Forecaster
from ..model.checkpoint import save_config, save_model
from ..training.held_out import HeldOut
from ..transfer import strategy
from .common import Overrides, Threads, calibrate_transferred, console, transfer_task, use_threads
from .evaluate import distributions, draw


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for stores, runs and figures.")] = Path("runs/demo"),
    config: Annotated[str, typer.Option(help="The demo's experiment, by name or file.")] = "demo",
    seed: Annotated[int, typer.Option(help="Seed of oceans, errors and training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A tiny variant, under a minute.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Ten times as much simulation to learn from.")] = False,
    threads: Threads = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Simulate an ocean, observe another one along satellite tracks, train, transfer, forecast, score and draw.

    Example: dino demo runs/demo
    """
    if quick and full:
        raise ConfigError("--quick and --full are two sizes of the demo; give one of them")
    sizes = QUICK if quick else FULL if full else DemoSizes()
    run_demo(out, config, seed, sizes, threads, overrides)


def run_demo(
    out: Path,
    config: str = "demo",
    seed: int = 0,
    sizes: DemoSizes | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
) -> Evaluation:
    """What `dino demo` does; returns the evaluation with the forecast maps, for other methods to be compared with."""
    began = time.perf_counter()
    screen = console()
    sizes = sizes or DemoSizes()
    settings = load_settings(Config, find_experiment(config), [*(QUICK_SETTINGS if sizes == QUICK else []), *overrides])
    use_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    screen.print("[bold]1/5[/] simulating two oceans and observing one of them along satellite tracks")
    with reported("simulating") as report:
        model_store, real_store, seen_store = make_oceans(out, sizes, seed, report)
    settings = filled(settings, model_store, sizes, seed)
    screen.print("[bold]2/5[/] training on the model ocean")
    with reported("training") as report:
        forecaster = train(settings, out / "run", report)
    for line in HeldOut.read(out / "run").lines():
        screen.print(line, highlight=False)
    _draw_training(out)
    seen = open_store(seen_store)
    screen.print("[bold]3/5[/] transfer to the observed ocean, on its observations before the scored days")
    past = Observations.from_dataset(read_window(seen, "1900-01-01", sizes.scored_from), forecaster.ocean.names)
    task = transfer_task(forecaster, past, settings)
    with reported("transfer") as report:
        result = strategy(settings.transfer.strategy)(task, report)
    spread = calibrate_transferred(task, result, settings)
    save_model(forecaster.latent, forecaster.ocean, out / "transferred")
    save_config(settings, out / "transferred")
    screen.print(f"held-out misfit {result.before:.3f} -> {result.after:.3f}; {spread}")
    screen.print("[bold]4/5[/] forecasting from sparse observations, days that nothing was trained on")
    evaluation, fitted = score_demo(forecaster, real_store, seen_store, settings)
    screen.print("[bold]5/5[/] figures")
    from ..plotting import plot_observations

    plot_observations(_last_window(seen, settings), out / "figures" / "observations.png")
    draw(evaluation, forecaster, open_store(real_store).isel(trajectory=0), out / "figures")
    _summary(screen, evaluation, fitted, forecaster, out, time.perf_counter() - began, seed)
    return evaluation


def filled(settings: Config, store: Path, sizes: DemoSizes, seed: int) -> Config:
    """The configuration with what only the demo knows: its store, its scored days, its seed."""
    content = yaml.safe_load(settings.to_yaml())
    content["seed"] = seed
    content["data"]["stores"][0]["path"] = str(store)
    content["evaluation"]["start"] = sizes.scored_from
    return Config.model_validate(content)


def _last_window(seen: xr.Dataset, settings: Config) -> xr.Dataset:
    """The observations that one analysis uses, at the end of the record."""
    end = seen["time"].values[-1]
    return read_window(seen, end - np.timedelta64(round(24 * settings.assimilation.window_days), "h"), end)


def _draw_training(out: Path) -> None:
    from ..plotting import plot_training

    records = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    plot_training(records, out / "figures" / "training.png")


def score_demo(
    forecaster: Forecaster, real_store: Path, seen_store: Path, settings: Config
) -> tuple[Evaluation, dict[str, FittedInterpolation]]:
    """The scores of a demo's transferred run, and the interpolations that it was compared with."""
    truth = open_store(real_store).isel(trajectory=0).load()
    training = open_store(settings.data.stores[0].path)
    seen = open_store(seen_store).load()
    table = Observations.from_dataset(seen, forecaster.ocean.names)
    fitted = interpolations(table, settings.evaluation.start)
    with reported("evaluating") as report:
        made = evaluate_observations(forecaster, truth, seen, settings.evaluation, training, fitted, report)
    return made, fitted


def _summary(
    screen: Console, evaluation: Evaluation, fitted: dict[str, FittedInterpolation], forecaster: Forecaster, out: Path,
    seconds: float, seed: int,
) -> None:  # fmt: skip
    channel = evaluation.rows[0]["channel"]
    screen.print(
        "Each cell is the error of a forecast against the true ocean and its ratio to persistence, the analysis of "
        "the same observations held still: below 1.00 the forecast knows how the ocean moves.",
        highlight=False,
    )
    screen.print(report_table(evaluation.rows, channel))
    screen.print(area_mean_table(evaluation.rows, channel))
    chosen = fitted["optimal_interpolation"]
    screen.print(f"Optimal interpolation: {chosen.preferred}, which forecasts the days before the scored ones best.")
    screen.print(spread_table(evaluation.rows, channel))
    write_report(
        out / "scores.json", evaluation.rows, calibration=evaluation.calibration, starts=evaluation.starts,
        distributions=distributions(evaluation, forecaster), seconds=round(seconds, 1), seed=seed,
        interpolation={
            "preferred": chosen.preferred,
            "validation_misfit": dict(chosen.validation_misfit),
            "at_bounds": chosen.at_bounds,
        },
    )  # fmt: skip
    screen.print(
        f"{evaluation.starts} forecasts in {seconds:.0f} s; scores in {out}/scores.json, figures in {out}/figures"
    )
