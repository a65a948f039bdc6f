"""dino-data sample: observe a field store along satellite orbits or at random points."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from data_pipeline.errors import ConfigError
from data_pipeline.progress import reported
from data_pipeline.settings import load_settings, refuse_existing
from data_pipeline.stores import open_store, write_store
from data_pipeline.swaths import SampleConfig
from data_pipeline.swaths import sample as observe


class OrbitKind(StrEnum):
    """How the places of observations are chosen."""

    REPEAT = "repeat"
    EPHEMERIS = "ephemeris"
    RANDOM = "random"


class View(StrEnum):
    """What a satellite sees."""

    NADIR = "nadir"
    SWATH = "swath"


def sample(
    store: Annotated[Path, typer.Argument(help="The field store to observe.")],
    out: Annotated[Path, typer.Option(help="The observation store to write.")],
    orbit: Annotated[OrbitKind | None, typer.Option(help="One instrument, instead of those in --config.")] = None,
    mission: Annotated[str, typer.Option(help="Repeat orbit: swot, jason or sentinel-3.")] = "swot",
    ephemeris: Annotated[Path | None, typer.Option(help="Ephemeris file: time (s), longitude, latitude.")] = None,
    view: Annotated[View, typer.Option(help="The line below the satellite, or both sides of it.")] = View.SWATH,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings with a list of instruments.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, e.g. instruments.0.spacing_km=2; repeatable.")
    ] = None,
    trajectory: Annotated[int | None, typer.Option(help="Which trajectory to observe.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the errors and of random points.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
) -> None:
    """Observe a field store as satellites would and write an observation store.

    Example: dino-data sample runs/eddies.zarr --out runs/swath.zarr --orbit repeat --mission swot --trajectory 0
    """
    refuse_existing(out, overwrite)
    given: dict[str, Any] = {"trajectory": trajectory, "seed": seed}
    if orbit is not None:
        given["instruments"] = [_instrument(orbit, mission, ephemeris, view)]
    elif config is None:
        raise ConfigError(
            "there is no instrument; give --orbit repeat, ephemeris or random, or --config with instruments"
        )
    settings = load_settings(SampleConfig, config, override or [], given)
    with reported("sampling") as progress:
        observations = observe(open_store(store), settings, progress=progress)
    write_store(observations, out, overwrite=overwrite)
    typer.echo(f"wrote {out}: {observations.sizes['obs']} observations on {observations.sizes['day']} days")


def _instrument(orbit: OrbitKind, mission: str, ephemeris: Path | None, view: View) -> dict[str, Any]:
    if orbit is OrbitKind.RANDOM:
        return {"name": "random", "kind": "random"}
    if orbit is OrbitKind.REPEAT:
        return {"name": mission, "kind": view.value, "orbit": mission}
    if ephemeris is None:
        raise ConfigError("--orbit ephemeris came without a file; add --ephemeris FILE")
    return {"name": ephemeris.stem, "kind": view.value, "orbit": {"type": "ephemeris", "path": str(ephemeris)}}
