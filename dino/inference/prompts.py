"""Adaptation to prompts of several kinds: other intervals than were learned from, unequal numbers of trajectories."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .environments import adapt
from .family import Family, Posterior
from .own_noise import left_by, told
from .transitions import Frames

MOST_ITERATIONS = 24  # fewer where the estimate stops moving
FARTHER = 1.01  # times the interval of training


def at_interval(family: Family, interval: float) -> Family:
    """A family for frames that are farther apart than those it was learned from: more steps and more noise."""
    ratio = max(interval / family.interval, 1.0)
    steps = int(np.ceil(family.steps * ratio - 1e-6))
    rough = int(np.ceil(family.rough * ratio - 1e-6))
    change = None if family.change is None else (interval / family.interval) ** 2 * family.change
    noise = {"noise": ratio * family.noise, "weak_noise": ratio * family.weak_noise}
    return replace(family, steps=steps, rough=rough, change=change, **noise)


def adapt_all(
    family: Family, prompts: Sequence[tuple[np.ndarray, Frames]], iterations: int | None = None
) -> tuple[np.ndarray, Posterior, Tensor, Tensor]:
    """Numbers of all environments, ascending, their posterior, the share of change that is left unexplained, and the
    mean square that is left.

    prompts : numbers of environments (environment,) and their frames
    iterations : when None as many as sufficed in training, and as many as move the estimate in environments of which
    these leave more than they left there
    """
    made = []
    for numbers, frames in prompts:
        own = at_interval(family, frames.interval)
        # Frames farther apart than any in training are as far from linear as none there.
        usual = family.iterations if frames.interval <= FARTHER * family.interval else MOST_ITERATIONS
        posterior = adapt(own, frames, usual if iterations is None else iterations)
        left = left_by(own, posterior.mean, frames)
        unlike = torch.nonzero(~(left.share <= family.leaves)).flatten()
        if iterations is None and usual < MOST_ITERATIONS and len(unlike):
            again = adapt(own, replace(frames, states=frames.states[unlike]), MOST_ITERATIONS)
            posterior = posterior.with_others(unlike, again)
            left = left_by(own, posterior.mean, frames)
        made.append((numbers, told(own, posterior, left), left.share, left.size))
    numbers, posteriors, share, size = zip(*made, strict=True)
    order = np.argsort(np.concatenate(numbers))
    names = ("weights", "factor", "misfit", "scale")
    parts = (torch.cat([getattr(each, name) for each in posteriors])[order] for name in names)
    weights, factor, misfit, scale = parts
    count = max(each.iterations for each in posteriors)
    whole = Posterior(family.prior, weights, factor, misfit, count, scale, family.caution)
    return np.concatenate(numbers)[order], whole, torch.cat(share)[order], torch.cat(size)[order]
