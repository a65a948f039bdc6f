"""A forecast as the hindcasts of its sea combine it: the dynamics, persistence and half the trend, and what is left.

With the changes of a chart's codes since the last map,

    change = a (change by the dynamics) + b (half the recent trend times the lead),

a and b, not negative, are least squares over hindcasts. This is a combination of forecasts whose weights follow from
the covariance of their errors (Bates and Granger 1969); what a and b leave to one is persistence. Few hindcasts must
not spoil anything, and weights of no use only add error: a lead begins with what the shorter lead before it found, the
first with the dynamics alone, and is moved from there by

    n / (n + CAUTION + DOUBT left / gain)

of the way, n being the number of hindcasts apart by more than the lead, left the mean square that the best weights
leave and gain what they are better by. Longer leads than the record can tell keep what the last one found.

What is left in hindcasts, over the variance that was predicted, makes a factor of the spread in the same manner. Where
the record is too short for a lead, errors are taken to grow as changes do.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..inference.hindcasts import Hindcasts
from ..numerics.gaussian import cholesky
from ..numerics.modes import without_gradients

# Chosen on seas of January 2014 that are not scored and on days up to 20 May 2005 of the Mediterranean.
CAUTION, DOUBT = 1.0, 0.5
ALIKE = 0.01  # of the mean square of changes: by less two forecasts are not told from one another


class Combination(NamedTuple):
    """Shares (time, chart) of the dynamics' change and of half the trend, and the factor of the standard deviation."""

    dynamics: Tensor
    trend: Tensor
    spread: Tensor


@without_gradients
def combination(found: Hindcasts, leads: Tensor) -> Combination:
    """The combination at `leads` (time,) [days], linear between those of hindcasts and constant beyond them."""
    shares = torch.tensor([1.0, 0.0]).to(found.trend).expand(len(found.trend), -1)
    factor, rows = torch.ones_like(found.trend[:, 0]), []
    for knot, growth in enumerate(_growth(found)):
        factor = factor * growth
        if found.count[knot] > 0:
            shares, factor = _learned(found, knot, shares, factor)
        rows.append(torch.cat([shares, factor.sqrt()[:, None]], dim=-1))
    table = torch.stack([rows[0], *rows])
    knots = torch.cat([found.leads.new_zeros(1), found.leads])
    place = torch.searchsorted(knots, leads.to(knots)).clamp(1, len(table) - 1)
    share = ((leads.to(knots) - knots[place - 1]) / (knots[place] - knots[place - 1])).clamp(0.0, 1.0)
    return Combination(*torch.lerp(table[place - 1], table[place], share[:, None, None]).unbind(-1))


def _growth(found: Hindcasts) -> Tensor:
    """(knot, chart) by how much faster than was predicted errors are expected to grow since the lead before.

    As fast as changes themselves, where that is faster.
    """
    ratio = found.changed / found.predicted
    growth = (ratio[1:] / ratio[:-1]).nan_to_num(1.0, 1.0, 1.0).clamp_min(1.0)
    return torch.cat([torch.ones_like(ratio[:1]), growth])


def _learned(found: Hindcasts, knot: int, shares: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Shares (chart, 2) and the factor of variance (chart,), moved by the hindcasts of one lead."""
    products, predicted = found.products[knot], found.predicted[knot]
    # A sea that stood still while the dynamics moved it tells which is right, and nothing of errors to come.
    known = (products[:, 0, 0] + products[:, 1, 1] > 0) & (predicted > 0)
    # Hindcasts that begin within the lead of one another have nearly the same outcome.
    apart = 1.0 + (found.count[knot] - 1.0) * found.leads[0] / found.leads[knot]
    best = _best(products, shares)
    left = _missed(products, best)
    gain = (_missed(products, shares) - left).clamp_min(torch.finfo(left.dtype).tiny)
    nearer = torch.lerp(shares, best, (apart / (apart + CAUTION + DOUBT * left / gain))[:, None])
    shares = torch.where(known[:, None], nearer, shares)
    ratio, moved = _missed(products, shares) / predicted, known & (products[:, 0, 0] > 0)
    return shares, torch.where(moved, (CAUTION * factor + apart * ratio) / (CAUTION + apart), factor)


def _missed(products: Tensor, shares: Tensor) -> Tensor:
    """(chart,) mean square of what happened less the changes in their shares (chart, 2)."""
    left = torch.cat([torch.ones_like(shares[:, :1]), -shares], dim=-1)
    return torch.einsum("ca,cab,cb->c", left, products, left)


def _best(products: Tensor, expected: Tensor) -> Tensor:
    """(chart, 2) least squares of what happened, not negative; of changes alike that nearest to what was expected."""
    square, right = products[:, 1:, 1:], products[:, 1:, 0]
    size = square.diagonal(dim1=1, dim2=2)
    alike = ALIKE * size.mean(-1, keepdim=True) + torch.finfo(size.dtype).tiny
    square, right = square + torch.diag_embed(alike.expand_as(size)), right + alike * expected
    alone = (right / square.diagonal(dim1=1, dim2=2)).clamp_min(0.0)
    both = torch.cholesky_solve(right[..., None], cholesky(square))[..., 0]
    # Of two that may not be negative the best is inside, or has one alone: that which explains more.
    explained = alone * right
    single = torch.where(explained == explained.amax(-1, keepdim=True), alone, 0.0)
    return torch.where((both >= 0).all(-1, keepdim=True), both, single)
