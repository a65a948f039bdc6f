"""The quadratic latent vector field: what advection is in an affine decoder.

The equations of a fluid are quadratic in its fields, d v/dt = c + A v + B(v, v). Seen through a decoder that is affine
in its code they stay quadratic, so that

    d a/dt = c + A a + sum_{i<=j} B_ij a_i a_j

is exact but for what the basis leaves out. The unknowns c, A, B enter linearly: they are found by linear least squares
(operator inference, Peherstorfer & Willcox 2016, Computer Methods in Applied Mechanics and Engineering 306) rather
than by descent; see `dino.training.collocation`.

Of many modes only some products matter: a strong mode carries every other one about, weak ones hardly each other. Kept
are the largest, those whose two modes have the largest product of standard deviations (a hyperbolic cross), so that the
cost of the fit depends on how many are kept and not on the square of the code's size.
"""

import torch
from torch import Tensor, nn

from .base import Dynamics

REACH = 1.1  # times the farthest training code: how far the fitted form is trusted


def all_pairs(code_size: int) -> Tensor:
    """(2, product): the modes i <= j of every product, row by row."""
    return torch.triu_indices(code_size, code_size)


def quadratic_features(codes: Tensor, pairs: Tensor) -> Tensor:
    """The monomials (..., feature) of codes (..., code): 1, a_i, then a_i a_j of the pairs (2, product)."""
    products = codes[..., pairs[0]] * codes[..., pairs[1]]
    return torch.cat([torch.ones_like(codes[..., :1]), codes, products], dim=-1)


class QuadraticODE(Dynamics):
    """d(code)/dt = features(code) @ coefficients, per day: order one, autonomous, the same everywhere.

    coefficients : (feature, code), in the order of `quadratic_features`
    pairs : (2, product) modes of the products that are kept
    extent : (code,) semi-axes of the ellipsoid in which the form is trusted, infinite until `trust` sets them. Outside
        the field is that of the code where the line to the origin enters, plus a pull back to there at `pull` per day,
        so that every trajectory stays bounded. Weak modes are held to their own size: a ball that holds the strong
        ones lets weak ones grow to fifty times what the fit has seen.
    """

    coefficients: nn.Parameter
    pairs: Tensor
    extent: Tensor
    pull: Tensor

    order, context_size, is_linear = 1, 0, False

    def __init__(self, code_size: int, products: int | None = None) -> None:
        """`products` is the largest number of them that is kept, all when absent."""
        super().__init__()
        self.code_size = code_size
        self.register_buffer("pairs", all_pairs(code_size)[:, :products].clone())
        self.coefficients = nn.Parameter(torch.zeros(self.feature_count, code_size))
        self.register_buffer("extent", torch.full((code_size,), torch.inf))
        self.register_buffer("pull", torch.tensor(0.0))
        # For the interface only: the state is the code itself, in its own units.
        self.register_buffer("rates", torch.ones(1), persistent=False)

    @property
    def feature_count(self) -> int:
        """Number of monomials: the constant, the code, the products."""
        return 1 + self.code_size + self.pairs.shape[1]

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        """d(state)/dt per day for states (..., code); the context is taken for the interface and unused."""
        inside = torch.maximum(torch.minimum(state, self.extent), -self.extent)
        return quadratic_features(inside, self.pairs) @ self.coefficients + self.pull * (inside - state)

    @torch.no_grad()
    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        """The derivative of a state and its changes along tangents; see `Dynamics`."""
        state, tangents = bundle[..., 0], bundle[..., 1:]
        inside = torch.maximum(torch.minimum(state, self.extent), -self.extent)
        # Outside the trusted ellipsoid the form does not change; the pull does.
        kept = tangents * (state.abs() <= self.extent).unsqueeze(-1)
        first, second = self.pairs
        linear, products = self.coefficients[1 : 1 + self.code_size], self.coefficients[1 + self.code_size :]
        jacobian = linear.T.expand(len(state), -1, -1).clone()
        for one, other in ((first, second), (second, first)):
            jacobian.index_add_(-1, one, (inside[:, other, None] * products).mT)
        turned = jacobian @ kept + self.pull * (kept - tangents)
        return torch.cat([self.derivative(state).unsqueeze(-1), turned], dim=-1)

    @torch.no_grad()
    def keep_products(self, spread: Tensor) -> None:
        """Keep the products of codes of standard deviation (code,) that are the largest, in the order of all."""
        every = all_pairs(self.code_size).to(spread.device)
        sizes = spread[every[0]] * spread[every[1]]
        chosen = sizes.argsort(descending=True, stable=True)[: self.pairs.shape[1]]
        self.pairs.copy_(every[:, chosen.sort().values])

    @torch.no_grad()
    def trust(self, codes: Tensor, interval: float) -> None:
        """Trust the form a little farther than codes (..., code) reach; beyond, pull back over `interval` days."""
        farthest = codes.flatten(0, -2).abs().amax(0)
        self.extent.copy_(REACH * farthest.clamp_min(1e-6 * farthest.max()))
        self.pull.fill_(1.0 / interval)

    @torch.no_grad()
    def change_pace(self, factor: float) -> None:
        """Run through the same trajectories `factor` times as fast."""
        self.coefficients.mul_(factor)
        self.pull.mul_(factor)

    @torch.no_grad()
    def damp(self, rate: float) -> None:
        """Let the code decay at `rate` per day more than it does."""
        self.coefficients[1 : 1 + self.code_size].diagonal().sub_(rate)
