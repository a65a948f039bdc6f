"""By how much the spread of ensembles is to be multiplied, as forecasts of training environments tell, by lead."""

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from ..inference.environments import adapt
from ..inference.family import Family, Posterior
from ..inference.own_noise import left_by, told
from ..inference.transitions import Frames
from .rollout import Rollout, rolled, spread_of

MOST_PROMPTS, MEMBERS, ITERATIONS = 32, 12, 2
LEVELS = np.arange(0.05, 1.0, 0.05)  # of the quantiles that are matched
TRIED = np.geomspace(1e-2, 1e2, 161)
NEIGHBOURS = 1  # leads on each side that are taken together


@torch.no_grad()
def with_widening(family: Family, weights: Tensor, frames: Frames, reach: Tensor) -> Family:
    """The family with the factors by which quantiles of training forecasts are those of a normal distribution.

    A trajectory is the prompt, and the next one of its environment is forecast from its first frame. The integral form
    alone and an estimate after iterations err in other ways: each has factors of its own.
    weights : (environment, direction) of the training environments, converged; reach : see `rolled`
    """
    some, trajectories = frames.prompts(MOST_PROMPTS)
    states = frames.states[some, :trajectories]
    prompts, truth = Frames(states.flatten(0, 1).unsqueeze(1), frames.times), states.roll(-1, 1).flatten(0, 1)
    iterated = adapt(family, prompts, ITERATIONS, weights[some].repeat_interleave(trajectories, 0))
    made = [_factors(family, iterated, prompts, truth, reach)]
    if family.prior.plain is None:  # with logarithms at least one iteration follows
        made.insert(0, _factors(family, adapt(family, prompts, 0), prompts, truth, reach))
    if any(factors is None for factors in made):
        return family
    return replace(family, widening=torch.tensor([made[0], made[-1]]))


def _factors(family: Family, found: Posterior, prompts: Frames, truth: Tensor, reach: Tensor) -> list[float] | None:
    """Of every lead, from forecasts of truth (prompt, frame, block, channel); None where none is sound."""
    modes, found = family.primitives.modes, told(family, found, left_by(family, found.mean, prompts))
    sizes = modes.sizes if modes.dimensions else ()
    start = Rollout(family, found, np.arange(len(truth)), truth[:, 0], float(prompts.times[0]))
    moments = prompts.times[1:].numpy()
    made, sound = rolled(start, moments, reach)
    spread = spread_of(start, moments, sizes, MEMBERS, 0, reach).square()
    if family.observed is not None:  # the truth that is compared with was observed, too
        spread = spread + family.observed.reshape(-1, *[1] * len(sizes))
    away = modes.decode(made - truth[:, 1:], sizes) / spread.sqrt().clamp_min(1e-300)
    good = sound & torch.isfinite(away).flatten(1).all(1)
    return matched(away[good].numpy()) if bool(good.any()) else None


def matched(away: np.ndarray) -> list[float]:
    """Factor of every lead with which misses in standard deviations (trajectory, lead, ...) are standard normal."""
    wanted, made = norm.ppf(LEVELS), []
    for lead in range(away.shape[1]):
        near = np.sort(away[:, max(0, lead - NEIGHBOURS) : lead + NEIGHBOURS + 1].reshape(-1))
        below = np.searchsorted(near, TRIED[:, None] * wanted, side="right") / len(near)
        made.append(float(TRIED[((below - LEVELS) ** 2).sum(1).argmin()]))
    return made
