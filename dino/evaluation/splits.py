"""What is assimilated and what is withheld of a record: a source, a part of the overflights, or what comes after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.observations import Observations
from ..data.overflights import overflights
from ..errors import ConfigError, EmptyDataError

PASSES = "passes"  # in place of a source: overflights of all of them
EACH = "each"  # every source in turn
PARTS = 5  # of the overflights of a window, one of which is withheld in turn


@dataclass(frozen=True)
class Split:
    """One analysis: what is assimilated, what is withheld, and when the window ends [days since 1950-01-01]."""

    mission: str
    seen: Observations
    withheld: Observations
    end: float


def splits(
    observations: Observations, names: Sequence[str], window: float, days_ahead: float, every: float = 1.0
) -> Iterator[Split]:
    """Every mission withheld at analysis times `every` so many days, from the first full window on."""
    for index, mission in enumerate(names):
        yield from withheld_sources(observations, [index], mission, window, days_ahead, every)


def withheld_sources(
    observations: Observations, numbers: Sequence[int], name: str, window: float, days_ahead: float, every: float
) -> Iterator[Split]:
    """Sources withheld together, in the windows and after them; the others are assimilated."""
    held = np.isin(observations.source, numbers)
    others, its = observations.select(~held), observations.select(held)
    for start, end in windows(observations, window, every):
        seen, held = others.between(start, end), its.between(start, end + days_ahead)
        if len(seen) and len(held):
            yield Split(name, seen, held, end)


def withheld_ahead(observations: Observations, window: float, days_ahead: float, every: float) -> Iterator[Split]:
    """Nothing withheld in the windows: what is observed after them is forecast."""
    for start, end in windows(observations, window, every):
        later = observations.between(np.nextafter(end, np.inf), end + days_ahead)
        if len(later):
            yield Split("ahead", observations.window(start, end), later, end)


def withheld_passes(observations: Observations, window: float, every: float) -> Iterator[Split]:
    """Of the overflights of each window one of `PARTS` is withheld, every part in turn."""
    for start, end in windows(observations, window, every):
        inside = observations.window(start, end)
        number = overflights(inside).number
        for part in range(min(PARTS, int(number.max()) + 1)):
            held = number % PARTS == part
            if held.any() and not held.all():
                yield Split("passes", inside.select(~held), inside.select(held), end)


def windows(observations: Observations, window: float, every: float) -> list[tuple[float, float]]:
    """Starts and ends [days since 1950-01-01] of windows, from the first full one on."""
    first, last = float(observations.time[0]), float(observations.time[-1])
    ends = first + window + every * np.arange(max(1, int(np.ceil((last - first - window) / every - 1e-9))))
    return [(max(end - window, first), float(end)) for end in ends]


def sources_named(observations: Observations, wanted: str) -> list[int]:
    """Numbers of the source that is called `wanted`, else of all whose names contain it: files of a day are sources.

    Raises ConfigError where there is none.
    """
    names = {int(i): observations.source_of(int(i)) for i in np.unique(observations.source)}
    lower = wanted.casefold().strip()
    exact = [i for i, name in names.items() if name.casefold() == lower]
    found = exact or [i for i, name in names.items() if lower and lower in name.casefold()]
    if not found:
        raise ConfigError(
            f"--withhold {wanted!r} is in the name of none of the sources: {', '.join(names.values())}; give one of "
            f"them or a part of its name, or {EACH!r} or {PASSES!r}"
        )
    return found


def score_splits(
    observations: Observations, withhold: str | None, window: float, days_ahead: float, every: float
) -> list[Split]:
    """What a score withholds: a source, `each` in turn, or `passes`; without it what comes after each window.

    Of passes, and where all sources are named, nothing but a part of the overflights can be withheld from a
    window, and forecasts are given all of it. Raises ConfigError for a source that is none, EmptyDataError where
    nothing is left to predict or to predict from.
    """
    ahead = list(withheld_ahead(observations, window, days_ahead, every)) if days_ahead > 0 else []
    if withhold is None:
        made = ahead
    else:
        numbers = np.unique(observations.source).tolist()
        named = {EACH: [[number] for number in numbers], PASSES: [numbers]}
        chosen = named.get(withhold) or [sources_named(observations, withhold)]
        if len(chosen[0]) == len(numbers):  # nothing would be left to assimilate
            made = [*withheld_passes(observations, window, every), *ahead]
        else:
            together = withhold if len(chosen) == 1 else None
            made = [
                split
                for some in chosen
                for split in withheld_sources(
                    observations, some, together or observations.source_of(some[0]), window, days_ahead, every
                )
            ]
    if not made:
        raise EmptyDataError(
            f"nothing is left to predict: {observations.span()}, and the window takes {window:g} days of it; give a "
            f"shorter --window, or withhold a source or {PASSES!r}"
        )
    return made
