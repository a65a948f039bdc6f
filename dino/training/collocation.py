"""The quadratic vector field by linear least squares: operator inference along the model's own trajectories.

The equations (see `normal_equations`) want the path between two frames, which is unknown. The first round interpolates
it by cubics through four frames, which is crude for modes that turn by more than a radian from frame to frame. Later
rounds take the path that the model of the last round integrates from a(t), bent by a linear share of its miss so that
it ends in a(t+1), and solve again. The miss shrinks by a factor of a few each round; every round is one pass over the
data, one Gram matrix and one Cholesky factor.

Products of modes are many and few data tell them apart. They have a penalty of their own, the one with which held-out
codes are forecast best (McQuarrie, Huang & Willcox 2021, Journal of the Royal Society of New Zealand 51). It falls on
coefficients of features of unit size and is inverse to the feature's size: products of weak modes move the state
less. Neither the same penalty for all of them nor one inverse to the square of their size forecasts as well.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor

from data_pipeline.system.progress import Progress

from ..data.codes import CodeSeries
from ..dynamics import QuadraticODE
from ..dynamics.quadratic import quadratic_features
from ..errors import EmptyDataError, NonFiniteError
from ..model import LatentModel
from ..numerics.parallel import ALONE, Group
from .dynamics_stage import forecast_errors
from .normal_equations import CUBIC, NormalEquations, normal_equations

INTERVALS_PER_UNKNOWN = 4  # more than this cost time and change nothing
PRODUCT_PENALTIES = (1.0, 1e1, 1e2, 1e3, 1e4)  # times the ridge, tried in the first round
REFINEMENT = 10**0.5  # of the penalty, in the last round


class Trial(NamedTuple):
    """A fit: its held-out error, the penalty on its products, and its coefficients (feature, code)."""

    error: float
    products: float
    coefficients: Tensor


@dataclass
class Search:
    """Fits of one model, each scored on held-out codes; size: (feature,) of the features at the codes' spread."""

    model: LatentModel
    validation: CodeSeries
    size: Tensor
    report: Callable[[int], None]
    group: Group
    trials: list[Trial] = field(default_factory=list)

    def attempt(self, equations: NormalEquations, products: float) -> Trial:
        """Fit with a penalty on products and note how well; the model keeps the fit."""
        dynamics = cast(QuadraticODE, self.model.dynamics)
        error = self.group.from_first(lambda: self._fit(dynamics, equations, products))
        self.group.copy_first_([dynamics.coefficients])
        self.trials.append(Trial(error, products, dynamics.coefficients.clone()))
        self.report(len(self.trials))
        return self.trials[-1]

    def _fit(self, dynamics: QuadraticODE, equations: NormalEquations, products: float) -> float:
        """Solve and return the held-out error: one process's work, it has no parts."""
        try:
            unit = equations.solve(self.model.spec.dynamics.ridge, products)
            dynamics.coefficients.copy_(unit / self.size.double()[:, None])
            return validation_error(self.model, self.validation)
        except NonFiniteError:  # singular within rounding: a larger penalty may do
            return math.inf

    def best_of(self, equations: NormalEquations, penalties: Sequence[float]) -> Trial:
        """The best of fits with these penalties, lowered by tens for as long as that helps; the model keeps it."""
        best = min((self.attempt(equations, products) for products in penalties), key=_error)
        ridge = self.model.spec.dynamics.ridge
        while best.products > ridge:
            trial = self.attempt(equations, max(0.1 * best.products, ridge))
            if not trial.error < 0.99 * best.error:
                break
            best = trial
        cast(QuadraticODE, self.model.dynamics).coefficients.copy_(best.coefficients)
        return best

    def refine(self, equations: NormalEquations, chosen: Trial) -> None:
        """Change the penalty of a fit in steps, down and up, for as long as that helps by a hundredth."""
        for factor in (1 / REFINEMENT, REFINEMENT):
            trial, wanted = chosen, math.inf
            while trial.error < wanted:
                wanted = 0.99 * trial.error
                trial = self.attempt(equations, factor * trial.products)


def _error(trial: Trial) -> float:
    return trial.error


@torch.no_grad()
def fit_quadratic(
    model: LatentModel, training: list[CodeSeries], validation: CodeSeries, report: Progress, group: Group = ALONE
) -> list[float]:
    """Fit `model.dynamics` (a `QuadraticODE`) in rounds and keep the round that forecasts held-out codes best.

    Returns the validation error of every fit tried, some penalties on the first and the last round among them: mean
    over leads of squared forecast error relative to the squared change. Raises `EmptyDataError` when the data hold too
    few frames, `NonFiniteError` when no fit forecasts finitely. The processes of a group share out the blocks of
    intervals; as one process would form the same blocks, only the order in which they are added is another.
    """
    dynamics, config = cast(QuadraticODE, model.dynamics), model.spec.dynamics
    if min(codes.codes.shape[1] for codes in training) < len(CUBIC):
        raise EmptyDataError(
            "a quadratic fit wants trajectories of at least 4 frames; lengthen them or train a network"
        )
    spread = spread_of(training)
    dynamics.keep_products(spread)
    size = quadratic_features(spread, dynamics.pairs)
    dynamics.trust(torch.cat([codes.codes.flatten(0, 1) for codes in training]), model.spec.interval_days)
    enough = enough_series(training, dynamics.feature_count)
    total = 2 * config.rounds + len(PRODUCT_PENALTIES)

    def told(done: int) -> None:
        report(done, max(total, done), f"dynamics held-out {min(search.trials, key=_error).error:.3g}")

    search = Search(model, validation, size, told, group)
    chosen = Trial(math.inf, config.ridge, dynamics.coefficients.clone())
    penalties, equations = [config.ridge * factor for factor in PRODUCT_PENALTIES], None
    for index in range(config.rounds):
        latest = normal_equations(model, enough, size, group, first=index == 0)
        if not latest.count:
            break
        equations = latest
        chosen = search.best_of(equations, penalties)
        penalties = [chosen.products, chosen.products / REFINEMENT]
    if equations is not None:
        search.refine(equations, chosen)
    best = min(search.trials, key=_error, default=chosen)
    if not best.error < math.inf:
        raise NonFiniteError(
            "no fit of the quadratic dynamics forecasts the held-out trajectories finitely; "
            "raise dynamics.ridge, lower decoder.code_size or give more trajectories"
        )
    dynamics.coefficients.copy_(best.coefficients)
    fit_unresolved(model, training)
    return [trial.error for trial in search.trials]


@torch.no_grad()
def fit_unresolved(model: LatentModel, training: list[CodeSeries]) -> None:
    """Let the residual field decay, cell by cell, at the rate at which it forgets itself over one interval."""
    remainders = [codes.unresolved for codes in training]
    product = sum(float((r[:, 1:] * r[:, :-1]).sum()) for r in remainders)
    square = sum(float(r[:, :-1].square().sum()) for r in remainders)
    kept = min(max(product / max(square, 1e-30), 1e-3), 1.0)
    rate = math.log(kept) / model.spec.interval_days
    model.unresolved_dynamics.linear.fill_(rate / float(model.unresolved_dynamics.rates[-1]))


def spread_of(training: list[CodeSeries]) -> Tensor:
    """(code,) root mean square of all training codes, none of them zero."""
    return torch.cat([codes.codes.flatten(0, 1) for codes in training]).square().mean(0).sqrt().clamp_min(1e-6)


def enough_series(training: list[CodeSeries], unknowns: float) -> list[CodeSeries]:
    """A share of the series of every store, so that the intervals are a few times as many as the unknowns of a mode.

    The share is random: every n-th series would be the same part of every trajectory that was cut into series.
    """
    intervals = sum(codes.codes.shape[0] * (codes.codes.shape[1] - 1) for codes in training)
    stride = max(1, int(intervals / (INTERVALS_PER_UNKNOWN * unknowns)))
    if stride == 1:
        return training
    chance = torch.Generator().manual_seed(0)
    some = [torch.randperm(len(codes.codes), generator=chance)[::stride].sort().values for codes in training]
    return [codes.subset(which.to(codes.codes.device)) for codes, which in zip(training, some, strict=True)]


def validation_error(model: LatentModel, validation: CodeSeries) -> float:
    """Mean over leads of squared forecast error over squared change, from every held-out start; inf for no number."""
    error, change = forecast_errors(model, validation, model.spec.dynamics.horizons[-1])
    value = float((error / change).mean())
    return value if value == value else float("inf")
