"""Vector fields whose weights depend linearly on an environment's context: CoDA's hypernetwork."""

import itertools
import math

import torch
from torch import Tensor, nn


class ContextField(nn.Module):
    """du/dt of scaled states, by a network of `layers` layers with Swish between them.

    All weights are shared + sum_k context_k direction_k. States without space pass through dense layers, those on a
    periodic line or plane through circular convolutions.
    """

    def __init__(
        self, channels: int, dimensions: int, context: int = 2, hidden: int = 64, layers: int = 4, kernel: int = 3
    ) -> None:
        super().__init__()
        self.dimensions, self.kernel = dimensions, kernel
        widths = [channels, *[hidden] * (layers - 1), channels]
        self.shared, self.directions = nn.ParameterList(), nn.ParameterList()
        for inner, outer in itertools.pairwise(widths):
            window = (kernel,) * dimensions
            bound = 1 / math.sqrt(inner * kernel**dimensions)
            for shape in ((outer, inner, *window), (outer,)):
                self.shared.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
                self.directions.append(nn.Parameter(torch.empty(context, *shape).uniform_(-bound, bound) / 10))

    def weights(self, contexts: Tensor) -> list[Tensor]:
        """Every layer's weight and bias (environment, ...) of contexts (environment, context)."""
        return [
            shared + torch.tensordot(contexts, direction, 1)
            for shared, direction in zip(self.shared, self.directions, strict=True)
        ]

    def change(self, weights: list[Tensor], states: Tensor) -> Tensor:
        """du/dt of states (environment, sample, channel, [y,] [x])."""
        for layer in range(0, len(weights), 2):
            if layer:
                states = nn.functional.silu(states)
            states = self._layer(weights[layer], weights[layer + 1], states)
        return states

    def _layer(self, weight: Tensor, bias: Tensor, states: Tensor) -> Tensor:
        if not self.dimensions:
            return torch.baddbmm(bias[:, None], states, weight.mT)
        environments, samples = states.shape[:2]
        space = states.shape[3:]
        # One group of filters for each environment.
        grouped = states.transpose(0, 1).reshape(samples, -1, *space)
        around = [self.kernel // 2] * (2 * self.dimensions)
        convolve = (nn.functional.conv1d, nn.functional.conv2d)[self.dimensions - 1]
        padded = nn.functional.pad(grouped, around, mode="circular")
        made = convolve(padded, weight.flatten(0, 1), bias.flatten(), groups=environments)
        return made.reshape(samples, environments, -1, *space).transpose(0, 1)

    def size_of_directions(self) -> Tensor:
        """The sum of squares of the weights that the context moves."""
        return torch.stack([direction.square().sum() for direction in self.directions]).sum()
