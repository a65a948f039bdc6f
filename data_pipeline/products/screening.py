"""What is no measurement, and why: every value that is set to missing has one reason, and reasons are counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_pipeline.products.variables import Reading

MISSING = "missing in the file"
NO_POSITION = "without position"
NO_TIME = "without time"
EXTREME = "at the packed integer's extreme, where the file declares no missing value"
INVALID = "outside the valid range that the file states"
AWAY = "off the neighbours along the pass"
REPEATED = "repeated"

Checks = list[tuple[str, Any]]


@dataclass
class Count:
    """How many values of one channel were read and why some were dropped."""

    read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Values that are left."""
        return self.read - sum(self.dropped.values())

    def add(self, read: int, dropped: Mapping[str, int]) -> None:
        """Count more values."""
        self.read += int(read)
        for reason, number in dropped.items():
            if number:
                self.dropped[reason] = self.dropped.get(reason, 0) + int(number)

    def as_dict(self) -> dict[str, Any]:
        """For the provenance."""
        return {"read": self.read, "kept": self.kept, "dropped": self.dropped}

    def note(self, channel: str) -> str:
        """For the history."""
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items())
        return f"{channel}: {self.kept} of {self.read} values kept" + (f"; dropped {reasons}" if reasons else "")


Counts = dict[str, Count]


def totals(counts: Iterable[Counts]) -> Counts:
    """The counts of several files together."""
    whole: Counts = {}
    for part in counts:
        for channel, count in part.items():
            whole.setdefault(channel, Count()).add(count.read, count.dropped)
    return whole


def screen(values: Any, reading: Reading, checks: Checks) -> tuple[Any, Checks]:
    """(canonical float32 values with NaN, masks by reason), numpy or dask.

    Each value that is dropped is in the mask of one reason alone: of several the first in the order missing, `checks`,
    fill value, valid range of the file, physical range.
    """
    canonical = values * reading.scale + reading.offset
    low, high = reading.channel.valid_range
    rules = [(MISSING, ~np.isfinite(values)), *checks]
    for sentinel in reading.extremes:
        # float32 cannot tell the sentinel from its neighbours, all of which are far outside any measurement.
        rules.append((EXTREME, abs(values - sentinel) <= 1e-6 * abs(sentinel)))
    first, last = reading.valid_range
    rules.append((INVALID, (values < first) | (values > last)))
    rules.append((f"outside [{low:g}, {high:g}] {reading.channel.units}", (canonical < low) | (canonical > high)))
    masks: Checks = []
    dropped = np.zeros_like(values, dtype=bool)
    for reason, mask in rules:
        masks.append((reason, mask & ~dropped))
        dropped = dropped | mask
    return np.where(dropped, np.nan, canonical).astype(np.float32), masks


def numbers(masks: Checks) -> dict[str, Any]:
    """How many values each reason took, lazy where the masks are."""
    counted: dict[str, Any] = {}
    for reason, mask in masks:
        counted[reason] = counted.get(reason, 0) + mask.sum()
    return counted
