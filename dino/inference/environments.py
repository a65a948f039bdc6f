"""Environments: a Gaussian prior over coefficients, learned from several, and a posterior for a new one.

Every environment has coefficients theta of the candidate terms. Their common Gaussian distribution is found by
expectation-maximisation; directions in which environments do not differ get no variance. In it the published recipes
are special cases: what is common to all and what is each one's own (LEADS, Yin et al. 2021), a context of few
dimensions (CoDA, Kirchmeyer et al. 2022), known terms and penalised ones (APHYNITY, Yin et al. 2021).

A new environment's coefficients are the posterior given its frames. The first estimate is one linear solve of the
integral form. Each iteration is one more, of the map from frame to frame linearised about the last estimate
(Gauss-Newton, damped where the misfit would rise).
"""

from dataclasses import replace

import torch
from torch import Tensor

from ..numerics.gaussian import cholesky
from .family import Family, Posterior
from .own_noise import left_by
from .transition_equations import Equations, Tangents, better, cost_of, equations, weak_equations
from .transitions import Frames

DAMPING = 10.0  # by which the damping of a step rises where it failed, and falls where it did not
LEAST_DAMPING = 1e-3
LOOK, LOOKED = 1.2, 2  # standard deviations that a first look goes, along so many directions
FALL = 0.25  # of the misfit before: where less is gained, sensitivities, the most of the work, are computed anew unless
STALE = 1e-2  # standard deviations of the prior are more than the step
SETTLED = 1e-1  # of posterior standard deviations, in any direction: an estimate that moves no farther has converged
GOOD = 1e-3  # share of the change: a start that leaves less is in the right minimum


@torch.no_grad()
def adapt(
    family: Family, frames: Frames, iterations: int = 6, start: Tensor | None = None, known: Tangents | None = None
) -> Posterior:
    """The posterior of every environment of `frames`, from weights `start` (environment, direction) or the integral
    form's; no iteration leaves the latter.

    known : sensitivities in directions of the prior, from an earlier call near by; none are computed then
    """
    weights, last, factor, count = start, None, None, len(frames.states)
    free = torch.zeros(count, dtype=torch.float64)
    if weights is None and family.prior.plain is not None:
        plain = adapt(replace(family, prior=family.prior.plain), frames, iterations)
        weights = family.prior.weights(plain.mean)
        iterations = max(iterations, 1)
    elif weights is None and not (family.begins_at_mean and iterations):
        last = weak_equations(family, frames)
        weights, factor = solved(last, free, None)
    if start is None and family.begins_at_mean and iterations == 1:
        weights = torch.zeros(count, family.prior.directions, dtype=torch.float64)
    elif start is None and iterations:
        weights = found_start(family, frames, weights)
    assert weights is not None
    damping, held, best, tangents, made, misfit = free, weights, None, known, 0, None
    while made < iterations:
        made += 1
        # Where nothing finite was predicted there are no sensitivities to keep.
        lost = misfit is not None and not bool(torch.isfinite(misfit).all())
        old = None if lost and known is None else tangents
        tried, tangents = equations(family, weights, frames, old)
        cost = tried.cost + weights.square().sum(1)
        if best is None:
            best, least, held = tried, cost, weights
        else:
            lower = cost < least
            best, least = better(lower, tried, best), torch.where(lower, cost, least)
            held = torch.where(lower[:, None], weights, held)
            damping = torch.where(lower, damping / DAMPING, (DAMPING * damping).clamp_min(LEAST_DAMPING))
            damping = torch.where(damping < LEAST_DAMPING, 0.0, damping)
        weights, factor = solved(best, damping, held)
        if length(weights - held, factor) < SETTLED:
            break
        slow = misfit is not None and bool((tried.misfit > FALL * misfit).any())
        if slow and known is None and old is not None and float((weights - held).abs().max()) > STALE:
            best, tangents = equations(family, held, frames)
            weights, factor = solved(best, damping, held)
        misfit = tried.misfit
    if best is not None:
        last, (_, factor) = best, solved(best, free, held)
        # The last step of those that have never failed is taken without looking again: one solve stays one solve.
        weights = torch.where((damping > 0)[:, None], held, weights)
    assert last is not None
    assert factor is not None
    return Posterior(family.prior, weights, factor, last.misfit, made)


def length(steps: Tensor, factor: Tensor) -> float:
    """Of the longest of steps (environment, direction), in standard deviations of the posterior."""
    return float((factor.mT @ steps.unsqueeze(-1)).square().sum((-1, -2)).max()) ** 0.5


def found_start(family: Family, frames: Frames, weights: Tensor | None) -> Tensor:
    """(environment, direction) the given weights where they leave next to nothing, `best_start` of the others."""
    family = replace(family, steps=family.rough or family.steps)
    if weights is None:
        return best_start(family, frames, None)
    left = left_by(family, family.prior.coefficients(weights), frames).share
    others = torch.nonzero(~(left < GOOD)).flatten()
    if len(others):
        weights = weights.clone()
        weights[others] = best_start(family, replace(frames, states=frames.states[others]), weights[others])
    return weights


def best_start(family: Family, frames: Frames, also: Tensor | None) -> Tensor:
    """(environment, direction) the most probable of the prior's centre, weights along its first directions, and `also`.

    Where frames are far apart the misfit has several minima; a look around finds the right one.
    """
    prior, count = family.prior, len(frames.states)
    steps = LOOK * torch.eye(prior.directions, dtype=torch.float64)[:LOOKED]
    around = torch.cat([torch.zeros(1, prior.directions, dtype=torch.float64), steps, -steps])
    options = [step.expand(count, -1) for step in around] + ([] if also is None else [also])
    costs = [cost_of(family, prior.coefficients(each), frames) + each.square().sum(1) for each in options]
    best = torch.stack(costs).nan_to_num(nan=torch.inf).argmin(0)
    return torch.stack(options)[best, torch.arange(count)]


def solved(given: Equations, damping: Tensor, about: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights (environment, direction) that solve the equations beside a standard normal prior, and the factor.

    damping : (environment,) share of the diagonal that holds the solution to `about`
    """
    held = damping[:, None] * (1 + given.matrix.diagonal(dim1=-2, dim2=-1))
    system = given.matrix + torch.diag_embed(1 + held)
    right = given.side
    if about is not None:
        right = right + (given.matrix @ about.unsqueeze(-1)).squeeze(-1) + held * about
    factor = cholesky(system)
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1), factor
