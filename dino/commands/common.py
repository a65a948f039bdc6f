"""Options and steps that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, EmptyDataError, MissingFileError, SchemaError

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from ..config import Config
    from ..data.observations import Observations
    from ..forecaster import Forecaster
    from ..transfer import Task
    from ..transfer.base import Transferred

Experiment = Annotated[str, typer.Argument(help="A shipped experiment, e.g. mediterranean, or a YAML file.")]
Overrides = Annotated[list[str], typer.Option("--set", help="A setting, e.g. dynamics.order=1; repeatable.")]
Model = Annotated[str, typer.Argument(help="A run folder, or a shipped model by its name (`dino models`).")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", help="Of an archive: a commit's number or a time (UTC); what was known then.")
]
Device = Annotated[str, typer.Option("--device", help="Where the model computes: cpu, cuda or cuda:N.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Threads of the processor; as many as other processes leave free when absent."
    ),
]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run where there is one.")]


def refuse_run(out: Path, run: Path, overwrite: bool) -> None:
    """ConfigError when a run may not be written at `out`: over the one it comes from, or over another one unasked."""
    if out.resolve() == run.resolve():
        raise ConfigError(f"--out {out} is the run itself; choose another folder, so that both can be compared")
    if (out / "model.json").exists() and not overwrite:
        raise ConfigError(f"{out} holds a run already; pass --overwrite to replace it, or choose another --out")


def console() -> "Console":
    """Where tables and results go; wide enough in a log."""
    from rich.console import Console

    made = Console()
    return made if made.is_terminal else Console(width=140)


def use_threads(wanted: int | None) -> None:
    """Choose the threads of this process and say how many they are."""
    from ..numerics.threads import choose_threads

    console().print(choose_threads(wanted), highlight=False)


def use_device(device: str) -> None:
    """Refuse a device that is not there."""
    import torch

    try:
        kind, number = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is none; set device=cpu, cuda or cuda:N") from error
    if kind != "cuda":
        return
    if not torch.cuda.is_available():
        raise ConfigError(f"device is {device} but no GPU is visible; set device=cpu")
    count = torch.cuda.device_count()
    if number >= count:
        raise ConfigError(f"device is {device} but {count} GPUs are visible, numbered from 0; set device=cuda:0")


def one_trajectory(dataset: "xr.Dataset", index: int) -> "xr.Dataset":
    """A field dataset without trajectories."""
    if "trajectory" not in dataset.dims:
        return dataset
    if not 0 <= index < dataset.sizes["trajectory"]:
        raise ConfigError(f"trajectory {index} is none of the store's {dataset.sizes['trajectory']}; count from 0")
    return dataset.isel(trajectory=index)


def open_kind(path: Path, kind: str, as_of: str | None = None) -> "xr.Dataset":
    """A store that must hold "fields" or "observations"."""
    from data_pipeline.stores.writing import open_store

    dataset = open_store(path, as_of=as_of)
    if dataset.attrs.get("dino_store") != kind:
        raise SchemaError(
            f"{path} holds {dataset.attrs.get('dino_store')} where {kind} are wanted; give the other store"
        )
    return dataset


def training_maps(config: "Config") -> "xr.Dataset | None":
    """The maps that the run's baselines may learn from, or None: its store is gone, or of tracks."""
    from data_pipeline.stores.writing import open_store

    from ..training.prepare import found_stores

    try:
        dataset = open_store(found_stores(config.data.stores)[0].path)
    except MissingFileError:
        return None
    if dataset.attrs.get("dino_store") != "fields":
        return None
    return dataset.sel(time=slice(config.data.train_start, config.data.train_end))


def transfer_task(forecaster: "Forecaster", seen: "Observations", config: "Config") -> "Task":
    """What a transfer strategy is given for a run: its settings, and how to read what it was trained on."""
    from ..experiments.train import latent_trajectories
    from ..transfer import Task

    # A relocated run learned nothing from the store of its new sea, which may not be long enough to.
    learned = config.model_copy(update={"data": config.data.simulated or config.data})
    simulated = lambda: latent_trajectories(learned, forecaster.latent)  # noqa: E731
    return Task(forecaster, seen, config.transfer, config.seed, simulated)


def calibrate_transferred(task: "Task", result: "Transferred", config: "Config") -> str:
    """Fit the spread of forecasts from points to what transfer held out of the record; returns what to tell the user.

    Where no round was kept the model has learned from no observation, and all of them are held out. A record too short
    leaves the spread as it was, and so does the evidence, to which the sizes of all errors have been fitted already.
    """
    from ..evaluation.calibrate_points import calibrate_from_points
    from ..transfer.plan import cut

    if result.kept and task.latent.spec.relaxing:
        return "the spread of forecasts is that of the evidence; no factor is fitted to it"
    record = task.observations
    held_from = float(record.time[0])
    if result.kept:
        held_from = min(cut(record, task.settings, task.forecaster.assimilation).held)
    try:
        fitted = calibrate_from_points(
            task.forecaster, record, held_from=held_from, reach_days=max(config.evaluation.leads_days)
        )
    except EmptyDataError as error:
        return f"the spread of forecasts stays as it was: {error}"
    factors = ", ".join(f"{f:.2f} at {d:.1f} d" for d, f in zip(fitted.leads, fitted.factors[:, 0, 0], strict=True))
    suspicious = (
        "; some are bounded: the points' own errors explain the misfit, or more than a spread is wrong; check "
        "assimilation.errors and the offset of the record"
        if fitted.cut
        else ""
    )
    return f"factors of the spread on {fitted.forecasts.max()} held-out forecasts: {factors}{suspicious}"
