"""Fit two numbers to the observed ocean: how strong it is, and how much the model errs in it.

The population of states, the errors that the model gains and what the basis leaves out were measured on the simulated
ocean. An ocean with more energy has all of them larger by its ratio of energies s. With the analysed codes N(m, P) of
windows and their population N(0, S), s is the fixed point of

    s = sum m' S^-1 m / sum (n - tr S^-1 P),

the update of MacKay (1992, Neural Computation 4, 415-447) for the evidence: the size of the mean over the number of
directions that observations have settled. Tendencies are left out: some of their directions hardly vary in simulation,
and S^-1 would listen to nothing else.

Dynamics that fit the observed ocean less well than the simulated one need more process noise, or the filter trusts old
observations too long. Its factor is searched for by threes, on what followed the analysed windows. Two numbers need few
observations, so that this is the strategy for the first days of a new sea.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..inference.gaussian import cholesky
from ..model import OceanModel
from .base import Analyse, Report, Task, Transferred, improve
from .windows import Window, forecast_codes, misfit

ENERGY = ("state_covariance", "code_variance", "process_noise", "unresolved_variance", "lead_error", "unresolved_error")
MODEL_ERROR = ("process_noise", "lead_error", "unresolved_error")
STEP, STEPS = 3.0, 3  # of the search for the size of the model error
LIMIT = 10.0  # of a round: a factor from few observations may be far off, the next round corrects it
SETTLED = 0.05  # share of the directions of a state below which observations say nothing of its size


def fit_statistics(task: Task, report: Report) -> Transferred:
    """Scale the covariances of the latent state to the observed ocean; see `Strategy`."""
    model = task.model

    def adapt(analyse: Analyse) -> None:
        _scale(model, ENERGY, energy_ratio(model, analyse()))
        search_model_error(model, analyse)

    return improve(task, adapt, report)


def search_model_error(model: OceanModel, analyse: Analyse) -> None:
    """Raise the model error by threes while forecasts from the windows get better, or else lower it, in place."""
    best = _misfit_ahead(model, analyse())
    for step in (STEP, 1 / STEP):
        for number in range(STEPS):
            _scale(model, MODEL_ERROR, step)
            found = _misfit_ahead(model, analyse())
            if found >= best:
                _scale(model, MODEL_ERROR, 1 / step)
                break
            best = found
            if number == STEPS - 1:
                return
        if number:
            return


@torch.no_grad()
def _misfit_ahead(model: OceanModel, windows: list[Window]) -> float:
    """Mean squared misfit over variance of all points that follow the windows."""
    losses = [misfit(model, w.ahead, w.ahead.along(forecast_codes(model, w)), decoder_moves=False) for w in windows]
    return float(torch.cat(losses).double().mean())


@torch.no_grad()
def _scale(model: OceanModel, names: Sequence[str], factor: float) -> None:
    for name in names:
        getattr(model, name).mul_(factor)


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
