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
from .transition_equations import Equations, Tangents, better, cost_of, equations, weak_equations
from .transitions import Frames

DAMPING = 10.0  # by which the damping of a step rises where it failed, and falls where it did not
LEAST_DAMPING = 1e-3
LOOK, LOOKED = 1.2, 2  # standard deviations that a first look goes, along so many directions
FRESH = 2  # iterations that compute sensitivities, the most of the work; later ones only where a step was longer than
STALE = 1e-2  # standard deviations of the prior
SETTLED = 1e-6  # of prior standard deviations: an estimate that moves no farther has converged


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
        weights = best_start(family, frames, weights)
    assert weights is not None
    damping, held, best, tangents, made, moved = free, weights, None, known, 0, 0.0
    for made in range(1, iterations + 1):
        if known is None and (made <= FRESH or moved > STALE):
            tangents = None
        tried, tangents = equations(family, weights, frames, tangents)
        cost = tried.cost + weights.square().sum(1)
        if best is None:
            best, least, held = tried, cost, weights
        else:
            lower = cost < least
            best, least = better(lower, tried, best), torch.where(lower, cost, least)
            held = torch.where(lower[:, None], weights, held)
            damping = torch.where(lower, damping / DAMPING, (DAMPING * damping).clamp_min(LEAST_DAMPING))
            damping = torch.where(damping < LEAST_DAMPING, 0.0, damping)
        weights, _ = solved(best, damping, held)
        moved = float((weights - held).abs().max())
        if moved < SETTLED:
            break
    if best is not None:
        last, (_, factor) = best, solved(best, free, held)
        # The last step of those that have never failed is taken without looking again: one solve stays one solve.
        weights = torch.where((damping > 0)[:, None], held, weights)
    assert last is not None
    assert factor is not None
    return Posterior(family.prior, weights, factor, last.misfit, made)


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
