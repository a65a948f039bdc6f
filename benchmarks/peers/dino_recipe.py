"""DINo as published (Yin et al., ICLR 2023, arXiv 2209.14855, and the settings of its released configuration).

The decoder is run as a network, every training frame has a learned code, and Adam descends on both. What follows the
publication: code 100, hidden 64, three layers; minibatches of 32 sequences; Adam at 1e-2 for the decoder and 1e-3 for
the dynamics, an MLP of four layers with Swish on one code a channel; RK4 with one step a frame; teacher forcing whose
probability decays exponentially; at test codes from zero by 300 steps of Adam at 1e-2, the best seen kept.

It was made for 120,000 epochs; what is kinder to it where minutes count: codes descend at 1e-2 (published: 1e-3, with
which they hardly leave zero), decoder and dynamics step after every minibatch (published: once an epoch), rates are
annealed at the end, coordinates are periodic, and all frames share one evaluation of the filters.
"""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dino.dynamics import integrate
from dino.dynamics.base import Swish
from dino.space.decoders import FourierDecoder

from .base import Budget, Task, set_rates

DECODER_RATE, CODE_RATE, DYNAMICS_RATE, ADAPTATION_RATE = 1e-2, 1e-2, 1e-3, 1e-2
FORCING_ENDS = 0.5  # elapsed share at which teacher forcing has decayed to FORCING_END
FORCING_START, FORCING_END = 0.99, 1e-3
FRAMES_AT_ONCE = 10  # of a minibatch: gradients add up to the same, twice as fast as 40 in the processor's cache


class DinoRecipe:
    """Auto-decoding and latent dynamics by descent."""

    name = "dino_recipe"

    def __init__(
        self,
        code: int = 100,
        hidden: int = 64,
        layers: int = 3,
        dynamics_hidden: int = 512,
        batch: int = 32,
        adaptation_steps: int = 300,
        code_rate: float = CODE_RATE,
        step_each_epoch: bool = False,
    ) -> None:
        """`step_each_epoch` holds decoder and dynamics still within an epoch, as the publication does."""
        self.code, self.hidden, self.layers, self.dynamics_hidden = code, hidden, layers, dynamics_hidden
        self.batch, self.adaptation_steps = batch, adaptation_steps
        self.code_rate, self.step_each_epoch = code_rate, step_each_epoch

    def fit(self, task: Task) -> None:
        """Descend until the time is spent."""
        budget = Budget(task.seconds)
        torch.manual_seed(task.seed)
        self.task = task
        channels = task.training.shape[-1]
        # One channel decoded at a time, each from its own code, by one network.
        self.decoder = FourierDecoder(task.coordinates.shape[1], self.code, 1, self.hidden, self.layers)
        self.dynamics = dynamics_network(channels * self.code, self.dynamics_hidden)
        frames = task.training.shape[1]
        codes = [nn.Parameter(torch.zeros(frames, channels, self.code)) for _ in task.training]
        shared = torch.optim.Adam(
            [
                {"params": self.decoder.parameters(), "peak": DECODER_RATE},
                {"params": self.dynamics.parameters(), "peak": DYNAMICS_RATE},
            ]
        )
        own = torch.optim.Adam([{"params": codes, "peak": self.code_rate}])
        self.minibatches = 0
        values, points = task.seen, task.coordinates[task.kept]
        for batch, ends_epoch in minibatches(len(codes), self.batch):
            if budget.is_spent:
                break
            share = budget.share
            for optimiser in (shared, own):
                set_rates(optimiser, annealed(share))
            own.zero_grad(set_to_none=True)
            chosen = [codes[i] for i in batch.tolist()]
            self._descend(chosen, values[batch], points)
            self._descend_dynamics(torch.stack([code.detach() for code in chosen]), forcing(share))
            own.step()
            if ends_epoch or not self.step_each_epoch:
                shared.step()
                shared.zero_grad(set_to_none=True)
            self.minibatches += 1

    def _descend(self, codes: list[nn.Parameter], values: Tensor, points: Tensor) -> None:
        """Gradients of the reconstruction error of values (sequence, frame, kept point, channel)."""
        frames = values.shape[1]
        size = max(1, FRAMES_AT_ONCE // frames)
        for start in range(0, len(codes), size):
            part = torch.stack([*codes[start : start + size]])
            error = (self._decode(points, part) - values[start : start + size]).square().sum()
            (error / values.numel()).backward()

    def _descend_dynamics(self, codes: Tensor, probability: float) -> None:
        """Gradients of the error of codes (sequence, frame, channel, code) forecast with teacher forcing.

        At every frame but the first and last the forecast starts anew from the learned code with this probability.
        """
        codes = codes.flatten(2)
        state, error = codes[:, 0], codes.new_zeros(())
        for frame in range(1, codes.shape[1]):
            state = self._advance(state, 2)[:, 1]
            error = error + (state - codes[:, frame]).square().mean()
            if torch.rand(()) < probability:
                state = codes[:, frame]
        (error / codes.shape[1]).backward()

    def _decode(self, points: Tensor, codes: Tensor) -> Tensor:
        """Values (..., point, channel) of codes (..., channel, code)."""
        return self.decoder(points, codes).squeeze(-1).movedim(-2, -1)

    def _advance(self, codes: Tensor, frames: int) -> Tensor:
        """Flat codes (sequence, frame, channel * code) from first ones; a frame is a unit of time."""
        times = torch.arange(float(frames))
        return integrate(lambda time, state: self.dynamics(state), codes, times, "rk4", 1.0).movedim(0, 1)

    def adapt(self, first: Tensor) -> Tensor:
        """Codes (sequence, channel, code) of first frames (sequence, kept point, channel), by Adam from zero."""
        points = self.task.coordinates[self.task.kept]
        self.decoder.requires_grad_(False)
        codes = torch.zeros(len(first), first.shape[-1], self.code, requires_grad=True)
        optimiser = torch.optim.Adam([codes], ADAPTATION_RATE)
        best, lowest = codes.detach().clone(), float("inf")
        for _ in range(self.adaptation_steps):
            optimiser.zero_grad(set_to_none=True)
            loss = 0.0
            for part, wanted in zip(codes.split(FRAMES_AT_ONCE), first.split(FRAMES_AT_ONCE), strict=True):
                error = (self._decode(points, part) - wanted).square().sum() / first.numel()
                error.backward()
                loss += float(error.detach())
            if loss < lowest:
                best, lowest = codes.detach().clone(), loss
            optimiser.step()
        return best

    def forecast(self, first: Tensor, frames: int) -> Tensor:
        """Whole-grid frames (sequence, frame, point, channel)."""
        codes = self.adapt(first)
        with torch.no_grad():
            made = self._advance(codes.flatten(1), frames).unflatten(-1, codes.shape[1:])
            return torch.stack([self._decode(self.task.coordinates, sequence) for sequence in made])


def dynamics_network(size: int, hidden: int) -> nn.Sequential:
    """Four linear layers with Swish between them."""
    widths = [size, hidden, hidden, hidden, size]
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise(widths):
        layers += [nn.Linear(inner, outer), Swish()]
    return nn.Sequential(*layers[:-1])


def minibatches(sequences: int, size: int) -> Iterator[tuple[Tensor, bool]]:
    """Sequences in random order, epoch after epoch without end, and whether a batch is the last of its epoch."""
    while True:
        batches = torch.randperm(sequences).split(size)
        for index, batch in enumerate(batches):
            yield batch, index == len(batches) - 1


def annealed(share: float, constant: float = 0.6) -> float:
    """Rates as published for most of the budget, then a cosine to nothing."""
    if share < constant:
        return 1.0
    return (1.0 + math.cos(math.pi * (share - constant) / (1.0 - constant))) / 2 + 1e-5


def forcing(share: float) -> float:
    """The probability of teacher forcing: an exponential decay in the elapsed share, then none."""
    if share >= FORCING_ENDS:
        return 0.0
    return FORCING_START * (FORCING_END / FORCING_START) ** (share / FORCING_ENDS)
