"""Variable projection: the decoder's loss with the codes solved for exactly (Golub & Pereyra 1973).

For fixed weights the best codes are a ridge regression. At that optimum the derivative of the objective with respect
to the codes vanishes, so the gradient for the weights is the partial one with the codes held constant: the solve needs
no differentiation and costs a Gram matrix, a Cholesky factor and two matrix products.

All of it is sums over points: the modes' power, the Gram matrix, the right-hand sides, the misfit and the gradient. So
processes that train together each take a share of the points, whose modes no other one evaluates, and add two small
messages a step to get the codes that one process would find. (Shares of the frames would leave the modes and the Gram
matrix, more than half of the work, to be done by every process.)

A decoder that is not affine takes the same road by a few Gauss-Newton iterations (`project_by_steps`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..inference.gauss_newton import Prior, minimise
from ..numerics.gaussian import cholesky_unwatched
from ..numerics.parallel import ALONE, Group
from ..space.decoders.base import Basis, Decoder

# Unit of the penalty on codes of a SirenDecoder, chosen by trial so that the default ridge suits both decoders: on
# smooth fields of unit variance a tenth of that penalty let training fail. Trained codes of 64 were 0.15 to 0.4 long.
CODE_LENGTH = 0.45


class Projection(NamedTuple):
    """The ridge objective per value, the mean squared residual per value, and codes (group, frame, code).

    Of several processes each has what its share contributes to objective and residual: to be added, as gradients are.
    """

    objective: Tensor
    residual: Tensor
    codes: Tensor


def project(basis: Basis, values: Tensor, weights: Tensor, ridge: float, group: Group = ALONE) -> Projection:
    """Project frames on the span of a basis.

    Frames come in groups that share their points and gaps, so that one factorisation serves a group: a whole batch of
    maps of one grid is one group; frames with points of their own are groups of one.

    Parameters
    ----------
    basis : modes (point, channel, code) shared by the groups, or (group, point, channel, code)
    values : (group, frame, point, channel); anything finite where missing
    weights : (group, point, channel): area weight, zero where missing
    ridge : penalty on codes, relative to modes of unit mean square
    group : processes of which each gives the basis, the values and the weights at points of its own
    """
    frames = values.shape[1]
    weight = weights.flatten(1)
    modes = basis.modes.flatten(-3, -2)
    shared = modes if modes.dim() == 3 else modes.unsqueeze(0)
    # With a basis shared by all groups, a mode's power is its mean square over the values of every group.
    spread = weight if modes.dim() == 3 else weight.sum(0, keepdim=True)
    power = (spread.unsqueeze(-1) * shared.square()).sum(dim=(0, 1))
    total, whole = weight.sum(), power.detach().clone()
    group.sum_([total, whole])
    power = power / total
    target = (values - basis.offset.unsqueeze(-3)).flatten(2)
    with torch.no_grad():
        scale = (whole / total).clamp_min(1e-20).rsqrt()
        unit = shared * scale
        weighted = unit * weight.unsqueeze(-1)
        normal, right = weighted.mT @ unit, weighted.mT @ target.mT
        group.sum_([normal, right])
        normal.diagonal(dim1=-2, dim2=-1).add_(ridge)
        codes = torch.cholesky_solve(right, cholesky_unwatched(normal)).mT * scale
    misfit = torch.baddbmm(target, codes, shared.mT.expand(len(codes), -1, -1), alpha=-1)
    residual = (weight.unsqueeze(1) * misfit.square()).sum() / (total * frames)
    penalty = ridge * (codes.square().sum(dim=(0, 1)) * power).sum() / (total * frames)
    return Projection(residual + penalty, residual, codes)


def project_by_steps(
    decoder: Decoder,
    coordinates: Tensor,
    values: Tensor,
    weights: Tensor,
    ridge: float,
    iterations: int,
    group: Group = ALONE,
) -> Projection:
    """Fit the codes of frames by damped Gauss-Newton iterations from a code of zero; arguments as of `project`.

    coordinates : (point, input) shared by the groups
    ridge : penalty on a code of length `CODE_LENGTH`, relative to a misfit of one in every value of a frame
    group : processes that share out the frames, of which each is given all

    Every step begins at the code of zero, where all frames share one linearisation. So codes depend on the decoder
    alone, not on what was kept from earlier steps, and the decoder becomes one whose codes are found from there in a
    few iterations, which is what inference wants. The penalty keeps codes where the field is near its linearisation:
    a penalty relative to the modes, as of an affine basis, lets codes grow along modes that do nothing until no
    iteration converges, and with it one large mode weighs on all others. It is without gradient for the weights, so
    that nothing drives them to escape it by growing. Which frames still want iterations is asked of the device at
    every one of them: this step waits for it, unlike that of an affine decoder.
    """
    groups, frames = values.shape[:2]
    mine, total = group.share(groups * frames), weights.sum()
    flat = values.flatten(0, 1)[mine]
    precision = weights if groups == 1 else weights.repeat_interleave(frames, dim=0)[mine]
    start = values.new_zeros(len(flat), decoder.code_size)
    pull = ridge / CODE_LENGTH**2 * total / groups
    prior = Prior(start.new_zeros(decoder.code_size), torch.eye(decoder.code_size).to(start) * pull)
    codes = minimise(decoder, coordinates, flat, precision, prior, start, iterations).codes
    misfit = flat - decoder(coordinates, codes)
    residual = (precision * misfit.square()).sum() / (total * frames)
    penalty = ridge / CODE_LENGTH**2 * codes.square().sum() / (groups * frames)
    every = group.gather(codes, groups * frames)
    return Projection(residual + penalty, residual, every.unflatten(0, (groups, frames)))
