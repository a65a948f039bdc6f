"""Fine-tune everything: all weights of decoder and dynamics, pulled towards what simulation taught them."""

import torch

from .base import Analyse, Report, Task, Transferred, descend, improve
from .losses import Pull, future_misfit, seen_misfit


def adapt_everything(task: Task, report: Report) -> Transferred:
    """Adapt decoder and dynamics to what was seen and to what followed; see `Strategy`."""
    model, settings = task.model, task.settings
    weights = [p for part in (model.decoder, model.dynamics) for p in part.parameters() if p.numel()]
    generator = torch.Generator().manual_seed(task.config.seed)
    pull = Pull(weights, settings.pull)

    def adapt(analyse: Analyse) -> None:
        windows = analyse()
        seen = seen_misfit(model, windows, generator)
        future = future_misfit(model, windows, generator, decoder_moves=True)
        # The rate is that of weights that were already trained together: a tenth of the modulation's alone.
        rate = 0.1 * settings.learning_rate
        descend(model, weights, lambda: seen() + future() + pull(), settings.steps, rate)

    return improve(task, adapt, report)
