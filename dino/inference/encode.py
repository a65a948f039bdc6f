"""Encoding (auto-decoding): the code of a field seen at points, as an exact Gaussian posterior.

With code ~ N(m, S) and independent observation errors of variance R the posterior precision is S^-1 + Phi' R^-1 Phi,
its mean m + P^-1 Phi' R^-1 (y - b - Phi m). With S learned from training codes this is optimal interpolation with the
background covariance Phi S Phi'.
"""

import torch
from torch import Tensor

from ..numerics.gaussian import Gaussian, condition, precision_of
from ..space.decoders.base import Basis


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
