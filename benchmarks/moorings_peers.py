"""Peers of `moorings.py`: persistence, damped persistence, the mean, ridge regression on sites, optimal interpolation.

A peer is fitted to the training part of a question and forecasts from any pass: mean and standard deviation
(lead, asked) in cm. `taught` says what its regressions aim at: KaRIn, or the steric height of the training part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from moorings_record import LEADS, PASS_DAYS, Array, Question
from numpy.typing import NDArray

from dino.data.observations import Observations
from dino.evaluation.fitted_interpolation import FittedInterpolation, fitted_interpolation

BLOCKS = 5  # of the training part, each forecast by what the others teach
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # of ridge regression, in variances of a site
MEMORY = (1, 2, 4)  # passes that a regression takes
OLDEST_DAYS = 2.0  # of a value that is persisted
WINDOW_DAYS = 20.0  # of optimal interpolation
OWN_PULL = 20.0  # values that all sites' slope counts beside a site's own
Forecast = tuple[Array, Array]
Peer = Callable[[int], Forecast]


@dataclass(frozen=True)
class Regression:
    """Linear maps (lead, asked, feature) of features of the past, with errors (lead, asked)."""

    features: Callable[[int], Array]
    weight: Array
    std: Array

    def __call__(self, start: int) -> Forecast:
        return self.weight @ self.features(start), self.std


def persistence(question: Question, taught: str) -> Peer:
    """The last values; of a hidden site those of its neighbours, taken linearly between them."""
    std = _errors(question, lambda row: np.broadcast_to(_last(question, row), (len(LEADS), len(question.asked))))
    return lambda start: (np.broadcast_to(_last(question, start), std.shape), std)


def mean(question: Question, taught: str) -> Peer:
    """The mean of the training part, zero."""
    made = np.zeros((len(LEADS), len(question.asked)))
    std = _errors(question, lambda row: made)
    return lambda start: (made, std)


def damped(question: Question, taught: str) -> Peer:
    """A site's own slope on the mean of its last passes, drawn towards that of all sites; their number by trial."""

    def of(memory: int) -> Callable[[int], Array]:
        def features(row: int) -> Array:
            rows = np.array([_last(question, r) for r in range(max(0, row - memory + 1), row + 1)])
            return np.nansum(rows, axis=0) / np.maximum(np.isfinite(rows).sum(axis=0), 1)

        return features

    tried = {memory: _fit(question, taught, of(memory), _own_slopes) for memory in MEMORY}
    return min(tried.values(), key=lambda found: found[0])[1]


def ridge(question: Question, taught: str) -> Peer:
    """Ridge regression of each asked site on all sites' last passes: vector autoregression, a map for each lead."""

    def of(memory: int) -> Callable[[int], Array]:
        def features(row: int) -> Array:
            rows = [np.nan_to_num(question.seen[max(0, row - back)]) for back in range(memory)]
            return np.concatenate(rows)

        return features

    power = float(np.nanmean(question.seen[question.training] ** 2))
    tried = [
        _fit(question, taught, of(memory), _ridge_solver(penalty * power)) for memory in MEMORY for penalty in PENALTIES
    ]
    return min(tried, key=lambda found: found[0])[1]


def interpolation(question: Question, fitted: FittedInterpolation, places: tuple[Array, Array]) -> Peer:
    """Optimal interpolation; its standard deviation is that of the signal."""
    days, asked = question.moorings.days, question.asked

    def forecast(start: int) -> Forecast:
        made = fitted(observed(question, start, WINDOW_DAYS), days[start])
        when = days[start] + np.concatenate([[0.0], PASS_DAYS * np.array(LEADS)])
        found, std = made.predict(when[:, None], places[0][asked], places[1][asked])
        return found[1:], std[1:]

    return forecast


def fitted_to(question: Question, seed: int, customary: bool) -> FittedInterpolation:
    """The covariance that makes the training part most likely."""
    last = int(np.flatnonzero(question.training)[-1])
    return fitted_interpolation(observed(question, last, np.inf), None, seed, customary=customary)


def observed(question: Question, start: int, days: float) -> Observations:
    """What is seen up to a pass, as observations in cm."""
    moorings = question.moorings
    rows = np.flatnonzero((moorings.days <= moorings.days[start]) & (moorings.days >= moorings.days[start] - days))
    row, site = np.nonzero(np.isfinite(question.seen[rows]))
    row = rows[row]
    values = question.seen[row, site][:, None]
    return Observations(
        time=moorings.days[row], longitude=moorings.longitude[row, site], latitude=moorings.latitude[row, site],
        values=values, error=np.full(values.shape, np.nan), source=np.zeros(len(row), np.int64), channels=("sla",),
    )  # fmt: skip


def _last(question: Question, row: int) -> Array:
    """(asked,) the last values up to a pass, no older than `OLDEST_DAYS`."""
    days, found = question.moorings.days, np.full(question.seen.shape[1], np.nan)
    for back in range(row, -1, -1):
        if days[row] - days[back] > OLDEST_DAYS:
            break
        found = np.where(np.isfinite(found), found, question.seen[back])
    return _between(question, found)


def _between(question: Question, values: Array) -> Array:
    """(asked,) of values (site,): a site's own or, of a hidden one, those to the north and south of it."""
    if question.hidden is None:
        return values[question.asked]
    latitude = np.nanmean(question.moorings.latitude, axis=0)
    known = np.flatnonzero(np.isfinite(values))
    known = known[np.argsort(latitude[known])]
    return np.interp(latitude[question.asked], latitude[known], values[known])


def _pairs(question: Question, lead: int) -> NDArray[np.int64]:
    """(pair, 2) passes of the training part, one `lead` after the other."""
    inside = question.training
    pairs = [(row, question.moorings.later(row, lead)) for row in np.flatnonzero(inside).tolist()]
    return np.array([(row, after) for row, after in pairs if after is not None and inside[after]], np.int64)


def _errors(question: Question, forecast: Callable[[int], Array]) -> Array:
    """(lead, asked) root mean square misfit of steric height in the training part, over all asked sites."""
    found = []
    for index, lead in enumerate(LEADS):
        missed = [forecast(a)[index] - question.truth[b, question.asked] for a, b in _pairs(question, lead)]
        found.append(np.sqrt(np.nanmean(np.square(missed))))
    return np.repeat(np.array(found)[:, None], len(question.asked), axis=1)


Solver = Callable[[Array, Array], Array]


def _fit(question: Question, taught: str, features: Callable[[int], Array], solve: Solver) -> tuple[float, Regression]:
    """Weights for every lead and asked site, and the squared misfit of what they were taught, block by block."""
    asked = question.asked
    aim, rows = (question.truth if taught == "steric" else question.karin)[:, asked], []
    table = np.array([features(row) for row in range(len(aim))])
    total, missed = 0.0, []
    for lead in LEADS:
        pairs = _pairs(question, lead)
        x, y, truth = table[pairs[:, 0]], aim[pairs[:, 1]], question.truth[pairs[:, 1]][:, asked]
        rows.append(solve(x, y))
        made = np.full(y.shape, np.nan)
        for block in np.array_split(np.arange(len(pairs)), BLOCKS):
            # Pairs that overlap a block in time are not learned from.
            apart = np.setdiff1d(np.arange(len(pairs)), np.arange(block[0] - 2 * lead, block[-1] + 2 * lead + 1))
            made[block] = x[block] @ solve(x[apart], y[apart]).T
        total += float(np.nanmean((made - y) ** 2))
        missed.append(np.sqrt(np.nanmean((made - truth) ** 2)))
    std = np.repeat(np.array(missed)[:, None], len(asked), axis=1)
    return total, Regression(features, np.stack(rows), std)


def _ridge_solver(penalty: float) -> Solver:
    """(asked, feature) ridge regression; sites that are seen at other times have rows of their own."""

    def solve(x: Array, y: Array) -> Array:
        made = []
        for column in y.T:
            known = np.isfinite(column)
            gram = x[known].T @ x[known] + penalty * np.eye(x.shape[1])
            made.append(np.linalg.solve(gram, x[known].T @ column[known]))
        return np.array(made)

    return solve


def _own_slopes(x: Array, y: Array) -> Array:
    """(asked, asked) diagonal slopes of y on x, each drawn towards that of all."""
    known = np.isfinite(y)
    both, power = np.where(known, x * np.nan_to_num(y), 0.0).sum(0), np.where(known, x**2, 0.0).sum(0)
    pooled, typical = both.sum() / max(power.sum(), 1e-12), power.sum() / max(known.sum(), 1)
    return np.diag((both + OWN_PULL * typical * pooled) / (power + OWN_PULL * typical))


PEERS: dict[str, Callable[[Question, str], Peer]] = {
    "persistence": persistence, "mean": mean, "damped_persistence": damped, "ridge": ridge,
}  # fmt: skip
NAMES: Sequence[str] = (*PEERS, "optimal_interpolation", "customary_interpolation")
