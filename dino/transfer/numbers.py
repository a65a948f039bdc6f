"""The numbers of two-layer dynamics, fitted to the observed ocean by what the filter forecasts days ahead.

An ocean that differs from the simulated one in shear, stratification or drag obeys the same equations with other
numbers. The filter goes through the record once; from every node its mean is forecast `AHEAD` nodes further, and the
values there are compared. The sum of squares, over the variance of the observations, is made small in

    the numbers of the equations, the size of the population of codes, and the size of the process noise

by Gauss and Newton's method with Levenberg's damping and finite differences: a step takes as many passes of the filter
as there are numbers, and one or two. The prior about what simulation taught is Gaussian: of logarithms, or of relative
changes of numbers that may have any sign, with a standard deviation of a factor of two, of the noise a factor of ten.

The filter's evidence, the density one node ahead, was tried first: it is largest at numbers that forecast badly
(docs/experiments.md). A process noise of the wrong shape decides there, and days ahead the numbers do.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from data_pipeline.system.progress import Progress

from ..data.duplicates import without_duplicates
from ..data.observations import Observations
from ..dynamics import SIGNED, LayeredODE
from ..errors import ConfigError, EmptyDataError, NonFiniteError
from ..forecaster import Forecaster
from ..inference.filter import Problem, filtered
from ..inference.observed import ObservedValues, observed_values
from ..inference.offsets import Layout
from ..model import LatentModel
from ..numerics.gaussian import Gaussian, cholesky
from .base import Task, Transferred
from .plan import cut, held_out_misfit

T = TypeVar("T")
AROUND = ("size", "noise")  # behind the numbers of the equations
UNSURE, UNSURE_NOISE = math.log(2.0), math.log(10.0)  # standard deviations of the priors
DIFFERENCE = 0.02  # of the derivatives: large enough for the rounding of single precision
AHEAD, SETTLING = 5, 8  # nodes that are forecast, and nodes after which the filter knows the ocean
MOST_DAYS = 30.0  # of the record, the last ones: they tell most numbers to a few per cent
ROUNDS, MOST = 4, 0.7  # of the search, and the longest step of a number in one
SETTLED = 1e-3  # share of the cost below which a round's gain ends the search
STEPS_A_DAY = 2.0  # of the solver: a flow twice as strong as the one learned from can still be followed
POPULATION, MODEL_ERROR = ("state_covariance", "code_variance"), ("process_noise", "lead_error", "unresolved_error")


class Fit(NamedTuple):
    """What was found: controls (n,), as `names_of` has them, their covariance, mean squared misfit by round."""

    control: Tensor
    covariance: Tensor
    rounds: list[float]


@dataclass(frozen=True)
class Filtering:
    """A record ready to be filtered with any model that has the same decoder, node by node.

    rows : what is seen at every node; nodes : their times [days since 1950-01-01]
    """

    forecaster: Forecaster
    rows: list[ObservedValues]
    nodes: np.ndarray

    @classmethod
    def of(cls, forecaster: Forecaster, record: Observations) -> "Filtering":
        """Raises `EmptyDataError` for a record without values in the model's area, `DomainError` outside of it."""
        latent, ocean, settings = forecaster.latent, forecaster.ocean, forecaster.assimilation
        seen, _ = without_duplicates(record)
        first, last = (float(seen.time[0]), float(seen.time[-1])) if len(seen) else (0.0, 0.0)
        nodes = np.linspace(first, last, max(2, math.ceil((last - first) / settings.node_days) + 1))
        if len(seen):
            ocean.cover.check(seen.longitude, seen.latitude)
        rows = observed_values(latent, ocean, seen, nodes, settings.errors)
        if not len(rows):
            raise EmptyDataError("a record without values tells nothing of the ocean's numbers; give another")
        rows, nearest = rows.formed(latent.decoder), rows.node + (rows.fraction > 0.5).long()
        parts = [rows.select(torch.nonzero(nearest == node).squeeze(-1)) for node in range(len(nodes))]
        still = [replace(p, node=torch.zeros_like(p.node), fraction=torch.zeros_like(p.fraction)) for p in parts]
        return cls(forecaster, still, nodes)

    def missed(self, latent: LatentModel) -> Tensor:
        """(value,) float64, what forecasts from every node miss of the values up to `AHEAD` nodes later, whitened.

        A value is met by as many forecasts as there are leads. Raises `NonFiniteError` where forecasts are no numbers.
        """
        state, means, first = self._population(latent), [], min(SETTLING, max(len(self.nodes) - AHEAD - 1, 0))
        for place, rows in enumerate(self.rows):
            days = self.nodes[place : place + 2] - self.nodes[place]
            state = filtered(self._problem(latent, state, rows, days[:1])).end
            means.append(state.mean)
            if len(days) > 1:
                state = filtered(self._problem(latent, state, rows.select(slice(0, 0)), days)).end
        leads = torch.arange(1, AHEAD + 1) * float(self.nodes[1] - self.nodes[0])
        ahead = latent.integrate(torch.stack(means[first:]), leads, latent.context(self.forecaster.ocean))
        codes = latent.dynamics.codes(ahead)
        found = [
            _misfit(self.rows[first + start + lead + 1], codes[lead, start])
            for lead in range(AHEAD)
            for start in range(len(self.nodes) - first - lead - 1)
        ]
        missed = torch.cat(found).cpu()
        if not bool(torch.isfinite(missed).all()):
            raise NonFiniteError("forecasts left the finite numbers: the equations cannot be stepped this far")
        return missed

    def _population(self, latent: LatentModel) -> Gaussian:
        charts, prior = self.forecaster.ocean.charts, latent.state_prior
        return Gaussian(prior.mean.expand(charts, -1).clone(), prior.covariance.expand(charts, -1, -1).clone())

    def _problem(self, latent: LatentModel, state: Gaussian, rows: ObservedValues, days: np.ndarray) -> Problem:
        """What is seen at a node, and the way to the next one."""
        bound = self.forecaster.assimilation.bound
        context = latent.context(self.forecaster.ocean)
        layout = Layout(latent.dynamics.code_size, latent.dynamics.code_size, 0)
        return Problem(
            latent, context, layout.augmented(state), rows, days, layout, bound=math.inf if bound is None else bound
        )


def _misfit(rows: ObservedValues, codes: Tensor) -> Tensor:
    """(row,) of rows with a form, given codes (chart, code)."""
    assert rows.form is not None
    predicted = rows.form.offset + (rows.form.operator * codes[rows.chart]).sum(-1)
    return ((rows.value - predicted) / rows.variance.sqrt()).double()


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
    fit = smallest(missed, precision, torch.zeros_like(precision) if start is None else start, progress, rounds)
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
    """A copy of a model with its numbers moved by `control` (n,); zero changes nothing but the solver's step.

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
    step = min(latent.step_days, latent.spec.interval_days / STEPS_A_DAY)
    solver = latent.spec.dynamics.model_copy(update={"step_days": step})
    latent.spec = latent.spec.model_copy(update={"dynamics": solver})
    return latent


def smallest(
    missed: Callable[[Tensor], Tensor], precision: Tensor, start: Tensor, progress: Progress, rounds: int = ROUNDS
) -> Fit:
    """The controls with the smallest misfit and prior.

    missed : (value,) of controls (n,); precision : (n,) of the prior about zero; start : (n,)
    """
    control, damping, now, units = start, 1e-3, missed(start), torch.eye(len(start), dtype=torch.float64)
    totals, information = [float(now.square().mean())], torch.diag(precision)
    for turn in range(rounds):
        columns = torch.stack([(missed(control + DIFFERENCE * unit) - now) / DIFFERENCE for unit in units], dim=-1)
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
