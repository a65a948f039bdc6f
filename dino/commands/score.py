"""`dino score`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from data_pipeline.system.progress import reported

from ..errors import ConfigError
from .common import Device, Model, Overrides, Threads, console, use_device, use_threads


def score(
    model: Model,
    observations: Annotated[
        list[str], typer.Argument(help="Stores or archives, or files of products (patterns in quotes).")
    ],
    withhold: Annotated[
        str | None,
        typer.Option(
            help="Source to withhold, by its name or a part of it; `each` in turn; `passes`: a fifth of all "
            "overflights in turn. Absent: what comes after each window."
        ),
    ] = None,
    area: Annotated[str | None, typer.Option(help="west,east,south,north in degrees; all that was observed.")] = None,
    window: Annotated[float | None, typer.Option(help="Days of an analysis; the run's, or what the record allows.")] = (
        None
    ),
    days_ahead: Annotated[float | None, typer.Option(help="Days that are forecast after a window; 5 at most.")] = None,
    every: Annotated[float | None, typer.Option(help="Days between analyses; as many as are forecast.")] = None,
    channel: Annotated[str | None, typer.Option(help="Which channel is scored; the first.")] = None,
    relocate: Annotated[
        bool, typer.Option("--relocate", help="Lay the model over the sea of the assimilated observations.")
    ] = False,
    adapt: Annotated[
        bool | None,
        typer.Option("--adapt/--no-adapt", help="Fit statistics and errors to what is assimilated; only when laid."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder where files are kept as read; the user's cache.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what interpolation is fitted to.")] = 0,
    device: Device = "cpu",
    threads: Threads = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Score a model on withheld observations, beside interpolation, persistence and the mean.

    A shipped model is laid over the sea of what is assimilated and adapted to it, for each split by itself.

    Example: dino score sea-level "tracks/*.nc" --area=-74,-46,32,44 --days-ahead 2

    Example: dino score runs/mediterranean stores/tracks.zarr --withhold jason --json scores.json
    """
    from ..data.observations import Observations
    from ..evaluation.report import write_report
    from ..evaluation.splits import score_splits
    from ..evaluation.withheld import predict_withheld
    from ..evaluation.withheld_scores import withheld_rows, withheld_tables
    from .reading import inside, loaded, merged_observations, prepared

    use_device(device)
    forecaster = loaded(model, overrides, device)
    record: Observations = inside(merged_observations(observations, forecaster.ocean.names, cache), area)
    index = _channel(channel, record.channels)
    use_threads(threads)
    length, ahead = _days(record, window, days_ahead, forecaster.assimilation.window_days, withhold is not None)
    todo = score_splits(record, withhold, length, ahead, every or max(ahead, 1.0))
    prepare = prepared(forecaster, area, relocate, adapt, seed)
    with reported("scoring") as report:
        table = predict_withheld(todo, prepare, length, report, channel=index, seed=seed)
    spec = forecaster.ocean.channels[index]
    rows = withheld_rows(table, record.channels[index], spec.units, ahead)
    screen = console()
    screen.print(
        f"{len(todo)} analyses of {length:g} days; withheld: {', '.join(dict.fromkeys(map(str, table.source)))}; "
        f"{table.usable.mean():.1%} of {len(table.truth)} points are predicted by every method, and scored",
        highlight=False, markup=False,
    )  # fmt: skip
    for made in withheld_tables(rows):
        screen.print(made)
    seconds = {name: round(taken, 2) for name, taken in table.seconds.items()}
    screen.print("processor seconds: " + ", ".join(f"{name} {taken:g}" for name, taken in seconds.items()))
    if json is not None:
        write_report(
            json, rows, analyses=len(todo), window_days=length, days_ahead=ahead, withheld=withhold or "ahead",
            withheld_points=len(table.truth), share_of_points=float(np.mean(table.usable)), processor_seconds=seconds,
            relocated=relocate or not forecaster.ocean.charts,
            adapted=not forecaster.ocean.charts if adapt is None else adapt, seed=seed,
        )  # fmt: skip


def _channel(wanted: str | None, names: tuple[str, ...]) -> int:
    if wanted is not None and wanted not in names:
        raise ConfigError(f"--channel {wanted} is none of the model's: {', '.join(names)}")
    return 0 if wanted is None else names.index(wanted)


def _days(record, window: float | None, ahead: float | None, usual: float, within: bool) -> tuple[float, float]:
    """Days of a window and after it: of a short record three tenths are forecast, whole days where these are many."""
    length = float(record.time[-1] - record.time[0])
    if ahead is None:
        share = 0.3 * length
        ahead = min(5.0, float(np.floor(share)) if share >= 1 else share)
    if ahead < 0 or (window is not None and window <= 0):
        raise ConfigError(f"--window {window} and --days-ahead {ahead} are no lengths; give days above zero")
    if window is None:
        window = min(usual, length - ahead)
    if not window > 0:
        raise ConfigError(
            f"the record is {length:.2g} days long, and nothing of it is left before the {ahead:g} days that are "
            "forecast; give a longer record or a smaller --days-ahead"
        )
    return window, ahead
