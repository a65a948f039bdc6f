"""Variable projection: the decoder's loss with the codes solved for exactly (Golub & Pereyra 1973).

For fixed weights the best codes are a ridge regression. At that optimum the derivative of the objective with respect
to the codes vanishes, so the gradient for the weights is the partial one with the codes held constant: the solve needs
no differentiation and costs a Gram matrix, a Cholesky factor and two matrix products.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..decoders.base import Basis
from ..inference.gaussian import cholesky


class Projection(NamedTuple):
    """The ridge objective per value, the mean squared residual per value, and codes (group, frame, code)."""

    objective: Tensor
    residual: Tensor
    codes: Tensor


def project(basis: Basis, values: Tensor, weights: Tensor, ridge: float) -> Projection:
    """Project frames on the span of a basis.

    Frames come in groups that share their points and gaps, so that one factorisation serves a group: a whole batch of
    maps of one grid is one group; frames with points of their own are groups of one.

    Parameters
    ----------
    basis : modes (point, channel, code) shared by the groups, or (group, point, channel, code)
    values : (group, frame, point, channel); anything finite where missing
    weights : (group, point, channel): area weight, zero where missing
    ridge : penalty on codes, relative to modes of unit mean square
    """
    frames = values.shape[1]
    weight = weights.flatten(1)
    total = weight.sum()
    modes = basis.modes.flatten(-3, -2)
    shared = modes if modes.dim() == 3 else modes.unsqueeze(0)
    # With a basis shared by all groups, a mode's power is its mean square over the values of every group.
    spread = weight if modes.dim() == 3 else weight.sum(0, keepdim=True)
    power = (spread.unsqueeze(-1) * shared.square()).sum(dim=(0, 1)) / total
    target = (values - basis.offset.unsqueeze(-3)).flatten(2)
    with torch.no_grad():
        scale = power.clamp_min(1e-20).rsqrt()
        unit = shared * scale
        weighted = unit * weight.unsqueeze(-1)
        normal = weighted.mT @ unit
        normal.diagonal(dim1=-2, dim2=-1).add_(ridge)
        codes = torch.cholesky_solve(weighted.mT @ target.mT, cholesky(normal)).mT * scale
    misfit = torch.baddbmm(target, codes, shared.mT.expand(len(codes), -1, -1), alpha=-1)
    residual = (weight.unsqueeze(1) * misfit.square()).sum() / (total * frames)
    penalty = ridge * (codes.square().sum(dim=(0, 1)) * power).sum() / (total * frames)
    return Projection(residual + penalty, residual, codes)
