"""The latent vector field: an ODE of order one or more in the code.

Order one is DINo's: d a/dt = f(a). Sea level alone does not determine its own future (Ayed et al. 2020), so that on
real altimetry the state holds the code and its tendency; higher orders are written in companion form,

    d a/dt = s_1,  d s_1/dt = s_2,  ...,  d s_{n-1}/dt = f(a, s_1, ..., s_{n-1}, context),

every s_j in units of its own spread so that all parts of the state are of order one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def mode_bands(code_size: int) -> Tensor:
    """(band, code) hat functions of log2 of the mode's rank, with nodes at ranks 1, 4, 16, 64, ...

    Principal modes are ordered from large to small scales. Linear coefficients that vary smoothly with rank are a few
    numbers that a month of maps can determine; one number a mode is not, and overfits.
    """
    rank = torch.log2(torch.arange(1, code_size + 1, dtype=torch.float64)) / 2
    bands = int(torch.ceil(rank[-1]).item()) + 1
    return (1 - (rank - torch.arange(bands, dtype=torch.float64)[:, None]).abs()).clamp_min(0).float()


class Swish(nn.Module):
    """x sigmoid(beta x) with a learned beta, DINo's activation."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * functional.softplus(self.beta)) / 1.1


class LatentODE(nn.Module):
    """d(state)/dt for states (..., order * code), time in days.

    The highest derivative is a diagonal linear part (coefficients smooth in the mode's rank) plus `amplitude` times an
    MLP of state and context: what advects grows with the size of the anomalies. From order two on the linear part acts
    on the derivatives alone: a pull of the code itself towards the training mean does not outlive the training period.

    Parameters
    ----------
    code_size, order, context_size : sizes of the state and of the context
    hidden, depth : width and number of linear layers of the MLP (depth 0: linear dynamics only)
    scaled_push : whether the amplitude multiplies the MLP
    rates : spread of s_j / spread of s_{j-1} per day, one for every order: sets the units of the state
    """

    rates: Tensor
    bands: Tensor

    def __init__(
        self,
        code_size: int,
        order: int = 1,
        context_size: int = 0,
        hidden: int = 512,
        depth: int = 4,
        rates: list[float] | None = None,
        scaled_push: bool = True,
    ) -> None:
        super().__init__()
        self.code_size, self.order, self.context_size, self.scaled_push = code_size, order, context_size, scaled_push
        self.hidden, self.depth = hidden, depth
        self.register_buffer("rates", torch.tensor(rates or [1.0] * order, dtype=torch.float32))
        self.register_buffer("bands", mode_bands(code_size), persistent=False)
        self.linear = nn.Parameter(torch.zeros(max(order - 1, 1), len(self.bands)))
        widths = [order * code_size + context_size, *[hidden] * (depth - 1), code_size]
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(widths[index], widths[index + 1])] + ([Swish()] if index < depth - 1 else [])
        self.network = nn.Sequential(*layers) if depth else None
        if depth:
            last = layers[-1]
            with torch.no_grad():
                last.weight.mul_(0.1)  # type: ignore[union-attr]
                last.bias.zero_()  # type: ignore[union-attr]

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return self.order * self.code_size

    def codes(self, states: Tensor) -> Tensor:
        """The code part (..., code) of states (..., order * code)."""
        return states[..., : self.code_size]

    def derivative(self, state: Tensor, context: Tensor | None = None, amplitude: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., order * code), context (..., context), amplitude (..., 1)."""
        parts = state.unflatten(-1, (self.order, self.code_size))
        highest = (self.linear @ self.bands * parts[..., -len(self.linear) :, :]).sum(-2)
        if self.network is not None:
            inputs = state if context is None else torch.cat([state, context.expand(*state.shape[:-1], -1)], dim=-1)
            push = self.network(inputs)
            highest = highest + (amplitude * push if self.scaled_push and amplitude is not None else push)
        lower = [self.rates[j] * parts[..., j + 1, :] for j in range(self.order - 1)]
        return torch.cat([*lower, self.rates[-1] * highest], dim=-1)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast, derivatives in units as many times as large."""
        self.rates.mul_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let the state's highest derivative (of order one the code) decay at `rate` per day more than it does."""
        self.linear[-1] -= rate / self.rates[-1]  # bands sum to one in every mode

    @property
    def is_linear(self) -> bool:
        """Whether the dynamics have no MLP: one propagator then serves all states and places."""
        return self.network is None

    def bind(
        self, context: Tensor | None = None, amplitude: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The right-hand side f(time, state) of these places, as an integrator wants it."""
        return lambda time, state: self.derivative(state, context, amplitude)


class HistoryInitialiser(nn.Module):
    """Initial derivatives of a state from the last few codes, by learned filters, smooth in the mode's rank.

    s_j = sum_l w_{j,l} (a_{t-l} - a_{t-l-1}), started at the mean tendency of `lags` steps. For order one there is
    nothing to initialise. Frames must be `interval` days apart.
    """

    bands: Tensor

    def __init__(
        self, code_size: int, order: int, lags: int, interval: float, rates: list[float] | None = None
    ) -> None:
        super().__init__()
        self.order, self.lags, self.interval = order, lags if order > 1 else 0, interval
        self.register_buffer("bands", mode_bands(code_size), persistent=False)
        weights = torch.zeros(max(order - 1, 0), self.lags, len(self.bands))
        if order > 1:
            weights[0] = 1.0 / (self.lags * interval * (rates or [1.0])[0])
        self.weights = nn.Parameter(weights)

    def forward(self, history: Tensor) -> Tensor:
        """States (..., order * code) from codes (..., lags + 1, code), oldest first."""
        latest = history[..., -1, :]
        if self.order == 1:
            return latest
        steps = (history[..., 1:, :] - history[..., :-1, :]).flip(-2)
        derivatives = torch.einsum("...lk,jlk->...jk", steps, self.weights @ self.bands)
        return torch.cat([latest, derivatives.flatten(-2)], dim=-1)
