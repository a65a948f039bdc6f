"""Rows that belong to groups, laid side by side so that one batched product serves many groups.

Charts hold different numbers of points. A loop over charts would spend its time between small products; padding all of
them to the largest would multiply by zeros. Groups of about the same size are taken together instead: no more than half
of a batch is padding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some groups side by side.

    group : (group,) their numbers; row : (group, place) numbers of their rows; known : (group, place) false where a
    place is padding, which repeats a row of the group
    """

    group: Tensor
    row: Tensor
    known: Tensor


def batches(group: Tensor, most: int, split: bool = False) -> Iterator[Batch]:
    """Batches of at most `most` places that hold every row of `group` (row,) once; every group is in one piece.

    A group with more rows than `most` is a batch of its own. With `split` it is cut into pieces of `most` rows, which
    come as groups of the same number.
    """
    if not len(group):
        return
    device, group = group.device, group.cpu()
    order = torch.argsort(group, stable=True)
    numbers, count = torch.unique_consecutive(group[order], return_counts=True)
    start = count.cumsum(0) - count
    if split and int(count.max()) > most:
        numbers, start, count = _cut(numbers, start, count, most)
    by_size = torch.argsort(count, descending=True, stable=True)
    numbers, start, count = numbers[by_size], start[by_size], count[by_size]
    first = 0
    while first < len(numbers):
        width = int(count[first])
        together = slice(first, first + max(1, most // width))
        size = int((2 * count[together] >= width).sum())
        here = slice(first, first + size)
        place = torch.arange(width)
        known = place < count[here, None]
        row = order[start[here, None] + torch.where(known, place, 0)]
        yield Batch(numbers[here].to(device), row.to(device), known.to(device))
        first += size


def _cut(numbers: Tensor, start: Tensor, count: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Groups in pieces of at most `most` rows."""
    pieces = (count + most - 1) // most
    which = torch.repeat_interleave(torch.arange(len(numbers)), pieces)
    part = torch.arange(len(which)) - (pieces.cumsum(0) - pieces)[which]
    left = count[which] - part * most
    return numbers[which], start[which] + part * most, left.clamp_max(most)
