"""How honest posteriors of environments are: errors of observation, environments' own noise, errors that stay.

The error of a solver's steps, or of a term that nobody listed, is alike from transition to transition; a posterior that
takes residuals for independent is too narrow then. Training environments tell by how much. What a prompt of one
trajectory gives is compared with what all trajectories and a finer solver give: a difference between an estimate and an
efficient one, whose variance is the difference of their variances where all is well (Hausman 1978, Econometrica 46).
"""

import math
from dataclasses import replace

import torch
from scipy.special import digamma, polygamma
from torch import Tensor

from ..inference.environments import solved
from ..inference.family import ALIKE, Family
from ..inference.own_noise import scale_of, shell_means, squares
from ..inference.transition_equations import Equations, ahead, equations
from ..inference.transitions import Frames
from ..numerics.gaussian import cholesky

MOST_PROMPTS = 64  # trajectories that are looked at
FINER = 4  # times the steps of an interval, for what counts as the truth
LEVEL, NORMAL = 0.9, 2.7055  # of the quantile of squares that is matched, and that of a standard normal number
LEAST_CAUTION, MOST_CAUTION = 0.25, 1e6  # of variances
LEAST_SHARE = 0.1  # of a variance that a part of it must have to be told
CLEAR = 2.0  # standard errors
QUIET = 0.5  # share of the waves that bound errors of observation
MOST_POWER = 2.0  # with which noise grows with the square of a change


@torch.no_grad()
def with_errors(family: Family, weights: Tensor, frames: Frames) -> Family:
    """The family with errors of observation apart, its environments' own noise, and the caution of its posteriors.

    weights : (environment, direction) of the training environments, converged
    """
    some, trajectories = frames.prompts(MOST_PROMPTS)
    count = len(some)
    prompts = Frames(frames.states[some, :trajectories].flatten(0, 1).unsqueeze(1), frames.times)
    about = weights[some].repeat_interleave(trajectories, 0)
    given, tangents = equations(family, about, prompts)
    finer, _ = equations(replace(family, steps=FINER * family.steps), about, prompts, tangents)
    sound = torch.isfinite(given.misfit) & torch.isfinite(finer.misfit)
    if not bool(sound.all()) or not family.prior.directions:
        return family
    none = torch.zeros(len(about), dtype=torch.float64)
    alone, _ = solved(given, none, about)
    all_of = Equations(*(_summed(each, trajectories) for each in (finer.matrix, finer.side, finer.misfit, finer.cost)))
    whole, _ = solved(all_of, none[:count], weights[some])
    family = with_noise(family, family.prior.coefficients(alone), prompts)
    white, _, _ = squares(family, family.prior.coefficients(alone), prompts)
    own, transitions = white.mean(1), white.shape[1]
    if not bool(torch.isfinite(own).all()):
        return family
    typical, freedom = own_noise(own, transitions)
    family = replace(family, typical=typical, freedom=freedom)
    scale = scale_of(family, own, transitions)
    common = scale.unflatten(0, (count, trajectories)).mean(1)
    one = given.matrix / scale[:, None, None]
    every = (all_of.matrix / common[:, None, None]).repeat_interleave(trajectories, 0)
    away = (alone - whole.repeat_interleave(trajectories, 0)) @ family.prior.root.T
    return replace(family, caution=stretch(away, one, every, family.prior.root))


def with_noise(family: Family, theta: Tensor, frames: Frames) -> Family:
    """The family with observation errors and errors of the model apart, and how the latter grow with changes.

    theta : (environment, term) of frames
    """
    weights = family.primitives.modes.weights[:, None]
    change = ((frames.after - frames.before).abs().square() * weights).sum(-2)
    family = replace(family, change=change.mean((0, 1)).clamp_min(1e-300))
    variance, seen, share = observation_errors(family, theta, frames)
    white, _, _ = squares(family, theta, frames)
    logs = white.clamp_min(1e-300).log(), (change / family.change).mean(-1).clamp_min(1e-300).log()
    left, moved = (each - each.mean(1, keepdim=True) for each in logs)
    power = float((left * moved).sum() / moved.square().sum().clamp_min(1e-300))
    power = min(max(power, 0.0), MOST_POWER) if math.isfinite(power) else 0.0
    return replace(family, observed=variance, seen=seen, model=family.noise * (1 - share), power=power)


def observation_errors(family: Family, theta: Tensor, frames: Frames) -> tuple[Tensor, float, Tensor]:
    """(channel,) variance of a value's error of observation, the mean square that it makes of residuals, summed over
    channels, and its share of what is left of frames (block, channel).

    An error of a frame is in the residual of the step to it and, carried by the equations and with the other sign, in
    that of the step from it: residuals that are carried a step and the next residuals are negatively correlated by it.
    """
    modes, states = family.primitives.modes, frames.states
    count, trajectories, number = states.shape[:3]
    first = ahead(family, theta, frames).unflatten(1, (trajectories, number - 1))
    left = states[:, :, 1:] - first
    again = replace(frames, states=torch.cat([first[:, :, :-1], first[:, :, -1:]], 2), times=frames.times[1:])
    carried = first[:, :, 1:] - ahead(family, theta, again).unflatten(1, (trajectories, number - 2))
    common = -(carried.conj() * left[:, :, 1:]).real.mean((1, 2))
    size = (family.noise * modes.weights[:, None]).sum(0).sqrt()
    sizes = () if not modes.dimensions else modes.sizes
    generator = torch.Generator().manual_seed(0)
    shape = (*states.shape[:2], number - 1, len(size), *sizes)
    unit = torch.randn(shape, generator=generator, dtype=torch.float64)
    probe = modes.encode(unit * size.reshape(-1, *[1] * len(sizes)))
    nudged = replace(frames, states=states.clone())
    nudged.states[:, :, :-1] += probe
    answer = ahead(family, theta, nudged).unflatten(1, (trajectories, number - 1)) - first
    gain = answer.abs().square().mean((0, 1, 2)) / size.square()
    own = probe.abs().square().mean((0, 1, 2)) / size.square()
    squares_of = left.abs().square().mean((1, 2))
    whole = shell_means(family.primitives, squares_of.mean(0))
    doubt = shell_means(family.primitives, squares_of.std(0)) / count**0.5
    weight = 1 / whole.square().clamp_min(1e-300)
    each = (common * gain * weight).sum(1) / (gain.square() * weight).sum(0).clamp_min(1e-300)
    variance, error = each.mean(0), each.std(0) / count**0.5
    # Hardly any wave can have more of them than it has residuals. Where all of what is left may be theirs, it is; where
    # they are next to nothing, or not clearly there, there are none.
    most = (whole / (own + gain).clamp_min(1e-300)).quantile(QUIET, 0)
    variance = torch.where(variance + CLEAR * error < most, variance, most)
    made = variance * (own + gain)
    clear = (each.mean(0) > CLEAR * error) & (made.sum(0) > LEAST_SHARE * whole.sum(0))
    variance, made = torch.where(clear, variance, 0.0), torch.where(clear, made, 0.0)
    surely = whole > made * (1 + CLEAR * error / variance.clamp_min(1e-300)) + CLEAR * doubt
    share = torch.where(clear & ~surely, 1.0, (made / whole.clamp_min(1e-300)).clamp(0, 1))
    return variance, float((made * modes.weights[:, None]).sum()), share


def own_noise(own: Tensor, transitions: int) -> tuple[float, float]:
    """Typical noise and degrees of freedom of environments' own, from mean squares of residuals (prompt,).

    Moments of logarithms (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3).
    """
    logs = own.clamp_min(1e-300).log()
    if len(logs) < 2:
        return float(logs.mean().exp()), ALIKE
    half = transitions / 2
    shift = float(logs.mean()) - float(digamma(half)) + math.log(half)
    excess = float(logs.var()) - float(polygamma(1, half))
    if excess <= 0:
        return math.exp(shift), ALIKE
    half = inverse_trigamma(excess)
    return math.exp(shift + float(digamma(half)) - math.log(half)), 2 * half


def inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function has a positive value, by Newton's method on its reciprocal."""
    argument = 0.5 + 1 / value
    for _ in range(50):
        own = float(polygamma(1, argument))
        argument = max(argument + own * (1 - own / value) / float(polygamma(2, argument)), 1e-9)
    return argument


def stretch(away: Tensor, one: Tensor, every: Tensor, root: Tensor) -> Tensor:
    """(term,) by which standard deviations are stretched, so that differences have their variance.

    away : (prompt, term) of estimates from one trajectory from those of all; one, every : (prompt, direction,
    direction) information of both; root : (term, direction) of the prior
    """
    unit = torch.eye(one.shape[-1], dtype=one.dtype)
    alone, whole = (_variances(each + unit, root) for each in (one, every))
    between = torch.maximum(alone - whole, LEAST_SHARE * alone).clamp_min(1e-300)
    ratio = (away.square() / between).quantile(LEVEL, 0) / NORMAL
    share = (whole / alone.clamp_min(1e-300)).mean(0)
    return (ratio * (between / alone.clamp_min(1e-300)).mean(0) + share).clamp(LEAST_CAUTION, MOST_CAUTION).sqrt()


def _variances(precision: Tensor, root: Tensor) -> Tensor:
    """(prompt, term) variances under precisions of weights."""
    made = torch.linalg.solve_triangular(cholesky(precision), root.T.expand(len(precision), -1, -1), upper=False)
    return made.square().sum(1)


def _summed(values: Tensor, trajectories: int) -> Tensor:
    return values.unflatten(0, (-1, trajectories)).sum(1)
