"""Weak-constraint 4D-Var of several windows at once: what is controlled, what it costs, what is observed of it.

Le Dimet and Talagrand (1986, Tellus 38A, 97-110) fit the path of a model to the observations of a window; Derber (1989,
Monthly Weather Review 117, 2437-2446) lets a constant error of its tendency act beside the initial state. Both controls
are white noise, coloured by the spectrum that the model's climate has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse
from torch import Tensor

from data_pipeline.observing.interpolation import interpolator
from dino.data.observations import Observations

from .layer_equations import LayerEquations
from .separate_descent import minimise

Array = NDArray[np.float64]


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
    iterations: int = Field(default=80, ge=1, description="of L-BFGS, at most, in each stage")
    default_error_m: float = Field(default=0.02, gt=0, description="of observations that state none")
    tendency_per_day: float = Field(
        default=0.045,
        ge=0,
        description="size of the tendency error: this share of the climate a day; 0: strong constraint",
    )
    steps_per_day: int = Field(default=2, ge=1)
    single_precision: bool = Field(default=True, description="of the model; the control is in double precision")
    climate_every: int = Field(
        default=10, ge=1, description="one of so many maps of the model ocean enters its spectrum"
    )
    climate_runs: int = Field(default=24, ge=2, description="own runs of both layers for the spectrum; two layers only")

    @model_validator(mode="after")
    def _stages_fill_the_window(self) -> "VariationalConfig":
        if list(self.stages_days) != sorted(set(self.stages_days)) or self.stages_days[-1:] != (self.window_days,):
            raise ValueError(
                f"stages_days {self.stages_days} must grow and end with window_days = {self.window_days}, "
                "or some observations would never be used"
            )
        return self


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
        value, error, start = (torch.as_tensor(np.concatenate(part)) for part in (values, errors, owner))
        return Sampled(operator, operator.T.tocsr(), value, error, start, days)


class _Sample(torch.autograd.Function):
    """Maps (start, day, cell) to observed values (observation,), by the sparse products of scipy."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, sampled: Sampled) -> Tensor:
        ctx.adjoint, ctx.shape, ctx.dtype = sampled.adjoint, maps.shape, maps.dtype
        return torch.as_tensor(sampled.operator @ maps.detach().double().numpy().ravel())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        back = torch.as_tensor(ctx.adjoint @ gradients[0].numpy())
        return back.view(ctx.shape).to(ctx.dtype), None


def _errors(stated: Array, default: float) -> Array:
    return np.where(np.isfinite(stated) & (stated > 0), stated, default)


def spectral_factor(equations: LayerEquations, psi: Tensor) -> Tensor:
    """Factors (layer, layer, ky, kx) that colour white noise of unit variance on the grid with the spectrum of psi.

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
