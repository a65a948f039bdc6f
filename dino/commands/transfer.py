"""`dino transfer`."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.layout.moments import moment
from data_pipeline.stores.stream import read_window
from data_pipeline.system.progress import reported

from ..data.observations import Observations
from ..forecaster import Forecaster
from ..model.checkpoint import load_model, load_run_config, save_config, save_model
from ..model.named import find_model
from ..transfer import STRATEGIES
from ..transfer import strategy as named
from .common import (
    AsOf,
    Device,
    Model,
    Overrides,
    Overwrite,
    Threads,
    calibrate_transferred,
    console,
    open_kind,
    refuse_run,
    transfer_task,
    use_device,
    use_threads,
)


def transfer(
    model: Model,
    observations: Annotated[Path, typer.Argument(help="Observation store of the real ocean.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", help=f"How to adapt: {', '.join(STRATEGIES)}; the configuration's when absent."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First moment used, e.g. 2014-05-15.")] = None,
    stop: Annotated[str | None, typer.Option(help="First moment no longer used.")] = None,
    as_of: AsOf = None,
    device: Device = "cpu",
    threads: Threads = None,
    overwrite: Overwrite = False,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Adapt a run that learned on simulated grids to sparse observations, and calibrate the spread of its forecasts.

    `adversarial` reads the run's training stores, at the paths that its config.yaml names.

    Example: dino transfer runs/simulated stores/tracks.zarr --out runs/real --stop 2014-05-30
    """
    run = find_model(model)
    config = load_run_config(run, overrides)
    adapt = named(strategy or config.transfer.strategy)
    refuse_run(out, run, overwrite)
    use_device(device)
    forecaster = Forecaster(*load_model(run, device), config.assimilation)
    dataset = open_kind(observations, "observations", as_of)
    if start is not None or stop is not None:
        first = moment("1900-01-01" if start is None else start, "--start")
        last = moment("2200-01-01" if stop is None else stop, "--stop")
        dataset = read_window(dataset, first, last)
    seen = Observations.from_dataset(dataset, forecaster.ocean.names)
    task = transfer_task(forecaster, seen, config)
    use_threads(threads)
    with reported("transfer") as report:
        result = adapt(task, report)
    spread = calibrate_transferred(task, result, config)
    save_model(forecaster.latent, forecaster.ocean, out)
    save_config(config.model_copy(update={"assimilation": forecaster.assimilation}), out)
    console().print(
        f"transferred {out} on {len(seen):,} observations: held-out misfit {result.before:.3f} -> {result.after:.3f}"
    )
    console().print(spread)
