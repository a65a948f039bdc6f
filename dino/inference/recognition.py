"""Which of several systems a prompt is of: responsibilities of the components of a mixture of priors.

Each component is a Gaussian over the coefficients of one system's environments. Given frames it has an estimate, and
an evidence: what is left of the frames, at an error of observation that the frames themselves tell, and how much of
the prior's volume the estimate uses (Laplace). Where no component explains the frames, terms of all of them are put
together (`composition`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .composition import Vocabulary, calmed, composed, noise_of, of_integrals
from .environments import adapt
from .family import Family, Posterior
from .own_noise import left_by
from .transition_equations import ahead
from .transitions import Frames, weak_form

ROUNDS = 2  # of estimating coefficients and errors in turn
LEAST_SHARE = 1e-6  # of the change: what is left below it tells systems not apart
UNLIKE = 10.0  # times what training environments leave, of which `Family.leaves` is made
EXPLAINED = 1.2  # times what all terms together leave: a component that leaves no more explains the frames
COMPOSITION = "composition"
LOOKED, CLOSE = 2, 100.0  # components whose window is solved, and how far their logarithms of evidence may be apart


@dataclass(frozen=True)
class Option:
    """A component with its estimate of one environment.

    family : with the noise of these frames; frames : with the gain that it gives them; share : of the change that is
    left; evidence : its logarithm; active : (term,) the terms of a composition, None of a component
    """

    family: Family
    frames: Frames
    posterior: Posterior
    share: float
    evidence: float
    active: Tensor | None = None


def estimated(family: Family, frames: Frames, noise: Tensor, iterations: int) -> Option:
    """The estimate of a component from frames of one environment; noise (block, channel) is a first guess.

    iterations : of Gauss and Newton in each of `ROUNDS`, between which errors are estimated
    """
    own, calm, posterior = _round(family, frames, noise, iterations, None)
    for _ in range(1, ROUNDS):
        noise = noise_of(family.primitives, calm.after - ahead(own, posterior.mean, calm), frames)
        own, calm, posterior = _round(family, frames, noise, iterations, posterior.weights)
    share = float(left_by(own, posterior.mean, calm).share[0])
    return Option(own, calm, posterior, share, evidence(posterior, calm, share, family.leaves / UNLIKE))


def _round(
    family: Family, frames: Frames, noise: Tensor, iterations: int, weights: Tensor | None
) -> tuple[Family, Frames, Posterior]:
    """The family with the noise of these frames, the frames with their gain, and the estimate."""
    least = {"noise": torch.maximum(noise, family.noise), "weak_noise": torch.maximum(noise, family.weak_noise)}
    own, calm = replace(family, **least), calmed(family.primitives, frames, noise)
    return own, calm, adapt(own, calm, iterations, weights)


def evidence(posterior: Posterior, frames: Frames, share: float, usual: float = 0.0) -> float:
    """Logarithm of the evidence of one environment's frames, up to what is the same for all components.

    share : of the change that is left; less than `usual`, or than `LEAST_SHARE`, is no better
    """
    values = 2.0 * frames.states[0, 0, 0].numel() * frames.transitions
    volume = -float(posterior.factor[0].diagonal().log().sum()) - 0.5 * float(posterior.weights[0].square().sum())
    left = max(share, usual, LEAST_SHARE)
    return -0.5 * values * math.log(left) + volume if math.isfinite(left) else -math.inf


def options_of(
    families: Mapping[str, Family], frames: Frames, words: Vocabulary, iterations: int, compose: bool | None
) -> tuple[dict[str, Option], bool]:
    """Every component's estimate of one environment, by name, and whether one of the components explains it.

    compose : whether terms are put together beside; when None only where no component explains the frames
    """
    primitives = next(iter(families.values())).primitives
    _, _, noise = of_integrals(primitives, frames)
    _, _, noise = of_integrals(primitives, calmed(primitives, frames, noise))
    change = noise_of(primitives, frames.after - frames.before, frames)
    weight = primitives.modes.weights[:, None]
    most = EXPLAINED * float((weight * noise).sum() / (weight * change).sum())
    made = {name: estimated(family, frames, noise, iterations) for name, family in families.items()}
    least = min(option.share for option in made.values())
    known = least <= max(most, LEAST_SHARE)
    if compose or (compose is None and not known):
        family = families[min(made, key=lambda name: made[name].share)]
        made[COMPOSITION] = composition(family, families, frames, words, iterations)
    return made, known


def composition(
    family: Family, families: Mapping[str, Family], frames: Frames, words: Vocabulary, iterations: int
) -> Option:
    """The estimate of terms put together; family : of the component that is nearest."""
    has = [own.prior.central.abs() + own.prior.spread > 0.1 * words.spread for own in families.values()]
    starts = [has_it & (words.share > 0) & (words.spread > 0) for has_it in has]
    made, state = composed(family, frames, words, starts)
    option = estimated(made, frames, made.noise, iterations)
    odds = float(words.odds.gather(1, state[:, None]).sum())
    return replace(option, evidence=option.evidence + odds, active=state > 0)


def responsibilities(options: Mapping[str, Option]) -> dict[str, float]:
    """Probability of every option, all being as likely before anything is seen."""
    logs = torch.tensor([option.evidence for option in options.values()], dtype=torch.float64)
    return dict(zip(options, torch.softmax(logs, 0).tolist(), strict=True))


def screened(families: Mapping[str, Family], frames: Frames) -> dict[str, Tensor]:
    """Weights (direction,) of components by the integral form of one environment's frames at any times: of the most
    probable, and behind it of one that is `CLOSE` to it."""
    primitives, made = next(iter(families.values())).primitives, {}
    _, _, noise = of_integrals(primitives, frames)
    change = noise_of(primitives, frames.after - frames.before, frames)
    modes = primitives.modes.weights[:, None]
    for name, family in families.items():
        own = replace(family, weak_noise=torch.maximum(noise, family.weak_noise), noise=noise)
        posterior = adapt(replace(own, prior=family.prior.plain or family.prior), frames, 0)
        increments, integrals = weak_form(primitives, frames)
        left = increments - torch.einsum("ep,pesbc->esbc", posterior.mean.to(integrals.dtype), integrals)
        share = float((modes * noise_of(primitives, left, frames)).sum() / (modes * change).sum())
        weights = family.prior.weights(posterior.mean)
        made[name] = (evidence(posterior, frames, share), weights[0])
    order = sorted(made, key=lambda name: -made[name][0])
    close = [name for name in order if made[name][0] > made[order[0]][0] - CLOSE]
    return {name: made[name][1] for name in close[:LOOKED]}
