"""Transfer strategies compared: the same run, the same observed ocean, few or many of its days and points.

What differs between trials is what transfer saw. The forecasts that are scored begin later, from the same observations
for all, so that a score tells what the adaptation was worth and nothing else.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_pipeline.system.progress import Progress
from dino.commands.common import transfer_task
from dino.config import Config
from dino.data.observations import Observations
from dino.errors import DinoError
from dino.forecaster import Forecaster
from dino.transfer import strategy
from dino.transfer.base import Strategy, Task, Transferred

Row = dict[str, Any]
Score = Callable[[Forecaster], list[Row]]


@dataclass(frozen=True)
class Trial:
    """One strategy, given the last `days` days before the scored ones and a share of their points."""

    strategy: str
    days: float
    share: float
    seed: int


def trials(
    strategies: Sequence[str], days: Sequence[float], shares: Sequence[float], seeds: Sequence[int]
) -> list[Trial]:
    """Every strategy on everything first, then on fewer days, then on fewer points of all days; `none` once a seed."""
    whole, all_points = max(days), max(shares)
    pairs = [(whole, all_points)]
    pairs += [(d, all_points) for d in sorted(days, reverse=True) if d != whole]
    pairs += [(whole, s) for s in sorted(shares, reverse=True) if s != all_points]
    made = [Trial("none", whole, all_points, seed) for seed in seeds]
    return made + [
        Trial(name, *pair, seed) for pair in pairs for seed in seeds for name in strategies if name != "none"
    ]


def in_turn(names: str) -> Strategy:
    """A strategy by name, or several joined by `+`: one after the other, each kept or not by its own rule.

    `after` of several is what the shares that each left make of the first `before`. Raises `ConfigError` for an unknown
    name.
    """
    links = [strategy(name) for name in names.split("+")]

    def adapt(task: Task, progress: Progress) -> Transferred:
        told = [link(task, progress) for link in links]
        left = math.prod(one.after / one.before for one in told if one.kept)
        return Transferred(told[0].before, told[0].before * left, [misfit for one in told for misfit in one.rounds])

    return links[0] if len(links) == 1 else adapt


def few(observations: Observations, before: float, trial: Trial) -> Observations:
    """The observations of the `days` before a moment [days since 1950-01-01], a random share of them kept.

    Raises `EmptyDataError` when there is none.
    """
    seen = observations.window(before - trial.days, np.nextafter(before, -np.inf))
    count = max(1, round(trial.share * len(seen)))
    chosen = np.random.default_rng(trial.seed).choice(len(seen), count, replace=False)
    return seen.select(np.sort(chosen))


def compare(
    todo: Iterable[Trial],
    fresh: Callable[[int], Forecaster],
    observations: Callable[[int], Observations],
    score: Callable[[int], Score],
    config: Callable[[int], Config],
    before: float,
) -> Iterator[list[Row]]:
    """The rows of each trial, one a lead and channel; functions of the seed give run, observations, scores, settings.

    A trial that is refused, as transfer on too few points may be, gives one row without a score and with the reason.
    A model that did not move scores as `none` did.
    """
    unmoved: dict[int, list[Row]] = {}
    for trial in todo:
        forecaster, began = fresh(trial.seed), time.perf_counter()
        row = asdict(trial)
        try:
            seen = few(observations(trial.seed), before, trial)
            result = in_turn(trial.strategy)(transfer_task(forecaster, seen, config(trial.seed)), lambda *told: None)
        except DinoError as error:
            yield [row | {"refused": str(error), "rmse": None}]
            continue
        row |= {"points": len(seen), "misfit_before": result.before, "misfit_after": result.after}
        row["misfit_of_rounds"] = [value if math.isfinite(value) else None for value in result.rounds]
        row["seconds"] = round(time.perf_counter() - began, 1)
        if trial.seed not in unmoved:
            unmoved[trial.seed] = score(trial.seed)(fresh(trial.seed))
        scored = score(trial.seed)(forecaster) if result.kept else unmoved[trial.seed]
        yield [row | {"kept": result.kept} | entry for entry in scored]


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows that have a score, with `ratio`, their RMSE over that of `none` of the same seed, channel and lead."""
    none = {(r["seed"], r["channel"], r["lead_days"]): r["rmse"] for r in rows if r["strategy"] == "none" and r["rmse"]}
    return [
        dict(r) | {"ratio": r["rmse"] / none[r["seed"], r["channel"], r["lead_days"]]}
        for r in rows
        if r["rmse"] is not None
    ]


def summary(rows: Sequence[Row], **chosen: Any) -> dict[str, dict[float, float]]:
    """RMSE over that of `none` by strategy and lead: the mean over seeds, of rows whose fields are as chosen."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in ratios(rows):
        if all(row[name] == value for name, value in chosen.items()):
            found.setdefault(row["strategy"], {}).setdefault(row["lead_days"], []).append(row["ratio"])
    return {
        name: {lead: float(np.mean(values)) for lead, values in sorted(by_lead.items())}
        for name, by_lead in found.items()
    }
