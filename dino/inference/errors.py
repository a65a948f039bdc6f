"""Errors of observations as instruments make them: correlated along an overflight, and in shapes across a swath.

The covariance of the errors of one overflight is

    R = white + along along' exp(-d / L) + offset offset' + sum of shapes g g' exp(-s / L_shape)

with d the way along the track and across it and s the way along it: an Ornstein-Uhlenbeck process for what no map
resolves and for errors of corrections, a constant, and for swaths the errors of the interferometer's geometry, roll
(linear across the track), phase (linear on each side), baseline (quadratic) and timing (constant on each side;
Esteban-Fernandez, SWOT error budget, JPL D-79084). Overflights are independent of each other. One Cholesky factor for
every overflight on a chart whitens values and operator rows alike, and what follows needs to know of white errors only.
"""

from dataclasses import dataclass
from typing import NamedTuple

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


class _Part(NamedTuple):
    """A component as the configuration has it: standard deviation (n,) at the points, and length (n,) [km]."""

    std: Array
    length_km: Array


def errors_of(observations: Observations, seen: Overflights, config: ErrorsConfig) -> Errors:
    """The errors of all values (obs * channel,), channels of an observation side by side, in the channels' units.

    What a store says of a value's error is taken. Of its correlated part the store has the size and the configuration
    the form: the geometry of a swath where it has one, along the track where it has none. Where a store says nothing,
    the configuration speaks by the instrument's view.
    """
    channels = len(observations.channels)
    known, shared = np.isfinite(observations.error), observations.correlated_error
    correlated = np.zeros(known.shape) if shared is None else np.nan_to_num(shared)
    independent = np.sqrt(np.maximum(observations.error**2 - correlated**2, 0.0))
    white = np.where(known, independent, _by_view(seen, config, "white")[:, None])
    along, offset, shapes = _parts(seen, config)
    geometry = np.sqrt(sum((part.std**2 for part in shapes), np.zeros(len(seen.view))))
    factors = [np.where(known, correlated * (geometry == 0)[:, None], along.std[:, None])]
    factors += [np.where(known, 0.0, offset.std[:, None])]
    for part in shapes:
        share = part.std / np.where(geometry > 0, geometry, 1.0)
        factors.append(np.where(known, correlated * share[:, None], part.std[:, None]))
    # The first one stays: it is the one that decays across the track too.
    there = [number for number, factor in enumerate(factors) if factor.any() or not number]
    lengths = [part.length_km for part in (along, offset, *shapes)]

    def flat(values: Array) -> Tensor:
        return torch.as_tensor(np.broadcast_to(values, (len(seen.view), channels)).reshape(-1).copy())

    return Errors(
        white=flat(white**2),
        factor=torch.stack([flat(factors[number]) for number in there], dim=-1),
        length_km=torch.stack([flat(lengths[number][:, None]) for number in there], dim=-1),
        along_km=flat(seen.along_km[:, None]),
        across_km=flat(seen.across_km[:, None]),
    )


def _by_view(seen: Overflights, config: ErrorsConfig, name: str) -> Array:
    """(n,) a setting of every point's view."""
    return np.array([getattr(getattr(config, view.name.lower()), name) for view in View])[seen.view]


def _parts(seen: Overflights, config: ErrorsConfig) -> tuple[_Part, _Part, list[_Part]]:
    """What is shared along the track, by a whole overflight, and in shapes across a swath, each side for itself."""
    along = _Part(_by_view(seen, config, "along"), _by_view(seen, config, "along_km"))
    offset = _Part(_by_view(seen, config, "offset"), np.full(len(seen.view), ENDLESS_KM))
    # Points of no track have places to the north and east there, and no geometry.
    share = np.where(seen.view == View.SWATH, seen.across_km / SWATH_KM, 0.0)
    shapes = {"roll": share, "phase": np.abs(share), "baseline": share**2, "timing": np.ones(len(share))}
    length, right = _by_view(seen, config, "shape_km"), share > 0
    found = []
    for name, shape in shapes.items():
        std = _by_view(seen, config, name) * shape * (seen.view == View.SWATH)
        found += [_Part(std * side, length) for side in ((right, ~right) if name in SIDES else (1.0,))]
    return along, offset, found


def sharing(piece: Tensor, errors: Errors) -> Tensor:
    """Numbers of the rows that lie in pieces where errors are shared."""
    shared = (errors.factor != 0).any(-1)
    if not bool(shared.any()):
        return piece[:0]
    return torch.nonzero(torch.bincount(piece, shared.double())[piece] > 0).squeeze(-1)


def pieces(group: Tensor, most: int = MOST_TOGETHER) -> Tensor:
    """(row,) numbers of the pieces of at most `most` rows that overflights `group` (row,) are cut into."""
    order = torch.argsort(group, stable=True)
    _, back, count = torch.unique_consecutive(group[order], return_inverse=True, return_counts=True)
    rank = torch.arange(len(group), device=group.device) - (count.cumsum(0) - count)[back]
    fresh = torch.ones(len(group), dtype=torch.bool, device=group.device)
    fresh[1:] = (back[1:] != back[:-1]) | (rank[1:] % most == 0)
    made = torch.empty_like(group)
    made[order] = fresh.cumsum(0) - 1
    return made


def whitened(piece: Tensor, errors: Errors, columns: Tensor) -> Tensor:
    """L^-1 columns (row, column), with L L' = R of every piece: what is left has independent errors of variance one."""
    return whitened_with_roots(piece, errors, columns)[0]


def whitened_with_roots(piece: Tensor, errors: Errors, columns: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and the logarithm (row,) of the diagonal of L, by whose sum a density is changed."""
    made = columns / errors.white.sqrt().unsqueeze(-1).to(columns)
    roots = 0.5 * errors.white.log()
    rows = sharing(piece, errors)
    if not len(rows):
        return made, roots
    widest = int(torch.bincount(piece[rows]).max())
    for batch in batches(piece[rows], max(BATCH_NUMBERS // widest, widest)):
        which, known = rows[batch.row], batch.known
        covariance = errors.select(which).covariance()
        # Padding repeats a row of the piece: it is set apart.
        apart = known.unsqueeze(-1) & known.unsqueeze(-2)
        identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        factor = cholesky(torch.where(apart, covariance, identity)).to(columns)
        found = torch.linalg.solve_triangular(factor, columns[which] * known.unsqueeze(-1), upper=False)
        made[which[known]] = found[known]
        roots[which[known]] = factor.diagonal(dim1=-2, dim2=-1)[known].log().to(roots)
    return made, roots


def error_variance(observations: Observations, config: ErrorsConfig) -> Array:
    """(n, channel) variance of the whole error of every value, in the channels' units squared."""
    made = errors_of(observations, overflights(observations), config)
    return made.variance.reshape(observations.values.shape).numpy()
