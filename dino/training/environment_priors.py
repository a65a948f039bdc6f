"""The prior over environments' coefficients: what expectation-maximisation makes of their posteriors."""

from dataclasses import replace

import torch
from torch import Tensor

from ..inference.family import Family, Posterior, Prior
from ..inference.transition_equations import real_products
from ..inference.transitions import Frames, linearised
from ..numerics.gaussian import cholesky

UNSETTLED = 100.0  # times the median misfit: such an environment tells nothing of the others yet
ENOUGH = 4  # environments and trajectories that tell what a direction does
TENFOLD, CLEAR, FEWEST_LOGARITHMS = 10.0, 3.0, 8
SHARES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.3, 0.6, 0.9)  # of correlations that are given up
MOST_LEFT_OUT = 64  # environments that are foretold by the others
LEAST_VARIANCE = 1e-14  # of the largest, of a direction of the prior


def effective(family: Family, frames: Frames, least: float) -> tuple[Prior, Tensor]:
    """The prior in directions that move the next frame by more than `least`, the largest first, and these directions
    (direction, kept) in the former ones."""
    some = Frames(frames.states[:ENOUGH, :ENOUGH], frames.times)
    prior = family.prior
    middle = prior.root.new_zeros(len(some.states), prior.directions)
    ahead = prior.coefficients(middle), prior.changes(middle), some, family.steps, family.damping
    _, changes = linearised(family.primitives, *ahead)
    flat = changes.movedim(1, 0).flatten(1)
    flat = flat[:, torch.isfinite(flat).all(0)]
    samples = some.before.shape[0] * some.before.shape[1]
    values, vectors = torch.linalg.eigh(real_products(flat, flat.mT) / samples)
    kept = (values > least**2).nonzero().flatten().flip(0)
    return replace(prior, root=prior.root @ vectors[:, kept]), vectors[:, kept]


def with_logarithms(prior: Prior, posterior: Posterior) -> Prior:
    """The prior with the logarithms of coefficients that keep one sign and differ by a factor of `TENFOLD`."""
    settled = posterior.misfit <= UNSETTLED * posterior.misfit.median().clamp_min(1.0)
    theta = posterior.mean[settled]
    sizes, signs = theta.abs(), theta.sign()
    error = posterior.covariance[settled].diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
    known = (sizes > CLEAR * error).all(0)
    wide = sizes.amax(0) > TENFOLD * sizes.amin(0)
    sign = torch.where((signs == signs[0]).all(0) & wide & known, signs[0], 0.0)
    if len(theta) < FEWEST_LOGARITHMS or not bool(sign.any()):
        return prior
    own = torch.where(sign != 0, sizes.clamp_min(1e-300).log(), theta)
    plain = (sign == 0).double()
    errors = posterior.covariance[settled].mean(0) * plain * plain[:, None]
    away = own - own.mean(0)
    return replace(gaussian(own.mean(0), shrunk(errors + away.T @ away / len(own), own), sign), plain=prior)


def maximised(posterior: Posterior) -> Prior:
    """The prior under which the environments' posteriors are most probable."""
    settled = posterior.misfit <= UNSETTLED * posterior.misfit.median().clamp_min(1.0)
    mean = posterior.mean[settled].mean(0)
    away = posterior.mean[settled] - mean
    covariance = (posterior.covariance[settled] + away[:, :, None] * away[:, None]).mean(0)
    return gaussian(mean, shrunk(covariance, posterior.mean[settled]), torch.zeros_like(mean))


def shrunk(covariance: Tensor, known: Tensor) -> Tensor:
    """A covariance whose correlations are trusted as far as environments (environment, term) foretell each other.

    Fewer environments than terms leave directions without any variance, as if no new environment could differ there.
    A share of the correlations is given up, that under which each environment is most probable given all the others.
    """
    diagonal = torch.diag(covariance.diagonal())
    if len(known) < 3:
        return 0.5 * (covariance + diagonal)
    scale = covariance.diagonal().sqrt().clamp_min(1e-300)
    unit, number = (known - known.mean(0)) / scale, len(known)
    some = unit[torch.linspace(0, number - 1, min(number, MOST_LEFT_OUT)).round().long()]
    # Mean and covariance without one of the environments, from those of all.
    away = some * (number / (number - 1))
    whole = covariance / scale / scale[:, None]
    without = (number * whole - some.unsqueeze(-1) * some.unsqueeze(-2) * (number / (number - 1))) / (number - 1)
    spread = without.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12)
    costs = []
    for share in SHARES:
        tried = (1 - share) * without + torch.diag_embed(share * spread + 1e-12)
        factor = cholesky(tried)
        missed = torch.linalg.solve_triangular(factor, away.unsqueeze(-1), upper=False)
        costs.append(missed.square().sum() + 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum())
    share = SHARES[int(torch.stack(costs).argmin())]
    return (1 - share) * covariance + share * diagonal


def gaussian(mean: Tensor, covariance: Tensor, sign: Tensor) -> Prior:
    """The prior of a mean and a covariance, without directions of no variance, the largest first."""
    scale = covariance.diagonal().sqrt().clamp_min(1e-300)
    values, vectors = torch.linalg.eigh(covariance / scale / scale[:, None])
    values, vectors = values.flip(0), vectors.flip(1)
    kept = values > LEAST_VARIANCE * values[0]
    return Prior(mean, scale[:, None] * vectors[:, kept] * values[kept].sqrt(), sign)
