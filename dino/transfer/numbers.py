"""The numbers of two-layer dynamics, fitted to the observed ocean by what the filter forecasts days ahead.

An ocean that differs from the simulated one in shear, stratification or drag obeys the same equations with other
numbers. The filter goes through the record once; from every node its mean is forecast `AHEAD` nodes further, and the
values there are compared. The sum of squares, over the variance of the observations, is made small in

    the numbers of the equations, the size of the population of codes, and the size of the process noise

by Gauss and Newton's method with Levenberg's damping. One pass of the filter carries the derivatives by all numbers of
the equations (`Filtering.sensitive`); those by the two sizes are finite differences, of a pass each. The prior about
what simulation taught is Gaussian: of logarithms, or of relative changes of numbers that may have any sign, with a
standard deviation of a factor of two, of the noise a factor of ten.

The filter's evidence, the density one node ahead, was tried first: it is largest at numbers that forecast badly
(docs/experiments.md). A process noise of the wrong shape decides there, and days ahead the numbers do.
"""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from data_pipeline.system.progress import Progress

from ..data.observations import Observations
from ..dynamics import SIGNED, LayeredODE
from ..errors import ConfigError, NonFiniteError
from ..forecaster import Forecaster
from ..model import LatentModel
from ..numerics.gaussian import cholesky
from .base import Task, Transferred
from .filtering import AHEAD, DIFFERENCE, Filtering
from .plan import cut, held_out_misfit

T = TypeVar("T")
AROUND = ("size", "noise")  # behind the numbers of the equations
UNSURE, UNSURE_NOISE = math.log(2.0), math.log(10.0)  # standard deviations of the priors
MOST_DAYS = 30.0  # of the record, the last ones: they tell most numbers to a few per cent
ROUNDS, MOST = 4, 0.7  # of the search, and the longest step of a number in one
SETTLED = 1e-3  # share of the cost below which a round's gain ends the search
FASTER = 1.1  # than the flow that was learned from: up to here it is stepped as that was
POPULATION, MODEL_ERROR = ("state_covariance", "code_variance"), ("process_noise", "lead_error", "unresolved_error")


class Fit(NamedTuple):
    """What was found: controls (n,), as `names_of` has them, their covariance, mean squared misfit by round."""

    control: Tensor
    covariance: Tensor
    rounds: list[float]


def fit_numbers(task: Task, progress: Progress) -> Transferred:
    """Fit the numbers of a run's two layers, and what is around them, to the observations; see `Strategy`.

    Kept where held-out windows are forecast better, by the errors of the run that came: few numbers that the whole
    record has told are confirmed by forecasts, and not decided by them alone. Raises `ConfigError` for other dynamics.
    """
    forecaster, seen = task.forecaster, task.observations
    if not isinstance(task.latent.dynamics, LayeredODE):
        raise ConfigError(
            f"transfer.strategy=numbers wants a run whose dynamics.form is layers, and this one's is "
            f"{task.latent.spec.dynamics.form}; choose pace, or train with dynamics.form=layers"
        )
    plan = cut(seen, task.settings, forecaster.assimilation)
    before = held_out_misfit(forecaster, seen, plan)
    made, _ = fitted(forecaster, seen, progress)
    after = held_out_misfit(made, seen, plan, task.latent.unresolved_variance)
    if not after.mean < before.mean:
        return Transferred(before.mean, before.mean, [before.mean, after.mean])
    forecaster.latent = made.latent
    return Transferred(before.mean, after.mean, [before.mean, after.mean])


@torch.no_grad()
def fitted(
    forecaster: Forecaster,
    seen: Observations,
    progress: Progress,
    precision: Tensor | None = None,
    start: Tensor | None = None,
    rounds: int = ROUNDS,
) -> tuple[Forecaster, Fit]:
    """A forecaster with the numbers that forecast best, and these; the one given stays as it is.

    precision : (n,) of the prior about the numbers as they are, `prior_precision` when absent; start : (n,) where the
    search begins, there when absent
    """
    taught, precision = forecaster.latent, prior_precision(forecaster.latent) if precision is None else precision
    last = float(seen.time[-1]) if len(seen) else 0.0
    record = Filtering.of(forecaster, seen.between(last - MOST_DAYS, last))
    missed = lambda control: record.missed(changed(taught, control))  # noqa: E731
    told = lambda control, now: derivative(record, taught, control, now)  # noqa: E731
    begin = torch.zeros_like(precision) if start is None else start
    fit = smallest(missed, told, precision, begin, progress, rounds)
    made = changed(taught, fit.control).eval()
    return Forecaster(made, forecaster.ocean, forecaster.assimilation), fit


def names_of(latent: LatentModel) -> tuple[str, ...]:
    """Names of the controls: the numbers of the equations, and what is around them."""
    return (*cast(LayeredODE, latent.dynamics).names, *AROUND)


def prior_precision(latent: LatentModel) -> Tensor:
    """(n,) of the controls."""
    return torch.tensor([UNSURE_NOISE if name == "noise" else UNSURE for name in names_of(latent)]).double() ** -2


@torch.no_grad()
def changed(taught: LatentModel, control: Tensor) -> LatentModel:
    """A copy of a model with its numbers moved by `control` (n,); zero changes nothing.

    A larger population is stepped farther. A smaller one is only surer: the codes up to which its equations are stepped
    stay as long as they were.
    """
    latent, (*steps, size, noise) = copy.deepcopy(taught), control.tolist()
    dynamics = latent.dynamics
    assert isinstance(dynamics, LayeredODE)
    factors = (1 + step if name in SIGNED else math.exp(step) for name, step in zip(dynamics.names, steps, strict=True))
    dynamics.take([value * factor for value, factor in zip(dynamics.numbers.tolist(), factors, strict=True)])
    dynamics.extent.mul_(math.exp(max(size, 0.0)))
    for names, factor in ((POPULATION, 2 * size), (MODEL_ERROR, noise)):
        for name in names:
            getattr(latent, name).mul_(math.exp(factor))
    # A stronger flow is stepped as finely as it is stronger.
    step = latent.step_days / max(1, math.ceil(math.exp(size) - (FASTER - 1)))
    solver = latent.spec.dynamics.model_copy(update={"step_days": step})
    latent.spec = latent.spec.model_copy(update={"dynamics": solver})
    return latent


@torch.no_grad()
def derivative(record: Filtering, taught: LatentModel, control: Tensor, now: Tensor) -> Tensor:
    """(value, n) of what is missed, `now` (value,), by the controls."""
    units = DIFFERENCE * torch.eye(len(control), dtype=torch.float64)
    numbers, around = units[: -len(AROUND)], units[-len(AROUND) :]
    moved = [changed(taught, control + unit) for unit in numbers]
    columns = [record.sensitive(changed(taught, control), moved)[1]]
    columns += [(record.missed(changed(taught, control + unit)) - now)[:, None] / DIFFERENCE for unit in around]
    return torch.cat(columns, dim=1)


def smallest(
    missed: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor, Tensor], Tensor],
    precision: Tensor,
    start: Tensor,
    progress: Progress,
    rounds: int = ROUNDS,
) -> Fit:
    """The controls with the smallest misfit and prior.

    missed : (value,) of controls (n,); derivative : (value, n) of controls and what they miss; precision : (n,) of the
    prior about zero; start : (n,)
    """
    control, damping, now = start, 1e-3, missed(start)
    totals, information = [float(now.square().mean())], torch.diag(precision)
    for turn in range(rounds):
        columns = derivative(control, now)
        # The errors that there are, not those of the instruments, weigh against the prior; a value is met AHEAD times.
        weight = 1.0 / (AHEAD * totals[-1])
        information = weight * columns.T @ columns + torch.diag(precision)
        gradient = weight * columns.T @ now + precision * control
        cost, gained = _cost(now, control, weight, precision), 0.0
        while damping < 1e3 and gained <= 0:
            damped = information + damping * torch.diag(information.diagonal())
            step = torch.cholesky_solve(gradient[:, None], cholesky(damped))[:, 0]
            trial = control - step * min(1.0, MOST / float(step.abs().max()))
            found = _or_nothing(lambda trial=trial: missed(trial))
            gained = 0.0 if found is None else cost - _cost(found, trial, weight, precision)
            damping = damping * (0.1 if gained > 0 else 10.0)
            if found is not None and gained > 0:
                control, now = trial, found
        totals.append(float(now.square().mean()))
        progress(turn + 1, rounds)
        if gained <= SETTLED * cost:
            break
    return Fit(control, torch.cholesky_inverse(cholesky(information)), totals)


def _or_nothing(made: Callable[[], T]) -> T | None:
    """What is made; nothing where numbers leave the finite ones."""
    try:
        return made()
    except NonFiniteError:
        return None


def _cost(missed: Tensor, control: Tensor, weight: float, precision: Tensor) -> float:
    return float(weight * missed.square().sum() + (precision * control.square()).sum())
