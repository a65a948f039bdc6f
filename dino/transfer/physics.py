"""A physical term with a learned, penalised residual (APHYNITY): advection by a uniform drift and what it leaves.

Yin et al. 2021, arXiv 2010.04456: incomplete physics is completed by a network that is as small as the misfit allows.
The observed ocean drifts otherwise than the simulated one, as mean currents and the beta effect have it; the velocity
[km/day] is fitted, and the penalty of the residual falls from round to round, so that physics explains first what it
can.
"""

import torch

from .base import Analyse, Report, Task, Transferred, descend, improve
from .extension import extend, retract
from .losses import future_misfit, residual_size


def add_drift(task: Task, report: Report) -> Transferred:
    """Give the dynamics a drift and a penalised residual network; see `Strategy`."""
    model, settings = task.model, task.settings
    generator = torch.Generator().manual_seed(task.config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(task.config.seed)
        dynamics = extend(model, settings.hidden, drifts=True)
    turn = iter(range(1, settings.rounds + 1))

    def adapt(analyse: Analyse) -> None:
        windows = analyse()
        future = future_misfit(model, windows, generator)
        size, penalty = residual_size(model, dynamics, windows), settings.pull / next(turn)
        weights = [dynamics.drift, *dynamics.network.parameters()]
        descend(model, weights, lambda: future() + penalty * size(), settings.steps, settings.learning_rate)

    result = improve(task, adapt, report)
    if not result.gained:
        retract(model)
    return result
