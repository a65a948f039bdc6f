"""`dino evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.system.progress import reported

from ..data.observations import Observations
from ..evaluation.evaluate import Evaluation, evaluate_maps, evaluate_observations
from ..evaluation.fitted_interpolation import interpolations
from ..evaluation.report import area_mean_table, report_table, spread_table, write_report
from ..forecaster import Forecaster
from ..model.checkpoint import load_model, load_run_config
from ..model.named import find_model
from .common import (
    Device,
    Model,
    Overrides,
    Threads,
    console,
    one_trajectory,
    open_kind,
    training_maps,
    use_device,
    use_threads,
)


def evaluate(
    model: Model,
    store: Annotated[Path, typer.Argument(help="Field store with the truth.")],
    observations: Annotated[Path | None, typer.Option(help="Start from these sparse observations instead.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures; RUN/figures when absent.")] = None,
    trajectory: Annotated[int, typer.Option(help="Which trajectory of a simulated store.")] = 0,
    device: Device = "cpu",
    threads: Threads = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Score forecasts by lead time against baselines, and draw them.

    Example: dino evaluate runs/mediterranean stores/mediterranean.zarr --json scores.json
    """
    run = find_model(model)
    config = load_run_config(run, overrides)
    use_device(device)
    forecaster = Forecaster(*load_model(run, device), config.assimilation)
    fields = one_trajectory(open_kind(store, "fields"), trajectory).load()
    training = training_maps(config)
    folder = figures or run / "figures"
    seen = None
    use_threads(threads)
    with reported("evaluating") as report:
        if observations is None:
            result = evaluate_maps(forecaster, fields, config.evaluation, training, report)
        else:
            seen = open_kind(observations, "observations").load()
            table = Observations.from_dataset(seen, forecaster.ocean.names)
            single = len(forecaster.ocean.names) == 1
            # Without a start every day of the store is scored, so that none is left to fit to or to choose by.
            before = config.evaluation.start or fields["time"].values[0]
            fitted = interpolations(table, before) if single else None
            result = evaluate_observations(forecaster, fields, seen, config.evaluation, training, fitted, report)
            from ..plotting import plot_observations

            plot_observations(seen, folder / "observations.png")
    draw(result, forecaster, fields, folder)
    for channel in forecaster.ocean.names:
        console().print(report_table(result.rows, channel))
        console().print(area_mean_table(result.rows, channel))
        console().print(spread_table(result.rows, channel))
    if json is not None:
        write_report(
            json, result.rows, calibration=result.calibration, distributions=distributions(result, forecaster),
            starts=result.starts, run=run.name,
        )  # fmt: skip


def distributions(result: Evaluation, forecaster: Forecaster) -> dict[str, dict[str, dict]]:
    """Histograms and reliability curves by channel and method, by lead each."""
    return {
        channel: {method: honesty.shape(index) for method, honesty in result.honesty.items()}
        for index, channel in enumerate(forecaster.ocean.names)
    }


def draw(result: Evaluation, forecaster: Forecaster, fields, folder: Path) -> None:
    """Maps of the last scored forecast, skill and spread against lead time and an animation."""
    from ..plotting import animate, plot_maps, plot_skill, plot_spread

    spec = forecaster.ocean.channels[0]
    rows = sorted({0, len(result.leads) // 2, len(result.leads) - 1})
    longitude, latitude = fields["longitude"].values, fields["latitude"].values
    truth, made, spread = result.truth[:, 0], result.forecast[:, 0], result.spread[:, 0]
    plot_maps(
        truth[rows], made[rows], longitude, latitude, result.leads[rows], spec.name, spec.units, folder / "maps.png",
        std=spread[rows],
    )  # fmt: skip
    animate(
        truth, made, longitude, latitude, result.leads, spec.name, spec.units, folder / "forecast.gif",
        std=spread, frames_per_second=1.5,
    )  # fmt: skip
    plot_skill(result.rows, folder / "skill.png")
    plot_spread(result.rows, distributions(result, forecaster)[spec.name], spec.name, folder / "spread.png")
