"""Fit the statistics of the latent state to the observed ocean: its population, and how much the model errs in it.

The population of states, the errors that the model gains and what the basis leaves out were measured on the simulated
ocean. An ocean with more energy has all of them larger by its ratio of energies, and one with other eddies has a
population of another shape (`population`). Neither has a step length, and both are exact where the dynamics are linear.

Dynamics that fit the observed ocean less well than the simulated one need more process noise, or the filter trusts old
observations too long. Its factor is searched for by threes, on what followed the analysed windows.
"""

from collections.abc import Sequence

import torch

from ..model import OceanModel
from .base import Analyse, Report, Task, Transferred, improve
from .population import energy_ratio, reshape_population
from .windows import Window, forecast_codes, misfit

ENERGY = ("state_covariance", "code_variance", "process_noise", "unresolved_variance", "lead_error", "unresolved_error")
MODEL_ERROR = ("process_noise", "lead_error", "unresolved_error")
STEP, STEPS = 3.0, 3  # of the search for the size of the model error


def fit_statistics(task: Task, report: Report) -> Transferred:
    """Fit the covariances of the latent state to the observed ocean; see `Strategy`."""
    model, searched = task.model, False

    def adapt(analyse: Analyse) -> None:
        nonlocal searched
        windows = analyse()
        _scale(model, ENERGY, energy_ratio(model, windows))
        if not searched:
            # Of the right size first: the shape is a slow correction to it, one step a round.
            search_model_error(model, analyse)
            windows, searched = analyse(), True
        reshape_population(model, windows)

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
