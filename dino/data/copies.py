"""Copies of training data that cost nothing: from every trajectory other, equally valid ones.

An equation that does not change when the plane is shifted, turned or mirrored moves every solution to another solution.
The store of such a system names the generators of its group (attribute `symmetries`). A copy does not move the values:
it moves the coordinates at which they were seen, so that grids with gaps serve as well as whole ones, and a fixed set
of points becomes as many sets as there are copies.

Tiles have mirrors. Seen in a mirror that exchanges north and south, an ocean is one of the other hemisphere: the
Coriolis parameter changes its sign and its gradient keeps it. Quasi-geostrophic flow has a second symmetry, as far as
that approximation goes: mirrored in the same hemisphere, with high and low exchanged, it obeys the same equation
(Vallis, Atmospheric and Oceanic Fluid Dynamics, chapter 5). Both together exchange high and low, and hemispheres.
"""

import json
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import ConfigError, SchemaError
from ..space.cover import CONTEXT
from ..space.domain import Domain, PeriodicBox, Sphere
from .charts import tensor
from .series import Series

Array = NDArray[np.float64]


class Symmetry(BaseModel):
    """One generator: positions (x, y), in periods from the centre of the domain, go to

        shift + slide * s + flip * (x, y),     x and y exchanged first where `swap`

    and values of a channel are multiplied by its `sign`. A `slide` makes a continuous group of it: s is any number in
    [0, 1). On a sphere x is longitude / 360 and y latitude / 360.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    swap: bool = False
    flip: tuple[bool, bool] = (False, False)
    shift: tuple[float, float] = (0.0, 0.0)
    slide: tuple[float, float] | None = None
    sign: dict[str, float] = {}

    def move(self, positions: Array, along: float) -> Array:
        """New positions (point, 2) of positions (point, 2)."""
        moved = positions[:, ::-1] if self.swap else positions
        moved = moved * np.where(self.flip, -1.0, 1.0) + np.array(self.shift)
        return moved if self.slide is None else moved + along * np.array(self.slide)


def symmetries_of(attributes: dict) -> list[Symmetry]:
    """The generators that a store declares; `ConfigError` when it declares none, `SchemaError` when unreadable."""
    if "symmetries" not in attributes:
        raise ConfigError("data.symmetries wants stores of a system that declares its symmetries; set it to 1")
    try:
        return TypeAdapter(list[Symmetry]).validate_python(json.loads(attributes["symmetries"]))
    except (ValidationError, json.JSONDecodeError, TypeError) as error:
        raise SchemaError(f"the store's attribute symmetries cannot be read ({error}); make the store anew") from error


def symmetric_copies(
    series: Series,
    positions: tuple[Array, Array],
    domain: Domain,
    channels: list[str],
    symmetries: list[Symmetry],
    copies: int,
    seed: int,
) -> list[Series]:
    """`copies` random elements of the group applied to a chart's series, each generator used or not by chance.

    positions : longitude and latitude (point,) of the series' points [degrees]
    """
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(copies):
        moved, sign = _fractions(domain, *positions), np.ones(len(channels))
        for symmetry in symmetries:
            along, used = chance.random(), chance.random() < 0.5
            if symmetry.slide is None and not used:
                continue
            moved = symmetry.move(moved, along)
            sign = sign * np.array([symmetry.sign.get(name, 1.0) for name in channels])
        coordinates = tensor(domain.coordinates(*_degrees(domain, moved))).to(series.coordinates)
        values = series.values if (sign == 1).all() else series.values * tensor(sign).to(series.values)
        made.append(replace(series, coordinates=coordinates, values=values))
    return made


def _periods(domain: Domain) -> tuple[Array, Array]:
    """Centre and periods of a domain [degrees], x first."""
    if isinstance(domain, Sphere):
        return np.zeros(2), np.full(2, 360.0)
    if isinstance(domain, PeriodicBox):
        return np.array([domain.longitude, domain.latitude]), domain.period_degrees
    raise ConfigError("symmetries are known of periodic boxes and of the sphere only; set data.symmetries to 1")


def _fractions(domain: Domain, longitude: Array, latitude: Array) -> Array:
    centre, periods = _periods(domain)
    return (np.stack([longitude, latitude], axis=-1) - centre) / periods


def _degrees(domain: Domain, fractions: Array) -> tuple[Array, Array]:
    centre, periods = _periods(domain)
    if isinstance(domain, PeriodicBox):
        fractions = fractions - np.round(fractions)
    degrees = fractions * periods + centre
    return degrees[:, 0], degrees[:, 1]


def mirrored(series: Series, sides: tuple[int, int]) -> list[Series]:
    """The three mirrored copies of tiles of `sides` (rows, columns)."""
    other = series.context.clone()
    other[:, CONTEXT.index("sin_latitude")] *= -1
    turned = torch.arange(sides[0] * sides[1]).view(sides).flip(0).flatten().to(series.values.device)
    mirror = replace(series, values=series.values[:, :, turned], weights=series.weights[:, turned])
    return [
        replace(mirror, context=other),
        replace(mirror, values=-mirror.values),
        replace(series, values=-series.values, context=other),
    ]
