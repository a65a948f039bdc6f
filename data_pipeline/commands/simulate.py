"""dino-data simulate: a simulated ocean as a field store."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.progress import reported
from data_pipeline.settings import load_settings, refuse_existing
from data_pipeline.simulators import quasi_geostrophic
from data_pipeline.stores import write_store


class Simulator(StrEnum):
    """The systems that can be simulated."""

    QUASI_GEOSTROPHIC = "quasi-geostrophic"


def simulate(
    name: Annotated[Simulator, typer.Argument(help="What to simulate.")],
    out: Annotated[Path, typer.Option(help="The field store to write.")],
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A setting, e.g. days=120; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial states and of the forcing.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
) -> None:
    """Simulate an ocean and write its sea level as a field store.

    Example: dino-data simulate quasi-geostrophic --out runs/eddies.zarr --set trajectories=8 --set days=120 --seed 1
    """
    refuse_existing(out, overwrite)
    settings = load_settings(quasi_geostrophic.QuasiGeostrophicConfig, config, override or [], {"seed": seed})
    with reported(f"simulating ({name.value})") as progress:
        fields = quasi_geostrophic.simulate(settings, progress=progress)
    with reported("writing") as progress:
        write_store(fields, out, overwrite=overwrite, progress=progress)
    sizes = ", ".join(f"{size} {dim}" for dim, size in fields.sizes.items())
    typer.echo(f"wrote {out}: ssh, {sizes}")
