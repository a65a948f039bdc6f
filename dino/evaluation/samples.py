"""Forecasts whose spread is to be judged: predicted variances beside squared errors, value by value."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import Ocean
from ..model.blending import Places, blend

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Values that were forecast and then seen.

    lead : (n,) days; start : (n,) number of the forecast; weight : (n,) area or 1
    explained, unresolved : (n, channel) predicted variances of what codes explain and of the residual field
    squared : (n, channel) squared errors; noise : (n, channel) variance of the observation error in them. All in the
    squared units of the channel; NaN where a channel was not seen.
    """

    lead: Array
    start: NDArray[np.int64]
    weight: Array
    explained: Array
    unresolved: Array
    squared: Array
    noise: Array

    def __len__(self) -> int:
        return len(self.lead)

    @classmethod
    def none(cls, channels: int) -> Self:
        """No value at all."""
        nothing = np.zeros((0, channels))
        return cls(np.zeros(0), np.zeros(0, np.int64), np.zeros(0), nothing, nothing, nothing, nothing)

    @classmethod
    def join(cls, parts: Sequence["Samples"]) -> Self:
        """All of several samples."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def select(self, which: NDArray) -> "Samples":
        """Some of the values, by a mask or indices."""
        return Samples(*(getattr(self, f.name)[which] for f in fields(self)))


def split_variance(
    ocean: Ocean,
    deviation: NDArray[np.floating],
    unresolved: Tensor,
    longitude: Array,
    latitude: Array,
    scale: Tensor | None = None,
) -> tuple[Array, Array]:
    """Variances (time, point, channel) of what codes explain and of the residual field.

    deviation : (time, point, channel) of both; unresolved : (time, channel) variance of the latter in charts' units.
    scale : (time, chart) factor of the deviations of charts, if they have one
    Blended charts add deviations, not variances: the first part is what remains of the whole.
    """

    def evaluate(places: Places) -> tuple[Tensor, Tensor]:
        rest = unresolved[:, None, None].expand(-1, *places.point.shape, -1)
        if scale is not None:
            rest = rest * scale[:, places.chart, None, None].square()
        return torch.zeros_like(rest), rest

    _, left = blend(ocean, unresolved, longitude, latitude, evaluate, (len(unresolved),))
    whole, rest = np.square(deviation, dtype=np.float64), np.square(left)
    return np.maximum(whole - rest, 0.0), np.minimum(rest, whole)
