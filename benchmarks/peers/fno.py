"""The Fourier neural operator (Li et al., ICLR 2021, arXiv 2010.08895) as an autoregressive forecaster.

The network is the one of the package `neuraloperator`, an extra of this project. It maps a frame to the next on the
whole grid, with the decoder's coordinates as further input channels: forcing and rotation are fixed in space.
"""

import importlib

import torch
from torch import Tensor, nn

from .base import Budget, Task, UnsuitableTaskError, one_cycle, set_rates

# Frames unrolled in training once the elapsed share of the budget has come this far: the map is learned first, then
# what becomes of its own errors.
UNROLLED = ((0.0, 1), (0.4, 2), (0.7, 4))


class FourierNeuralOperator:
    """One-step map trained with roll-outs; only for grids whose points are all kept."""

    name = "fno"

    def __init__(
        self, modes: int = 12, width: int = 20, layers: int = 4, learning_rate: float = 6e-3, batch: int = 4
    ) -> None:
        """Twelve modes as Li et al.; width, batch and rate are what short trials on a processor favoured.

        There a batch of 16 costs more than four of 4, and of the rates 1e-3 to 1e-2 this one left the least error.
        """
        self.modes, self.width, self.layers = modes, width, layers
        self.learning_rate, self.batch = learning_rate, batch

    def fit(self, task: Task) -> None:
        """AdamW, one cycle, error of unrolled frames over the change from frame to frame."""
        if not task.is_full:
            raise UnsuitableTaskError("the Fourier neural operator needs every point of the grid; keep 100 %")
        torch.manual_seed(task.seed)
        self.shape = task.shape
        self.place = task.coordinates.T.reshape(1, -1, *task.shape)
        frames = to_grid(task.training, task.shape)
        # The network gives the change from frame to frame, in units of its spread.
        self.change = (frames[:, 1:] - frames[:, :-1]).std(dim=(0, 1, 3, 4)).clamp_min(1e-3)[:, None, None]
        self.network = self._network(frames.shape[2], task)
        budget = Budget(task.seconds)  # from here: importing the package takes seconds and is no training
        optimiser = torch.optim.AdamW([{"params": self.network.parameters(), "peak": self.learning_rate}])
        generator = torch.Generator().manual_seed(task.seed)
        self.steps = 0
        while not budget.is_spent:
            share = budget.share
            set_rates(optimiser, one_cycle(share))
            length = min(max(n for start, n in UNROLLED if share >= start), frames.shape[1] - 1)
            loss = self._loss(frames, length, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimiser.step()
            self.steps += 1
        self.network.eval()

    def _network(self, channels: int, task: Task) -> nn.Module:
        try:
            # Not an import statement: type checkers must pass where the extra is not installed.
            operator = importlib.import_module("neuralop.models").FNO
        except ImportError as error:
            raise UnsuitableTaskError(
                f"the Fourier neural operator needs the package neuraloperator ({error}); "
                "install the extra: pip install -c constraints.txt '.[benchmarks]'"
            ) from error
        inputs = task.coordinates.shape[1]
        # The package counts both signs of a wavenumber; Li et al. count one.
        modes = tuple(min(2 * self.modes, side) for side in task.shape)
        # Latitudes do not go round: room is left beside them, as Li et al. do where a direction is not periodic.
        padding = None if inputs == 4 else [0.125, 0.0]
        return operator(
            n_modes=modes,
            in_channels=channels + inputs,
            out_channels=channels,
            hidden_channels=self.width,
            n_layers=self.layers,
            positional_embedding=None,
            domain_padding=padding,
        )

    def _step(self, frame: Tensor) -> Tensor:
        """The next frames (sample, channel, row, column)."""
        inputs = torch.cat([frame, self.place.expand(len(frame), -1, -1, -1)], 1)
        return frame + self.change * self.network(inputs)

    def _loss(self, frames: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """Root-mean-square error of each of `length` frames after random starts, over the change from frame to frame.

        The mean of roots, not of squares, as in the relative error of Li et al.: no sample outweighs the others.
        """
        count = max(1, self.batch // length)
        sequence = torch.randint(len(frames), (count,), generator=generator)
        start = torch.randint(frames.shape[1] - length, (count,), generator=generator)
        frame, losses = frames[sequence, start], []
        for lead in range(1, length + 1):
            frame, wanted = self._step(frame), frames[sequence, start + lead]
            missed = ((frame - wanted) / self.change).square().mean(dim=(1, 2, 3))
            losses.append(missed.clamp_min(1e-12).sqrt().mean())
        return torch.stack(losses).mean()

    def forecast(self, first: Tensor, frames: int) -> Tensor:
        """Whole-grid frames (sequence, frame, point, channel), a few sequences at a time as in training."""
        return torch.cat([self._forecast(part, frames) for part in first.split(self.batch)])

    @torch.no_grad()
    def _forecast(self, first: Tensor, frames: int) -> Tensor:
        made = [to_grid(first.unsqueeze(1), self.shape)[:, 0]]
        for _ in range(frames - 1):
            made.append(self._step(made[-1]))
        return torch.stack(made, 1).flatten(3).movedim(2, 3)


def to_grid(values: Tensor, shape: tuple[int, int]) -> Tensor:
    """(sequence, frame, point, channel) to (sequence, frame, channel, row, column)."""
    return values.movedim(3, 2).unflatten(3, shape).contiguous()
