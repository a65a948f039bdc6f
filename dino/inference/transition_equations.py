"""The equations that frames give for the coefficients of their environments."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .family import Family
from .transitions import Frames, blocks, flow, linearised, weak_form

FREEDOM, FREEDOM_SHARE = 4.0, 0.1  # of Student's distribution of a transition's residual: at least, and of its values

Tangents = list[Tensor]  # of each block of environments: (environment, direction, sample, block, channel)


@dataclass(frozen=True)
class Equations:
    """Normal equations in standard deviations of the prior.

    matrix : (environment, direction, direction); side : (environment, direction); misfit : (environment,) mean whitened
    square; cost : (environment,) twice the negative logarithm of the likelihood
    """

    matrix: Tensor
    side: Tensor
    misfit: Tensor
    cost: Tensor


def equations(
    family: Family, weights: Tensor, frames: Frames, known: Tangents | None = None
) -> tuple[Equations, Tangents]:
    """The normal equations of the map from frame to frame about weights (environment, direction) of the prior, and its
    sensitivities.

    An environment whose prediction is not finite has an infinite misfit and no equations.
    """
    weight = family.primitives.modes.weights[:, None] / family.noise
    theta, changes = family.prior.coefficients(weights), family.prior.changes(weights)
    made, tangents = [], []
    parts = list(blocks(family.primitives, frames, family.prior.directions + 1))
    for number, part in enumerate(parts):
        some = frames.part(part)
        if known is None:
            residual, found = linearised(
                family.primitives, theta[part], changes[part], some, family.steps, family.damping, family.rough
            )
        else:
            found = known[number]
            residual = some.after - ahead(family, theta[part], some)
        tangents.append(found)
        made.append(normal_equations(residual, found, weight))
    return made[0] if len(made) == 1 else together(made), tangents


def ahead(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """What coefficients (environment, term) predict of the next frames."""
    steps = frames.interval, family.steps, family.damping
    return flow(family.primitives, theta, frames.before, frames.moments, *steps)


def cost_of(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """(environment,) twice the negative logarithm of the likelihood of coefficients (environment, term)."""
    weight = family.primitives.modes.weights[:, None] / family.noise
    made = []
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        residual = some.after - ahead(family, theta[part], some)
        made.append(normal_equations(residual, residual.new_zeros(len(residual), 0, *residual.shape[1:]), weight).cost)
    return torch.cat(made)


def better(lower: Tensor, tried: Equations, best: Equations) -> Equations:
    """The tried equations where they are better."""
    return Equations(
        torch.where(lower[:, None, None], tried.matrix, best.matrix),
        torch.where(lower[:, None], tried.side, best.side),
        torch.where(lower, tried.misfit, best.misfit),
        torch.where(lower, tried.cost, best.cost),
    )


def together(parts: list[Equations]) -> Equations:
    """The equations of several blocks of environments."""
    names = ("matrix", "side", "misfit", "cost")
    return Equations(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def normal_equations(residual: Tensor, sensitivity: Tensor, weight: Tensor) -> Equations:
    """Equations of residuals (environment, sample, block, channel) and sensitivities with a direction behind the
    environment; weight : (block, channel).

    A transition's residual is Student's: a front that the code cannot hold, or a frame from which all is still to come,
    spoils its own transition and not the others.
    """
    each, trust, freedom, values = student(residual, weight)
    weighted = (sensitivity * trust[:, None, :, None, None] * weight).flatten(2)
    matrix = real_products(weighted, sensitivity.flatten(2).mT)
    side = real_products(weighted, residual.flatten(1).unsqueeze(-1)).squeeze(-1)
    misfit, cost = each.mean(1), (freedom + values) * torch.log1p(values / freedom * each).sum(1)
    sound = torch.isfinite(matrix).flatten(1).all(1) & torch.isfinite(side).all(1) & torch.isfinite(cost)
    return Equations(
        torch.where(sound[:, None, None], matrix, 0.0),
        torch.where(sound[:, None], side, 0.0),
        torch.where(sound, misfit, torch.inf),
        torch.where(sound, cost, torch.inf),
    )


def student(residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, float, float]:
    """Mean whitened square and trust (environment, sample) of residuals, degrees of freedom, and values of a sample."""
    values = float(2 * residual[0, 0].numel() if residual.is_complex() else residual[0, 0].numel())
    each = (residual.abs().square() * weight).sum((-1, -2)) / values
    freedom = max(FREEDOM, FREEDOM_SHARE * values)
    return each, (freedom + values) / (freedom + values * each), freedom, values


def weak_equations(family: Family, frames: Frames) -> Equations:
    """The normal equations of the integral form about the prior mean."""
    increments, integrals = weak_form(family.primitives, frames)
    weight = family.primitives.modes.weights[:, None] / family.weak_noise
    changes = family.prior.changes(increments.real.new_zeros(1, family.prior.directions))[0]
    left = increments - torch.einsum("p,pesbc->esbc", family.prior.central.to(integrals.dtype), integrals)
    sensitivity = torch.einsum("pd,pesbc->edsbc", changes.to(integrals.dtype), integrals)
    return normal_equations(left, sensitivity, weight)


def real_products(one: Tensor, other: Tensor) -> Tensor:
    """The real part of conj(one) @ other."""
    if not one.is_complex():
        return one @ other
    return one.real @ other.real + one.imag @ other.imag


def residual_variance(family: Family, theta: Tensor, frames: Frames) -> Tensor:
    """(environment, block, channel) mean square of what coefficients leave of the next frames, each transition with the
    weight that `normal_equations` gives it, infinite where a prediction is."""
    weight, made = family.primitives.modes.weights[:, None] / family.noise, []
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        residual = some.after - ahead(family, theta[part], some)
        _, trust, _, _ = student(residual, weight)
        made.append((residual.abs().square() * trust[:, :, None, None]).mean(1).nan_to_num(nan=torch.inf))
    return torch.cat(made)
