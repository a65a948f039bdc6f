"""What strategies minimise: misfits to observations seen and to come, and the pull to what simulation taught."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..dynamics import AdaptedODE
from ..model.latent import OceanModel
from .plan import Window, forecast_codes, misfit

BATCH = 8192  # observations a step


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


def seen_misfit(model: OceanModel, windows: list[Window], generator: torch.Generator) -> Callable[[], Tensor]:
    """The mean misfit to a random part of the observations inside the windows, their smoothed codes held."""
    size = model.dynamics.code_size
    codes = [window.seen.along(window.codes(size)) for window in windows]
    ends = torch.tensor([len(part) for part in codes]).cumsum(0)

    def loss() -> Tensor:
        total, count = int(ends[-1]), 0
        chosen = torch.randint(total, (min(BATCH, total),), generator=generator)
        parts = []
        for number, (window, held) in enumerate(zip(windows, codes, strict=True)):
            first = int(ends[number]) - len(held)
            here = chosen[(chosen >= first) & (chosen < int(ends[number]))] - first
            parts.append(misfit(model, window.seen.select(here), held[here]).sum())
            count += len(here)
        return torch.stack(parts).sum() / count

    return loss


def future_misfit(
    model: OceanModel, windows: list[Window], generator: torch.Generator, decoder_moves: bool = False
) -> Callable[[], Tensor]:
    """The mean misfit to observations after a window drawn at random, forecast from its end with gradients."""
    origin = {id(window): _mean_misfit(model, window, decoder_moves).detach() for window in windows}

    def loss() -> Tensor:
        window = windows[int(torch.randint(len(windows), (1,), generator=generator))]
        # Over what it was: windows that nothing can forecast do not speak for all.
        return _mean_misfit(model, window, decoder_moves) / origin[id(window)]

    return loss


def _mean_misfit(model: OceanModel, window: Window, decoder_moves: bool) -> Tensor:
    codes = window.ahead.along(forecast_codes(model, window))
    return misfit(model, window.ahead, codes, decoder_moves).mean()


def residual_size(model: OceanModel, dynamics: AdaptedODE, windows: list[Window]) -> Callable[[], Tensor]:
    """Mean square of a residual at the windows' ends over that of the highest derivative's own change there."""
    states = torch.cat([window.analysis.mean for window in windows])
    context, amplitude = (part.repeat(len(windows), 1) for part in (model.context(), model.amplitude()))
    context = context if context.shape[-1] else None
    with torch.no_grad():
        own = dynamics.base.derivative(states, context, amplitude)[..., -dynamics.code_size :] / dynamics.rates[-1]
        scale = own.square().mean().clamp_min(1e-12)
    return lambda: dynamics.residual(states, context, amplitude).square().mean() / scale
