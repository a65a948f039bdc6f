"""Fit how strong the observed ocean is: one factor for all covariances of the latent state.

The population of states, the errors that the model gains and what the basis leaves out were measured on the simulated
ocean, in its units. An ocean with more energy has them larger by its ratio of energies s. With the analysed states
N(m, P) of windows, s is the fixed point of

    s = sum m' S^-1 m / sum (n - tr S^-1 P),    m, S, P of the codes alone,

the update of MacKay (1992, Neural Computation 4, 415-447) for the evidence: misses of the mean over the number of
directions that observations have settled. Tendencies are left out: some of their directions hardly vary in simulation,
and S^-1 would listen to nothing else. One number needs few observations, so that this is the strategy for the
first days of a new sea.
"""

import torch
from torch import Tensor

from ..inference.gaussian import cholesky
from ..model import OceanModel
from .base import Analyse, Report, Task, Transferred, improve
from .windows import Window

SCALED = ("state_covariance", "code_variance", "process_noise", "unresolved_variance", "lead_error", "unresolved_error")
LIMIT = 10.0  # of a round: a factor from few observations may be far off, the next round corrects it
SETTLED = 0.05  # share of the directions of a state below which observations say nothing of its size


def fit_amplitude(task: Task, report: Report) -> Transferred:
    """Scale the covariances of the latent state to the observed ocean; see `Strategy`."""
    model = task.model

    def adapt(analyse: Analyse) -> None:
        factor = energy_ratio(model, analyse())
        with torch.no_grad():
            for name in SCALED:
                getattr(model, name).mul_(factor)

    return improve(task, adapt, report)


def energy_ratio(model: OceanModel, windows: list[Window]) -> float:
    """The update of s from the states at the ends of windows, over all charts; within 1 / LIMIT .. LIMIT."""
    size, found, settled = model.dynamics.code_size, 0.0, 0.0
    factor = cholesky(model.state_covariance[:size, :size].double())
    for window in windows:
        mean, covariance = window.analysis.mean[:, :size].double(), window.analysis.covariance[:, :size, :size].double()
        white = torch.linalg.solve_triangular(factor, mean.T, upper=False)
        known = size - _trace(factor, covariance)
        # A chart without observations has its prior left: it would add nothing but rounding.
        counted = known > SETTLED * size
        found += float(white.square().sum(0)[counted].sum())
        settled += float(known[counted].sum())
    return float(min(max(found / settled, 1 / LIMIT), LIMIT)) if settled and found else 1.0


def _trace(factor: Tensor, covariance: Tensor) -> Tensor:
    """(chart,) tr(S^-1 P) with the Cholesky factor of S."""
    return torch.cholesky_solve(covariance, factor.expand_as(covariance)).diagonal(dim1=-2, dim2=-1).sum(-1)
