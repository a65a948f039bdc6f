"""Fine-tune the decoder's modulation: the weights through which the code enters, nothing else.

An expectation-maximisation in the manner of variable projection: windows of observations are analysed with the
present weights, which gives every code exactly; then the weights move to fit the observations better with those codes
held, pulled towards their simulated values. What is learned is where and how strongly the modes act, not how they
move.
"""

import torch

from data_pipeline.system.progress import Progress

from .base import Analyse, Task, Transferred, descend, improve
from .losses import Pull, seen_misfit


def adapt_modulation(task: Task, progress: Progress) -> Transferred:
    """Adapt the decoder's modulation; see `Strategy`."""
    model, settings = task.latent, task.settings
    weights, generator = model.decoder.modulation(), torch.Generator().manual_seed(task.seed)
    pull = Pull(weights, settings.pull)

    def adapt(analyse: Analyse) -> None:
        seen = seen_misfit(task, analyse(), generator)
        descend(model, weights, lambda: seen() + pull(), settings.steps, settings.learning_rate)

    return improve(task, adapt, progress)
