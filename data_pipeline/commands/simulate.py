"""dino-data simulate: a simulated system as a store of fields or of trajectories."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from data_pipeline.commands.options import Scheduler
from data_pipeline.errors import ConfigError
from data_pipeline.layout.checks import channel_names
from data_pipeline.simulators import environments, navier_stokes, quasi_geostrophic, shallow_water, wave
from data_pipeline.simulators.environments import EnvironmentsConfig
from data_pipeline.simulators.oceans import OceansConfig, simulate_oceans
from data_pipeline.simulators.sequences import SequencesConfig
from data_pipeline.simulators.systems import SYSTEMS
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts
from data_pipeline.system.progress import reported
from data_pipeline.system.scheduler import connected
from data_pipeline.system.settings import load_settings, refuse_existing


class Simulator(StrEnum):
    """The systems that can be simulated."""

    QUASI_GEOSTROPHIC = "quasi-geostrophic"
    NAVIER_STOKES = "navier-stokes"
    WAVE = "wave"
    SHALLOW_WATER = "shallow-water"
    LOTKA_VOLTERRA = "lotka-volterra"
    GLYCOLYSIS = "glycolysis"
    GRAY_SCOTT = "gray-scott"
    COMBINED = "combined"
    KURAMOTO_SIVASHINSKY = "kuramoto-sivashinsky"
    KORTEWEG_DE_VRIES = "korteweg-de-vries"
    ADVECTION_DIFFUSION = "advection-diffusion"
    HEAT = "heat"
    BURGERS = "burgers"
    VORTICITY = "vorticity"
    MEMBRANE = "membrane"
    FISHER = "fisher"
    ALLEN_CAHN = "allen-cahn"
    FITZHUGH_NAGUMO = "fitzhugh-nagumo"


class PartName(StrEnum):
    """The random streams of a seed; the last two are of systems with environments."""

    TRAIN = "train"
    TEST = "test"
    ADAPTATION = "adaptation"
    ADAPTATION_TEST = "adaptation-test"


_SYSTEMS: dict[Simulator, tuple[type[BaseModel], Callable[[Any], FieldParts]]] = {
    Simulator.QUASI_GEOSTROPHIC: (quasi_geostrophic.QuasiGeostrophicConfig, quasi_geostrophic.parts),
    Simulator.NAVIER_STOKES: (navier_stokes.NavierStokesConfig, navier_stokes.parts),
    Simulator.WAVE: (wave.WaveConfig, wave.parts),
    Simulator.SHALLOW_WATER: (shallow_water.ShallowWaterConfig, shallow_water.parts),
    **{Simulator(name): (kind, environments.parts) for name, kind in SYSTEMS.items()},
}


def simulate(
    name: Annotated[Simulator, typer.Argument(help="What to simulate.")],
    out: Annotated[Path, typer.Option(help="The store to write.")],
    preset: Annotated[
        str | None, typer.Option(help="Settings of a published experiment (paper, coda, ttg, ...) or one of seconds.")
    ] = None,
    part: Annotated[PartName | None, typer.Option(help="Training (default), test or adaptation.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A setting, e.g. workers=2; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial states and of the forcing.")] = None,
    oceans: Annotated[
        int | None, typer.Option(min=1, help="So many different oceans, one store each in the folder --out.")
    ] = None,
    mapped: Annotated[bool, typer.Option("--mapped", help="Of oceans: smoothed as maps of altimetry are.")] = False,
    tracer: Annotated[
        bool, typer.Option("--tracer", help="Of quasi-geostrophic: a sea surface temperature that is carried, `sst`.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
    scheduler: Scheduler = None,
) -> None:
    """Simulate a system and write a store; a run that was stopped continues where it was.

    Later settings win: preset, --config, --seed, --set. Presets paper and quick are those of DINo's experiments
    (navier-stokes, wave, shallow-water; the last needs the extra `spherical`). Other systems have environments and the
    presets of published protocols; a name that is none is answered with those there are.

    Example: dino-data simulate lotka-volterra --preset coda --part train --out runs/prey.zarr

    Example: dino-data simulate navier-stokes --out runs/vortices.zarr --preset quick --part test --set workers=2

    Example: dino-data simulate quasi-geostrophic --out runs/eddies.zarr --set trajectories=8 --set days=120 --seed 1

    Example: dino-data simulate quasi-geostrophic --oceans 32 --mapped --out runs/oceans

    Example: dino-data simulate quasi-geostrophic --tracer --out runs/front.zarr --set tracer.gradient_k_per_km=-0.02
    """
    if tracer and (name is not Simulator.QUASI_GEOSTROPHIC or oceans is not None):
        raise ConfigError("--tracer is of one quasi-geostrophic ocean; leave it or --oceans out")
    if oceans is not None or mapped:
        _refuse_oceans(name, oceans, preset, part)
        given = {"seed": seed, "oceans": oceans, "mapped": mapped or None}
        settings = load_settings(OceansConfig, config, override or [], given)
        with connected(scheduler), reported("simulating oceans") as progress:
            made = simulate_oceans(settings, out, overwrite=overwrite, progress=progress)
        typer.echo(f"wrote {len(made)} oceans of {settings.trajectories} x {settings.days:g} days to {out}")
        return
    refuse_existing(out, overwrite)
    kind, parts_of = _SYSTEMS[name]
    given: dict[str, Any] = {"seed": seed}
    if tracer:
        override = ["tracer={}", *(override or [])]
    parts = parts_of(load_settings(kind, config, override or [], given, base=_preset(name, kind, preset, part)))
    with connected(scheduler), reported(f"simulating ({name.value})") as progress:
        grow_store(parts, out, overwrite=overwrite, progress=progress)
    sizes = ", ".join(f"{size} {dim}" for dim, size in parts.fields.sizes.items())
    typer.echo(f"wrote {out}: {', '.join(channel_names(parts.fields))}, {sizes}")


def _refuse_oceans(name: Simulator, oceans: int | None, preset: str | None, part: PartName | None) -> None:
    """Raise ConfigError where options do not go together with --oceans or --mapped."""
    if name is not Simulator.QUASI_GEOSTROPHIC or preset is not None or part is not None:
        raise ConfigError("--oceans and --mapped are of quasi-geostrophic, without presets and parts; leave them out")
    if oceans is None:
        raise ConfigError("--mapped smooths the stores of --oceans; say how many oceans are wanted")


def _preset(name: Simulator, kind: type[BaseModel], preset: str | None, part: PartName | None) -> dict[str, Any] | None:
    """The settings a preset stands for; ConfigError when a system without presets is asked for one."""
    of = (part or PartName.TRAIN).value
    if issubclass(kind, SequencesConfig):
        named: Any = (preset or "paper", of)
        if named not in kind.PRESETS:
            known = ", ".join(" ".join(pair) for pair in kind.PRESETS)
            raise ConfigError(f"{name.value} has no preset {' '.join(named)}; it has {known}")
        return kind.preset(*named).model_dump(exclude_unset=True)
    if issubclass(kind, EnvironmentsConfig):
        return {"part": of} if preset is None else kind.preset(preset, of).model_dump(exclude_unset=True)
    if preset is not None or part is not None:
        having = ", ".join(other for other, (model, _) in _SYSTEMS.items() if hasattr(model, "PRESETS"))
        raise ConfigError(
            f"{name.value} has no presets and no parts, {having} have; leave --preset and --part out and give --set"
        )
    return None
