"""Laying two layers of flow over a trained decoder, and learning the numbers of their equations from its codes."""

import math
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ..data.codes import CodeSeries, gather_steps
from ..dynamics import SIGNED, LayeredODE, LayerNumbers, TracerNumbers
from ..model import LatentModel, Ocean
from ..numerics.gaussian import cholesky
from ..space.decoders import Decoder, decode
from ..space.domain import PeriodicBox
from .model_error import shrunk

ROTATION_PER_DAY = 86400 * 7.2921159e-5  # of the Earth, radians
GRAVITY_KM_PER_DAY2 = 9.81e-3 * 86400.0**2
EARTH_RADIUS_KM = 6371.0
# Where the search begins: an ocean of middle latitudes, 30 km of deformation radius, two equal layers, 5 cm/s of shear.
RADIUS_KM, SHEAR_KM_PER_DAY, DRAG_DAYS, VISCOSITY_PER_DAY = 30.0, 0.05 * 86.4, 20.0, 1.0
# Of a tracer: a front over so many kilometres, southward to the warmer side, a month, and eddies at a point.
FRONT_KM, RELAXATION_DAYS, MIXING_KM2_PER_DAY = 200.0, 30.0, 4.32
# More pairs of maps change the numbers in the third digit.
PAIRS, ROUNDS, STEP = 256, 12, 1e-3
# A weak belief in the first guess, of the change of codes: what data do not tell, as in a sea that stands still, stays.
BELIEF = 1e-5
UNSURE = 0.1  # relative: about as much as the numbers of oceans alike differ
SETTLED = 1e-4  # of the error, below which a round's gain ends the search


class LayersFit(NamedTuple):
    """Squared one-interval error over that of persistence after every round, and the numbers, as `dynamics.names`."""

    errors: list[float]
    numbers: tuple[float, ...]


@torch.no_grad()
def lay_layers(model: LatentModel, ocean: Ocean) -> None:
    """Give the dynamics the decoder's modes on the grid, their units and the first numbers."""
    box, dynamics = cast(PeriodicBox, ocean.cover.charts[0]), cast(LayeredODE, model.dynamics)
    side = np.arange(dynamics.points) / dynamics.points
    period = box.period_degrees
    latitude, longitude = (
        axis.ravel()
        for axis in np.meshgrid(box.latitude + period[1] * side, box.longitude + period[0] * side, indexing="ij")
    )
    places = torch.as_tensor(box.coordinates(longitude, latitude)).to(model.code_variance)
    scale = ocean.scale[0]
    fields = modes_and_mean(model.decoder, places)
    fields[-1] += torch.as_tensor((ocean.background.at(longitude, latitude) / scale).T).to(fields)
    coriolis = 2 * ROTATION_PER_DAY * math.sin(math.radians(box.latitude))
    # Of sea level in metres, geostrophy makes streamfunctions; tracers keep their units.
    units = torch.as_tensor(scale).double().clone()
    units[[0, -1]] *= GRAVITY_KM_PER_DAY2 / (1000.0 * coriolis)
    shape = (-1, len(units), dynamics.points, dynamics.points)
    numbers = sum((first_of_tracer(float(unit), box.latitude) for unit in units[1:-1]), first_numbers(box.latitude))
    dynamics.lay(fields.view(shape), units, box.length_km[0], numbers)


def modes_and_mean(decoder: Decoder, places: Tensor) -> Tensor:
    """(code + 1, channel, place) what every mode is at places (place, input) and, last, what a code of zero is."""
    codes = torch.eye(decoder.code_size + 1, decoder.code_size, dtype=places.dtype, device=places.device)
    fields = decode(decoder, places, codes)  # the last code is zero
    fields[:-1] -= fields[-1].clone()
    return fields.movedim(-1, 1)


def first_numbers(latitude: float) -> LayerNumbers:
    """Where the search begins; beta is that of the latitude [degrees]."""
    beta = 2 * ROTATION_PER_DAY * math.cos(math.radians(latitude)) / EARTH_RADIUS_KM
    half = 0.5 / RADIUS_KM**2
    return LayerNumbers(half, half, SHEAR_KM_PER_DAY, beta, 1 / DRAG_DAYS, VISCOSITY_PER_DAY)


def first_of_tracer(unit: float, latitude: float) -> TracerNumbers:
    """Where the search begins for a tracer that varies by `unit`, as temperature does: colder toward the pole."""
    gradient = -math.copysign(unit / FRONT_KM, latitude)
    return TracerNumbers(gradient, 1 / RELAXATION_DAYS, MIXING_KM2_PER_DAY)


@torch.no_grad()
def fit_layers(model: LatentModel, training: list[CodeSeries], generator: torch.Generator) -> LayersFit:
    """Find the numbers with which codes one interval ahead are forecast best, by Levenberg and Marquardt's method."""
    dynamics = cast(LayeredODE, model.dynamics)
    before, after = _pairs(training, generator)
    moved = float((after - before).double().square().sum())
    # Of every number in units of its first guess; those that must stay positive by their logarithm.
    first = dynamics.numbers.clone()
    signed = torch.tensor([name in SIGNED for name in dynamics.names])

    def missed(control: Tensor) -> Tensor:
        values = torch.where(signed, first.cpu() * (1 + control), first.cpu() * control.exp())
        dynamics.take(values.tolist())
        ahead = model.integrate(before, torch.tensor([model.spec.interval_days]))[0]
        return torch.cat([(ahead - after).double().flatten().cpu(), math.sqrt(BELIEF * moved) * control])

    control, damping, errors = torch.zeros(len(first), dtype=torch.float64), 1e-3, []
    now = missed(control)
    for _ in range(ROUNDS):
        columns = [(missed(control + STEP * unit) - now) / STEP for unit in torch.eye(len(first)).double()]
        jacobian = torch.stack(columns, dim=-1)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ now
        cost, gained = float(now.square().sum()), 0.0
        while damping < 1e6 and not gained:
            damped = normal + damping * torch.diag(normal.diagonal().clamp_min(1e-12 * normal.diagonal().max()))
            step = torch.cholesky_solve(gradient[:, None], cholesky(damped))[:, 0].clamp(-1.0, 1.0)
            trial = missed(control - step)
            lower = cost - float(trial.square().sum())
            if lower > 0:
                control, now, gained, damping = control - step, trial, lower, 0.1 * damping
            else:
                damping = 10 * damping
        errors.append(float(now.square().sum()) / moved)
        if gained <= SETTLED * cost:
            break
    missed(control)
    dynamics.trust(training[0].codes, model.spec.interval_days)
    return LayersFit(errors, tuple(dynamics.numbers.tolist()))


@torch.no_grad()
def add_error_of_numbers(model: LatentModel, training: list[CodeSeries], generator: torch.Generator) -> None:
    """Let the process noise hold what numbers do that are off by `UNSURE`, each by itself: other oceans have others."""
    dynamics, interval = cast(LayeredODE, model.dynamics), model.spec.interval_days
    before, _ = _pairs(training, generator, PAIRS * 4)
    found, times = dynamics.numbers.clone(), torch.tensor([interval])
    ahead, added = model.integrate(before, times)[0], torch.zeros_like(model.process_noise, dtype=torch.float64)
    for off in 1 + UNSURE * torch.eye(len(found)).to(found):
        dynamics.take((off * found).tolist())
        changed = (model.integrate(before, times)[0] - ahead).double()
        added += changed.T @ changed / len(before)
    dynamics.take(found.tolist())
    model.process_noise += (shrunk(added, model) / interval).to(model.process_noise)


def _pairs(training: list[CodeSeries], generator: torch.Generator, count: int = PAIRS) -> tuple[Tensor, Tensor]:
    """Random codes (pair, code) and those one interval later, of the first store."""
    codes = training[0].codes
    series = torch.randint(codes.shape[0], (count,), generator=generator).to(codes.device)
    start = torch.randint(codes.shape[1] - 1, (count,), generator=generator).to(codes.device)
    both = gather_steps(codes, series, start, range(2))
    return both[:, 0], both[:, 1]
