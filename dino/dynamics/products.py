"""Products of fields on a box: all that a tendency needs of them in one transform to the points and one back.

How products are made does not depend on coefficients; `Products.tendency` weighs them for given ones, for all steps.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .pointwise import cubic_spline
from .terms import IDENTITY, Factor, Monomial, Term

if TYPE_CHECKING:
    from .primitives import Modes

Tendency = Callable[[Tensor, Tensor], Tensor]  # of states (environment, sample, block, channel) at times (sample,)


class Products:
    """The terms `numbers` of `terms`, those that are not linear, on the waves of a box."""

    def __init__(self, modes: "Modes", terms: tuple[Term, ...], numbers: Iterable[int]) -> None:
        self.modes = modes
        monomials = [(number, terms[number].target, each) for number in numbers for each in terms[number].monomials]
        self._given = [each for each in monomials if not each[2].channels]
        self._members = [each for each in monomials if each[2].channels]
        self._keys = list(dict.fromkeys((each.factors, each.power) for _, _, each in self._members))
        factors = dict.fromkeys(_plain(f) for keys, _ in self._keys for f in keys if f.channel)
        self._place = {factor: number for number, factor in enumerate(factors)}
        self._channels = torch.tensor([modes.channels.index(f.channel) for f in factors], dtype=torch.long)
        self._all = self._channels.tolist() == list(range(len(modes.channels)))
        operators = [f.operator for f in factors]
        self._symbols = None
        if any(operator != IDENTITY for operator in operators):
            self._symbols = torch.stack([modes.symbol(operator) for operator in operators])
        self._groups = list(dict.fromkeys((each.outer, target) for _, target, each in self._members))
        self._outer = {each.outer: modes.symbol(each.outer) for _, _, each in monomials}
        self._forcings = [(each.power, self._spectrum(each)) for _, _, each in self._given]

    def _spectrum(self, monomial: Monomial) -> Tensor:
        """(block,) of a monomial that does not depend on the state, without its power of the time."""
        made = torch.ones(self.modes.points, dtype=torch.float64)
        for factor in monomial.factors:
            made = made * self.modes.wave(factor.operator, factor.harmonic)
        return monomial.weight * self.modes.from_points(made) * self._outer[monomial.outer]

    def tendency(self, theta: Tensor) -> Tendency:
        """The tendency of coefficients (environment, term)."""
        forcings, back = self._forced(theta), self._back(theta)

        def rate(state: Tensor, time: Tensor) -> Tensor:
            made = back(self._products(state.mT, time)) if self._keys else torch.zeros_like(state.mT)
            for power, forcing in forcings.items():
                made = made + (forcing * (time**power).view(1, -1, 1, 1) if power else forcing)
            return made.mT

        return rate

    def add_features(self, made: Tensor, state: Tensor, time: Tensor) -> None:
        """Add the images of the terms to `made` (term, environment, sample, block, channel)."""
        channels = self.modes.channels
        spectra = {}
        if self._keys:
            products = self._products(state.mT, time)
            spectra = {key: self.modes.from_points(each) for key, each in zip(self._keys, products, strict=True)}
        for number, target, each in self._members:
            image = spectra[each.factors, each.power]
            image = image if each.outer == IDENTITY else image * self._outer[each.outer]
            made[number, ..., channels.index(target)] += each.weight * image
        for (number, target, _), (power, spectrum) in zip(self._given, self._forcings, strict=True):
            made[number, ..., channels.index(target)] += spectrum * (time**power).view(1, -1, 1)

    def _forced(self, theta: Tensor) -> dict[int, Tensor]:
        """Power of the time -> (environment, 1, channel, block) what does not depend on the state."""
        made: dict[int, Tensor] = {}
        shape = len(theta), 1, len(self.modes.channels), self.modes.blocks
        for (number, target, _), (power, spectrum) in zip(self._given, self._forcings, strict=True):
            whole = made.setdefault(power, torch.zeros(shape, dtype=self.modes.dtype))
            whole[:, 0, self.modes.channels.index(target)] += theta[:, number, None] * spectrum
        return made

    def _products(self, spectra: Tensor, time: Tensor) -> list[Tensor]:
        """(environment, sample, *points) of spectra (environment, sample, channel, block)."""
        taken = spectra if self._all else spectra[:, :, self._channels]
        points = self.modes.at_points(taken if self._symbols is None else taken * self._symbols)
        curved: dict[Factor, Tensor] = {}
        known: dict[tuple[Factor, ...], Tensor] = {}  # products of the first factors, which longer ones begin with
        made = []
        for factors, power in self._keys:
            product: Tensor | None = None
            for count, factor in enumerate(factors, 1):
                if factors[:count] in known:
                    product = known[factors[:count]]
                    continue
                if not factor.channel:
                    value = self.modes.wave(factor.operator, factor.harmonic)
                elif factor.shape:
                    if factor not in curved:
                        curved[factor] = cubic_spline(points[:, :, self._place[_plain(factor)]], *factor.shape)
                    value = curved[factor]
                else:
                    value = points[:, :, self._place[factor]]
                product = value if product is None else product * value
                known[factors[:count]] = product
            assert product is not None
            made.append(product * (time**power).view(1, -1, *[1] * self.modes.dimensions) if power else product)
        return made

    def _back(self, theta: Tensor) -> Callable[[list[Tensor]], Tensor]:
        """Tendencies (environment, sample, channel, block) of products, by as few transforms as may be: of every
        product, or of the sum of those that one operator stands around."""
        channels, places = self.modes.channels, {key: number for number, key in enumerate(self._keys)}
        if len(self._keys) <= len(self._groups):
            shape = len(theta), 1, len(self._keys), len(channels), self.modes.blocks
            operator = torch.zeros(shape, dtype=self.modes.dtype)
            for number, target, each in self._members:
                place = places[each.factors, each.power], channels.index(target)
                operator[:, 0, place[0], place[1]] += each.weight * theta[:, number, None] * self._outer[each.outer]

            def of_each(products: list[Tensor]) -> Tensor:
                total: Tensor | None = None
                for number, product in enumerate(products):
                    added = operator[:, :, number] * self.modes.from_points(product).unsqueeze(2)
                    total = added if total is None else total + added
                assert total is not None
                return total

            return of_each
        space = [1] * (1 + self.modes.dimensions)
        members = [
            (
                channels.index(group[1]),
                None if group[0] == IDENTITY else self._outer[group[0]],
                [
                    (places[each.factors, each.power], each.weight * theta[:, number].view(-1, *space))
                    for number, target, each in self._members
                    if (each.outer, target) == group
                ],
            )
            for group in self._groups
        ]

        def of_sums(products: list[Tensor]) -> Tensor:
            first = products[0]
            shape = *first.shape[:2], len(channels), self.modes.blocks
            made = torch.zeros(shape, dtype=self.modes.dtype)
            for channel, symbol, parts in members:
                total: Tensor | None = None
                for place, weight in parts:
                    product = products[place]
                    total = weight * product if total is None else torch.addcmul(total, weight, product)
                assert total is not None
                spectra = self.modes.from_points(total)
                made[:, :, channel] += spectra if symbol is None else spectra * symbol
            return made

        return of_sums


def _plain(factor: Factor) -> Factor:
    """The values that a factor is a function of."""
    return Factor(IDENTITY, factor.channel) if factor.shape else factor
