"""Training data in latent space: the codes of maps and what they leave."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .series import Series, SeriesIndex
from .streamed import StreamedSeries

MOST_LEADS = 32  # leads whose changes are measured
TOGETHER = 1024  # series whose changes are measured at once: copies of all codes would take as much memory again


@dataclass(frozen=True)
class CodeSeries:
    """A store seen by the dynamics: codes (series, time, code) and what they leave, cell by cell.

    metric : (series or 1, code, code) mean squared field value of a code difference
    unresolved : (series, time, value) normalised remainder at some cells
    persistence : (lead,) mean squared change of the field over 1, 2, ... intervals, which weighs the leads
    """

    codes: Tensor
    metric: Tensor
    unresolved: Tensor
    context: Tensor
    persistence: Tensor
    share: float

    @classmethod
    def of(cls, codes: Tensor, metric: Tensor, unresolved: Tensor, series: Series | StreamedSeries) -> "CodeSeries":
        """Collect a store's codes; `series` gives context and share."""
        changes = []
        for lead in range(1, min(MOST_LEADS, codes.shape[1])):
            total = codes.new_zeros((), dtype=torch.float64)
            for first in range(0, len(codes), TOGETHER):
                rows = slice(first, first + TOGETHER)
                moved = codes[rows, lead:] - codes[rows, :-lead]
                total += field_square(moved, metric if len(metric) == 1 else metric[rows]).sum(dtype=torch.float64)
            changes.append((total / (len(codes) * (codes.shape[1] - lead))).to(codes))
        persistence = torch.stack(changes) if changes else codes.new_ones(1)
        return cls(codes, metric, unresolved, series.context, persistence, series.share)

    def frames(self, which: slice) -> "CodeSeries":
        """The same over part of the times, with the same lead weights."""
        return CodeSeries(
            self.codes[:, which], self.metric, self.unresolved[:, which], self.context,
            self.persistence, self.share,
        )  # fmt: skip

    def subset(self, which: SeriesIndex) -> "CodeSeries":
        """Some of the series, with the same lead weights."""
        metric = self.metric if self.metric.shape[0] == 1 else self.metric[which]
        return CodeSeries(
            self.codes[which], metric, self.unresolved[which], self.context[which],
            self.persistence, self.share,
        )  # fmt: skip


def gather_steps(values: Tensor, series: Tensor, start: Tensor, offsets: range) -> Tensor:
    """values (series, time, ...) at `start` plus each offset: (segment, offset, ...)."""
    steps = start[:, None] + torch.arange(offsets.start, offsets.stop, device=start.device)
    return values[series[:, None], steps]


def field_square(difference: Tensor, metric: Tensor) -> Tensor:
    """Mean squared field value (series, time) of code differences (series, time, code)."""
    return ((difference @ metric) * difference).sum(-1)
