"""The evidence of sparse observations: their likelihood with the codes integrated out.

Codes of a population S that relax at time scales T (`RelaxingODE`) and errors of overflights R make the values of a
chart Gaussian, with covariance

    C = sum over groups g of modes  Phi_g S_g Phi_g' exp(-|t - t'| / T_g)  +  R,

dense over the points of a window. Its log-density is a smooth function of everything in it: of the weights of the
decoder through which codes enter, of population, time scales and errors (Rasmussen & Williams 2006, chapter 5).
Beside the joint density there is that of every overflight given all the others (the same, 5.4.2): which asks what is
wanted, how well an overflight is predicted that was not there, and is not misled by what neighbours on one track tell
of each other when the covariance is not quite right.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..numerics.gaussian import cholesky
from ..numerics.groups import Batch, batches
from ..space.decoders import Decoder
from .errors import pieces
from .evidence_covariance import Covariance
from .evidence_record import Record

GROSS = 5.0  # standard deviations from what its neighbours say: no density that is wanted has such values
NEIGHBOURS = 64  # rows of an overflight that are compared with each other


def forms(decoder: Decoder, record: Record, which: Tensor) -> tuple[Tensor, Tensor]:
    """Modes (..., code) and offset (...) of some rows."""
    basis = decoder.basis(record.rows.coordinates[which].double())  # type: ignore[attr-defined]
    channel = record.rows.channel[which]
    modes = basis.modes.gather(-2, channel[..., None, None].expand(*channel.shape, 1, basis.modes.shape[-1]))
    return modes.squeeze(-2), basis.offset.gather(-1, channel.unsqueeze(-1)).squeeze(-1)


def log_evidence(covariance: Covariance, record: Record, batch: Batch) -> Tensor:
    """(chart,) logarithm of the density of all values of charts, with gradients to everything."""
    factor, missed = _factorised(covariance, record, batch)
    white = torch.linalg.solve_triangular(factor, missed.unsqueeze(-1), upper=False).squeeze(-1)
    count = batch.known.sum(-1)
    half = 0.5 * white.square().sum(-1) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -half - 0.5 * np.log(2 * np.pi) * count


def log_overflights(covariance: Covariance, record: Record, batch: Batch, counted: Tensor | None = None) -> Tensor:
    """(chart,) sum of the logarithms of the densities of all values, each given all other overflights' values.

    counted : (row,) which values of the record are summed, all when absent; all of them are given

    With K the inverse of C and B its block of an overflight, its values have the mean y - B^-1 (K y) and covariance
    B^-1 given the others. All blocks are factorised as one matrix.
    """
    factor, missed = _factorised(covariance, record, batch)
    inverse = torch.cholesky_inverse(factor)
    number = record.overflight[batch.row]
    same = (number.unsqueeze(-1) == number.unsqueeze(-2)) & batch.known.unsqueeze(-1) & batch.known.unsqueeze(-2)
    identity = torch.eye(inverse.shape[-1], dtype=inverse.dtype)
    blocks = cholesky(torch.where(same, inverse, torch.where(batch.known.unsqueeze(-1), 0.0, identity)))
    left = torch.cholesky_solve(inverse @ missed.unsqueeze(-1), blocks).squeeze(-1)
    variance = torch.cholesky_inverse(blocks).diagonal(dim1=-2, dim2=-1)
    density = -0.5 * (left.square() / variance + variance.log() + np.log(2 * np.pi))
    summed = batch.known if counted is None else batch.known & counted[batch.row]
    return (density * summed).sum(-1)


@torch.no_grad()
def without_gross(covariance: Covariance, record: Record, bound: float = GROSS) -> Record:
    """The record without gross errors: values `bound` standard deviations from what others of their overflight say.

    A Gaussian density answers one spike with errors that are larger everywhere. Before a fit the standard deviations
    are guesses, which may be far too small: they are scaled by the median of what values are off, where that is larger.
    The worst value of a piece goes first, since it makes its neighbours look wrong.
    """
    group = torch.stack([record.key, record.overflight, record.rows.channel], dim=-1).unique(dim=0, return_inverse=True)
    found = [_Piece.of(covariance, record, batch) for batch in batches(pieces(group[1], NEIGHBOURS), 2**14)]
    off = torch.cat([piece.off()[piece.known] for piece in found])
    limit = bound * max(1.0, float(off.median()) / 0.6745)  # the median of what is Gaussian
    kept = torch.ones(len(record.rows), dtype=torch.bool)
    for piece in found:
        for _ in range(NEIGHBOURS):
            worst = piece.off().max(-1)
            wrong = torch.nonzero(worst.values > limit).squeeze(-1)
            if not len(wrong):
                break
            piece.known[wrong, worst.indices[wrong]] = False
            kept[piece.row[wrong, worst.indices[wrong]]] = False
    return record if bool(kept.all()) else record.select(kept)


@dataclass
class _Piece:
    """Rows (piece, row) of overflights, what they miss and its covariance; known : which of them are still believed."""

    row: Tensor
    known: Tensor
    missed: Tensor
    total: Tensor

    @classmethod
    def of(cls, covariance: Covariance, record: Record, batch: Batch) -> "_Piece":
        modes, offset = forms(covariance.decoder, record, batch.row)
        missed = record.rows.value[batch.row].double() - offset
        return cls(batch.row, batch.known.clone(), missed, covariance.of_rows(record, batch, modes))

    def off(self) -> Tensor:
        """(piece, row) standard deviations that a value is from its mean given the others; zero where not believed."""
        apart = self.known.unsqueeze(-1) & self.known.unsqueeze(-2)
        identity = torch.eye(apart.shape[-1], dtype=self.total.dtype)
        inverse = torch.cholesky_inverse(cholesky(torch.where(apart, self.total, identity)))
        missed = (self.missed * self.known).unsqueeze(-1)
        return (inverse @ missed).squeeze(-1).abs() / inverse.diagonal(dim1=-2, dim2=-1).sqrt() * self.known


def _factorised(covariance: Covariance, record: Record, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cholesky factors (chart, row, row) of C, and values (chart, row) less their mean."""
    modes, offset = forms(covariance.decoder, record, batch.row)
    missed = torch.where(batch.known, record.rows.value[batch.row].double() - offset, 0.0)
    return cholesky(covariance.of_rows(record, batch, modes)), missed
