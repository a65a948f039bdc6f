"""The population of states that sparse observations of an ocean speak of: its size and its shape.

What a window assumes before it has seen anything is the population N(0, S) of codes at its start. With the smoothed
codes N(m, P) there, in coordinates in which S is the identity:

size: s = sum m' m / sum (n - tr P), the update of MacKay (1992, Neural Computation 4, 415-447) for the evidence: the
size of the mean over the number of directions that observations have settled.

shape: W = (nu I + sum m m' + P) / (nu + N), a step of expectation-maximisation for S with an inverse-Wishart prior
about what was learned in simulation, as strong as nu states of the ocean. Directions that no observation settles keep
their share, whatever nu is, so that few observations change little.

At the end of a window the model's own error is in P too, and with unstable dynamics it is larger than the population.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model import LatentModel
from ..numerics.gaussian import cholesky
from .plan import Episode

LIMIT = 10.0  # of one update of the size: a factor from few observations may be far off, the next round corrects it
SETTLED = 0.05  # share of the directions of a state below which observations say nothing of its size
PRIOR_STATES = 1.0  # nu over the size of the code


@torch.no_grad()
def energy_ratio(model: LatentModel, episodes: Sequence[Episode]) -> float:
    """The update of s over all windows and charts; within 1 / LIMIT .. LIMIT, and 1 where nothing is settled."""
    means, covariances, _ = _whitened(model, episodes)
    size = means.shape[-1]
    known = size - covariances.diagonal(dim1=-2, dim2=-1).sum(-1)
    # A chart without observations has its prior left: it would add nothing but rounding.
    counted = known > SETTLED * size
    found, settled = float(means.square().sum(-1)[counted].sum()), float(known[counted].sum())
    return min(max(found / settled, 1 / LIMIT), LIMIT) if settled and found else 1.0


@torch.no_grad()
def reshape_population(model: LatentModel, episodes: Sequence[Episode]) -> None:
    """Give codes the covariance of the update of S, and tendencies the same change of shape, in place."""
    means, covariances, factor = _whitened(model, episodes)
    size, prior = means.shape[-1], PRIOR_STATES * means.shape[-1]
    states = means.shape[1] * _windows_apart(episodes)
    moments = (torch.einsum("wci,wcj->ij", means, means) + covariances.sum((0, 1))) / means[..., 0].numel()
    identity = torch.eye(size, dtype=means.dtype, device=means.device)
    values, vectors = torch.linalg.eigh((prior * identity + states * moments) / (prior + states))
    # Of all roots of W the symmetric one turns tendencies least.
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    change = factor @ torch.linalg.solve_triangular(factor, root, upper=False, left=False)
    order = len(model.state_covariance) // size
    both = torch.block_diag(*[change] * order)
    model.state_covariance.copy_(both @ model.state_covariance.double() @ both.T)
    model.code_variance.copy_((change @ torch.diag(model.code_variance.double()) @ change.T).diagonal())


def _whitened(model: LatentModel, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor, Tensor]:
    """Means (window, chart, code) and covariances of codes at windows' starts, and the factor that whitens them."""
    size = model.dynamics.code_size
    factor = cholesky(model.state_covariance[:size, :size].double())
    starts = [episode.start(size) for episode in episodes]
    means = torch.stack([start.mean for start in starts]).double()
    covariances = torch.stack([start.covariance for start in starts]).double()
    half = torch.linalg.solve_triangular(factor, covariances, upper=False)
    white = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    return torch.linalg.solve_triangular(factor, means.mT, upper=False).mT, white, factor


def _windows_apart(episodes: Sequence[Episode]) -> float:
    """How many windows that do not overlap would cover the same time: the number of independent states of a chart."""
    analyses = [episode.analysis for episode in episodes]
    starts = [analysis.earliest for analysis in analyses]
    longest = max(analysis.time - start for analysis, start in zip(analyses, starts, strict=True))
    return 1.0 + (max(starts) - min(starts)) / longest if longest > 0 else 1.0
