"""The Fourier neural operator on a periodic line or plane, from a prompt of frames or from one frame and parameters.

The network is the one of the package `neuraloperator`. It maps the last `history` frames to the change from the last
of them to each of the next `bundle` frames; longer forecasts go block by block. With a history of one frame it cannot
know the environment, so it is given the parameters as constant channels. It does not adapt.
"""

import copy
import importlib
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ..base import UnsuitableTaskError, one_cycle, set_rates
from .base import Arrays, CoreBudget, Scale
from .coda import CHECKS

UNROLLED_FROM = 0.5  # share of the budget after which two blocks are unrolled


@dataclass(frozen=True)
class FnoSettings:
    """Sizes and rates; validation forecasts `horizon` frames after the first `history`."""

    seconds: float = 600.0
    history: int = 16
    bundle: int = 20
    modes: int = 24
    width: int = 32
    layers: int = 4
    rate: float = 3e-3
    batch: int = 16
    horizon: int = 100
    seed: int = 0


class FourierForecaster:
    """Blocks of frames from blocks of frames."""

    name = "fno"

    def __init__(self, settings: FnoSettings) -> None:
        self.settings = settings
        self.told = "parameters" if settings.history == 1 else "nothing"

    def fit(self, train: xr.Dataset, validation: xr.Dataset) -> None:
        """AdamW with one cycle until the budget is spent; the weights of the least validation error are kept."""
        settings, arrays = self.settings, Arrays.of(train)
        if arrays.values.ndim < 4:
            raise UnsuitableTaskError("the Fourier neural operator needs fields; this system has no space")
        torch.manual_seed(settings.seed)
        self.interval, self.scale = arrays.interval, Scale.of(arrays.values)
        self.middle, self.width = arrays.parameters.mean(0), np.maximum(arrays.parameters.std(0), 1e-12)
        values, told = self.scale.forward(arrays.values), self._told(arrays)
        held = Arrays.of(validation)
        held_values, held_told = self.scale.forward(held.values), self._told(held)
        self.change = self._changes(values)
        self.network = self._network(values.shape[2], told.shape[1], values.shape[3:])
        budget = CoreBudget(settings.seconds)  # from here: importing the package takes seconds and is no training
        optimiser = torch.optim.AdamW([{"params": self.network.parameters(), "peak": settings.rate}])
        generator = torch.Generator().manual_seed(settings.seed)
        best, self.least, check, self.steps = None, float("inf"), 0, 0
        while not budget.is_spent:
            share = budget.share
            set_rates(optimiser, one_cycle(share))
            loss = self._loss(values, told, 1 if share < UNROLLED_FROM else 2, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimiser.step()
            self.steps += 1
            if share >= 0.5 + check / (2 * CHECKS):
                check += 1
                error = self._error(held_values, held_told)
                if error < self.least:
                    best, self.least = copy.deepcopy(self.network.state_dict()), error
        if best is not None:
            self.network.load_state_dict(best)
        self.network.eval()

    def _told(self, arrays: Arrays) -> Tensor:
        """Scaled parameters (trajectory, parameter), none where the history tells the environment."""
        if self.settings.history > 1:
            return torch.zeros(len(arrays.values), 0)
        return torch.as_tensor((arrays.parameters - self.middle) / self.width).float()

    def _changes(self, values: Tensor) -> Tensor:
        """The spread (bundle, channel, 1, ...) of the change to each frame of a block."""
        spreads = []
        for lead in range(1, self.settings.bundle + 1):
            change = values[:, lead:] - values[:, :-lead]
            spreads.append(change.std(dim=(0, 1, *range(3, values.ndim)), keepdim=True)[0, 0])
        return torch.stack(spreads).clamp_min(1e-4)

    def _network(self, channels: int, told: int, space: tuple[int, ...]) -> nn.Module:
        try:
            # Not an import statement: type checkers must pass where the extra is not installed.
            operator = importlib.import_module("neuralop.models").FNO
        except ImportError as error:
            raise UnsuitableTaskError(
                f"the Fourier neural operator needs the package neuraloperator ({error}); "
                "install the extra: pip install -c constraints.txt '.[benchmarks]'"
            ) from error
        settings = self.settings
        return operator(
            # The package counts both signs of a wavenumber; Li et al. count one.
            n_modes=tuple(min(2 * settings.modes, side) for side in space),
            in_channels=settings.history * channels + told,
            out_channels=settings.bundle * channels,
            hidden_channels=settings.width,
            n_layers=settings.layers,
            positional_embedding=None,
        )

    def _block(self, frames: Tensor, told: Tensor) -> Tensor:
        """The next block (sample, bundle, channel, ...) after frames (sample, history, channel, ...)."""
        constant = told.reshape(*told.shape, *[1] * (frames.ndim - 3)).expand(-1, -1, *frames.shape[3:])
        made = self.network(torch.cat([frames.flatten(1, 2), constant], 1))
        return frames[:, -1:] + self.change * made.unflatten(1, self.change.shape[:2])

    def _roll(self, frames: Tensor, told: Tensor, count: int) -> Tensor:
        """`count` frames (sample, count, channel, ...) after the history."""
        history, made = self.settings.history, 0
        while made < count:
            frames = torch.cat([frames, self._block(frames[:, -history:], told)], 1)
            made += self.settings.bundle
        return frames[:, history : history + count]

    def _loss(self, values: Tensor, told: Tensor, blocks: int, generator: torch.Generator) -> Tensor:
        """Root-mean-square error of one or two blocks over the change, a mean over random windows."""
        settings = self.settings
        count = min(blocks * settings.bundle, values.shape[1] - settings.history)
        length = settings.history + count
        chosen = torch.randint(len(values), (max(1, settings.batch // blocks),), generator=generator)
        start = torch.randint(values.shape[1] - length + 1, (len(chosen),), generator=generator)
        window = values[chosen[:, None], start[:, None] + torch.arange(length)]
        made = self._roll(window[:, : settings.history], told[chosen], count)
        change = self.change[torch.arange(count) % settings.bundle]
        missed = ((made - window[:, settings.history :]) / change).square().flatten(1).mean(1)
        return missed.clamp_min(1e-12).sqrt().mean()

    @torch.no_grad()
    def _error(self, values: Tensor, told: Tensor) -> float:
        """Mean relative error of forecasts over the validation horizon."""
        history = self.settings.history
        wanted = values[:, history : history + self.settings.horizon]
        made = self._roll(values[:, :history], told, wanted.shape[1])
        error = float(((made - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)).mean())
        return error if np.isfinite(error) else float("inf")

    def adapt(self, prompt: xr.Dataset) -> None:
        """Keep the prompt: its last frames are the input where the history is longer than one."""
        self.prompt = Arrays.of(prompt)

    @torch.no_grad()
    def forecast(self, initial: xr.Dataset, times: np.ndarray) -> np.ndarray:
        """See `PhysicsPeer`; with a history, `initial` must be the last frames of the prompt's own trajectories."""
        arrays, history = Arrays.of(initial), self.settings.history
        frames = arrays.values
        if history > 1:
            frames = self.prompt.values[:, -history:]
            follows = frames.shape[:1] == arrays.values.shape[:1] and np.array_equal(
                frames[:, -1], arrays.values[:, -1]
            )
            if frames.shape[1] < history or not follows:
                raise UnsuitableTaskError(
                    f"the operator continues the last {history} frames of a prompt; give the frames that lead to "
                    "the initial ones, or a history of 1"
                )
        steps = np.rint((times - arrays.times[-1]) / self.interval).astype(int)
        parts = self.scale.forward(frames).split(64), self._told(arrays).split(64)
        made = [self._roll(part, told, int(steps.max())) for part, told in zip(*parts, strict=True)]
        return self.scale.back(torch.cat(made)[:, steps - 1])
