"""Primitives: images of candidate terms on the codes of an affine decoder.

With codes z of the waves of a box, every term of `dino.dynamics.terms` is a map of z that needs no fit: derivatives are
factors of a wave, products are taken at the points of a grid without aliasing and transformed back. The tendency

    dz/dt = sum_p theta_p G_p(z, t)

is linear in the coefficients theta, of which every environment has its own. Terms that are linear in z are kept as
matrices of each wave, for exponential integrators.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from .terms import Factor, Monomial, Term, parse_terms

PROPORTIONAL = 1e-10  # by which one image may be off a multiple of another


class Modes(Protocol):
    """What is asked of the waves of a box, and of channels without space; see `dino.space.harmonics`."""

    channels: tuple[str, ...]
    lengths: tuple[float, ...]
    sizes: tuple[int, ...]
    points: tuple[int, ...]
    dtype: torch.dtype
    degree: int

    weights: Any  # a Tensor, found when it is first asked for
    squared: Any

    @property
    def dimensions(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    def symbol(self, operator: str) -> Tensor: ...
    def wave(self, kind: str, harmonic: tuple[int, ...]) -> Tensor: ...
    def at(self, places: Tensor) -> Tensor: ...
    def encode(self, fields: Tensor) -> Tensor: ...
    def decode(self, states: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor: ...
    def at_points(self, spectra: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor: ...
    def from_points(self, values: Tensor) -> Tensor: ...


class Primitives:
    """The maps G_p of candidate terms on states (..., block, channel) of `modes`.

    Coefficients have shape (environment, term); states (environment, sample, block, channel) of so many environments.
    """

    def __init__(self, modes: Modes, candidates: Iterable[str]) -> None:
        self.modes = modes
        self.terms: tuple[Term, ...] = parse_terms(candidates, modes.channels)
        self._refuse_unknown()
        # Without space no wave is stiffer than the others: all terms go to Runge-Kutta's steps together.
        split = bool(modes.dimensions)
        self.linear_terms = [number for number, term in enumerate(self.terms) if split and term.is_linear]
        self.other_terms = [number for number, term in enumerate(self.terms) if not (split and term.is_linear)]

    def _refuse_unknown(self) -> None:
        """Raise ConfigError for an operator that this box has not, before anything is computed with it."""
        monomials = [monomial for term in self.terms for monomial in term.monomials]
        operators = {monomial.outer for monomial in monomials}
        operators |= {factor.operator for each in monomials for factor in each.channels if not factor.shape}
        for operator in sorted(operators):
            self.modes.symbol(operator)

    @cached_property
    def matrices(self) -> Tensor:
        """(linear term, block, channel, channel): target from source, of every term that is linear."""
        channels = self.modes.channels
        made = torch.zeros(
            len(self.linear_terms), len(self.modes.weights), len(channels), len(channels), dtype=self.modes.dtype
        )
        for row, number in enumerate(self.linear_terms):
            target = channels.index(self.terms[number].target)
            for monomial in self.terms[number].monomials:
                factor = monomial.factors[0]
                made[row, :, target, channels.index(factor.channel)] += monomial.weight * self.modes.symbol(
                    factor.operator
                )
        return made

    def linear(self, theta: Tensor) -> Tensor:
        """(environment, block, channel, channel) matrix of all linear terms."""
        return torch.einsum("ep,pbij->ebij", theta[:, self.linear_terms].to(self.modes.dtype), self.matrices)

    @cached_property
    def _groups(self) -> dict[tuple[str, str], list[tuple[int, Monomial]]]:
        """(outer operator, target) -> the monomials of the terms that are not linear."""
        groups: dict[tuple[str, str], list[tuple[int, Monomial]]] = {}
        for number in self.other_terms:
            for monomial in self.terms[number].monomials:
                groups.setdefault((monomial.outer, self.terms[number].target), []).append((number, monomial))
        return groups

    def nonlinear(self, theta: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Tendency (environment, sample, block, channel) of the other terms; time : (sample,)."""
        made = torch.zeros_like(state)
        values: dict[Factor, Tensor] = {}
        products: dict[tuple, Tensor] = {}
        for (outer, target), members in self._groups.items():
            total: Tensor | None = None
            for number, monomial in members:
                product = self._product(monomial, state, time, values, products)
                weight = monomial.weight * theta[:, number].view(-1, *[1] * (product.dim() - 1))
                total = weight * product if total is None else total + weight * product
            assert total is not None
            made[..., self.modes.channels.index(target)] += self._projected(total, outer)
        return made

    def features(self, state: Tensor, time: Tensor) -> Tensor:
        """All G_p (term, environment, sample, block, channel) of states at times (sample,)."""
        made = state.new_zeros(len(self.terms), *state.shape)
        for row, number in enumerate(self.linear_terms):
            made[number] = apply(self.matrices[row], state)
        values: dict[Factor, Tensor] = {}
        products: dict[tuple, Tensor] = {}
        for number in self.other_terms:
            for monomial in self.terms[number].monomials:
                product = self._product(monomial, state, time, values, products)
                column = self.modes.channels.index(self.terms[number].target)
                made[number, ..., column] += monomial.weight * self._projected(product, monomial.outer)
        return made

    def _projected(self, values: Tensor, outer: str) -> Tensor:
        """Spectra (..., block) of an operator on values at the points."""
        spectra = self.modes.from_points(values)
        return spectra if outer == "id" else spectra * self.modes.symbol(outer)

    def _product(
        self,
        monomial: Monomial,
        state: Tensor,
        time: Tensor,
        values: dict[Factor, Tensor],
        products: dict[tuple, Tensor],
    ) -> Tensor:
        """Values (environment, sample, *points) of a product; what other monomials have made already is taken."""
        key = (monomial.factors, monomial.power)
        if key in products:
            return products[key]
        made: Tensor | None = None
        for factor in monomial.factors:
            if factor not in values:
                values[factor] = self._values(factor, state)
            made = values[factor] if made is None else made * values[factor]
        space = [1] * self.modes.dimensions
        if made is None:
            made = torch.ones(1, 1, *self.modes.points, dtype=torch.float64)
        if monomial.power:
            made = made * (time**monomial.power).view(1, -1, *space)
        products[key] = made  # what does not depend on the state keeps its few dimensions
        return made

    def _values(self, factor: Factor, state: Tensor) -> Tensor:
        """Values of one factor at the points."""
        if not factor.channel:
            return self.modes.wave(factor.operator, factor.harmonic)[None, None]
        spectra = state[..., self.modes.channels.index(factor.channel)]
        if factor.shape:
            return cubic_spline(self.modes.at_points(spectra), *factor.shape)
        return self.modes.at_points(
            spectra if factor.operator == "id" else spectra * self.modes.symbol(factor.operator)
        )


def proportional(primitives: Primitives) -> list[tuple[str, str]]:
    """Pairs of candidates of which one is a multiple of the other, whatever the state; splines are not looked at.

    No data tell such candidates apart, and what each gets of their common coefficient is arbitrary.
    """
    modes, generator = primitives.modes, torch.Generator().manual_seed(0)
    fields = torch.randn(1, 3, len(modes.channels), *modes.sizes, generator=generator, dtype=torch.float64)
    images = primitives.features(modes.encode(fields), torch.tensor([0.3, 0.7, 1.9], dtype=torch.float64)).flatten(1)
    unit = images / images.abs().square().sum(1, keepdim=True).sqrt().clamp_min(1e-300)
    alike = (unit.conj() @ unit.T).real.abs()
    smooth = [not any(f.shape for m in term.monomials for f in m.factors) for term in primitives.terms]
    first, second = torch.nonzero(torch.triu(alike, 1) > 1 - PROPORTIONAL, as_tuple=True)
    texts = [term.text for term in primitives.terms]
    return [(texts[a], texts[b]) for a, b in zip(first, second, strict=True) if smooth[a] and smooth[b]]


def cubic_spline(values: Tensor, number: float, count: float, low: float, high: float) -> Tensor:
    """The cubic B-spline `number` of `count` on equal knots; outside low..high it goes on as at the end."""
    width = (high - low) / (count - 3)
    x = ((values.clamp(low, high) - low) / width - number + 1).abs()
    return torch.where(x < 1, 2 / 3 - x**2 * (1 - x / 2), (2 - x).clamp_min(0) ** 3 / 6)


def apply(matrices: Tensor, state: Tensor) -> Tensor:
    """Matrices (..., block, channel, channel) times states (..., block, channel), channels being few."""
    if matrices.shape[-1] == 1:
        return matrices[..., 0] * state
    columns = [matrices[..., column] * state[..., column, None] for column in range(matrices.shape[-1])]
    return torch.stack(columns).sum(0)
