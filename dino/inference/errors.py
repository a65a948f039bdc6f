"""Errors of observations as instruments make them: correlated along an overflight, and in shapes across a swath.

The covariance of the errors of one overflight is

    R = white + along along' exp(-d / L) + offset offset' + sum of shapes g g' exp(-s / L_shape)

with d the way along the track and across it and s the way along it: an Ornstein-Uhlenbeck process for what no map
resolves and for errors of corrections, a constant, and for swaths the errors of the interferometer's geometry, roll (linear
across the track), phase (linear on each side), baseline (quadratic) and timing (constant on each side; Esteban-Fernandez,
SWOT error budget, JPL D-79084). Overflights are independent of each other. One Cholesky factor for every overflight on a
chart whitens values and operator rows alike, and what follows needs to know of white errors only.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ErrorsConfig
from ..data.observations import Observations
from ..data.overflights import Overflights, View, overflights
from ..numerics.gaussian import cholesky
from ..numerics.groups import batches

SWATH_KM = 60.0  # from the middle to the edge, where shapes have their standard deviation
SIDES = ("phase", "timing")  # shapes that each side of a swath has for itself
MOST_TOGETHER = 512  # rows of an overflight that are whitened as one; a longer one is cut into pieces
LEAST_WHITE = 1e-4  # share of the whole variance: repeated points would make R singular
BATCH_NUMBERS = 2**22
ENDLESS_KM = 1e12
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The errors of values (row,), in the values' units.

    white : (row,) variance of the independent part
    factor : (row, component) of a component's standard deviation there; length_km : (row, component) of its correlation
    along_km, across_km : (row,) places on the overflight; the first component decays across the track too
    """

    white: Tensor
    factor: Tensor
    length_km: Tensor
    along_km: Tensor
    across_km: Tensor

    @property
    def variance(self) -> Tensor:
        """(row,) of the whole error."""
        return self.white + self.factor.square().sum(-1)

    def select(self, which: Tensor | slice) -> "Errors":
        """Those of some rows."""
        return Errors(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> "Errors":
        """The same on a device."""
        return Errors(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def scaled(self, scale: Tensor, unresolved: Tensor) -> "Errors":
        """In units `scale` (row,) as large, with the variance (row,) of what the basis cannot represent beside them."""
        white, factor = self.white / scale.square() + unresolved, self.factor / scale.unsqueeze(-1)
        return Errors(white, factor, self.length_km, self.along_km, self.across_km)

    def covariance(self) -> Tensor:
        """(..., row, row) covariance of rows (..., row) of one overflight."""
        along = (self.along_km.unsqueeze(-1) - self.along_km.unsqueeze(-2)).abs()
        across = (self.across_km.unsqueeze(-1) - self.across_km.unsqueeze(-2)).abs()
        least = LEAST_WHITE * self.factor.square().sum(-1)
        total = torch.diag_embed(torch.maximum(self.white, least))
        for index in range(self.factor.shape[-1]):
            factor, length = self.factor[..., index], self.length_km[..., index].unsqueeze(-1)
            way = along + across if index == 0 else along
            total = total + factor.unsqueeze(-1) * factor.unsqueeze(-2) * torch.exp(-way / length)
        return total


def errors_of(observations: Observations, seen: Overflights, config: ErrorsConfig) -> Errors:
    """The errors of all values (obs * channel,), channels of an observation side by side, in the channels' units.

    What a store says of a value's error is taken, its correlated part along the overflight; where it says nothing, the
    configuration speaks by the instrument's view.
    """
    channels = len(observations.channels)
    views = [getattr(config, view.name.lower()) for view in View]
    view, side = seen.view, np.sign(seen.across_km)
    columns: list[Array] = []
    lengths: list[Array] = []

    def add(std: Array, length_km: Array) -> None:
        columns.append(std)
        lengths.append(length_km)

    def of_view(name: str) -> Array:
        return np.array([getattr(errors, name) for errors in views])[view]

    known = np.isfinite(observations.error)
    shared = observations.correlated_error
    correlated = np.zeros(known.shape) if shared is None else np.nan_to_num(shared)
    white = np.where(known, np.sqrt(np.maximum(observations.error**2 - correlated**2, 0.0)), of_view("white")[:, None])
    add(np.where(known, correlated, of_view("along")[:, None]), of_view("along_km"))
    if any(errors.offset for errors in views):
        add(np.where(known, 0.0, of_view("offset")[:, None]), np.full(len(view), ENDLESS_KM))
    share = seen.across_km / SWATH_KM
    shapes = {"roll": share, "phase": np.abs(share), "baseline": share**2, "timing": np.ones(len(share))}
    for name, shape in shapes.items():
        std = of_view(name) * shape
        if not std.any():
            continue
        for part in [side > 0, side <= 0] if name in SIDES else [np.ones(len(std), bool)]:
            add(np.where(known, 0.0, (std * part)[:, None]), of_view("shape_km"))

    def flat(values: Array) -> Tensor:
        return torch.as_tensor(np.broadcast_to(values, (len(view), channels)).reshape(-1).copy())

    return Errors(
        white=flat(white**2),
        factor=torch.stack([flat(column) for column in columns], dim=-1),
        length_km=torch.stack([flat(length[:, None]) for length in lengths], dim=-1),
        along_km=flat(seen.along_km[:, None]),
        across_km=flat(seen.across_km[:, None]),
    )


def pieces(group: Tensor) -> Tensor:
    """(row,) numbers of the pieces that overflights `group` (row,) are whitened in, of at most `MOST_TOGETHER` rows."""
    order = torch.argsort(group, stable=True)
    _, back, count = torch.unique_consecutive(group[order], return_inverse=True, return_counts=True)
    rank = torch.arange(len(group), device=group.device) - (count.cumsum(0) - count)[back]
    fresh = torch.ones(len(group), dtype=torch.bool, device=group.device)
    fresh[1:] = (back[1:] != back[:-1]) | (rank[1:] % MOST_TOGETHER == 0)
    made = torch.empty_like(group)
    made[order] = fresh.cumsum(0) - 1
    return made


def whitened(piece: Tensor, errors: Errors, columns: Tensor) -> Tensor:
    """L^-1 columns (row, column), with L L' = R of every piece: what is left has independent errors of variance one."""
    if not bool(errors.factor.any()):
        return columns / errors.white.sqrt().unsqueeze(-1).to(columns)
    made = torch.empty_like(columns)
    widest = max(int(torch.bincount(piece).max()), 1) if len(piece) else 1
    for batch in batches(piece, max(BATCH_NUMBERS // widest, widest)):
        here = errors.select(batch.row)
        covariance = here.covariance()
        # Padding repeats a row of the piece: it is set apart.
        apart = batch.known.unsqueeze(-1) & batch.known.unsqueeze(-2)
        identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        factor = cholesky(torch.where(apart, covariance, identity)).to(columns)
        given = columns[batch.row] * batch.known.unsqueeze(-1)
        found = torch.linalg.solve_triangular(factor, given, upper=False)
        made[batch.row[batch.known]] = found[batch.known]
    return made


def error_variance(observations: Observations, config: ErrorsConfig) -> Array:
    """(n, channel) variance of the whole error of every value, in the channels' units squared."""
    made = errors_of(observations, overflights(observations), config)
    return made.variance.reshape(observations.values.shape).numpy()
