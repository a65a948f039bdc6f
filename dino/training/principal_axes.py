"""Latent coordinates in which latent error is field error, up to one number."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..numerics.gaussian import cholesky


class PrincipalAxes(NamedTuple):
    """The change of variable code = origin + transform @ new_code, and what it makes of the code statistics.

    variance : (code,) population variance of the new codes, descending, of mean one
    field_scale : root-mean-square of the field per unit of latent length
    """

    transform: Tensor
    origin: Tensor
    variance: Tensor
    field_scale: float


def principal_axes(metric: Tensor, mean: Tensor, covariance: Tensor) -> PrincipalAxes:
    """Principal axes of the field variance that codes with this mean and covariance produce.

    Parameters
    ----------
    metric : (code, code) mean over points of modes' modes, so that the field's mean square is code' metric code
    mean, covariance : (code,), (code, code) of the population of codes
    """
    metric, mean, covariance = metric.double(), mean.double(), covariance.double()
    factor = cholesky(metric)
    variance, axes = torch.linalg.eigh(factor.T @ covariance @ factor)
    variance, axes = variance.flip(0), axes.flip(1)
    # Directions that no training frame used keep a little variance, so that the prior stays a proper one.
    variance = variance.clamp_min(1e-7 * variance.max())
    scale = variance.mean().sqrt()
    transform = torch.linalg.solve_triangular(factor.T, axes, upper=True) * scale
    return PrincipalAxes(transform, mean, variance / scale.square(), float(scale))
