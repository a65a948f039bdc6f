"""Encoding (auto-decoding): the code of a field seen at points, as an exact Gaussian posterior.

With code ~ N(m, S) and independent observation errors of variance R the posterior precision is S^-1 + Phi' R^-1 Phi,
its mean m + P^-1 Phi' R^-1 (y - b - Phi m). With S learned from training codes this is optimal interpolation with the
background covariance Phi S Phi'.
"""

import torch
from torch import Tensor

from ..numerics.gaussian import Gaussian, cholesky, condition, precision_of
from ..numerics.modes import without_gradients
from ..space.decoders.base import Basis, Decoder
from .gauss_newton import Prior, minimise


def encode(basis: Basis, values: Tensor, variance: Tensor | float, prior: Gaussian) -> Gaussian:
    """Posterior codes of frames.

    Parameters
    ----------
    basis : at points shared by all frames (point, channel[, code]) or one set a frame (frame, point, channel[, code])
    values : (frame, point, channel); NaN is missing
    variance : observation-error variance, broadcast against values; anything where a value is missing
    prior : mean (code,), covariance (code, code)

    Returns
    -------
    Gaussian with mean (frame, code); covariance (code, code) when nothing differs between frames, otherwise
    (frame, code, code). A frame without a value keeps its prior.
    """
    frames, points, channels = values.shape
    prior_precision = precision_of(prior.covariance)
    known = torch.isfinite(values)
    innovation = torch.where(known, values - basis.offset, torch.zeros((), dtype=values.dtype, device=values.device))
    innovation = innovation.reshape(frames, points * channels)
    error = torch.as_tensor(variance, dtype=values.dtype, device=values.device)
    operator = basis.modes.flatten(-3, -2)
    if operator.dim() == 2 and bool((known == known[:1]).all()):
        known = known[:1]
    precision = torch.where(known, 1.0 / error, torch.zeros((), dtype=values.dtype, device=values.device))
    precision = precision.reshape(precision.shape[0], points * channels)
    if operator.dim() == 2 and precision.shape[0] == 1:
        return condition(operator, innovation, precision[0], prior.mean, prior_precision)
    batched = operator.expand(frames, *operator.shape[-2:])
    return condition(batched, innovation, precision, prior.mean.expand(frames, -1), prior_precision)


def solves_at_once(decoder: Decoder) -> bool:
    """Whether codes are found by one linear solution, with one form for all of them, and not one by one in steps."""
    return decoder.is_affine


@without_gradients
def encode_frames(
    decoder: Decoder,
    coordinates: Tensor,
    values: Tensor,
    variance: Tensor | float,
    prior: Gaussian,
    iterations: int = 30,
    start: Tensor | None = None,
) -> Gaussian:
    """Posterior codes of frames by any decoder; exact and at once where it is affine.

    Parameters
    ----------
    coordinates : (point, input) shared by the frames, or (frame, point, input)
    values : (frame, point, channel); NaN is missing
    variance : observation-error variance, broadcast against values
    prior : mean (code,), covariance (code, code)
    start : (frame, code) first guess, the prior mean when absent

    Returns
    -------
    Gaussian as of `encode`. Where the decoder is not affine the mean is the most probable code and the covariance
    (frame, code, code) the inverse of the Gauss-Newton Hessian there. Raises `NonFiniteError` when a cost is not
    finite.
    """
    if decoder.is_affine:
        return encode(decoder.linearise(coordinates, prior.mean[None]), values, variance, prior)
    guess = prior.mean.expand(len(values), -1) if start is None else start
    known = ~torch.isnan(values)
    error = torch.as_tensor(variance, dtype=values.dtype, device=values.device).expand_as(values)
    precision = torch.where(known, 1.0 / error, torch.zeros_like(values))
    seen = torch.where(known, values, torch.zeros_like(values))
    weight = Prior(prior.mean, precision_of(prior.covariance))
    found = minimise(decoder, coordinates, seen, precision, weight, guess, iterations)
    return Gaussian(found.codes, torch.cholesky_inverse(cholesky(found.normal)))


@without_gradients
def encode_charts(decoder: Decoder, coordinates: Tensor, values: Tensor, variance: float, prior: Gaussian) -> Gaussian:
    """Posterior codes of frames on several charts by any decoder; exact and at once where it is affine.

    coordinates : (chart, point, input); values : (frame, chart, point, channel); NaN is missing
    Returns a Gaussian with mean (frame, chart, code); covariance (frame or 1, chart, code, code), one for all frames
    where their gaps are the same.
    """
    frames, charts = values.shape[:2]
    if not decoder.is_affine:
        places = coordinates.expand(frames, *coordinates.shape).flatten(0, 1)
        found = encode_frames(decoder, places, values.flatten(0, 1), variance, prior)
        return Gaussian(*(part.unflatten(0, (frames, charts)) for part in (found.mean, found.covariance)))
    basis = decoder.linearise(coordinates, prior.mean[None])
    operator, offset = basis.modes.flatten(1, 2), basis.offset.flatten(1)
    known, flat = torch.isfinite(values.flatten(2)), values.flatten(2) - offset
    innovation = torch.where(known, flat, torch.zeros((), dtype=flat.dtype, device=flat.device))
    precision = precision_of(prior.covariance)
    right = prior.mean @ precision + torch.einsum("fcn,cnk->fck", innovation, operator) / variance
    if bool((known == known[:1]).all()):
        known = known[:1]
    means, covariances = [], []
    for mask, part in zip(known, [right] if len(known) == 1 else right.split(1), strict=True):
        weighted = operator * (mask / variance).unsqueeze(-1)
        factor = cholesky(weighted.mT @ operator + precision)
        means.append(torch.cholesky_solve(part.permute(1, 2, 0), factor).permute(2, 0, 1))
        covariances.append(torch.cholesky_inverse(factor))
    return Gaussian(torch.cat(means), torch.stack(covariances))
