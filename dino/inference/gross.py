"""Gross errors of single values among values whose errors are shared along an overflight.

Whitening takes what a value's neighbours say of its error off the value, and so carries a gross error into the rows
behind it, where none of them looks like an outlier. It has to be found before: a value is compared with what the other
values near it and the population of fields say of it. Where it is off by more than `bound` standard deviations, the
independent part of its error is raised until it is off by as many. Huber's cost does the rest on whitened rows.
"""

import torch
from torch import Tensor

from ..numerics.gaussian import cholesky
from ..numerics.groups import batches
from .errors import Errors, pieces, sharing

NEIGHBOURS = 64  # rows of an overflight that are compared with each other
ROUNDS = 5  # a gross error makes its neighbours look wrong until it is known for what it is
BATCH_NUMBERS = 2**22


def raised(piece: Tensor, errors: Errors, missed: Tensor, operator: Tensor, spread: Tensor, bound: float) -> Tensor:
    """(row,) variance of the independent part of the rows' errors, raised where a row is off by more than its error.

    missed : (row,) values less those of the population's mean; operator : (row, code); spread : (code, code) of codes
    Rows whose errors are independent are left to Huber's cost.
    """
    white, rows = errors.white.clone(), sharing(piece, errors)
    for batch in batches(pieces(piece[rows], NEIGHBOURS), BATCH_NUMBERS // NEIGHBOURS):
        which, known = rows[batch.row], batch.known
        here, seen = errors.select(which), operator[which].to(white)
        apart = known.unsqueeze(-1) & known.unsqueeze(-2)
        identity = torch.eye(known.shape[-1], dtype=white.dtype, device=white.device)
        total = torch.where(apart, here.covariance() + seen @ spread.to(white) @ seen.mT, identity)
        extra = _extra(total, missed[which].to(white) * known, bound)
        white[which[known]] += extra[known]
    return white


def _extra(total: Tensor, missed: Tensor, bound: float) -> Tensor:
    """(block, row) what to add to the diagonal of covariances (block, row, row) so that no row is off by more."""
    extra, active = torch.zeros_like(missed), torch.arange(len(missed), device=missed.device)
    for _ in range(ROUNDS):
        inverse = torch.cholesky_inverse(cholesky(total[active] + torch.diag_embed(extra[active])))
        precision = inverse.diagonal(dim1=-2, dim2=-1)
        # What a row is off from what the others say, and the variance of that.
        off = (inverse @ missed[active].unsqueeze(-1)).squeeze(-1) / precision
        expected = 1.0 / precision - extra[active]
        extra[active] = ((off / bound).square() - expected).clamp_min(0.0)
        active = active[(extra[active] > 0).any(-1)]
        if not len(active):
            break
    return extra
