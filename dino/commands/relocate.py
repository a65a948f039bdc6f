"""`dino relocate`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..config import StoreConfig
from ..data.observations import datetime_of, day_of
from ..errors import ConfigError
from ..model.checkpoint import load_model, load_run_config, save_config, save_model
from ..transfer.relocate import relocated
from .common import Overrides, RunFolder, console, open_kind


def relocate(
    run: RunFolder,
    store: Annotated[Path, typer.Argument(help="Field store of the sea to forecast.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    until: Annotated[
        str | None, typer.Option(help="Last moment whose maps are looked at, e.g. 2014-01-20; all maps when absent.")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Names in the store, in the order of the run's channels; the run's when absent.")
    ] = None,
    tile_degrees: Annotated[
        float | None,
        typer.Option(help="Size of the tiles; the run's when absent. A sea of smaller eddies wants smaller."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Lay the tiles of a run over another sea: nothing is trained, the sea's own mean and amplitudes are measured.

    Maps after --until are not looked at, so that forecasts from there on are honest.

    Example: dino relocate runs/ocean stores/agulhas.zarr --out runs/agulhas --until 2014-01-20
    """
    config = load_run_config(run, overrides)
    if out.resolve() == run.resolve():
        raise ConfigError(f"--out {out} is the run itself; choose another folder, so that both can be compared")
    dataset = open_kind(store, "fields")
    first = config.data.stores[0]
    named = channels.split(",") if channels else None
    size = first.tile_degrees if tile_degrees is None else tile_degrees
    if size is not None and size <= 0:
        raise ConfigError(f"--tile-degrees {size:g} is no size; give degrees above zero")
    here = StoreConfig(path=store, channels=named, climatology=first.climatology, tile_degrees=size)
    model = relocated(load_model(run), dataset, here, config.domain, _moment(until))
    end = None if until is None else datetime_of(_moment(until) or 0.0).astype("datetime64[us]").item()
    learned = config.data.simulated or config.data
    data = {"stores": [here], "simulated": learned, "channels": list(model.spec.names)}
    data |= {"train_start": None, "train_end": end}
    save_model(model, out)
    save_config(config.model_copy(update={"data": config.data.model_copy(update=data)}), out)
    console().print(
        f"relocated {out}: {len(model.cover.charts)} tiles, amplitudes {np.min(model.cover.amplitude):.2f} to "
        f"{np.max(model.cover.amplitude):.2f} of the training ocean's"
    )


def _moment(until: str | None) -> float | None:
    try:
        return None if until is None else day_of(until)
    except ValueError as error:
        raise ConfigError(f"--until {until!r} is no time; give one like 2014-01-20") from error
