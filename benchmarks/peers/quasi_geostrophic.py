"""A textbook yardstick of forecasts from sparse sea level: 4D-Var with a quasi-geostrophic model, without training.

The model is the upper layer of the model ocean over an abyss at rest, with that ocean's deformation radius, shear and
beta. Nothing of the observed ocean is known but its observations; the climate that the state is drawn to is that of the
model ocean's sea level. `variational.py` holds the assimilation.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from dino.data.observations import Observations
from dino.errors import ConfigError, EmptyDataError, NonFiniteError, SchemaError

from .layer_equations import LayerEquations
from .variational import Array, Assimilation, VariationalConfig, spectral_factor

HISTORY = "simulated with "  # what the simulator writes before its configuration


def forecasts(
    observations: Observations,
    model_ocean: xr.Dataset,
    starts: Sequence[float] | Array,
    leads: Sequence[float] | Array,
    settings: VariationalConfig | None = None,
) -> Array:
    """Sea level [m] forecast on every cell of the model ocean's grid, (start, lead, cell) with rows first.

    observations : of sea level alone; those of `window_days` up to a start are used
    model_ocean : the store that the simulator made: its maps give the spectrum, its history the equations
    starts : days since 1950-01-01; leads : whole days after a start, 0 is the analysis itself

    Raises `SchemaError` for a store whose equations or grid are not known, `ConfigError` for leads between maps,
    `EmptyDataError` where a window has no observation, `NonFiniteError` where the model blows up.
    """
    settings = settings or VariationalConfig()
    days = np.asarray(leads, np.float64)
    if len(days) == 0 or (days < 0).any() or not np.allclose(days, np.round(days)):
        raise ConfigError(f"leads {list(leads)} came; the model makes daily maps: give whole days, none negative")
    config = equations_of(model_ocean, settings.knows)
    dtype = torch.float32 if settings.single_precision else torch.float64
    equations = LayerEquations(config, settings.steps_per_day, dtype)
    factor = spectral_factor(equations, climate(equations, model_ocean, settings))
    windows = [_window(observations, start, settings) for start in np.asarray(starts, np.float64)]
    problem = Assimilation(equations, factor, windows, np.asarray(starts, np.float64), model_ocean, settings)
    maps = problem.forecast(problem.analyse(), int(days.max()))
    if not np.isfinite(maps).all():
        raise NonFiniteError(
            f"the quasi-geostrophic model left the finite numbers within {days.max():g} days of a start; "
            f"raise steps_per_day above {settings.steps_per_day}"
        )
    return maps[:, np.round(days).astype(int)]


def equations_of(model_ocean: xr.Dataset, knows: str = "one-layer") -> QuasiGeostrophicConfig:
    """The configuration of a simulated store; with one layer, what is left of it over an abyss at rest, without drag.

    Raises `SchemaError` for a store of another origin or another grid than its configuration says.
    """
    lines = [line for line in str(model_ocean.attrs.get("history", "")).splitlines() if line.startswith(HISTORY)]
    if not lines or "ssh" not in model_ocean:
        raise SchemaError(
            "the store's history names no quasi-geostrophic simulation with ssh; give the store of the model ocean, "
            "made by dino-data simulate quasi-geostrophic or dino demo"
        )
    config = QuasiGeostrophicConfig.model_validate_json(lines[0].removeprefix(HISTORY))
    shape = (model_ocean.sizes["latitude"], model_ocean.sizes["longitude"])
    if shape != (config.grid, config.grid):
        raise SchemaError(f"the store has maps of {shape}, its simulation {config.grid} points a side; give it whole")
    if knows == "one-layer":
        return config.model_copy(update={"layers": 1, "drag_days": None})
    return config


def climate(equations: LayerEquations, model_ocean: xr.Dataset, settings: VariationalConfig) -> Tensor:
    """Spectra of psi (map, layer, ky, kx) of the model ocean: of its maps, or of own runs where both layers count."""
    if equations.config.layers == 1:
        maps = model_ocean["ssh"].transpose(..., "time", "latitude", "longitude")[..., :: settings.climate_every, :, :]
        fields = torch.as_tensor(maps.values.reshape(-1, 1, *maps.shape[-2:]).astype(np.float64))
        return equations.forward((fields - fields.mean((-2, -1), keepdim=True)).to(equations.dtype)) / equations.metres
    config = equations.config
    # Spin-up is rougher than what follows it, and takes shorter steps.
    equations = LayerEquations(config, 2 * settings.steps_per_day)
    seeds = np.random.SeedSequence(config.seed).spawn(settings.climate_runs)
    generators = [np.random.default_rng(seed) for seed in seeds]
    amplitude = config.initial_ssh_std_m / abs(equations.metres)
    upper = np.stack([equations.model.grid.random_field(g, config.initial_wavelength_km) for g in generators])
    psi = torch.as_tensor(amplitude * np.stack([upper, 0.4 * upper], 1)).to(equations.complex_dtype)
    state, kept = equations.potential_vorticity(psi), []
    with torch.no_grad():
        for _ in range(6):
            _, state = equations.run(state, 20 if kept else int(config.spin_up_days))
            kept.append(equations.streamfunction(state))
    if not bool(torch.isfinite(state.abs()).all()):
        raise NonFiniteError(f"runs of both layers blew up; raise steps_per_day above {settings.steps_per_day}")
    return torch.cat(kept)


def _window(observations: Observations, start: float, settings: VariationalConfig) -> Observations:
    """The observations of one start that have a value; `EmptyDataError` without any."""
    if len(observations.channels) != 1:
        raise SchemaError(f"observations of {', '.join(observations.channels)} came; give those of sea level alone")
    seen = observations.window(start - settings.window_days, start)
    seen = seen.select(np.isfinite(seen.values[:, 0]))
    if not len(seen):
        raise EmptyDataError("a window holds observations without a value only; choose another start")
    return seen
