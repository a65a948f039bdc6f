"""Terms of a system without space: all products of channels at once, with no loop over terms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .terms import Factor, Monomial, Term

Key = tuple[tuple[Factor, ...], int]  # of a product: its factors, and the power of the time


class Pointwise:
    """The distinct products of channels in `terms`, and how terms add them to rates of change."""

    def __init__(self, terms: Sequence[Term], channels: tuple[str, ...]) -> None:
        self._channels = channels
        monomials = [(number, each) for number, term in enumerate(terms) for each in term.monomials]
        keys = list(dict.fromkeys(_key(monomial) for _, monomial in monomials))
        plain = list(dict.fromkeys(f for factors, _ in keys for f in factors if not f.shape))
        curved = list(dict.fromkeys(f for factors, _ in keys for f in factors if f.shape))
        self._plain = torch.tensor([channels.index(factor.channel) for factor in plain], dtype=torch.long)
        self._curved = torch.tensor([channels.index(factor.channel) for factor in curved], dtype=torch.long)
        self._shapes = torch.tensor([factor.shape for factor in curved], dtype=torch.float64).reshape(-1, 4)
        place = {factor: number for number, factor in enumerate([*plain, *curved])}
        one, depth = len(place), max((len(factors) for factors, _ in keys), default=0)
        self._factors = torch.tensor(
            [[place[f] for f in factors] + [one] * (depth - len(factors)) for factors, _ in keys], dtype=torch.long
        ).reshape(len(keys), depth)
        self._powers = torch.tensor([power for _, power in keys], dtype=torch.float64)
        self.adds = torch.zeros(len(terms), len(channels), len(keys), dtype=torch.float64)
        for number, monomial in monomials:
            self.adds[number, channels.index(terms[number].target), keys.index(_key(monomial))] += monomial.weight

    def products(self, values: Tensor, time: Tensor) -> Tensor:
        """(..., product) of values (..., channel) at times of the shape of `values` without its last dimension, or one
        that goes with it."""
        along = values.movedim(-1, 0)
        table = [along[self._plain]]
        if len(self._curved):
            shape = self._shapes.T.reshape(4, -1, *[1] * (values.dim() - 1))
            table.append(cubic_spline(along[self._curved], *shape))
        table.append(torch.ones_like(values[None, ..., 0]))
        factors, made = torch.cat(table), None
        for column in self._factors.T:
            made = factors[column] if made is None else made * factors[column]
        if made is None:
            made = table[-1].expand(len(self._factors), *values.shape[:-1])
        if bool(self._powers.any()):
            made = made * time ** self._powers.reshape(-1, *[1] * (values.dim() - 1))
        return made.movedim(0, -1)

    def tendency(self, theta: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The rates of change (environment, sample, 1, channel) with coefficients (environment, term)."""
        rates = self.rates(theta)

        def rate(state: Tensor, time: Tensor) -> Tensor:
            return (self.products(state[:, :, 0], time.view(1, -1)) @ rates).unsqueeze(2)

        return rate

    def rates(self, coefficients: Tensor) -> Tensor:
        """(..., product, channel) with which products make rates, of coefficients (..., term)."""
        return torch.einsum("...p,pck->...kc", coefficients, self.adds)


def _key(monomial: Monomial) -> Key:
    return monomial.factors, monomial.power


def cubic_spline(
    values: Tensor, number: float | Tensor, count: float | Tensor, low: float | Tensor, high: float | Tensor
) -> Tensor:
    """The cubic B-spline `number` of `count` on equal knots; outside low..high it goes on as at the end."""
    width = (high - low) / (count - 3)
    within = values.clamp(low, high)  # pyright: ignore[reportArgumentType, reportCallIssue]
    x = ((within - low) / width - number + 1).abs()
    return torch.where(x < 1, 2 / 3 - x**2 * (1 - x / 2), (2 - x).clamp_min(0) ** 3 / 6)
