"""CoDA's recipe (Kirchmeyer et al., ICML 2022, arXiv 2202.01889): a context of two numbers, all of it by gradients.

A hypernetwork gives the weights of the vector field, linear in the context; training descends on the network and on
the context of every environment, adaptation on the context alone, from zero. Penalties on contexts and directions are
those of CoDA-l2. The field is integrated by RK4 of torchdiffeq, one step between the frames that are compared.

Kinder than the publication where minutes count: roll-outs grow from one frame to `longest` instead of scheduled
sampling, rates follow one cycle, and the weights with the least error on validation trajectories are kept.
"""

import copy
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torchdiffeq import odeint

from ..base import one_cycle, set_rates
from .base import Arrays, CoreBudget, Scale, places
from .fields import ContextField

CONTEXT_PENALTY, DIRECTION_PENALTY = 1e-4, 1e-6
CHECKS = 12  # of the validation error, evenly over the second half of the budget


@dataclass(frozen=True)
class CodaSettings:
    """Sizes and rates; `stride` frames lie between two that are compared, `environments` are in a batch.

    Validation forecasts `horizon` frames from frame `start`.
    """

    seconds: float = 600.0
    context: int = 2
    hidden: int = 64
    kernel: int = 3
    rate: float = 3e-3
    longest: int = 19
    stride: int = 1
    environments: int = 16
    samples: int = 4
    adaptation_rate: float = 2e-2
    adaptation_steps: int = 400
    horizon: int = 19
    start: int = 0
    seed: int = 0


class Coda:
    """Context-informed dynamics by gradients."""

    name = "coda_gradients"
    told = "nothing"

    def __init__(self, settings: CodaSettings) -> None:
        self.settings = settings

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """Adam on network and contexts until the budget is spent."""
        settings, arrays = self.settings, Arrays.of(train)
        torch.manual_seed(settings.seed)
        self.scale, self.interval = Scale.of(arrays.values), arrays.interval
        values = self.scale.forward(arrays.by_environment())
        held = Arrays.of(validation)
        held_values = self.scale.forward(held.by_environment())
        budget = CoreBudget(settings.seconds)
        dimensions = values.ndim - 4
        self.field = ContextField(
            values.shape[3], dimensions, settings.context, settings.hidden, kernel=settings.kernel
        )
        contexts = torch.zeros(len(values), settings.context, requires_grad=True)
        parameters = [*self.field.parameters(), contexts]
        optimiser = torch.optim.Adam([{"params": parameters, "peak": settings.rate}])
        generator = torch.Generator().manual_seed(settings.seed)
        best, self.least, check, self.steps = None, float("inf"), 0, 0
        while not budget.is_spent:
            share = budget.share
            set_rates(optimiser, one_cycle(share))
            loss = self._loss(values, contexts, share, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            self.steps += 1
            if share >= 0.5 + check / (2 * CHECKS):
                check += 1
                error = self._error(held_values, contexts.detach())
                if error < self.least:
                    best, self.least = copy.deepcopy(self.field.state_dict()), error
        if best is not None:
            self.field.load_state_dict(best)
        self.field.requires_grad_(False)

    def _loss(self, values: Tensor, contexts: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Mean square error of roll-outs, whose length doubles until `longest`, over the change between frames."""
        settings = self.settings
        possible = (values.shape[2] - 1) // settings.stride
        length = min(settings.longest, possible, int(2 ** (share / 0.6 * np.log2(settings.longest + 1))))
        length = max(1, length)
        chosen = torch.randperm(len(values), generator=generator)[: settings.environments]
        sample = torch.randint(values.shape[1], (len(chosen), settings.samples), generator=generator)
        latest = values.shape[2] - length * settings.stride
        start = torch.randint(latest, (len(chosen), settings.samples), generator=generator)
        frames = torch.arange(length + 1) * settings.stride
        wanted = values[chosen[:, None, None], sample[..., None], start[..., None] + frames].movedim(2, 0)
        error = (self._roll(contexts[chosen], wanted[0], length, settings.stride) - wanted[1:]).square().mean()
        penalty = CONTEXT_PENALTY * contexts.square().sum(1).mean()
        return error + penalty + DIRECTION_PENALTY * self.field.size_of_directions()

    def _roll(self, contexts: Tensor, states: Tensor, steps: int, stride: int = 1) -> Tensor:
        """(step, environment, sample, channel, ...) after states (environment, sample, channel, ...)."""
        weights = self.field.weights(contexts)
        times = torch.arange(steps + 1) * float(stride)  # time runs in frames
        field = lambda _, state: self.field.change(weights, state)  # noqa: E731
        return cast(Tensor, odeint(field, states, times, method="rk4"))[1:]

    @torch.no_grad()
    def _error(self, values: Tensor, contexts: Tensor) -> float:
        """Root of the mean square error of forecasts over the validation horizon."""
        start = self.settings.start
        wanted = values[:, :, start : start + self.settings.horizon + 1]
        made = self._roll(contexts, wanted[:, :, 0], wanted.shape[2] - 1).movedim(0, 2)
        error = float((made - wanted[:, :, 1:]).square().mean().sqrt())
        return error if np.isfinite(error) else float("inf")

    def adapt(self, prompt: xr.Dataset) -> None:
        """Adam on the contexts of all environments of the prompt, from zero; the best seen are kept."""
        settings, arrays = self.settings, Arrays.of(prompt)
        values = self.scale.forward(arrays.by_environment())[:, :, :: settings.stride]
        self.numbers = arrays.numbers
        contexts = torch.zeros(len(values), settings.context, requires_grad=True)
        optimiser = torch.optim.Adam([contexts], settings.adaptation_rate)
        self.contexts, least = contexts.detach().clone(), torch.full((len(values),), float("inf"))
        for step in range(settings.adaptation_steps):
            for group in optimiser.param_groups:
                group["lr"] = settings.adaptation_rate * one_cycle(step / settings.adaptation_steps)
            made = self._roll(contexts, values[:, :, 0], values.shape[2] - 1, settings.stride)
            error = (made.movedim(0, 2) - values[:, :, 1:]).square().flatten(1).mean(1)
            better = error.detach() < least
            self.contexts[better], least[better] = contexts.detach()[better], error.detach()[better]
            optimiser.zero_grad(set_to_none=True)
            error.sum().backward()
            optimiser.step()

    @torch.no_grad()
    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`; RK4 with one step a frame."""
        arrays = Arrays.of(initial)
        place = places(self.numbers, initial["environment"].values)
        steps = np.rint((times - arrays.times[-1]) / self.interval).astype(int)
        states = self.scale.forward(arrays.values[:, -1])
        made = []
        for number in range(len(self.numbers)):
            mine = states[place == number]
            if len(mine):
                made.append(self._roll(self.contexts[number : number + 1], mine[None], int(steps.max()))[steps - 1, 0])
        result = np.empty((len(states), len(steps), *states.shape[1:]))
        for number, part in zip(np.unique(place), made, strict=True):
            result[place == number] = self.scale.back(part.movedim(0, 1))
        return result
