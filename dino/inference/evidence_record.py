"""What the evidence is of: observed values of windows, with the parts of their errors, as one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import ErrorsConfig
from ..data.observations import Observations
from ..data.overflights import overflights
from ..model import LatentModel, Ocean
from ..numerics.groups import Batch, batches
from .errors import Errors
from .observed import ObservedValues, observed_values

MOST_ROWS = 400  # of a chart in a window; of more, a random part


@dataclass(frozen=True)
class Record:
    """Observed values of charts in windows, taken as independent of each other.

    rows : with errors as configured, unresolved variance not in them; key : (row,) number of window and chart
    days : (row,) time; overflight, view : (row,); open : (row,) whose error no store has told
    once : what a chart's density counts for, since overlapping charts see a value several times
    """

    rows: ObservedValues
    errors: Errors
    key: Tensor
    days: Tensor
    overflight: Tensor
    view: Tensor
    open: Tensor
    once: float = 1.0

    def select(self, which: Tensor) -> "Record":
        """The record of some rows, by a mask or indices."""
        chosen: dict[str, Any] = {name: vars(self)[name][which] for name in _REST}
        return Record(rows=self.rows.select(which), errors=self.errors.select(which), once=self.once, **chosen)

    def batches(self, most: int) -> Iterator[Batch]:
        """All rows, charts of about the same size side by side."""
        return batches(self.key, most)


def record_of(
    latent: LatentModel,
    ocean: Ocean,
    windows: Sequence[Observations],
    errors: ErrorsConfig,
    seed: int = 0,
    most: int = MOST_ROWS,
) -> Record:
    """The observed values of some windows in the charts of an ocean, in double precision."""
    chance, parts, values, seen_by = np.random.default_rng(seed), [], 0, 0
    for number, seen in enumerate(windows):
        nodes = np.array([seen.time[0], seen.time[-1] + 1e-6])
        rows = observed_values(latent, ocean, seen, nodes, errors)
        values, seen_by = values + len(torch.unique(rows.observation)), seen_by + len(rows)
        chosen = _thinned(rows.chart.cpu().numpy(), chance, most)
        rows = rows.select(torch.as_tensor(chosen, device=rows.chart.device))
        passed, which = overflights(seen), rows.observation.cpu().numpy()
        told = torch.as_tensor(np.isfinite(seen.error))[torch.as_tensor(which), rows.channel.cpu()]
        days = nodes[0] + (rows.node + rows.fraction).double().cpu().numpy() * (nodes[1] - nodes[0])
        assert rows.errors is not None
        unresolved = latent.unresolved_variance.double()[rows.channel]
        parts.append(
            Record(
                rows=replace(rows, errors=None, piece=None),
                errors=replace(rows.errors, white=rows.errors.white - unresolved),
                key=number * ocean.charts + rows.chart,
                days=torch.as_tensor(days),
                overflight=torch.as_tensor(passed.number[which]),
                view=torch.as_tensor(passed.view[which]),
                open=~told,
            )
        )
    return replace(_joined(parts), once=values / max(seen_by, 1))


def _thinned(chart: np.ndarray, chance: np.random.Generator, most: int) -> np.ndarray:
    """Indices of at most `most` rows of every chart, at random."""
    order = np.lexsort((chance.random(len(chart)), chart))
    _, first, count = np.unique(chart[order], return_index=True, return_counts=True)
    rank = np.arange(len(chart)) - np.repeat(first, count)
    return np.sort(order[rank < most])


def _joined(parts: list[Record]) -> Record:
    columns = [[vars(part.rows)[name] for part in parts] for name in _COLUMNS]
    columns_of: dict[str, Any] = {name: torch.cat(column) for name, column in zip(_COLUMNS, columns, strict=True)}
    rows = ObservedValues(**columns_of)
    width = max(part.errors.factor.shape[-1] for part in parts)
    # Windows without swaths have fewer components.
    padded = [torch.nn.functional.pad(part.errors.factor, (0, width - part.errors.factor.shape[-1])) for part in parts]
    length = [
        torch.nn.functional.pad(part.errors.length_km, (0, width - part.errors.length_km.shape[-1]), value=1.0)
        for part in parts
    ]
    errors = Errors(
        torch.cat([part.errors.white for part in parts]), torch.cat(padded), torch.cat(length),
        torch.cat([part.errors.along_km for part in parts]), torch.cat([part.errors.across_km for part in parts]),
    )  # fmt: skip
    others: dict[str, Any] = {name: torch.cat([vars(part)[name] for part in parts]) for name in _REST}
    return Record(rows=rows, errors=errors, **others)


_COLUMNS = ("chart", "channel", "coordinates", "value", "variance", "node", "fraction", "observation")
_REST = ("key", "days", "overflight", "view", "open")
