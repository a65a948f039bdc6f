"""A residual of its own for the observed ocean, beside the dynamics that it shares with simulated ones (LEADS).

Yin et al. 2021, arXiv 2106.04546: the dynamics of every environment are a part common to all and a residual as small
as the data allow. The common part was learned in simulation and is kept; the residual is fitted to what followed the
analysed windows.
"""

import torch

from .base import Analyse, Report, Task, Transferred, descend, improve
from .extension import extend, retract
from .losses import future_misfit, residual_size


def add_residual(task: Task, report: Report) -> Transferred:
    """Give the dynamics a penalised residual network; see `Strategy`."""
    model, settings = task.model, task.settings
    generator = torch.Generator().manual_seed(task.config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(task.config.seed)
        dynamics = extend(model, settings.hidden, drifts=False)

    def adapt(analyse: Analyse) -> None:
        windows = analyse()
        future = future_misfit(model, windows, generator)
        size = residual_size(model, dynamics, windows)
        weights = list(dynamics.network.parameters())
        descend(model, weights, lambda: future() + settings.pull * size(), settings.steps, settings.learning_rate)

    result = improve(task, adapt, report)
    if not result.gained:
        retract(model)
    return result
