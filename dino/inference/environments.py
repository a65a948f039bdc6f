"""Environments: a Gaussian prior over coefficients, learned from several, and a posterior for a new one.

Every environment has coefficients theta of the candidate terms. Their common Gaussian distribution is found by
expectation-maximisation; directions in which environments do not differ get no variance. In it the published recipes
are special cases: what is common to all and what is each one's own (LEADS, Yin et al. 2021), a context of few
dimensions (CoDA, Kirchmeyer et al. 2022), known terms and penalised ones (APHYNITY, Yin et al. 2021).

A new environment's coefficients are the posterior given its frames. The first estimate is one linear solve of the
integral form. Each iteration is one more, of the map from frame to frame linearised about the last estimate
(Gauss-Newton, damped where the misfit would rise).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..dynamics.primitives import Primitives
from ..numerics.gaussian import cholesky
from .transitions import Frames, blocks, flow, linearised, weak_form

DAMPING = 10.0  # by which the damping of a step rises where it failed, and falls where it did not
LEAST_DAMPING = 1e-3
LOOK, LOOKED = 1.2, 2  # standard deviations that a first look goes, along so many directions
FRESH = 2  # iterations that compute sensitivities, the most of the work; later ones only where a step was longer than
STALE = 1e-2  # standard deviations of the prior
FREEDOM, FREEDOM_SHARE = 4.0, 0.1  # of Student's distribution of a transition's residual: at least, and of its values
SETTLED = 1e-6  # of prior standard deviations: an estimate that moves no farther has converged


Tangents = list[Tensor]  # of each block of environments: (environment, direction, sample, block, channel)


@dataclass(frozen=True)
class Prior:
    """Coefficients of all environments: mean (term,), root (term, direction) of their covariance."""

    mean: Tensor
    root: Tensor

    @property
    def spread(self) -> Tensor:
        """(term,) standard deviations."""
        return self.root.square().sum(1).sqrt()


@dataclass(frozen=True)
class Posterior:
    """Coefficients of each environment given its frames.

    mean : (environment, term); covariance : (environment, term, term); misfit : (environment,) mean square of the
    whitened residual, one where the environment is of the kind that was learned; iterations : that were made
    """

    mean: Tensor
    covariance: Tensor
    misfit: Tensor
    iterations: int = 0


@dataclass(frozen=True)
class Family:
    """What several environments have in common.

    noise : (block, channel) variance of the next frame about its prediction, of a complex wave both parts together;
    weak_noise : the same of the integral form; steps : of an interval; interval : between frames of training;
    damping : (block,) or None, closure; caution : by which posterior variances are multiplied, as residuals of
    successive frames are alike
    """

    primitives: Primitives
    prior: Prior
    noise: Tensor
    weak_noise: Tensor
    steps: int
    interval: float
    damping: Tensor | None = None
    caution: float = 1.0
    begins_at_mean: bool = False  # where frames are too far apart for the integral form


@dataclass(frozen=True)
class Equations:
    """Normal equations in standard deviations of the prior.

    matrix : (environment, direction, direction); side : (environment, direction); misfit : (environment,) mean whitened
    square; cost : (environment,) twice the negative logarithm of the likelihood
    """

    matrix: Tensor
    side: Tensor
    misfit: Tensor
    cost: Tensor


@torch.no_grad()
def adapt(
    family: Family, frames: Frames, iterations: int = 6, start: Tensor | None = None, known: Tangents | None = None
) -> Posterior:
    """The posterior of every environment of `frames`, from coefficients `start` (environment, term) or the integral
    form's; no iteration leaves the latter.

    known : sensitivities in directions of the prior, from an earlier call near by; none are computed then
    """
    root, count, last, factor = family.prior.root, len(frames.states), None, None
    weak = None
    if start is None and not (family.begins_at_mean and iterations):
        last = weak_equations(family, frames)
        weights, factor = solved(last, family.caution, torch.zeros(count, dtype=torch.float64), None)
        weak = family.prior.mean + weights @ root.T
    if start is None and iterations:
        start = best_start(family, frames, weak)
    if start is not None:
        weights = torch.linalg.lstsq(root, (start - family.prior.mean).T).solution.T
    damping, held = torch.zeros(count, dtype=torch.float64), weights
    best, tangents, made, moved = None, known, 0, 0.0
    for made in range(1, iterations + 1):
        if known is None and (made <= FRESH or moved > STALE):
            tangents = None
        tried, tangents = equations(family, family.prior.mean + weights @ root.T, frames, tangents)
        cost = tried.cost / family.caution + weights.square().sum(1)
        if best is None:
            best, least, held = tried, cost, weights
        else:
            lower = cost < least
            best, least = better(lower, tried, best), torch.where(lower, cost, least)
            held = torch.where(lower[:, None], weights, held)
            damping = torch.where(lower, damping / DAMPING, (DAMPING * damping).clamp_min(LEAST_DAMPING))
            damping = torch.where(damping < LEAST_DAMPING, 0.0, damping)
        weights, _ = solved(best, family.caution, damping, held)
        moved = float((weights - held).abs().max())
        if moved < SETTLED:
            break
    if best is not None:
        last, (_, factor) = best, solved(best, family.caution, torch.zeros_like(damping), held)
        # The last step of those that have never failed is taken without looking again: one solve stays one solve.
        weights = torch.where((damping > 0)[:, None], held, weights)
    assert last is not None and factor is not None
    covariance = root @ torch.cholesky_solve(root.T.expand(count, -1, -1), factor)
    return Posterior(family.prior.mean + weights @ root.T, covariance, last.misfit, made)


def best_start(family: Family, frames: Frames, also: Tensor | None) -> Tensor:
    """(environment, term) the most probable of the prior's mean, coefficients along its first directions, and `also`.

    Where frames are far apart the misfit has several minima; a look around finds the right one.
    """
    prior, count = family.prior, len(frames.states)
    around = [sign * LOOK * prior.root[:, number] for number in range(min(LOOKED, prior.root.shape[1])) for sign in (1, -1)]
    options = [(prior.mean + step).expand(count, -1) for step in [torch.zeros_like(prior.mean), *around]]
    options += [] if also is None else [also]
    costs = torch.stack([start_cost(family, option, frames) for option in options])
    return torch.stack(options)[costs.nan_to_num(nan=torch.inf).argmin(0), torch.arange(count)]


def start_cost(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """(environment,) twice the negative logarithm of the likelihood of coefficients."""
    weight = family.primitives.modes.weights[:, None] / family.noise
    made = []
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        residual = some.after - ahead(family, theta[part], some)
        made.append(normal_equations(residual, residual.new_zeros(len(residual), 0, *residual.shape[1:]), weight).cost)
    return torch.cat(made)


def solved(given: Equations, caution: float, damping: Tensor, about: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights (environment, direction) that solve the equations beside a standard normal prior, and the factor.

    damping : (environment,) share of the diagonal that holds the solution to `about`
    """
    matrix = given.matrix / caution
    held = damping[:, None] * (1 + matrix.diagonal(dim1=-2, dim2=-1))
    system = matrix + torch.diag_embed(1 + held)
    right = given.side / caution
    if about is not None:
        right = right + (matrix @ about.unsqueeze(-1)).squeeze(-1) + held * about
    factor = cholesky(system)
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1), factor


def better(lower: Tensor, tried: Equations, best: Equations) -> Equations:
    """The tried equations where they are better."""
    return Equations(
        torch.where(lower[:, None, None], tried.matrix, best.matrix),
        torch.where(lower[:, None], tried.side, best.side),
        torch.where(lower, tried.misfit, best.misfit),
        torch.where(lower, tried.cost, best.cost),
    )


def equations(
    family: Family, theta: Tensor, frames: Frames, known: Tangents | None = None
) -> tuple[Equations, Tangents]:
    """The normal equations of the map from frame to frame about `theta` (environment, term), and its sensitivities.

    An environment whose prediction is not finite has an infinite misfit and no equations.
    """
    weight = family.primitives.modes.weights[:, None] / family.noise
    root, made, tangents = family.prior.root, [], []
    parts = list(blocks(family.primitives, frames, root.shape[1] + 1))
    for number, part in enumerate(parts):
        some = frames.part(part)
        if known is None:
            residual, found = linearised(family.primitives, theta[part], root, some, family.steps, family.damping)
        else:
            found = known[number]
            residual = some.after - ahead(family, theta[part], some)
        tangents.append(found)
        made.append(normal_equations(residual, found, weight))
    return made[0] if len(made) == 1 else together(made), tangents


def ahead(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """What coefficients (environment, term) predict of the next frames."""
    steps = frames.interval, family.steps, family.damping
    return flow(family.primitives, theta, frames.before, frames.moments, *steps)


def together(parts: list[Equations]) -> Equations:
    """The equations of several blocks of environments."""
    names = ("matrix", "side", "misfit", "cost")
    return Equations(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def normal_equations(residual: Tensor, sensitivity: Tensor, weight: Tensor) -> Equations:
    """Equations of residuals (environment, sample, block, channel) and sensitivities with a direction behind the
    environment; weight : (block, channel).

    A transition's residual is Student's: a front that the code cannot hold, or a frame from which all is still to come,
    spoils its own transition and not the others.
    """
    values = float(2 * residual[0, 0].numel() if residual.is_complex() else residual[0, 0].numel())
    each = (residual.abs().square() * weight).sum((-1, -2)) / values
    freedom = max(FREEDOM, FREEDOM_SHARE * values)
    trust = (freedom + values) / (freedom + values * each)
    weighted = (sensitivity * trust[:, None, :, None, None] * weight).flatten(2)
    matrix = real_products(weighted, sensitivity.flatten(2).mT)
    side = real_products(weighted, residual.flatten(1).unsqueeze(-1)).squeeze(-1)
    misfit, cost = each.mean(1), (freedom + values) * torch.log1p(values / freedom * each).sum(1)
    sound = torch.isfinite(matrix).flatten(1).all(1) & torch.isfinite(side).all(1) & torch.isfinite(cost)
    return Equations(
        torch.where(sound[:, None, None], matrix, 0.0),
        torch.where(sound[:, None], side, 0.0),
        torch.where(sound, misfit, torch.inf),
        torch.where(sound, cost, torch.inf),
    )


def weak_equations(family: Family, frames: Frames) -> Equations:
    """The normal equations of the integral form about the prior mean."""
    increments, integrals = weak_form(family.primitives, frames)
    weight = family.primitives.modes.weights[:, None] / family.weak_noise
    left = increments - torch.einsum("p,pesbc->esbc", family.prior.mean.to(integrals.dtype), integrals)
    sensitivity = torch.einsum("pd,pesbc->edsbc", family.prior.root.to(integrals.dtype), integrals)
    return normal_equations(left, sensitivity, weight)


def real_products(one: Tensor, other: Tensor) -> Tensor:
    """The real part of conj(one) @ other."""
    if not one.is_complex():
        return one @ other
    return one.real @ other.real + one.imag @ other.imag


def residual_variance(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """(environment, block, channel) mean square of what coefficients leave of the next frames, each transition with the
    weight that `normal_equations` gives it, infinite where a prediction is."""
    weight, made = family.primitives.modes.weights[:, None] / family.noise, []
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        square = (some.after - ahead(family, theta[part], some)).abs().square()
        values = float(square[0, 0].numel() * (2 if some.after.is_complex() else 1))
        freedom = max(FREEDOM, FREEDOM_SHARE * values)
        trust = (freedom + values) / (freedom + (square * weight).sum((-1, -2)))
        made.append((square * trust[:, :, None, None]).mean(1).nan_to_num(nan=torch.inf))
    return torch.cat(made)


def unexplained(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """(environment,) share of the change from frame to frame that coefficients leave, the median over transitions."""
    left = []
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        weight = family.primitives.modes.weights[:, None]
        miss = ((some.after - ahead(family, theta[part], some)).abs().square() * weight).sum((-1, -2))
        change = ((some.after - some.before).abs().square() * weight).sum((-1, -2))
        left.append((miss / change.clamp_min(1e-300)).nan_to_num(nan=torch.inf).median(1).values)
    return torch.cat(left)
