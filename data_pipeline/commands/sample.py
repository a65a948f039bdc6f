"""dino-data sample: observe a field store along satellite orbits or at random points."""

from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from data_pipeline.commands.options import Scheduler
from data_pipeline.errors import ConfigError
from data_pipeline.observing.missions import MISSIONS
from data_pipeline.observing.swaths import SampleConfig, sample_days
from data_pipeline.stores.daily import write_days
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from data_pipeline.system.scheduler import connected
from data_pipeline.system.settings import load_settings, refuse_existing

_PIXEL_KM = 2.0


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
    mission: Annotated[
        list[str] | None, typer.Option(help=f"A mission's orbit; repeatable. {', '.join(MISSIONS)}.")
    ] = None,
    ephemeris: Annotated[
        list[Path] | None, typer.Option(help="An orbit's file: time (s), longitude, latitude; repeatable.")
    ] = None,
    orbit: Annotated[
        OrbitKind | None, typer.Option(help="random: points anywhere; repeat: swot where no mission is named.")
    ] = None,
    view: Annotated[
        View | None, typer.Option(help="The line below the satellite, or both sides of it; as the mission has it.")
    ] = None,
    karin_noise: Annotated[
        Path | None, typer.Option(help="Swaths: noise by wave height and distance from nadir, NetCDF.")
    ] = None,
    error_spectrum: Annotated[
        Path | None, typer.Option(help="Swaths: spectra of roll, phase, baseline and timing errors, NetCDF.")
    ] = None,
    wave_height: Annotated[float, typer.Option(help="Significant wave height (m) of --karin-noise.")] = 2.0,
    clouds: Annotated[
        Path | None, typer.Option(help="A product of sea surface temperature whose gaps hide the field.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings with a list of instruments.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, e.g. instruments.0.spacing_km=2; repeatable.")
    ] = None,
    trajectory: Annotated[int | None, typer.Option(help="Which trajectory to observe.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the errors, of random points and of clouds.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
    scheduler: Scheduler = None,
) -> None:
    """Observe a field store as satellites would and write an observation store, the truth beside each value.

    Example: dino-data sample runs/eddies.zarr --out runs/seen.zarr --mission swot --mission jason --trajectory 0
    """
    refuse_existing(out, overwrite)
    given: dict[str, Any] = {"trajectory": trajectory, "seed": seed}
    if orbit is OrbitKind.EPHEMERIS and not ephemeris:
        raise ConfigError("--orbit ephemeris came without a file; add --ephemeris FILE")
    if orbit is OrbitKind.REPEAT and not mission:
        mission = ["swot"]
    instruments = [_of_mission(name, view) for name in mission or []]
    instruments += [_of_ephemeris(path, view) for path in ephemeris or []]
    instruments += [{"name": "random", "kind": "random"}] if orbit is OrbitKind.RANDOM else []
    if karin_noise is not None or error_spectrum is not None:
        _give_karin(instruments, {"noise": karin_noise, "spectrum": error_spectrum, "wave_height_m": wave_height})
    if clouds is not None:
        if not instruments:
            raise ConfigError(
                "--clouds came without --mission, --ephemeris or --orbit; set `clouds` in --config instead"
            )
        instruments = [{**instrument, "clouds": {"path": clouds}} for instrument in instruments]
    if instruments:
        given["instruments"] = instruments
    elif config is None:
        raise ConfigError(
            "there is no instrument; give --mission, --ephemeris, --orbit random, or --config with instruments"
        )
    settings = load_settings(SampleConfig, config, override or [], given)
    with ExitStack() as stack:
        stack.enter_context(connected(scheduler))
        progress = stack.enter_context(reported("sampling"))
        days = stack.enter_context(closing(sample_days(open_store(store), settings, progress=progress)))
        sizes = write_days(days, out, overwrite=overwrite)
    typer.echo(f"wrote {out}: {sizes['obs']} observations on {sizes['day']} days")


def _of_mission(name: str, view: View | None) -> dict[str, Any]:
    if name not in MISSIONS:
        raise ConfigError(f"there is no mission {name!r}; choose from {', '.join(MISSIONS)}")
    return {"name": name, "kind": (view or MISSIONS[name].view), "orbit": name}


def _of_ephemeris(path: Path, view: View | None) -> dict[str, Any]:
    orbit = {"type": "ephemeris", "path": str(path)}
    return {"name": path.stem, "kind": view or View.SWATH, "orbit": orbit}


def _give_karin(instruments: list[dict[str, Any]], karin: dict[str, Any]) -> None:
    """Give the errors of KaRIn, and its pixels, to every swath."""
    swaths = [instrument for instrument in instruments if instrument["kind"] == View.SWATH]
    if not swaths:
        raise ConfigError(
            "--karin-noise or --error-spectrum came without a swath; add --mission swot or --ephemeris FILE, or set "
            "`karin` in --config"
        )
    for swath in swaths:
        swath |= {"karin": karin, "spacing_km": _PIXEL_KM}
