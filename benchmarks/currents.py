"""Jason-3 in three western boundary currents: a week of one mission, predicted where and when it was not assimilated.

ahead: five days are assimilated and the two days after them predicted. across: all seven days, four of five
overflights assimilated and the fifth predicted, every fifth in turn. The run is laid over each sea by the assimilated
observations alone, as it is and adapted by its evidence; beside it two optimal interpolations, fitted to the same
observations, and the mean of the adapted run and the better of them. Differences come with the 90 % interval of a
bootstrap of overflights.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from numpy.typing import NDArray
from realdata import JASON, add_options, make_stores, skip_without, work_folder
from tracks import Predictions, Split, predict

from data_pipeline.stores.writing import open_store
from dino.config import Box, DomainConfig
from dino.data.observations import Observations
from dino.data.overflights import overflights
from dino.evaluation.fitted_interpolation import fitted_interpolation
from dino.forecaster import Forecaster
from dino.inference.errors import error_variance
from dino.model import Ocean
from dino.model.checkpoint import load_model, load_run_config
from dino.transfer.evidence import fitted

Array = NDArray[np.float64]
SEAS: dict[str, Box] = {
    "gulf_stream": (-74, -46, 32, 44),
    "agulhas": (10, 36, -44, -32),
    "kuroshio": (138, 168, 28, 42),
}
ASSIMILATED, PARTS, DRAWS = 5.0, 5, 1000
INTERPOLATIONS = ("optimal_interpolation", "customary_interpolation")


def splits(observations: Observations, which: str) -> Iterator[Split]:
    """What is assimilated and what is predicted."""
    first = float(np.floor(observations.time[0]))
    if which == "ahead":
        end = first + ASSIMILATED
        yield Split("Jason-3", observations.window(first, end), observations.window(end, first + 7), end)
        return
    number = overflights(observations).number
    for part in range(PARTS):
        held = number % PARTS == part
        yield Split("Jason-3", observations.select(~held), observations.select(held), first + 7)


def methods(run: Forecaster, split: Split, box: Box, domain: DomainConfig, seed: int) -> tuple[Predictions, dict]:
    """Predictions of all methods, and what was fitted."""
    ocean = Ocean.over(split.seen, run.ocean, domain, names=["sla"], box=box)
    laid, length = run.over(ocean), split.end - float(np.floor(split.seen.time[0]))
    made = predict(laid, split, length, "dino", 0.0)
    told: dict[str, Any] = {}
    for name in ("statistics", "modulation"):
        began = time.process_time()
        adapted = fitted(laid, split.seen, lambda *told: None, name == "modulation", seed)
        told[name] = {
            "processor_seconds": time.process_time() - began,
            "errors": adapted.assimilation.errors.model_dump(),
        }
        made |= predict(adapted, split, length, f"dino_{name}", 0.0)
        error = np.sqrt(error_variance(split.withheld, adapted.assimilation.errors)[:, 0])
        std = np.hypot(made[f"dino_{name}_std"], error)
        made[f"dino_{name}_std"] = np.asarray(std, np.float64)
    points = split.withheld
    for name in INTERPOLATIONS:
        interpolation = fitted_interpolation(split.seen, None, seed, customary=name.startswith("customary"))
        made[name] = interpolation(split.seen, split.end).predict(points.time, points.longitude, points.latitude)[0]
    return made, told


def compared(
    run: Forecaster, observations: Observations, box: Box, domain: DomainConfig, which: str, seed: int
) -> dict:
    """Scores of all methods on the points of one sea that were withheld."""
    columns: dict[str, list[Array]] = {}
    told = []
    for part, split in enumerate(splits(observations, which)):
        made, account = methods(run, split, box, domain, seed)
        told.append(account)
        made |= {"truth": split.withheld.values[:, 0]}
        made["overflight"] = (1000 * part + overflights(split.withheld).number).astype(np.float64)
        for name, column in made.items():
            columns.setdefault(name, []).append(np.asarray(column))
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    return scored(table) | {"told": told}


def scored(table: dict[str, Array], ours: str = "dino_statistics") -> dict[str, Any]:
    """RMSE [cm], ratios to the better interpolation with a bootstrap of overflights, spread over error.

    ours : the method whose mean with the better interpolation is scored too
    """
    names = [n for n in table if n not in ("truth", "overflight") and not n.endswith("_std")]
    usable = np.all([np.isfinite(table[name]) for name in names], axis=0)
    squared = {name: 1e4 * (table[name] - table["truth"])[usable] ** 2 for name in names}
    better = min(INTERPOLATIONS, key=lambda name: squared[name].mean())
    both = 0.5 * (table[ours] + table[better]) - table["truth"]
    squared["mean_of_both"] = 1e4 * both[usable] ** 2
    _, number = np.unique(table["overflight"][usable], return_inverse=True)
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, number.max() + 1, (DRAWS, number.max() + 1))
    sums = {name: np.bincount(number, column)[drawn].sum(1) for name, column in squared.items()}
    made: dict[str, Any] = {"points": int(usable.sum()), "overflights": int(number.max()) + 1, "better": better}
    for name, column in squared.items():
        made[name] = {"rmse_cm": float(np.sqrt(column.mean()))}
        if name != better:
            ratio = np.sqrt(sums[name] / sums[better])
            made[name] |= {
                "over_better_interpolation": float(np.sqrt(column.mean() / squared[better].mean())),
                "interval_90": [float(q) for q in np.quantile(ratio, [0.05, 0.95])],
            }
        if name.startswith("dino_"):
            std = 100 * table[f"{name}_std"][usable]
            made[name]["spread_over_error"] = float(np.sqrt((std**2).mean() / column.mean()))
    return made


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--run", type=Path, nargs="+", required=True, help="runs of tiles of sea level")
    options.add_argument("--tile-degrees", type=float, default=8.0)
    options.add_argument("--overlap", type=float, default=0.5)
    options.add_argument("--which", nargs="+", default=["ahead", "across"], choices=["ahead", "across"])
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, JASON)
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, JASON)
        results = {str(run.name): measured(run, work, arguments) for run in arguments.run}
    report(arguments, results)


def measured(folder: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run in all seas."""
    run = Forecaster(*load_model(folder), load_run_config(folder).assimilation)
    week = Observations.from_dataset(open_store(work / "stores" / "jason.zarr"), ("sla",))
    domain = DomainConfig(
        kind="tiles", tile_degrees=arguments.tile_degrees, overlap=arguments.overlap, minimum_valid=0.4
    )
    made: dict[str, Any] = {}
    for which in arguments.which:
        for name, (west, east, south, north) in SEAS.items():
            inside = (week.longitude >= west) & (week.longitude <= east)
            inside &= (week.latitude >= south) & (week.latitude <= north)
            here = replace(week.select(inside))
            made.setdefault(which, {})[name] = compared(
                run, here, (west, east, south, north), domain, which, arguments.seed
            )
    return made


if __name__ == "__main__":
    main()
