"""The numbers of two-layer dynamics, fitted to the observed ocean by the exact evidence of the filter.

An ocean that differs from the simulated one in shear, stratification or drag obeys the same equations with other
numbers. The filter's innovations over a record tell its density, log p = sum of log p(values of a node | those before),
and the largest one is searched for over

    the six numbers of `LayerNumbers`, the size of the population of codes, and the size of the process noise,

with a Gaussian prior about what simulation taught: of logarithms, or of relative changes of numbers that may have any
sign, a factor of two (`UNSURE`), of the noise a factor of ten. By Fisher's scoring, a Gauss-Newton method whose matrix
is what Gaussian innovations are expected to tell, with Levenberg's damping: a step takes as many passes of the filter
as there are numbers, and one or two.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_pipeline.system.progress import Progress

from ..data.duplicates import without_duplicates
from ..data.observations import Observations
from ..dynamics import LayeredODE, LayerNumbers
from ..errors import ConfigError, EmptyDataError, NonFiniteError
from ..forecaster import Forecaster
from ..inference.filter import Problem, filtered
from ..inference.observed import ObservedValues, observed_values
from ..inference.offsets import Layout
from ..model import LatentModel
from ..numerics.gaussian import Gaussian, cholesky
from .base import Task, Transferred
from .plan import cut, held_out_misfit

NAMES = (*LayerNumbers._fields, "size", "noise")
SIGNED = ("flow", "beta")
UNSURE, UNSURE_NOISE = math.log(2.0), math.log(10.0)  # standard deviations of the priors
DIFFERENCE = 0.02  # of the derivatives: large enough for the rounding of single precision
ROUNDS, MOST = 8, 0.7  # of the search, and the longest step of a number in one
SETTLED = 0.5  # gain in log density below which the search ends: less than one number is uncertain by
STEPS_A_DAY = 2.0  # of the solver: a flow twice as strong as the one learned from can still be followed
POPULATION, MODEL_ERROR = ("state_covariance", "code_variance"), ("process_noise", "lead_error", "unresolved_error")


class Fit(NamedTuple):
    """What was found: controls (8,) in order of `NAMES`, their covariance, log density by round."""

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
        rows = observed_values(latent, ocean, seen, nodes, settings.errors)
        if not len(rows):
            ocean.cover.check(seen.longitude, seen.latitude)
            raise EmptyDataError("a record without values tells nothing of the ocean's numbers; give another")
        rows, nearest = rows.formed(latent.decoder), rows.node + (rows.fraction > 0.5).long()
        parts = [rows.select(torch.nonzero(nearest == node).squeeze(-1)) for node in range(len(nodes))]
        still = [replace(p, node=torch.zeros_like(p.node), fraction=torch.zeros_like(p.fraction)) for p in parts]
        return cls(forecaster, still, nodes)

    def passes(self, models: Sequence[LatentModel], apart: float = DIFFERENCE) -> tuple[Tensor, Tensor]:
        """(model,) log density of the record by each of several models, and the information of the first one.

        information : (model - 1, model - 1) of the changes that make the others of the first, each divided by `apart`,

            sum over nodes of J' S^-1 J + 1/2 tr(S^-1 dS_i S^-1 dS_j)

        with J the change of the values predicted, dS that of their covariance S. All float64, charts together.
        """
        states, told = [self._population(latent) for latent in models], torch.zeros(len(models), dtype=torch.float64)
        information = torch.zeros(len(models) - 1, len(models) - 1, dtype=torch.float64)
        for place, rows in enumerate(self.rows):
            days = self.nodes[place : place + 2] - self.nodes[place]
            if len(models) > 1 and len(rows):
                information += _information(self._problem(models[0], states[0], rows, days), states, apart)
            for which, latent in enumerate(models):
                made = filtered(self._problem(latent, states[which], rows, days))
                assert made.evidence is not None
                states[which] = made.end
                told[which] += float(made.evidence.double().sum())
        if not bool(torch.isfinite(told).all()):
            raise NonFiniteError("the filter left the finite numbers: the equations cannot be stepped this far")
        return told, information

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


def _information(problem: Problem, states: Sequence[Gaussian], apart: float) -> Tensor:
    """What the rows of a node tell of the changes that make the other predicted states of the first."""
    charts, first = len(states[0].mean), states[0]
    rows = problem.part(slice(0, charts)).rows
    assert rows.form is not None
    found = torch.zeros(len(states) - 1, len(states) - 1, dtype=torch.float64)
    for chart in range(charts):
        mine = rows.chart == chart
        operator = rows.form.operator[mine].double() / rows.variance[mine].double().sqrt()[:, None]
        alone, root = operator.T @ operator, cholesky(first.covariance[chart].double())
        # H' S^-1 H of the states' covariance P = L L' and A = H' R^-1 H is A - A L (1 + L' A L)^-1 L' A.
        half = root.T @ alone
        inner = torch.eye(len(root), dtype=root.dtype) + half @ root
        seen = alone - half.T @ torch.cholesky_solve(half, cholesky(inner))
        mean = torch.stack([(s.mean[chart] - first.mean[chart]).double() / apart for s in states[1:]])
        spread = [seen @ (s.covariance[chart] - first.covariance[chart]).double() / apart for s in states[1:]]
        both = torch.stack(spread).flatten(1) @ torch.stack([b.T for b in spread]).flatten(1).T
        found += mean @ seen @ mean.T + 0.5 * both
    return found


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


def fitted(forecaster: Forecaster, seen: Observations, progress: Progress) -> tuple[Forecaster, Fit]:
    """A forecaster with the numbers of the largest evidence, and these; the one given stays as it is."""
    taught, record = forecaster.latent, Filtering.of(forecaster, seen)
    fit = maximised(lambda controls: record.passes([changed(taught, c) for c in controls]), prior_precision(), progress)
    latent = changed(taught, fit.control)
    return Forecaster(latent.eval(), forecaster.ocean, forecaster.assimilation), fit


def prior_precision() -> Tensor:
    """(8,) of the controls."""
    return torch.tensor([UNSURE_NOISE if name == "noise" else UNSURE for name in NAMES]).double() ** -2


@torch.no_grad()
def changed(taught: LatentModel, control: Tensor) -> LatentModel:
    """A copy of a model with its numbers moved by `control` (8,); zero changes nothing but the solver's step."""
    latent, moved = copy.deepcopy(taught), dict(zip(NAMES, control.tolist(), strict=True))
    dynamics = latent.dynamics
    assert isinstance(dynamics, LayeredODE)
    values = LayerNumbers(*dynamics.numbers.tolist())._asdict()
    dynamics.take(
        LayerNumbers(*(v * (1 + moved[n] if n in SIGNED else math.exp(moved[n])) for n, v in values.items()))
    )
    dynamics.extent.mul_(math.exp(moved["size"]))
    for names, factor in ((POPULATION, 2 * moved["size"]), (MODEL_ERROR, moved["noise"])):
        for name in names:
            getattr(latent, name).mul_(math.exp(factor))
    step = min(latent.step_days, latent.spec.interval_days / STEPS_A_DAY)
    solver = latent.spec.dynamics.model_copy(update={"step_days": step})
    latent.spec = latent.spec.model_copy(update={"dynamics": solver})
    return latent


def maximised(
    passes: Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]], precision: Tensor, progress: Progress
) -> Fit:
    """The controls with the largest density and prior, from zero.

    passes : (control,) log densities of some controls (n,), and the information of the first of them
    precision : (n,) of the prior about zero
    """
    control, damping, totals = torch.zeros_like(precision), 1e-3, []
    units, information = torch.eye(len(precision), dtype=torch.float64), torch.diag(precision)
    for turn in range(ROUNDS):
        density, told = passes([control, *(control + DIFFERENCE * unit for unit in units)])
        information = told + torch.diag(precision)
        gradient = (density[1:] - density[0]) / DIFFERENCE - precision * control
        totals.append(float(density[0]) - float(0.5 * (precision * control.square()).sum()))
        gained = 0.0
        while damping < 1e3 and gained <= 0:
            damped = information + damping * torch.diag(information.diagonal())
            step = torch.cholesky_solve(gradient[:, None], cholesky(damped))[:, 0]
            trial = control + step * min(1.0, MOST / float(step.abs().max()))
            try:
                gained = float(passes([trial])[0]) - float(0.5 * (precision * trial.square()).sum()) - totals[-1]
            except NonFiniteError:
                gained = -math.inf
            damping = damping * (0.1 if gained > 0 else 10.0)
            if gained > 0:
                control = trial
        progress(turn + 1, ROUNDS)
        if gained < SETTLED:
            break
    return Fit(control, torch.cholesky_inverse(cholesky(information)), totals)
