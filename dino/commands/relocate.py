"""`dino relocate`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from data_pipeline.layout.moments import moment
from data_pipeline.stores.writing import open_store

from ..config import Config, StoreConfig
from ..data.observations import Observations, day_of
from ..errors import ConfigError
from ..model import Ocean
from ..model.checkpoint import load_model, load_run_config, save_config, save_model
from ..model.laying import POOLED
from ..model.named import find_model
from .common import AsOf, Model, Overrides, Overwrite, console, refuse_run


def relocate(
    model: Model,
    store: Annotated[Path, typer.Argument(help="Store of maps, or of observations, of the sea to forecast.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    until: Annotated[
        str | None, typer.Option(help="Last moment that is looked at, e.g. 2014-01-20; all of them when absent.")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Names in the store, in the order of the run's channels; the run's when absent.")
    ] = None,
    tile_degrees: Annotated[
        float | None,
        typer.Option(help="Size of the tiles; the run's when absent. A sea of smaller eddies wants smaller."),
    ] = None,
    as_of: AsOf = None,
    overwrite: Overwrite = False,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Lay the tiles of a run, or a shipped model, over a sea: nothing is trained.

    From observations alone the land mask is the shipped one. What came after --until is not looked at, so that
    forecasts from there on are honest.

    Example: dino relocate runs/ocean stores/tracks.zarr --out runs/agulhas --until 2014-01-20
    """
    run = find_model(model)
    config = load_run_config(run, overrides)
    refuse_run(out, run, overwrite)
    first = config.data.stores[0]
    named = channels.split(",") if channels else None
    size = first.tile_degrees if tile_degrees is None else tile_degrees
    if size is not None and size <= 0:
        raise ConfigError(f"--tile-degrees {size:g} is no size; give degrees above zero")
    here = StoreConfig(path=store, channels=named, climatology=first.climatology, tile_degrees=size)
    latent, before = load_model(run)
    end = None if until is None else moment(until, "--until")
    ocean, told = _laid(before, here, config, None if end is None else day_of(end), as_of)
    save_model(latent, ocean, out)
    save_config(_learned_from(config, here, ocean, end), out)
    console().print(
        f"relocated {out}: {ocean.charts} tiles, amplitudes {np.min(ocean.cover.amplitude):.2f} to "
        f"{np.max(ocean.cover.amplitude):.2f} of the training ocean's{told}"
    )


def _laid(
    before: Ocean, here: StoreConfig, config: Config, until: float | None, as_of: str | None
) -> tuple[Ocean, str]:
    """The sea of a store, and what observations alone could tell of it."""
    dataset = open_store(here.path, as_of=as_of)
    if dataset.attrs.get("dino_store") == "fields":
        return Ocean.over(dataset, before, config.domain, store=here, until=until), ""
    names = tuple(here.channels or before.names)
    seen = Observations.from_dataset(dataset, names)
    if until is not None:
        seen = seen.window(float(seen.time[0]), until)
    ocean = Ocean.over(seen, before, config.domain, names=list(names), tile_degrees=here.tile_degrees)
    point, count = np.unique(ocean.cover.pairs(seen.longitude, seen.latitude).chart, return_counts=True)
    days = seen.time[-1] - seen.time[0]
    return ocean, (
        f"; {len(seen):,} observations of {days:.1f} days, {len(point)} tiles have any and "
        f"{int((count >= POOLED).sum())} enough to tell their own amplitude"
    )


def _learned_from(config: Config, here: StoreConfig, ocean: Ocean, until: np.datetime64 | None) -> Config:
    """The run's configuration over its new sea; what it was trained on is kept beside it."""
    end = None if until is None else until.astype("datetime64[us]").item()
    learned = config.data.simulated or config.data
    data = {"stores": [here], "simulated": learned, "channels": list(ocean.names)}
    data |= {"train_start": None, "train_end": end}
    return config.model_copy(update={"data": config.data.model_copy(update=data)})
