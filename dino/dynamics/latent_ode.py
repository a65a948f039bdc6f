"""The latent vector field: an ODE of order one or more in the code.

Order one is DINo's: d a/dt = f(a). Sea level alone does not determine its own future (Ayed et al. 2020), so that on
real altimetry the state holds the code and its tendency; higher orders are written in companion form,

    d a/dt = s_1,  d s_1/dt = s_2,  ...,  d s_{n-1}/dt = f(a, s_1, ..., s_{n-1}, context),

every s_j in units of its own spread so that all parts of the state are of order one.
"""

import torch
from torch import Tensor, nn

from .base import Dynamics, swish_network, value_and_jacobian, with_context


def mode_bands(code_size: int) -> Tensor:
    """(band, code) hat functions of log2 of the mode's rank, with nodes at ranks 1, 4, 16, 64, ...

    Principal modes are ordered from large to small scales. Linear coefficients that vary smoothly with rank are a few
    numbers that a month of maps can determine; one number a mode is not, and overfits.
    """
    rank = torch.log2(torch.arange(1, code_size + 1, dtype=torch.float64)) / 2
    # The rank's last node rounded up, in whole numbers: sizes are asked for without values (the device "meta") too.
    bands = ((code_size - 1).bit_length() + 1) // 2 + 1
    return (1 - (rank - torch.arange(bands, dtype=torch.float64)[:, None]).abs()).clamp_min(0).float()


class LatentODE(Dynamics):
    """d(state)/dt for states (..., order * code), time in days.

    The highest derivative is a diagonal linear part (coefficients smooth in the mode's rank) plus an MLP of state and
    context. From order two on the linear part acts on the derivatives alone: a pull of the code itself towards the
    training mean does not outlive the training period.

    Parameters
    ----------
    code_size, order, context_size : sizes of the state and of the context
    hidden, depth : width and number of linear layers of the MLP (depth 0: linear dynamics only)
    rates : spread of s_j / spread of s_{j-1} per day, one for every order: sets the units of the state
    """

    bands: Tensor

    def __init__(
        self,
        code_size: int,
        order: int = 1,
        context_size: int = 0,
        hidden: int = 512,
        depth: int = 4,
        rates: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.code_size, self.order, self.context_size = code_size, order, context_size
        self.hidden, self.depth = hidden, depth
        self.register_buffer("rates", torch.tensor(rates or [1.0] * order, dtype=torch.float32))
        self.register_buffer("bands", mode_bands(code_size), persistent=False)
        self.linear = nn.Parameter(torch.zeros(max(order - 1, 1), len(self.bands)))
        widths = [order * code_size + context_size, *[hidden] * (depth - 1), code_size]
        self.network = swish_network(widths) if depth else None
        if self.network is not None:
            with torch.no_grad():
                self.network[-1].weight.mul_(0.1)  # type: ignore[union-attr]
                self.network[-1].bias.zero_()  # type: ignore[union-attr]

    @property
    def is_linear(self) -> bool:  # type: ignore[override]
        """Whether the dynamics have no MLP."""
        return self.network is None

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day, for states (..., order * code), context (..., context)."""
        highest = self._linear_part(state.unflatten(-1, (self.order, self.code_size)))
        if self.network is not None:
            highest = highest + self.network(with_context(state, context))
        return torch.cat([*self._lower(state), self.rates[-1] * highest], dim=-1)

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        parts, moved = bundle.unflatten(1, (self.order, self.code_size)), torch.empty_like(bundle)
        out = moved.unflatten(1, (self.order, self.code_size))
        torch.mul(parts[:, 1:], self.rates[: self.order - 1, None, None], out=out[:, :-1])
        # Linear parts treat the state and its tangents alike.
        coefficients = (self.rates[-1] * self.linear @ self.bands).unsqueeze(-1)
        highest = (coefficients * parts[:, -len(self.linear) :]).sum(1)
        if self.network is not None:
            state = bundle[..., 0]
            value, jacobian = value_and_jacobian(self.network, with_context(state, context), self.state_size)
            first = highest[..., 0] + self.rates[-1] * value
            highest = torch.baddbmm(highest, jacobian, bundle, alpha=float(self.rates[-1]))
            highest[..., 0] = first
        out[:, -1] = highest
        return moved

    def _linear_part(self, parts: Tensor) -> Tensor:
        """(..., code) the linear part of the highest derivative's change, of states (..., order, code)."""
        return (self.linear @ self.bands * parts[..., -len(self.linear) :, :]).sum(-2)

    def _lower(self, state: Tensor) -> list[Tensor]:
        """Changes (..., code) of all but the highest derivative."""
        parts = state.unflatten(-1, (self.order, self.code_size))
        return [self.rates[j] * parts[..., j + 1, :] for j in range(self.order - 1)]

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast, derivatives in units as many times as large."""
        self.rates.mul_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let the state's highest derivative decay at `rate` per day more than it does."""
        self.linear[-1] -= rate / self.rates[-1]  # bands sum to one in every mode


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
