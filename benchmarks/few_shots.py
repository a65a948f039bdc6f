"""How few observations are enough, and what is simulation worth then? Tracks of 2014, one mission withheld in turn.

Methods see the last days of the window and a share of their points, taken at random, one by one: what fewer days or
points hold, more of them hold too. All are scored on the same points of the withheld mission, in the last two days of
the window and in the five days after it, as `tracks.py` scores. With simulation: a run from simulated oceans, adapted
by the evidence. Without: the same evidence and architecture with modes that chance has made
(`strategies/untrained.py`), and two interpolations. All but these have the mean field that the run was laid with.

    python benchmarks/few_shots.py --run runs/moved --json few_shots.json --figure few_shots.png
    python benchmarks/few_shots.py --again few_shots.json --figure few_shots.png
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from numpy.typing import NDArray
from realdata import TRACKS, add_options, make_stores, skip_without, work_folder
from strategies.figures import plot_shots
from strategies.untrained import untrained
from tracks import (
    Predictions,
    Split,
    interpolate,
    mean_departure,
    missions,
    over,
    predict,
    predicted,
    score_groups,
    splits,
    transferred,
)

from dino.config import Config
from dino.errors import DinoError
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config
from dino.transfer.evidence import fitted

WINDOW, AFTER, SCORED = 15.0, 5, 2.0  # days: of the longest window, scored after it, and scored of it
STRATEGIES = ("statistics", "modulation")
INTERPOLATIONS = ("optimal_interpolation", "customary_interpolation")
METHODS = (*(f"dino_{name}" for name in STRATEGIES), *(f"untrained_{name}" for name in STRATEGIES), *INTERPOLATIONS)


def thinned(split: Split, days: float, share: float, seed: int) -> Split:
    """The same analysis with the last `days` days and a random share of their points; scored points stay the same."""
    kept = np.random.default_rng(seed).random(len(split.seen)) < share
    seen = split.seen.select(kept).window(split.end - days, split.end)
    return replace(split, seen=seen, withheld=split.withheld.window(split.end - SCORED, split.end + AFTER))


def methods(
    fresh: Callable[[], Forecaster], config: Config, days: float, seed: int, told: list[dict[str, Any]]
) -> Callable[[Split], Predictions]:
    """A function that predicts with every method; one that refuses predicts nothing, and `told` says why."""

    def made_of(split: Split) -> dict[str, Callable[[], Predictions]]:
        run = fresh()
        offset = mean_departure(run, split.seen)
        seen = replace(split.seen, values=split.seen.values - offset)

        def adapted(name: str) -> Predictions:
            return predict(transferred(fresh, split, offset, config, name, told), split, days, f"dino_{name}", offset)

        def without(name: str) -> Predictions:
            own = fitted(untrained(run, seed), seen, lambda *told: None, name == "modulation", seed)
            return predict(own, split, days, f"untrained_{name}", offset)

        return {
            **{f"dino_{name}": lambda name=name: adapted(name) for name in STRATEGIES},
            **{f"untrained_{name}": lambda name=name: without(name) for name in STRATEGIES},
            "interpolations": lambda: interpolate(split, seed),
        }

    def all_methods(split: Split) -> Predictions:
        nothing = np.full(len(split.withheld), np.nan)
        found: Predictions = dict.fromkeys(METHODS, nothing)
        for name, make in made_of(split).items():
            try:
                made = make()
            except DinoError as error:
                told.append({"refused": str(error), "method": name, "mission": split.mission})
                continue
            found |= {method: made[method] for method in METHODS if method in made}
        return found

    return all_methods


def cell(table: dict[str, NDArray], told: list[dict[str, Any]]) -> dict[str, Any]:
    """RMSE [cm] of all methods that have predicted, and ratios of what simulation taught to what does without it."""
    there = [name for name in METHODS if np.isfinite(table[name]).any()]
    scores = score_groups(table, there, AFTER)["pooled"]
    made: dict[str, Any] = {
        band: {"points": scores[band]["points"], **{name: scores[band][name]["rmse_cm"] for name in there}}
        for band in ("window", "after")
    }
    ratios = {
        f"{ours}_over_{theirs}": over(table, ours, theirs, there)
        for ours in there[: len(STRATEGIES)]
        for theirs in there
        if not theirs.startswith("dino_")
    }
    return made | {"ratios": ratios, "told": told}


def curve(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All cells, by days and share."""
    config = load_run_config(arguments.run, arguments.overrides)

    def fresh() -> Forecaster:
        return Forecaster(*load_model(arguments.run), config.assimilation)

    make_stores(work, arguments.data, TRACKS)
    observations, names = missions(work / "stores" / "tracks.zarr", fresh().ocean.names)
    whole = list(splits(observations, names, WINDOW, AFTER, arguments.every))[: arguments.analyses]
    made: dict[str, Any] = {}
    for days in arguments.days:
        for share in arguments.shares:
            todo = [thinned(split, days, share, arguments.seed) for split in whole]
            told: list[dict[str, Any]] = []
            predict_all = methods(fresh, config, days, arguments.seed, told)
            table = predicted(todo, predict_all, config.assimilation.errors)
            seen = [len(split.seen) for split in todo]
            made.setdefault(f"{days:g}_days", {})[f"{share:g}"] = {"seen_points": seen, **cell(table, told)}
    return {"analyses": len(whole), "cells": made}


def main() -> None:
    """Measure, or read what was measured; report and draw."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--run", type=Path, help="a run of tiles of adt that has seen simulated oceans alone")
    options.add_argument("--days", type=float, nargs="+", default=[2, 4, 8, 15])
    options.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.25, 1])
    options.add_argument("--every", type=float, default=5.0, help="days between the analyses")
    options.add_argument("--analyses", type=int, help="only the first so many")
    options.add_argument("--again", type=Path, help="draw what this JSON holds, measure nothing")
    options.add_argument("--figure", type=Path, help="draw the curves here")
    arguments = options.parse_args()
    if arguments.again is None and arguments.run is None:
        options.error("--run is wanted, or --again with what was measured")
    prepare(arguments)
    if arguments.again is None:
        skip_without(arguments.data, TRACKS)
        with work_folder(arguments.work) as work:
            results = curve(arguments, work)
        report(arguments, results)
    else:
        results = json.loads(arguments.again.read_text())["results"]
    if arguments.figure is not None:
        plot_shots(results["cells"], METHODS, arguments.figure)


if __name__ == "__main__":
    main()
