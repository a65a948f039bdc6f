"""An environment's own noise: what its equations leave, as a multiple of what training environments leave."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..dynamics.primitives import Primitives
from ..numerics.gaussian import cholesky
from .family import Family, Posterior
from .transition_equations import ahead
from .transitions import Frames, blocks

LEAST_SCALE = 1e-12
LEAST_CHANGE, MOST_CHANGE = 1e-8, 1e4  # times a typical one, beyond which noise does not follow


@dataclass(frozen=True)
class Left:
    """What coefficients leave of the frames of environments.

    share : (environment,) of the change from frame to frame, the median over transitions; own : (environment,) mean
    square as a multiple of the family's noise; size : (environment,) mean square in the unit of the fields, the median;
    transitions : of each environment
    """

    share: Tensor
    own: Tensor
    size: Tensor
    transitions: int


def grown(family: Family, change: Tensor) -> Tensor:
    """(environment, sample) multiple of a family's noise after changes (environment, sample, block, channel)."""
    if family.change is None or not family.power:
        return torch.ones(change.shape[:2], dtype=torch.float64)
    square = (change.abs().square() * family.primitives.modes.weights[:, None]).sum(-2)
    return (square / family.change).mean(-1).nan_to_num(nan=1.0).clamp(LEAST_CHANGE, MOST_CHANGE) ** family.power


def squares(family: Family, theta: Tensor, frames: Frames) -> tuple[Tensor, Tensor, Tensor]:
    """(environment, sample) mean whitened squares of what coefficients leave, the squares themselves, and those of the
    changes from frame to frame, both summed over channels."""
    weights, made = family.primitives.modes.weights[:, None], []
    values = float((2 if family.noise.is_complex() or frames.states.is_complex() else 1) * family.noise.numel())
    for part in blocks(family.primitives, frames, 1):
        some = frames.part(part)
        left = (some.after - ahead(family, theta[part], some)).abs().square() * weights
        change = some.after - some.before
        white = (left / family.noise).sum((-1, -2)) / values / grown(family, change)
        made.append((white, left.sum((-1, -2)), (change.abs().square() * weights).sum((-1, -2))))
    white, left, change = (torch.cat(each) for each in zip(*made, strict=True))
    return white, left, change


def left_by(family: Family, theta: Tensor, frames: Frames) -> Left:
    """What coefficients (environment, term) leave."""
    white, left, change = squares(family, theta, frames)
    share = (left / change.clamp_min(1e-300)).nan_to_num(nan=torch.inf).median(1).values
    size = left.nan_to_num(nan=torch.inf).median(1).values
    return Left(share, white.nan_to_num(nan=torch.inf).mean(1), size, white.shape[1])


def scale_of(family: Family, own: Tensor, transitions: int) -> Tensor:
    """(environment,) own noise, of mean squares of residuals.

    The mean of a variance under its distribution over environments: where they are alike it is the typical one, where
    they differ by orders of magnitude an environment's own.
    """
    made = (family.freedom * family.typical + transitions * own) / (family.freedom + transitions)
    return made.clamp_min(LEAST_SCALE)


def told(family: Family, posterior: Posterior, left: Left) -> Posterior:
    """A posterior with its environments' own noise instead of the family's."""
    scale = scale_of(family, left.own, left.transitions)
    unit = torch.eye(posterior.factor.shape[-1], dtype=torch.float64)
    information = posterior.factor @ posterior.factor.mT - unit
    sound = torch.where(torch.isfinite(scale), scale, 1.0)
    factor = cholesky(unit + information / sound[:, None, None])
    return replace(posterior, factor=factor, scale=scale, caution=family.caution)


def shell_means(primitives: Primitives, values: Tensor) -> Tensor:
    """Values (block, channel) averaged over waves of about one length."""
    squared = primitives.modes.squared
    if len(values) == 1:
        return values
    shell = (squared.sqrt() / squared[squared > 0].min().sqrt()).round().long()
    count = int(shell.max()) + 1
    number = torch.zeros(count, dtype=torch.float64).index_add_(0, shell, torch.ones(len(shell), dtype=torch.float64))
    total = torch.zeros(count, values.shape[1], dtype=torch.float64).index_add_(0, shell, values)
    return (total / number.clamp_min(1)[:, None])[shell]
