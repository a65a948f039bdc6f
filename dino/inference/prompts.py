"""Adaptation to prompts of several kinds: other intervals than were learned from, unequal numbers of trajectories."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .environments import adapt
from .family import Family, Posterior
from .transition_equations import unexplained
from .transitions import Frames

MOST_ITERATIONS = 12  # fewer where the estimate stops moving
FARTHER = 1.01  # times the interval of training


def at_interval(family: Family, interval: float) -> Family:
    """A family for frames that are farther apart than those it was learned from: more steps and more noise."""
    ratio = max(interval / family.interval, 1.0)
    steps = int(np.ceil(family.steps * ratio - 1e-6))
    rough = int(np.ceil(family.rough * ratio - 1e-6))
    return replace(family, steps=steps, rough=rough, noise=ratio * family.noise, weak_noise=ratio * family.weak_noise)


def adapt_all(
    family: Family, prompts: Sequence[tuple[np.ndarray, Frames]], iterations: int | None = None
) -> tuple[np.ndarray, Posterior, Tensor]:
    """Numbers of all environments, ascending, their posterior, and the share of change that is left unexplained.

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
        left = unexplained(own, posterior.mean, frames)
        unlike = torch.nonzero(~(left <= family.leaves)).flatten()
        if iterations is None and usual < MOST_ITERATIONS and len(unlike):
            some = replace(frames, states=frames.states[unlike])
            again = adapt(own, some, MOST_ITERATIONS)
            posterior = posterior.with_others(unlike, again)
            left[unlike] = unexplained(own, again.mean, some)
        made.append((numbers, posterior, left))
    numbers, posteriors, left = zip(*made, strict=True)
    order = np.argsort(np.concatenate(numbers))
    parts = (torch.cat([getattr(each, name) for each in posteriors])[order] for name in ("weights", "factor", "misfit"))
    whole = Posterior(family.prior, *parts, iterations=max(each.iterations for each in posteriors))
    return np.concatenate(numbers)[order], whole, torch.cat(left)[order]
