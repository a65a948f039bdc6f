"""The measurement update of many charts at once: Gaussian states conditioned on padded rows of observations.

A chart's state x = (seen part | rest) has mean m and covariance P; rows say d = H (x - m)_seen + error of variance R.
With fewer rows than seen entries the innovations' covariance is factorised, P+ = P - P H' (H P H' + R)^-1 H P. With
more, information is: with P_ss = L L' and M = I + L' H' R^-1 H L the posterior is P - B B' + B M^-1 B', B = P_.s L^-T.
Both are Cholesky factors and triangular solves. With a bound the update minimises Huber's cost (`robust`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import NonFiniteError
from ..numerics.gaussian import cholesky
from .robust import huber_cost, huber_weight

ITERATIONS = 8


class Rows(NamedTuple):
    """Padded rows of some charts, all zero where they are padding.

    operator : (chart, row, seen); innovation : (chart, row) value less what the mean predicts; precision : (chart, row)
    """

    operator: Tensor
    innovation: Tensor
    precision: Tensor

    def weighed(self, weight: Tensor) -> "Rows":
        """The rows with the precisions that weights (chart, row) amount to."""
        return self._replace(precision=self.precision * weight)


About = Callable[[Tensor], Rows]
"""Rows about changes (chart, seen) of the mean; their innovation stays value less what the mean predicts."""


class Updated(NamedTuple):
    """The state given the rows, and what a smoother wants of the update.

    mean : (chart, state); covariance : (chart, state, state); weight : (chart, row) Huber's
    evidence : (chart,) logarithm of the density of the innovations, N(0, S)
    information : (chart, seen, seen) H' S^-1 H and pull : (chart, seen) H' S^-1 d, with S = H P H' + R
    """

    mean: Tensor
    covariance: Tensor
    weight: Tensor
    evidence: Tensor
    information: Tensor | None = None
    pull: Tensor | None = None


def update(
    mean: Tensor,
    covariance: Tensor,
    rows: Rows,
    bound: float = math.inf,
    about: About | None = None,
    smooth: bool = False,
) -> Updated:
    """Condition means (chart, state) and covariances (chart, state, state) on the rows.

    about : linearises the rows anew; it returns `rows` itself where they are affine in the state
    smooth : whether a smoother comes later
    """
    size = rows.operator.shape[-1]
    if about is not None and about(torch.zeros_like(rows.operator[:, 0])) is not rows:
        rows, weight = _descended(covariance[:, :size, :size], rows, bound, about)
        solver = _solver(covariance, rows)
    else:
        solver = _solver(covariance, rows)
        weight = _settled(solver, rows, bound)
    return solver.conditioned(mean, covariance, weight, smooth)


class _ByInnovations:
    """What a solution by the innovations' covariance needs whatever the weights are: few rows."""

    def __init__(self, covariance: Tensor, rows: Rows) -> None:
        size = rows.operator.shape[-1]
        self.rows, self.cross = rows, rows.operator @ covariance[:, :size]
        self.expected = self.cross[..., :size] @ rows.operator.mT

    def spread(self) -> Tensor:
        """(chart, row) variance of what the rows would see before they are."""
        return self.expected.diagonal(dim1=-2, dim2=-1)

    def misfit(self, weight: Tensor) -> Tensor:
        """(chart, row) what is left of the innovations with some weights, in their units."""
        factor, root = self._factor(weight)
        solved = torch.cholesky_solve((root * self.rows.innovation).unsqueeze(-1), factor)
        return self.rows.innovation - (self.expected @ (root.unsqueeze(-1) * solved)).squeeze(-1)

    def conditioned(self, mean: Tensor, covariance: Tensor, weight: Tensor, smooth: bool) -> Updated:
        """The state given the rows with some weights."""
        factor, root = self._factor(weight)
        whitened = torch.linalg.solve_triangular(factor, root.unsqueeze(-1) * self.cross, upper=False)
        target = torch.linalg.solve_triangular(factor, (root * self.rows.innovation).unsqueeze(-1), upper=False)
        updated = torch.baddbmm(covariance, whitened.mT, whitened, alpha=-1)
        evidence = _density(self.rows.precision * weight, target, factor)
        made = Updated(mean + (whitened.mT @ target).squeeze(-1), updated, weight, evidence)
        if not smooth:
            return made
        seen = torch.linalg.solve_triangular(factor, root.unsqueeze(-1) * self.rows.operator, upper=False)
        return made._replace(information=seen.mT @ seen, pull=(seen.mT @ target).squeeze(-1))

    def _factor(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Factor of I + R^-1/2 H P H' R^-1/2, and R^-1/2; padding has no precision and stays apart."""
        root = (self.rows.precision * weight).sqrt()
        matrix = root.unsqueeze(-1) * self.expected * root.unsqueeze(-2)
        matrix.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return cholesky(matrix), root


class _ByInformation:
    """What a solution by the information of the rows needs whatever the weights are: many rows."""

    def __init__(self, covariance: Tensor, rows: Rows) -> None:
        size = rows.operator.shape[-1]
        self.rows, self.root = rows, cholesky(covariance[:, :size, :size])
        self.turned = rows.operator @ self.root

    def spread(self) -> Tensor:
        """(chart, row) variance of what the rows would see before they are."""
        return self.turned.square().sum(-1)

    def misfit(self, weight: Tensor) -> Tensor:
        """(chart, row) what is left of the innovations with some weights, in their units."""
        factor, target, _ = self._factor(weight)
        solved = torch.linalg.solve_triangular(factor.mT, target, upper=True)
        return self.rows.innovation - (self.turned @ solved).squeeze(-1)

    def conditioned(self, mean: Tensor, covariance: Tensor, weight: Tensor, smooth: bool) -> Updated:
        """The state given the rows with some weights."""
        factor, target, normal = self._factor(weight)
        size = self.root.shape[-1]
        before = torch.linalg.solve_triangular(self.root, covariance[:, :size], upper=False)
        after = torch.linalg.solve_triangular(factor, before, upper=False)
        updated = torch.baddbmm(torch.baddbmm(covariance, before.mT, before, alpha=-1), after.mT, after)
        precision = self.rows.precision * weight
        evidence = _density(precision, target, factor) + target.square().sum((-2, -1))
        evidence = evidence - 0.5 * (precision * self.rows.innovation.square()).sum(-1)
        made = Updated(mean + (after.mT @ target).squeeze(-1), updated, weight, evidence)
        if not smooth:
            return made
        # S^-1 by Woodbury's identity: H' S^-1 H = L^-T M^-1 (M - 1) L^-1, without a difference of large numbers.
        normal.diagonal(dim1=-2, dim2=-1).sub_(1.0)
        inner = torch.linalg.solve_triangular(self.root.mT, torch.cholesky_solve(normal, factor), upper=True)
        information = torch.linalg.solve_triangular(self.root.mT, inner.mT, upper=True)
        pull = torch.linalg.solve_triangular(factor.mT, target, upper=True)
        pull = torch.linalg.solve_triangular(self.root.mT, pull, upper=True).squeeze(-1)
        return made._replace(information=(information + information.mT) / 2, pull=pull)

    def _factor(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Factor C of M, C^-1 L' H' R^-1 d (chart, seen, 1), and M itself."""
        weighted = self.turned * (self.rows.precision * weight).unsqueeze(-1)
        normal = weighted.mT @ self.turned
        normal.diagonal(dim1=-2, dim2=-1).add_(1.0)
        factor = cholesky(normal)
        target = torch.linalg.solve_triangular(factor, weighted.mT @ self.rows.innovation.unsqueeze(-1), upper=False)
        return factor, target, normal


def _density(precision: Tensor, target: Tensor, factor: Tensor) -> Tensor:
    """(chart,) logarithm of a density with the square of `target` in its exponent and a determinant by its `factor`."""
    known = precision > 0
    independent = torch.where(known, precision, 1.0).log().sum(-1) - math.log(2 * math.pi) * known.sum(-1)
    return 0.5 * (independent - target.square().sum((-2, -1))) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _solver(covariance: Tensor, rows: Rows) -> _ByInnovations | _ByInformation:
    few = rows.operator.shape[1] <= rows.operator.shape[-1]
    return _ByInnovations(covariance, rows) if few else _ByInformation(covariance, rows)


def _settled(solver: _ByInnovations | _ByInformation, rows: Rows, bound: float) -> Tensor:
    """Weights (chart, row) at the minimum of Huber's cost.

    First, innovations are weighed by their own covariance, H P H' + R: rows without outliers need no more. A chart
    that has settled stays as it is, so that it does not depend on the charts beside it.
    """
    if bound == math.inf:
        return torch.ones_like(rows.innovation)
    settled = torch.zeros(len(rows.innovation), dtype=torch.bool, device=rows.innovation.device)
    root = rows.precision.sqrt()
    expected = 1.0 + rows.precision * solver.spread()
    weight = huber_weight(rows.innovation * (rows.precision / expected).sqrt(), bound)
    for _ in range(ITERATIONS):
        before, found = weight, huber_weight(solver.misfit(weight) * root, bound)
        weight = torch.where(settled.unsqueeze(-1), weight, found)
        settled |= ((weight - before).abs() <= 1e-3).all(-1)
        if bool(settled.all()):
            break
    return weight


def _misfit(rows: Rows, change: Tensor) -> Tensor:
    """Misfits (chart, row) in standard deviations after a change of the seen part."""
    return (rows.innovation - (rows.operator @ change.unsqueeze(-1)).squeeze(-1)) * rows.precision.sqrt()


def _descended(covariance: Tensor, rows: Rows, bound: float, about: About) -> tuple[Rows, Tensor]:
    """`_settled` of rows that are not affine: the iterated Kalman update, which is Gauss-Newton (Bell & Cathey 1993).

    With change = P multiplier the cost needs no inverse of the covariance. A step that does not lower a chart's cost is
    halved until it does.
    """
    multiplier = torch.zeros_like(rows.operator[:, 0])

    def cost_at(multiplier: Tensor) -> tuple[Rows, Tensor, Tensor]:
        change = (covariance @ multiplier.unsqueeze(-1)).squeeze(-1)
        seen = about(change)
        misfit = _misfit(seen, change)
        cost = 0.5 * (multiplier * change).sum(-1) + huber_cost(misfit, bound).sum(-1)
        return seen, huber_weight(misfit, bound), cost

    seen, weight, cost = cost_at(multiplier)
    settled = torch.zeros_like(cost, dtype=torch.bool)
    for _ in range(ITERATIONS):
        weighed = seen.weighed(weight)
        misfit = _solver(covariance, seen).misfit(weight) * weighed.precision
        step = (seen.operator.mT @ misfit.unsqueeze(-1)).squeeze(-1) - multiplier
        step = torch.where(settled.unsqueeze(-1), 0.0, step)
        length = torch.ones_like(cost)
        while True:
            trial = multiplier + length.unsqueeze(-1) * step
            trial_seen, trial_weight, lower = cost_at(trial)
            worse = ~(lower <= cost * (1 + 1e-9))
            if not bool((worse & (length > 1e-3)).any()):
                break
            length = torch.where(worse, length / 2, length)
        # A chart whose step has no length downhill stays where it is.
        multiplier = torch.where(worse.unsqueeze(-1), multiplier, trial)
        gained = torch.where(worse, 0.0, cost - lower)
        if bool(worse.any()):
            seen, weight, cost = cost_at(multiplier)
        else:
            seen, weight, cost = trial_seen, trial_weight, lower
        settled |= gained <= 1e-6 * cost
        if bool(settled.all()):
            break
    if not bool(torch.isfinite(cost).all()):
        raise NonFiniteError("the analysis left the finite numbers; shorten the window or check the observations")
    return seen, weight
