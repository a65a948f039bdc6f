"""The points of one file, screened: columns of what is kept, counts of what is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_pipeline.products.screening import NO_POSITION, NO_TIME, Checks, Count, Counts, numbers, screen, totals
from data_pipeline.products.variables import Reading


@dataclass
class Points:
    """Equally long columns: time datetime64[ns], degrees, channels and their errors in canonical units.

    source: index into source_name. counts: what was read and dropped of each channel. notes: for the history.
    """

    time: np.ndarray
    longitude: np.ndarray
    latitude: np.ndarray
    source: np.ndarray
    source_name: list[str]
    channels: dict[str, np.ndarray]
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def screened(
    values: Sequence[tuple[Reading, np.ndarray]],
    time: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    source_name: list[str],
    source: np.ndarray | None = None,
    checks: Mapping[str, Checks] | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
) -> Points:
    """The points among equally shaped arrays that have a position, a time and a value.

    values: stored values by reading. checks: further masks of what to drop, by channel. errors: standard deviations
    by channel, in the units of the stored values.
    """
    nowhere = ~((abs(longitude) <= 720.0) & (abs(latitude) <= 90.0))
    common: Checks = [(NO_POSITION, nowhere), (NO_TIME, np.isnat(time))]
    channels, spreads, counts = {}, {}, {}
    for reading, stored in values:
        name = reading.channel.name
        further = list((checks or {}).get(name, []))
        canonical, masks = screen(stored.astype(np.float64), reading, common + further)
        channels[name] = canonical
        counts[name] = Count()
        counts[name].add(stored.size, {reason: int(number) for reason, number in numbers(masks).items()})
        if errors and name in errors:
            spread = errors[name] * abs(reading.scale)
            spreads[name] = np.where(spread > 0, spread, np.nan).astype(np.float32)
    kept = np.any([np.isfinite(column) for column in channels.values()], axis=0)
    return Points(
        time[kept],
        longitude[kept].astype(np.float64),
        latitude[kept].astype(np.float64),
        np.zeros(np.count_nonzero(kept), np.int16) if source is None else source[kept].astype(np.int16),
        source_name,
        {name: column[kept] for name, column in channels.items()},
        {name: column[kept] for name, column in spreads.items()},
        counts,
    )


def concatenated(parts: Sequence[Points], notes: list[str]) -> Points:
    """Blocks of one file, which have the same channels and sources, as one."""
    first = parts[0]

    def joined(columns: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(columns)

    return Points(
        joined([part.time for part in parts]),
        joined([part.longitude for part in parts]),
        joined([part.latitude for part in parts]),
        joined([part.source for part in parts]),
        first.source_name,
        {name: joined([part.channels[name] for part in parts]) for name in first.channels},
        {name: joined([part.errors[name] for part in parts]) for name in first.errors},
        totals(part.counts for part in parts),
        list(dict.fromkeys(notes)),
    )
