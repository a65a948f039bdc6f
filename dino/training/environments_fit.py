"""Learning what environments have in common: expectation-maximisation over their coefficients."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..dynamics.primitives import Primitives
from ..errors import ConfigError, NonFiniteError
from ..inference.environments import adapt, best_start
from ..inference.family import Family, Posterior, Prior
from ..inference.own_noise import shell_means
from ..inference.transition_equations import equations, residual_variance
from ..inference.transitions import ROUGH_ERROR, STEP_ERROR, Frames, enough_steps, weak_form
from .environment_errors import with_errors
from .environment_iterations import with_iterations
from .environment_priors import effective, maximised, with_logarithms

FLOOR = 1e-12  # of the variance of a channel: the rounding of what came
VALUES_PER_TERM, FEWEST_TRANSITIONS = 16, 6  # of an environment that are learned from
LOOKS = 4  # rounds in which environments may find another minimum, and sensitivities are computed anew
TRUST = 10.0  # times the size that a term would have if it alone moved the fields: the prior before anything is known
FIRST_NOISE = 1e-2  # of the variance of increments
STARTS, START_ITERATIONS, FIRST_ITERATIONS = 12, 10, 6
FIRST_STEPS = 16  # of an interval: coefficients of the integral form that want more are no start
CONVERGED = 0.1  # a start whose misfit is below this share of the increments' variance needs no other
UNSEEN = 1e-9  # of the largest size


@torch.no_grad()
def learn(
    primitives: Primitives,
    frames: Frames,
    *,
    sizes: Mapping[str, float] | None = None,
    rounds: int = 8,
    damping: Tensor | None = None,
    seed: int = 0,
    neglect: float = 1e-8,
    step_error: float = STEP_ERROR,
) -> tuple[Family, Posterior]:
    """Prior and noise of a family from the frames of several environments, and their own posteriors.

    sizes : of coefficients of some terms by their texts, signs included, as far as they are known: an order of
        magnitude does. Where frames are so far apart that the integral form fails, descents start from random
        multiples of them.
    Raises NonFiniteError where no start leads anywhere.
    """
    increments, integrals = weak_form(primitives, frames)
    variance = increments.abs().square().mean((0, 1))
    field = (frames.states.abs().square().mean((0, 1, 2)) * primitives.modes.weights[:, None]).sum(0)
    least = FLOOR * field / len(variance) + step_error**2 * shell_means(primitives, variance)
    noise = (FIRST_NOISE * variance.mean(0) + least).expand_as(variance).clone()
    size = typical_sizes(integrals, increments, noise)
    none = torch.zeros_like(size)
    prior = Prior(none, torch.diag(TRUST * size), none)
    family = Family(primitives, prior, noise, noise, 1, frames.interval, damping)
    some = frames.thinned(math.ceil(VALUES_PER_TERM * len(size) / variance.numel()) + FEWEST_TRANSITIONS)
    theta = first_estimate(family, some, sizes or {}, seed)
    unit, tangents, posterior = family.prior, [], None
    for number in range(rounds):
        family = replace(family, steps=enough_steps(primitives, theta, frames, damping, step_error))
        rough = enough_steps(primitives, theta, frames, damping, max(ROUGH_ERROR, step_error))
        # Sensitivities are the most of the work; only the last ones, which the last rounds share, are exact.
        family = replace(family, rough=rough if number < LOOKS - 1 else family.steps)
        weights = family.prior.weights(theta)
        if 0 < number < LOOKS:
            weights = best_start(replace(family, steps=rough), some, weights)
        if number < LOOKS:
            linear = replace(family, prior=unit)
            _, tangents = equations(linear, unit.weights(family.prior.coefficients(weights)), some)
        turn = family.prior.root / unit.root.diagonal()[:, None]
        known = [torch.einsum("epsbc,pr->ersbc", each, turn.to(each.dtype)) for each in tangents]
        posterior = adapt(family, some, 2, weights, known)
        theta = posterior.mean
        # The median: an environment that is still in a wrong minimum does not spoil what is known of the others.
        spread = residual_variance(family, theta, some).median(0).values
        family = replace(family, noise=shell_means(primitives, spread) + least)
        if number:
            family = replace(family, prior=maximised(posterior))
    assert posterior is not None
    left = increments - torch.einsum("ep,pesbc->esbc", theta.to(integrals.dtype), integrals)
    weak = shell_means(primitives, left.abs().square().mean((0, 1))) + least
    family = replace(family, weak_noise=weak, prior=with_logarithms(family.prior, posterior))
    centre = frames.states[..., 0, :].real.mean((0, 1, 2))
    about = frames.states.clone()
    about[..., 0, :] -= centre
    population = shell_means(primitives, about.abs().square().mean((0, 1, 2)))
    family = replace(family, centre=centre, population=population)
    family = replace(family, rough=enough_steps(primitives, theta, frames, damping, max(ROUGH_ERROR, step_error)))
    away = adapt(family, frames, 0).mean - theta
    scale = (theta - family.prior.central).square().mean(0) + 1e-12 * family.prior.spread.square().max()
    family = replace(family, begins_at_mean=bool((away.square().mean(0) / scale).mean() > 1))
    prior, kept = effective(family, frames, neglect * float(variance.sum()) ** 0.5)
    # Turned, not looked for anew: what is left out is no part of what is kept.
    weights = family.prior.weights(theta) @ kept
    family = replace(family, prior=prior)
    family = with_errors(with_iterations(family, frames), weights, frames)
    return family, replace(posterior, prior=family.prior, weights=weights)


def typical_sizes(integrals: Tensor, increments: Tensor, noise: Tensor) -> Tensor:
    """(term,) coefficient with which a term alone would move its channel as much as it moves."""
    moved = (increments.abs().square().mean((0, 1)) / noise).sum(0)
    alone = (integrals.abs().square().mean((1, 2)) / noise).sum(1)
    size = (moved / alone.clamp_min(1e-300)).where(alone > 0, torch.zeros(())).amax(1).sqrt()
    return size.clamp_min(UNSEEN * float(size.max()))  # a term that nothing excites is all but left out


def first_estimate(family: Family, frames: Frames, sizes: Mapping[str, float], seed: int) -> Tensor:
    """Coefficients (environment, term) from which descents begin."""
    theta = adapt(family, frames, 0).mean
    steps = enough_steps(family.primitives, theta, frames, family.damping, ROUGH_ERROR)
    family = replace(family, steps=min(steps, FIRST_STEPS))
    begun = adapt(family, frames, 3, family.prior.weights(theta))
    if bool((begun.misfit < CONVERGED / FIRST_NOISE).all()) or not sizes:
        if not bool(torch.isfinite(begun.misfit).all()):
            raise NonFiniteError(
                "frames are too far apart for a first estimate of coefficients; give `sizes` of terms you expect"
            )
        return begun.mean
    return from_starts(family, frames, sizes, seed)


def from_starts(family: Family, frames: Frames, sizes: Mapping[str, float], seed: int) -> Tensor:
    """The best of descents of the first environment from random multiples of `sizes`, others from there."""
    texts = [term.text for term in family.primitives.terms]
    unknown = sorted(set(sizes) - set(texts))
    if unknown:
        raise ConfigError(f"sizes name {', '.join(unknown)}; the candidates are {', '.join(texts)}")
    wide = torch.tensor([sizes.get(text, 0.0) for text in texts], dtype=torch.float64)
    random = torch.rand(STARTS, len(texts), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    starts = wide * 2 * random
    known = torch.nonzero(wide).flatten()
    root = torch.zeros(len(texts), len(known), dtype=torch.float64)
    root[known, torch.arange(len(known))] = 2 * wide[known].abs()
    narrow = replace(family, prior=Prior(torch.zeros_like(wide), root, torch.zeros_like(wide)), steps=8)
    first = replace(frames, states=frames.states[:1].expand(STARTS, *[-1] * 4))
    made = adapt(narrow, first, START_ITERATIONS, narrow.prior.weights(starts))
    best = made.mean[made.misfit.argmin()]
    own = adapt(narrow, frames, FIRST_ITERATIONS, narrow.prior.weights(best.expand(len(frames.states), -1)))
    if not bool((own.misfit < CONVERGED / FIRST_NOISE).all()):
        raise NonFiniteError(
            f"no start from the given sizes fits the frames: {float(own.misfit.max()) * FIRST_NOISE:.2g} of the change "
            "between them is left; give other sizes or more terms"
        )
    return own.mean
