"""What strategies minimise: misfits to observations to come, and the pull to what simulation taught."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .base import Task
from .plan import Episode, forecast_codes, misfit


class Pull:
    """How far weights have moved from where they were, in units of their own spread, squared and averaged."""

    def __init__(self, weights: Sequence[Tensor], strength: float) -> None:
        self.weights, self.strength = list(weights), strength
        self.origin = [w.detach().clone() for w in weights]
        self.spread = [w.square().mean().sqrt().clamp_min(1e-6) for w in self.origin]

    def __call__(self) -> Tensor:
        """The penalty, a scalar."""
        parts = [
            ((weight - origin) / spread).square().mean()
            for weight, origin, spread in zip(self.weights, self.origin, self.spread, strict=True)
        ]
        return self.strength * torch.stack(parts).sum()


def future_misfit(task: Task, episodes: list[Episode], generator: torch.Generator) -> Callable[[], Tensor]:
    """The mean misfit to observations after a window drawn at random, forecast from its end with gradients."""

    def mean(episode: Episode) -> Tensor:
        codes = episode.ahead.along(forecast_codes(task.forecaster, episode))
        return misfit(task.latent.decoder, episode.ahead, codes, decoder_moves=False).mean()

    origin = [mean(episode).detach() for episode in episodes]

    def loss() -> Tensor:
        number = int(torch.randint(len(episodes), (1,), generator=generator))
        # Over what it was: windows that nothing can forecast do not speak for all.
        return mean(episodes[number]) / origin[number]

    return loss
