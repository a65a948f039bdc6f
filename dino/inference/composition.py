"""A prior for a system that nobody has seen: terms of several systems, put together as its frames want them.

What several systems taught of a term is whether they have it, and how large it is where they do. For another system
each term is absent, of a size that was seen, or of any size; all three together are a mixture of Gaussians with as
many components as there are combinations. The most probable of them, by the evidence of the frames, is looked for by
changing one term at a time (as fast marginal likelihood does for relevance vectors: Tipping & Faul 2003, AISTATS).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..dynamics.primitives import Primitives
from ..numerics.gaussian import cholesky
from .family import Family, Prior
from .own_noise import shell_means
from .transition_equations import real_products
from .transitions import Frames, enough_steps, linearised, weak_form

ABSENT, SEEN, FREE = 0, 1, 2  # of a term
RARE = 0.02  # probability that a term has a size that no system has
HALF = 0.5  # systems, counted beside those that have a term and those that have not
FIRST_NOISE = 1e-2  # of the variance of increments
FLOOR = 1e-12  # of a field's variance
LOOKS, MOST_CHANGES = 2, 64
MOST_TRANSITIONS = 48  # by which terms are chosen
STEP_ERROR = 1e-3  # of a solver's step, as a share of the change: observations err by more
RIDGE = 10.0  # times the size that a term would have if it alone moved the fields


@dataclass(frozen=True)
class Vocabulary:
    """What systems taught of terms: the share that have each (term,), mean and standard deviation of those who have."""

    share: Tensor
    mean: Tensor
    spread: Tensor

    @property
    def odds(self) -> Tensor:
        """(term, state) logarithms of probabilities."""
        seen = torch.where(self.spread > 0, self.share, 0.0)
        made = torch.stack([(1 - seen) * (1 - RARE), seen * (1 - RARE), torch.full_like(seen, RARE)], 1)
        return made.clamp_min(1e-300).log()


@dataclass(frozen=True)
class Normal:
    """Normal equations of a linear model with coefficients of all terms: matrix (term, term), side (term,)."""

    matrix: Tensor
    side: Tensor

    def evidence(self, mean: Tensor, spread: Tensor) -> float:
        """Logarithm of the evidence of independent coefficients, beside that of none; a spread of zero is exact."""
        on = spread > 0
        shift = float(mean @ self.side - 0.5 * mean @ self.matrix @ mean)
        if not bool(on.any()):
            return shift
        left = (self.side - self.matrix @ mean)[on] * spread[on]
        inner = spread[on, None] * self.matrix[on][:, on] * spread[on]
        factor = cholesky(inner + torch.eye(len(left), dtype=torch.float64))
        half = torch.linalg.solve_triangular(factor, left[:, None], upper=False)
        return shift + 0.5 * float(half.square().sum()) - float(factor.diagonal().log().sum())

    def estimate(self, mean: Tensor, spread: Tensor) -> Tensor:
        """(term,) posterior mean."""
        left = (self.side - self.matrix @ mean) * spread
        inner = spread[:, None] * self.matrix * spread + torch.eye(len(left), dtype=torch.float64)
        return mean + spread * torch.cholesky_solve(left[:, None], cholesky(inner))[:, 0]


@torch.no_grad()
def composed(family: Family, frames: Frames, words: Vocabulary, starts: Iterable[Tensor]) -> tuple[Family, Tensor]:
    """The family with the prior that frames of one environment want, and the state of each term (term,).

    family : gives the primitives and the noise's least; starts : (term,) truth of the terms of systems that are known,
    from each of which a search begins
    """
    primitives, some = family.primitives, frames.thinned(MOST_TRANSITIONS)
    normal, size, noise = of_integrals(primitives, some)
    some = calmed(primitives, some, noise)
    normal, size, noise = of_integrals(primitives, some)
    free = torch.where(words.spread > 0, torch.maximum(size, words.spread), size)
    begins = [torch.zeros(len(size), dtype=torch.long)] + [torch.where(on, SEEN, ABSENT) for on in starts]
    state = max((search(normal, words, free, each) for each in begins), key=lambda made: made[0])[1]
    for _ in range(LOOKS):
        mean, spread = chosen(words, free, state)
        theta = normal.estimate(mean, spread)[None]
        steps = enough_steps(primitives, theta, some, family.damping, STEP_ERROR)
        normal, noise = _of_map(primitives, theta, size, some, steps, family)
        some = calmed(primitives, some, noise)
        state = search(normal, words, free, state)[1]
    mean, spread = chosen(words, free, state)
    on = torch.nonzero(spread).flatten()
    root = torch.zeros(len(mean), len(on), dtype=torch.float64)
    root[on, torch.arange(len(on))] = spread[on]
    prior = Prior(mean, root, torch.zeros_like(mean))
    own = {"noise": noise, "weak_noise": noise, "steps": steps, "rough": 0, "interval": frames.interval}
    return replace(family, prior=prior, begins_at_mean=False, **own), state


def chosen(words: Vocabulary, free: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (term,) of the coefficients in their states."""
    mean = torch.where(state == SEEN, words.mean, 0.0)
    spread = torch.where(state == SEEN, words.spread, torch.where(state == FREE, free, 0.0))
    return mean, spread


def search(normal: Normal, words: Vocabulary, free: Tensor, state: Tensor) -> tuple[float, Tensor]:
    """Logarithm of the probability of the best states that changes of one term at a time lead to, and these."""
    odds, state = words.odds, state.clone()

    def value(tried: Tensor) -> float:
        prior = float(odds.gather(1, tried[:, None]).sum())
        return prior + normal.evidence(*chosen(words, free, tried))

    best = value(state)
    for _ in range(MOST_CHANGES):
        options = []
        for term in range(len(state)):
            for other in {ABSENT, SEEN, FREE} - {int(state[term])}:
                if other == SEEN and not words.spread[term] > 0:
                    continue
                tried = state.clone()
                tried[term] = other
                options.append((value(tried), tried))
        found, tried = max(options, key=lambda option: option[0])
        if found <= best:
            break
        best, state = found, tried
    return best, state


def of_integrals(primitives: Primitives, frames: Frames) -> tuple[Normal, Tensor, Tensor]:
    """The normal equations of the integral form, sizes (term,), and noise (block, channel)."""
    increments, integrals = weak_form(primitives, frames)
    variance = increments.abs().square().mean((0, 1))
    noise = FIRST_NOISE * (shell_means(primitives, variance) + variance.mean(0)).clamp_min(1e-300)
    moved = (increments.abs().square().mean((0, 1)) / noise).sum(0)
    alone = (integrals.abs().square().mean((1, 2)) / noise).sum(1)
    size = (moved / alone.clamp_min(1e-300)).where(alone > 0, torch.zeros(())).amax(1).sqrt()
    size = size.clamp_min(1e-9 * float(size.max()))
    flat = integrals.flatten(1, 2)
    for _ in range(LOOKS):
        normal = _normal(primitives, flat, increments.flatten(0, 1), noise)
        theta = normal.estimate(torch.zeros_like(size), RIDGE * size)
        left = increments - torch.einsum("p,pesbc->esbc", theta.to(integrals.dtype), integrals)
        noise = noise_of(primitives, left, frames)
    return _normal(primitives, flat, increments.flatten(0, 1), noise), size, noise


def _of_map(
    primitives: Primitives, theta: Tensor, size: Tensor, frames: Frames, steps: int, family: Family
) -> tuple[Normal, Tensor]:
    """The normal equations of the map from frame to frame about coefficients (1, term), and noise."""
    left, changes = linearised(primitives, theta, torch.diag(size)[None], frames, steps, family.damping)
    changes = changes[0] / size.view(-1, 1, 1, 1)
    noise = noise_of(primitives, left, frames)
    whole = left[0] + torch.einsum("p,psbc->sbc", theta[0].to(changes.dtype), changes)
    for _ in range(LOOKS):
        normal = _normal(primitives, changes, whole, noise)
        found = normal.estimate(torch.zeros_like(size), RIDGE * size)
        rest = whole - torch.einsum("p,psbc->sbc", found.to(changes.dtype), changes)
        noise = noise_of(primitives, rest[None], frames)
    return _normal(primitives, changes, whole, noise), noise


def _normal(primitives: Primitives, changes: Tensor, whole: Tensor, noise: Tensor) -> Normal:
    """Of changes (term, sample, block, channel) and what they must add up to (sample, block, channel)."""
    weight = (primitives.modes.weights[:, None] / noise).sqrt()
    flat = (changes * weight).flatten(1)
    return Normal(real_products(flat, flat.mT), real_products(flat, (whole * weight).flatten()))


def noise_of(primitives: Primitives, left: Tensor, frames: Frames) -> Tensor:
    """(block, channel) variance of what is left (environment, sample, block, channel), alike in waves of one length."""
    field = (frames.states.abs().square().mean((0, 1, 2)) * primitives.modes.weights[:, None]).sum(0)
    return shell_means(primitives, left.abs().square().mean((0, 1))) + FLOOR * field / left.shape[-2]


def calmed(primitives: Primitives, frames: Frames, noise: Tensor) -> Frames:
    """The frames with their gain, where `noise` (block, channel) is left of the next ones.

    Errors of observation are alike in all waves. No wave can have more of them than it has variance, nor more than is
    left of it; the quietest wave bounds them.
    """
    power = shell_means(primitives, frames.states.abs().square().mean((0, 1, 2)))
    error = torch.minimum(power, noise).amin(0)
    return replace(frames, gain=(1 - error / power.clamp_min(1e-300)).clamp(0, 1))
