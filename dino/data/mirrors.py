"""Mirrored tiles: other oceans that obey the same equations, for nothing.

Seen in a mirror that exchanges north and south, an ocean is one of the other hemisphere: the Coriolis parameter
changes its sign and its gradient keeps it. Quasi-geostrophic flow has a second symmetry, as far as that approximation
goes: mirrored in the same hemisphere, with high and low exchanged, it obeys the same equation (Vallis, Atmospheric and
Oceanic Fluid Dynamics, chapter 5). Both together exchange high and low, and hemispheres, without a mirror.
"""

from dataclasses import replace

import torch

from .series import Series


def mirrored(series: Series, sides: tuple[int, int]) -> list[Series]:
    """The three copies of tiles of `sides` (rows, columns); the sine of latitude leads their context."""
    over = torch.tensor([-1.0, *[1.0] * (series.context.shape[1] - 1)])
    other = series.context * over.to(series.context)
    turned = torch.arange(sides[0] * sides[1]).view(sides).flip(0).flatten().to(series.values.device)
    mirror = replace(series, values=series.values[:, :, turned], weights=series.weights[:, turned])
    return [
        replace(mirror, context=other),
        replace(mirror, values=-mirror.values),
        replace(series, values=-series.values, context=other),
    ]
