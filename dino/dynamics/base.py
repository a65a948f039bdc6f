"""What every latent vector field offers to training, inference, forecasting and transfer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

RightHandSide = Callable[[Tensor, Tensor], Tensor]


class Dynamics(nn.Module):
    """d(state)/dt per day for states (..., state) at places with a context (..., context).

    order : of the ODE; code_size, state_size, context_size : lengths; is_linear : whether every mode goes its own way,
    linearly and alike at all places; rates : units of the state's derivatives
    """

    order: int
    code_size: int
    context_size: int
    is_linear: bool
    rates: Tensor

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return self.order * self.code_size

    def codes(self, states: Tensor) -> Tensor:
        """The code part (..., code) of states (..., state)."""
        return states[..., : self.code_size]

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt (..., state)."""
        raise NotImplementedError

    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """d/dt of a bundle (sample, state, 1 + direction): a state and, behind it, tangents, in closed form.

        The first column is `derivative`, the others are its changes along the tangents. Without gradients.
        """
        raise NotImplementedError

    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast."""
        raise NotImplementedError

    def damp(self, rate: float) -> None:
        """Let the state's highest derivative (of order one the code) decay at `rate` per day more than it does."""
        raise NotImplementedError

    def noise(self, daily: Tensor, days: float) -> Tensor:
        """(state, state) error covariance that a state gains in `days`, from that of one day; to first order."""
        return days * daily

    def bind(self, context: Tensor | None = None) -> RightHandSide:
        """The right-hand side f(time, state) of some places, as an integrator wants it."""
        return lambda time, state: self.derivative(state, context)


class Swish(nn.Module):
    """x sigmoid(beta x) with a learned beta, DINo's activation."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * functional.softplus(self.beta)) / 1.1

    def slope(self, x: Tensor) -> Tensor:
        """The derivative at x."""
        scaled = x * functional.softplus(self.beta)
        gate = torch.sigmoid(scaled)
        return gate * (1 + scaled * (1 - gate)) / 1.1


def swish_network(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with a `Swish` between each two."""
    layers: list[nn.Module] = []
    for index in range(len(widths) - 1):
        layers += [nn.Linear(widths[index], widths[index + 1])] + ([Swish()] if index < len(widths) - 2 else [])
    return nn.Sequential(*layers)


def with_context(state: Tensor, context: Tensor | None) -> Tensor:
    """States (..., state) with the context (..., context) of their places behind them."""
    if context is None or not context.shape[-1]:
        return state
    return torch.cat([state, context.expand(*state.shape[:-1], -1)], dim=-1)


def value_and_jacobian(network: nn.Sequential, inputs: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Values (sample, out) of a `swish_network` and their derivatives (sample, out, column) by the first inputs.

    One backward pass through the layers, each a single product over all samples: the operations that reverse-mode
    differentiation would do, without recording them.
    """
    linear, slopes, x = [], [], inputs
    for layer in network:
        if isinstance(layer, Swish):
            slopes.append(layer.slope(x))
        else:
            linear.append(layer)
        x = layer(x)
    jacobian = linear[-1].weight.expand(len(inputs), -1, -1)
    for layer, slope in zip(linear[-2::-1], slopes[::-1], strict=True):
        jacobian = (jacobian * slope.unsqueeze(-2)) @ (
            layer.weight if layer is not linear[0] else layer.weight[:, :columns]
        )
    return x, jacobian if len(linear) > 1 else jacobian[..., :columns]
