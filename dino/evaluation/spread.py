"""The spread of forecasts judged beside that of the reference ensembles, on the same pairs of forecast and truth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ensembles import References
from .probabilistic import INTERVALS, Judged, Reliability, coverage, histogram, reliability, spread_skill_ratio
from .scores import Mask, pool

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Honesty:
    """How honest one method's spread is, each (lead, channel, ...); NaN where nothing was scored.

    covered : (lead, channel, interval) share of truths inside the central intervals of `INTERVALS`
    histogram : (lead, channel, bin) of the probability integral transform; reliability : of values more than one
    climatological standard deviation from the climate's mean
    """

    crps: Array
    spread_skill_ratio: Array
    covered: Array
    histogram: Array
    reliability: Reliability

    def row(self, lead: int, channel: int) -> dict[str, float | None]:
        """Its numbers at one lead for one channel, as a report has them."""
        at = (lead, channel)
        shares = {f"coverage_{100 * share:.0f}": self.covered[*at, i] for i, share in enumerate(INTERVALS)}
        made = {"crps": self.crps[at], "spread_skill_ratio": self.spread_skill_ratio[at], **shares}
        return {name: _number(value) for name, value in made.items()}

    def shape(self, channel: int) -> dict[str, Any]:
        """Histograms and reliability curves of one channel by lead, for reports and figures."""
        curve = self.reliability
        parts = {
            "histogram": self.histogram,
            "forecast": curve.forecast,
            "observed": curve.observed,
            "share": curve.share,
        }
        return {name: [[_number(v) for v in row] for row in part[:, channel]] for name, part in parts.items()}


def judge(
    truth: Array,
    mean: Array,
    spread: Array,
    persisted: Array,
    references: References,
    weights: Array,
    mask: Mask,
) -> dict[str, Honesty]:
    """Judge Gaussian forecasts (start, lead, channel, point), the climate and the persistence ensemble.

    persisted : (start, channel, point) maps that persistence holds still; mask : pairs that count. The references are
    left out where the training maps do not give them. Leads and starts are taken one by one: members are many.
    """
    low, high = references.mean - references.std, references.mean + references.std
    truth = np.where(mask, truth, np.nan)

    def ours(lead: int, start: int) -> Judged:
        return Judged.gaussian(truth[start, lead], mean[start, lead], spread[start, lead], low, high)

    def climate(lead: int, start: int) -> Judged:
        return Judged.gaussian(truth[start, lead], references.mean, references.std, low, high)

    def persistence(lead: int, start: int) -> Judged:
        return Judged.ensemble(truth[start, lead], references.persistence(persisted[start], lead), low, high)

    methods: dict[str, Callable[[int, int], Judged]] = {"dino": ours, "persistence": persistence, "mean": climate}
    leads, starts = range(truth.shape[1]), range(len(truth))
    made = {}
    for name, method in methods.items():
        parts = (Judged.stack([_one_lead(method(lead, start)) for start in starts]) for lead in leads)
        found = list(_summaries(parts, truth, weights))
        if any(np.isfinite(part.crps).any() for part in found):
            made[name] = _joined(found)
    return made


def add_honesty(
    rows: list[dict[str, Any]], honesty: Mapping[str, Honesty], channels: Sequence[str], leads: Array
) -> None:
    """Write the numbers of each method into its rows of a report."""
    for row in rows:
        if row["method"] in honesty:
            lead = int(np.flatnonzero(np.isclose(leads, row["lead_days"]))[0])
            row |= honesty[row["method"]].row(lead, channels.index(row["channel"]))


def _one_lead(judged: Judged) -> Judged:
    """With an axis for the lead."""
    return Judged(*(value[None] for value in vars(judged).values()))


def _summaries(parts: Iterator[Judged], truth: Array, weights: Array) -> Iterator[Honesty]:
    for lead, judged in enumerate(parts):
        target = truth[:, lead : lead + 1]
        yield Honesty(
            crps=pool(judged.crps, weights, None),
            spread_skill_ratio=spread_skill_ratio(target, judged.mean, judged.std, weights),
            covered=np.stack([coverage(judged.pit, share, weights) for share in INTERVALS], axis=-1),
            histogram=histogram(judged.pit, weights),
            reliability=reliability(judged.probability, judged.happened, weights),
        )


def _joined(parts: list[Honesty]) -> Honesty:
    """Leads put together."""
    plain = ("crps", "spread_skill_ratio", "covered", "histogram")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in plain}
    curves = ("forecast", "observed", "share")
    curve = {name: np.concatenate([getattr(part.reliability, name) for part in parts]) for name in curves}
    return Honesty(**joined, reliability=Reliability(**curve))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
