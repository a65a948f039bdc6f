"""The quadratic latent vector field: what advection is in an affine decoder.

The equations of a fluid are quadratic in its fields, d v/dt = c + A v + B(v, v). Seen through a decoder that is affine
in its code they stay quadratic, so that

    d a/dt = c + A a + sum_{i<=j} B_ij a_i a_j

is exact but for what the basis leaves out. The unknowns c, A, B enter linearly: they are found by linear least squares
(operator inference, Peherstorfer & Willcox 2016, Computer Methods in Applied Mechanics and Engineering 306) rather
than by descent; see `dino.training.collocation`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

REACH = 1.1  # times the farthest training code: how far the fitted form is trusted


def feature_count(code_size: int) -> int:
    """Number of monomials of degree zero to two."""
    return 1 + code_size + code_size * (code_size + 1) // 2


def quadratic_features(codes: Tensor) -> Tensor:
    """The monomials (..., feature) of codes (..., code): 1, a_i, then a_i a_j for i <= j, row by row."""
    size = codes.shape[-1]
    pairs = [codes[..., i:] * codes[..., i : i + 1] for i in range(size)]
    return torch.cat([torch.ones_like(codes[..., :1]), codes, *pairs], dim=-1)


class QuadraticODE(nn.Module):
    """d(code)/dt = features(code) @ coefficients, per day: order one, autonomous, the same everywhere.

    coefficients : (feature, code), in the order of `quadratic_features`
    extent : (code,) semi-axes of the ellipsoid in which the form is trusted, infinite until `trust` sets them. Outside
        the field is that of the code where the line to the origin enters, plus a pull back to there at `pull` per day,
        so that every trajectory stays bounded. Weak modes are held to their own size: a ball that holds the strong
        ones lets weak ones grow to fifty times what the fit has seen.
    """

    coefficients: nn.Parameter
    extent: Tensor
    pull: Tensor
    rates: Tensor

    order, context_size, is_linear = 1, 0, False

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.code_size = code_size
        self.coefficients = nn.Parameter(torch.zeros(feature_count(code_size), code_size))
        self.register_buffer("extent", torch.full((code_size,), torch.inf))
        self.register_buffer("pull", torch.tensor(0.0))
        # For the interface only: the state is the code itself, in its own units.
        self.register_buffer("rates", torch.ones(1), persistent=False)

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return self.code_size

    def codes(self, states: Tensor) -> Tensor:
        """The code part (..., code) of states (..., code)."""
        return states

    def derivative(self, state: Tensor, context: Tensor | None = None, amplitude: Tensor | None = None) -> Tensor:
        """d(state)/dt per day for states (..., code); context and amplitude are taken for the interface and unused."""
        inside = torch.maximum(torch.minimum(state, self.extent), -self.extent)
        return quadratic_features(inside) @ self.coefficients + self.pull * (inside - state)

    @torch.no_grad()
    def trust(self, codes: Tensor, interval: float) -> None:
        """Trust the form a little farther than codes (..., code) reach; beyond, pull back over `interval` days."""
        farthest = codes.flatten(0, -2).abs().amax(0)
        self.extent.copy_(REACH * farthest.clamp_min(1e-6 * farthest.max()))
        self.pull.fill_(1.0 / interval)

    def bind(
        self, context: Tensor | None = None, amplitude: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The right-hand side f(time, state), as an integrator wants it."""
        return lambda time, state: self.derivative(state)
