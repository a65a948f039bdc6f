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

from .pointwise import Pointwise
from .products import Products, Tendency
from .terms import Term, parse_terms

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
    def uncoupled(self) -> bool:
        """Whether no linear term brings one channel into another: matrices of waves are diagonal then."""
        off = ~torch.eye(len(self.modes.channels), dtype=torch.bool)
        return not bool((self.matrices[..., off] != 0).any())

    @cached_property
    def _others(self) -> Products | Pointwise:
        """How the terms that are not linear are made."""
        if self.modes.dimensions:
            return Products(self.modes, self.terms, self.other_terms)
        return Pointwise(self.terms, self.modes.channels)

    @property
    def pointwise(self) -> Pointwise:
        """All terms of a system without space."""
        assert isinstance(self._others, Pointwise)
        return self._others

    def tendency(self, theta: Tensor) -> Tendency:
        """The tendency (environment, sample, block, channel) of the other terms with coefficients, of states and times
        (sample,)."""
        if isinstance(self._others, Products):
            return self._others.tendency(theta)
        return self._others.tendency(theta)

    def nonlinear(self, theta: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Tendency (environment, sample, block, channel) of the other terms; time : (sample,)."""
        return self.tendency(theta)(state, time)

    def features(self, state: Tensor, time: Tensor) -> Tensor:
        """All G_p (term, environment, sample, block, channel) of states at times (sample,)."""
        if not self.modes.dimensions:
            products = self.pointwise.products(state[:, :, 0], time.view(1, -1))
            return torch.einsum("esk,pck->pesc", products, self.pointwise.adds).unsqueeze(-2)
        made = state.new_zeros(len(self.terms), *state.shape)
        for row, number in enumerate(self.linear_terms):
            made[number] = apply(self.matrices[row], state)
        assert isinstance(self._others, Products)
        self._others.add_features(made, state, time)
        return made


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


def apply(matrices: Tensor, state: Tensor) -> Tensor:
    """Matrices (..., block, channel, channel) times states (..., block, channel), channels being few."""
    if matrices.shape[-1] == 1:
        return matrices[..., 0] * state
    made = matrices[..., 0] * state[..., 0, None]
    for column in range(1, matrices.shape[-1]):
        made = torch.addcmul(made, matrices[..., column], state[..., column, None])
    return made
