"""Keep the learned dynamics, fit what is around them: the population, the pace, and how much the model errs.

The population of states, the errors that the model gains and what the basis leaves out were measured on the simulated
ocean. An ocean with more energy has all of them larger by its ratio of energies, and one with other eddies has a
population of another shape (`population`). Neither has a step length, and both are exact where the dynamics are linear.

An ocean that is slower or faster than the simulated one has a factor in front of its dynamics, and its tendencies decay
at another rate (`pace`); dynamics that fit it less well need more process noise, or the filter trusts old observations
too long. These three numbers are searched for on what followed the analysed windows.
"""

from collections.abc import Sequence
from functools import partial

import torch

from data_pipeline.system.progress import Progress

from ..model import LatentModel
from .base import Analyse, Task, Transferred, improve
from .pace import fit_pace, search
from .plan import Episode, forecast_codes, misfit
from .population import energy_ratio, reshape_population

ENERGY = ("state_covariance", "code_variance", "process_noise", "unresolved_variance", "lead_error", "unresolved_error")
MODEL_ERROR = ("process_noise", "lead_error", "unresolved_error")
STEP, STEPS, WORTH = 3.0, 3, 1e-3  # of the search for the size of the model error


def fit_pace_and_energy(task: Task, progress: Progress) -> Transferred:
    """Fit the covariances of the latent state and the pace to the observed ocean; see `Strategy`."""
    model, searched = task.latent, False

    def adapt(analyse: Analyse) -> None:
        nonlocal searched
        episodes = analyse()
        _scale(model, ENERGY, energy_ratio(model, episodes))
        if not searched:
            # Of the right size first: the shape is a slow correction to it, one step a round.
            ahead = lambda: _misfit_ahead(task, analyse())  # noqa: E731
            fit_pace(model, ahead)
            more, less = (partial(_scale, model, MODEL_ERROR, factor) for factor in (STEP, 1 / STEP))
            search(model, [(more, less), (less, more)], ahead, WORTH, STEPS)
            episodes, searched = analyse(), True
        reshape_population(model, episodes)

    return improve(task, adapt, progress)


@torch.no_grad()
def _misfit_ahead(task: Task, episodes: list[Episode]) -> float:
    """Mean squared misfit over variance of all values that follow the windows."""
    decoder, forecaster = task.latent.decoder, task.forecaster
    losses = [
        misfit(decoder, e.ahead, e.ahead.along(forecast_codes(forecaster, e)), decoder_moves=False) for e in episodes
    ]
    return float(torch.cat(losses).double().mean())


@torch.no_grad()
def _scale(model: LatentModel, names: Sequence[str], factor: float) -> None:
    for name in names:
        getattr(model, name).mul_(factor)
