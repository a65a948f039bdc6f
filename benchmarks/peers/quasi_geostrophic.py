"""A textbook yardstick of forecasts from sparse sea level: weak-constraint 4D-Var with a quasi-geostrophic model.

Le Dimet and Talagrand (1986, Tellus 38A, 97-110) fit the path of a model to the observations of a window; Derber (1989,
Monthly Weather Review 117, 2437-2446) lets a constant error of its tendency act beside the initial state. The model is
the upper layer of the model ocean over an abyss at rest, with that ocean's deformation radius, shear and beta: nothing
is trained, and nothing of the observed ocean is known but its observations. Both controls are white noise coloured by
the spectrum of the model ocean's sea level, which is the climate they are drawn to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse
from torch import Tensor

from data_pipeline.observing.interpolation import interpolator
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from dino.data.observations import Observations
from dino.errors import ConfigError, EmptyDataError, NonFiniteError, SchemaError

from .layer_equations import LayerEquations
from .separate_descent import minimise

Array = NDArray[np.float64]

HISTORY = "simulated with "  # what the simulator writes before its configuration


class VariationalConfig(BaseModel):
    """Settings of the assimilation; the defaults were chosen on days before the scored ones (peers/README.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    knows: Literal["one-layer", "two-layer"] = Field(
        default="one-layer", description="the upper layer alone, or both layers of the model ocean: a limit"
    )
    window_days: int = Field(default=15, ge=1, description="observations of so many days before a start are used")
    stages_days: tuple[int, ...] = Field(
        default=(5, 10, 15), description="the window is grown through these, each begun from what the last found"
    )
    iterations: int = Field(default=40, ge=1, description="of L-BFGS, at most, in each stage")
    default_error_m: float = Field(default=0.02, gt=0, description="of observations that state none")
    tendency_per_day: float = Field(
        default=0.02, ge=0, description="size of the tendency error: this share of the climate a day; 0: strong constraint"
    )
    steps_per_day: int = Field(default=2, ge=1)
    single_precision: bool = Field(default=True, description="of the model; the control is in double precision")
    climate_every: int = Field(default=10, ge=1, description="one of so many maps of the model ocean enters its spectrum")
    climate_runs: int = Field(default=64, ge=2, description="own runs of both layers for the spectrum; two layers only")

    @model_validator(mode="after")
    def _stages_fill_the_window(self) -> "VariationalConfig":
        if list(self.stages_days) != sorted(set(self.stages_days)) or self.stages_days[-1:] != (self.window_days,):
            raise ValueError(
                f"stages_days {self.stages_days} must grow and end with window_days = {self.window_days}, "
                "or some observations would never be used"
            )
        return self


def forecasts(
    observations: Observations,
    model_ocean: xr.Dataset,
    starts: Sequence[float],
    leads: Sequence[float],
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
    windows = [_window(observations, start, settings) for start in starts]
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
    generators = [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.seed).spawn(settings.climate_runs)]
    amplitude = config.initial_ssh_std_m / abs(equations.metres)
    upper = np.stack([equations.model.grid.random_field(g, config.initial_wavelength_km) for g in generators])
    psi = torch.as_tensor(amplitude * np.stack([upper, 0.4 * upper], 1)).to(equations.complex_dtype)
    state, kept = equations.potential_vorticity(psi), []
    with torch.no_grad():
        for _ in range(6):
            _, state = equations.run(state, 20 if kept else int(config.spin_up_days))
            kept.append(equations.streamfunction(state))
    return torch.cat(kept)


def spectral_factor(equations: LayerEquations, psi: Tensor) -> Tensor:
    """Factors (layer, layer, ky, kx) that colour white noise of unit variance on the grid into fields with psi's spectrum.

    psi : (map, layer, ky, kx). Every wave has the covariance of its layers over all maps.
    """
    rows = equations.size
    covariance = torch.einsum("niyx,njyx->yxij", psi, psi.conj()).to(torch.complex128) / len(psi)
    # Along kx = 0 a wave and its mirror are one wave of a real field: their spectra are the same.
    mirrored = covariance[(-torch.arange(rows)) % rows, 0].conj()
    covariance[:, 0] = 0.5 * (covariance[:, 0] + mirrored)
    covariance = covariance / rows**2
    covariance = 0.5 * (covariance + covariance.mH)
    power = covariance.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    # Waves that the equations do not carry have no power; a trace of it lets the factor exist.
    least = (1e-9 * power + 1e-300)[..., None, None] * torch.eye(psi.shape[1])
    factor = torch.linalg.cholesky(covariance + least)
    factor = torch.where((power > 0)[..., None, None], factor, 0.0)
    factor[0, 0] = 0.0
    return factor.permute(2, 3, 0, 1).to(equations.complex_dtype)


@dataclass(frozen=True)
class Sampled:
    """Observations of a stage as linear functions of daily maps.

    operator : (observation, start * day * cell), adjoint its transpose; values, error : (observation,) [m]
    start : (observation,) which window each belongs to; days : that the model has to run
    """

    operator: sparse.csr_matrix
    adjoint: sparse.csr_matrix
    values: Tensor
    error: Tensor
    start: Tensor
    days: int


class Assimilation:
    """The 4D-Var problems of several starts, solved together and each by itself.

    The control of a start is (1 or 2, layer, size, size): white noise for psi at the beginning of the window and, with
    a tendency, for its constant error.
    """

    def __init__(
        self,
        equations: LayerEquations,
        factor: Tensor,
        windows: Sequence[Observations],
        starts: Array,
        grid: xr.Dataset,
        settings: VariationalConfig,
    ) -> None:
        self.equations, self.factor, self.settings = equations, factor, settings
        self.windows, self.starts, self.grid = windows, starts, grid
        self.parts = 2 if settings.tendency_per_day > 0 else 1

    def analyse(self) -> Tensor:
        """The controls (start, part * layer * cell) that minimise the cost, through the stages."""
        size = self.parts * self.equations.config.layers * self.equations.size**2
        control = torch.zeros(len(self.windows), size, dtype=torch.float64)
        for days in self.settings.stages_days:
            sampled = self.sampled(days)
            control = minimise(lambda at, seen=sampled: self.cost(at, seen), control, self.settings.iterations).point
        return control

    def forecast(self, control: Tensor, days: int) -> Array:
        """Sea level (start, days + 1, cell) [m] from the end of the window on; the tendency error stays as it was."""
        with torch.no_grad():
            state, push = self.initial(control)
            _, state = self.equations.run(state, self.settings.window_days, push)
            maps, _ = self.equations.run(state, days, push)
        return maps.double().numpy()

    def initial(self, control: Tensor) -> tuple[Tensor, Tensor | None]:
        """The state at the beginning of the windows and the constant tendency of q, (start, layer, ky, kx) each."""
        size = self.equations.size
        noise = control.view(len(control), self.parts, self.equations.config.layers, size, size)
        coloured = [self._coloured(part) for part in noise.to(self.equations.dtype).unbind(1)]
        return coloured[0], self.settings.tendency_per_day * coloured[1] if self.parts == 2 else None

    def _coloured(self, noise: Tensor) -> Tensor:
        psi = torch.einsum("ijyx,bjyx->biyx", self.factor, self.equations.forward(noise))
        return self.equations.potential_vorticity(psi)

    def cost(self, control: Tensor, sampled: Sampled) -> tuple[Tensor, Tensor]:
        """Half the squared control plus half the squared misfits over their errors, (start,), and its gradient."""
        control = control.detach().requires_grad_(True)
        state, push = self.initial(control)
        maps, _ = self.equations.run(state, sampled.days, push)
        misfit = (_Sample.apply(maps, sampled) - sampled.values) / sampled.error
        background = 0.5 * control.square().sum(1)
        value = background.index_add(0, sampled.start, 0.5 * misfit.square())
        (gradient,) = torch.autograd.grad(value.sum(), control)
        return value.detach(), gradient

    def sampled(self, days: int) -> Sampled:
        """What is observed in the first `days` days of every window: linear between maps, bilinear between cells."""
        seen = [
            window.between(start - self.settings.window_days, start - self.settings.window_days + days)
            for window, start in zip(self.windows, self.starts, strict=True)
        ]
        cells = self.equations.size**2
        columns, weights, values, errors, owner = [], [], [], [], []
        for index, (part, start) in enumerate(zip(seen, self.starts, strict=True)):
            inside, nodes, share = interpolator(self.grid).weights(part.longitude, part.latitude)
            age = part.time[inside] - (start - self.settings.window_days)
            before = np.clip(np.floor(age).astype(int), 0, days - 1)
            later = np.clip(age - before, 0.0, 1.0)[:, None]
            first = (index * (days + 1) + before)[:, None] * cells + nodes
            columns.append(np.concatenate([first, first + cells], 1))
            weights.append(np.concatenate([(1.0 - later) * share, later * share], 1))
            values.append(part.values[inside, 0])
            errors.append(_errors(part.error[inside, 0], self.settings.default_error_m))
            owner.append(np.full(int(inside.sum()), index))
        column, weight = np.concatenate(columns), np.concatenate(weights)
        rows = np.arange(0, column.size + 1, column.shape[1])
        shape = (len(column), len(seen) * (days + 1) * cells)
        operator = sparse.csr_matrix((weight.ravel(), column.ravel(), rows), shape=shape)
        told = [torch.as_tensor(np.concatenate(part)) for part in (values, errors, owner)]
        return Sampled(operator, operator.T.tocsr(), *told, days)


class _Sample(torch.autograd.Function):
    """Maps (start, day, cell) to observed values (observation,); scipy's sparse products are much faster than torch's."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, sampled: Sampled) -> Tensor:
        ctx.adjoint, ctx.shape, ctx.dtype = sampled.adjoint, maps.shape, maps.dtype
        return torch.as_tensor(sampled.operator @ maps.detach().double().numpy().ravel())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        back = torch.as_tensor(ctx.adjoint @ gradients[0].numpy())
        return back.view(ctx.shape).to(ctx.dtype), None


def _window(observations: Observations, start: float, settings: VariationalConfig) -> Observations:
    """The observations of one start that have a value; `EmptyDataError` without any."""
    if len(observations.channels) != 1:
        raise SchemaError(f"observations of {', '.join(observations.channels)} came; give those of sea level alone")
    seen = observations.window(start - settings.window_days, start)
    seen = seen.select(np.isfinite(seen.values[:, 0]))
    if not len(seen):
        raise EmptyDataError("a window holds observations without a value only; choose another start")
    return seen


def _errors(stated: Array, default: float) -> Array:
    return cast(Array, np.where(np.isfinite(stated) & (stated > 0), stated, default))
