"""Forecasts of environments with adapted coefficients, and their ensembles."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..dynamics.exponential import Exponential
from ..dynamics.primitives import Modes
from ..inference.family import Family, Posterior
from ..inference.own_noise import grown

CLOSURE_ORDER = 8  # power of the wave number with which the closure grows
LADDER = (1.0, 10.0, 100.0)  # closures [1/interval] that are tried in turn where a forecast leaves the finite numbers
LAST_THIRD = (2 / 3) ** 2  # of the largest squared wave number
BOUND = 100.0  # times the largest mean square of the states that were learned from: more has left the physics


@dataclass(frozen=True)
class Rollout:
    """Where forecasts begin.

    place : (trajectory,) row of each one's environment in the posterior; states : (trajectory, block, channel)
    """

    family: Family
    posterior: Posterior
    place: np.ndarray
    states: Tensor
    time: float


def closure(modes: Modes, rate: float) -> Tensor:
    """(block,) damping of waves, `rate` for the shortest and nearly none for most."""
    return rate * (modes.squared / modes.squared.max()) ** (CLOSURE_ORDER / 2)


def tail_of(modes: Modes, states: Tensor) -> Tensor:
    """(..., channel) share of the mean square of states (..., block, channel) that the last third of waves has.

    Zero without space. Where it is not small there are fronts that the waves do not hold.
    """
    square = modes.weights[:, None] * states.abs().square()
    if not modes.dimensions:
        return torch.zeros_like(square[..., 0, :])
    last = modes.squared > LAST_THIRD * modes.squared.max()
    return square[..., last, :].sum(-2) / square.sum(-2).clamp_min(1e-300)


def roll(start: Rollout, times: np.ndarray, reach: Tensor) -> Tensor:
    """The states of `rolled` alone."""
    return rolled(start, times, reach)[0]


@torch.no_grad()
def rolled(start: Rollout, times: np.ndarray, reach: Tensor) -> tuple[Tensor, Tensor]:
    """States (trajectory, time, block, channel) of the mean coefficients at ascending `times`, and which trajectories
    needed no help (trajectory,).

    reach : (channel,) largest mean square that was learned from. Where a forecast leaves it by far, it is made again
    with its shortest waves damped, more and more; where nothing helps it stays at its last bounded state.
    """
    made, bounded = steps(start, start.posterior.mean[start.place], times, reach)
    sound = bounded.clone()
    modes = start.family.primitives.modes
    for rate in LADDER if modes.dimensions else ():
        again = torch.nonzero(~bounded).flatten()
        if not len(again):
            break
        damping = closure(modes, rate / start.family.interval)
        if start.family.damping is not None:
            damping = damping + start.family.damping
        part = replace(
            start,
            family=replace(start.family, damping=damping),
            place=start.place[again.numpy()],
            states=start.states[again],
        )
        made[again], bounded[again] = steps(part, part.posterior.mean[part.place], times, reach)
    return made, sound


@torch.no_grad()
def spread_of(
    start: Rollout, times: np.ndarray, sizes: tuple[int, ...], members: int, seed: int, reach: Tensor
) -> Tensor:
    """Standard deviation (trajectory, time, channel, *sizes) of an ensemble.

    members : at least two, which differ in their coefficients, drawn from the posterior, in errors of observation of
    their first states, and in what the equations have left of every next frame, added as noise
    """
    modes, generator = start.family.primitives.modes, torch.Generator().manual_seed(seed)
    centre = square = torch.zeros(())
    place = torch.as_tensor(start.place)
    for number in range(1, members + 1):
        theta = start.posterior.drawn(place, generator)
        made, _ = steps(observed(start, sizes, generator), theta, times, reach, generator)
        fields = modes.decode(made, sizes)
        # About the running mean: a small spread of large values is no difference of their squares.
        away = fields - centre
        centre = centre + away / number
        square = square + away * (fields - centre)
    return (square / (members - 1)).sqrt() * widening(start, times).reshape(-1, *[1] * (1 + len(sizes)))


def widening(start: Rollout, times: np.ndarray) -> Tensor:
    """(time,) by which the spread is multiplied, as training forecasts of that lead wanted it."""
    known = start.family.widening
    if known is None:
        return torch.ones(len(times), dtype=torch.float64)
    known, leads = known[int(start.posterior.iterations > 0)], (times - start.time) / start.family.interval
    return torch.as_tensor(np.interp(leads, np.arange(1, len(known) + 1), known.numpy()))


def steps(
    start: Rollout, theta: Tensor, times: np.ndarray, reach: Tensor, noise: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """States at ascending times with coefficients (trajectory, term), and which trajectories stayed bounded.

    noise : draws what the equations leave of a frame, for members of an ensemble
    """
    family = start.family
    longest = family.interval / family.steps
    state, now, known = start.states.unsqueeze(1), start.time, {}
    weights = family.primitives.modes.weights[:, None]
    bounded, made = torch.ones(len(state), dtype=torch.bool), []
    for then in times.tolist():
        count = max(1, int(np.ceil((then - now) / longest - 1e-6))) if then > now else 0
        if count:
            step = float(np.format_float_positional((then - now) / count, 12, fractional=False))
            if step not in known:
                known[step] = Exponential(family.primitives, theta, step, family.damping)
            new = known[step].advance(state, torch.tensor([now], dtype=torch.float64), count)
            if noise is not None:
                new = new + drawn(family, start, (then - now) / family.interval, new - state, noise)
            square = (weights * new[:, 0].abs().square()).sum(1)
            bounded &= (square <= BOUND * reach).all(1)
            state = torch.where(bounded[:, None, None, None], new, state)
        made.append(state[:, 0])
        now = then
    return torch.stack(made, 1), bounded


def drawn(family: Family, start: Rollout, intervals: float, change: Tensor, generator: torch.Generator) -> Tensor:
    """(trajectory, 1, block, channel) what the equations leave of frames `intervals` ahead.

    change : (trajectory, 1, block, channel) of the states meanwhile, with which noise may grow
    """
    variance = family.noise if family.model is None else family.model
    scale = intervals * grown(family, change / intervals).squeeze(1)
    if start.posterior.scale is not None:
        scale = scale * start.posterior.scale[start.place].nan_to_num(posinf=1.0)
    size = (scale[:, None, None] * variance).sqrt().unsqueeze(1)
    shape = size.shape
    if not start.states.is_complex():
        return size * torch.randn(shape, generator=generator, dtype=torch.float64)
    parts = torch.randn(2, *shape, generator=generator, dtype=torch.float64) * (0.5**0.5 * size)
    # Fields are real. Waves without a mirror among the blocks, of weight one, are so by themselves: what is left of two
    # numbers there is half, which the factor makes whole.
    modes = family.primitives.modes
    return modes.encode(modes.decode(torch.complex(parts[0], parts[1]))) * (2 / modes.weights[:, None]).sqrt()


def observed(start: Rollout, sizes: tuple[int, ...], generator: torch.Generator) -> Rollout:
    """The same with states that differ by what errors of observation may have made of them."""
    if start.family.observed is None:
        return start
    modes, size = start.family.primitives.modes, start.family.observed.sqrt()
    shape = (len(start.states), len(size), *sizes)
    errors = torch.randn(shape, generator=generator, dtype=torch.float64) * size.reshape(-1, *[1] * len(sizes))
    return replace(start, states=start.states + modes.encode(errors))
