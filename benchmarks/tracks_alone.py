"""Tracks alone: a run of tiles laid over a sea by its observations, no map of it read, and forecast along other tracks.

mediterranean: two missions give the tiles their amplitudes and are analysed, the third is predicted at its own places
and times, every mission in turn. gulf_stream: Jason-3 in a box that training left out, four days analysed, the points
of the next three predicted. black_sea: three day files of 215 points; what they tell of the sea, and what they leave
open. Nothing is known of a sea but what was observed until its analysis ends.

Methods beside it are those of `tracks.py`, and `dino_maps`, the same run laid over maps of another year. All models are
given the observations less the mean of their departure from the mean field; `dino_raw` does without.
`dino_persistence` is the model's analysis held still after the window.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from realdata import BLACK_SEA, JASON, MAPS, TRACKS, add_options, make_stores, skip_without, work_folder
from seas import within
from tracks import (
    Predictions,
    Split,
    interpolate,
    mean_departure,
    missions,
    normalised_error,
    observation_error_cm,
    predict,
    predicted,
    score_groups,
    splits,
)

from data_pipeline.stores.writing import open_store
from dino.config import Box, DomainConfig, StoreConfig
from dino.data.observations import Observations, datetime_of
from dino.forecaster import Forecaster
from dino.model import Ocean
from dino.model.checkpoint import load_model, load_run_config
from dino.model.laying import POOLED
from dino.space.boxes import points_in, widened

GULF_STREAM: Box = (-84, -36, 22, 54)
GRID_DEGREES = 0.25
METHODS = [
    *("dino", "dino_persistence", "dino_raw", "dino_maps"),
    *("optimal_interpolation", "optimal_interpolation_persistence", "customary_interpolation", "mean"),
]


@dataclass(frozen=True)
class Sea:
    """How a run is laid over a sea: tiles as `domain` says, over a `box` or where the observations are.

    window, ahead : days that are analysed, and days after them that are scored
    """

    channel: str
    domain: DomainConfig
    window: float
    ahead: int
    box: Box | None = None

    def from_points(self, run: Forecaster, seen: Observations) -> Forecaster:
        """The run over this sea as its observations tell it."""
        return run.over(Ocean.over(seen, run.ocean, self.domain, names=[self.channel], box=self.box))

    def from_maps(self, run: Forecaster, maps: xr.Dataset) -> Forecaster:
        """The run over this sea as maps tell it."""
        here = StoreConfig(path=Path("maps"), channels=[self.channel])
        return run.over(Ocean.over(maps, run.ocean, self.domain, store=here))


def mediterranean(run: Forecaster, domain: DomainConfig, stores: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Three missions of 2014, each withheld in turn; the maps are of 2005."""
    sea = Sea("adt", domain.model_copy(update={"tile_degrees": 4.0}), given.window, 5)
    observations, names = missions(stores / "tracks.zarr", (sea.channel,))
    todo = list(splits(observations, names, sea.window, sea.ahead, given.every))[: given.analyses]
    return compared(run, sea, todo, open_store(stores / "mediterranean.zarr").load(), given.seed)


def gulf_stream(run: Forecaster, domain: DomainConfig, stores: Path, given: argparse.Namespace) -> dict[str, Any]:
    """A week of Jason-3 in 2022, its first days analysed, the later ones forecast; the maps are of 2014."""
    sea = Sea("sla", domain, 4.0, 3, GULF_STREAM)
    week = Observations.from_dataset(open_store(stores / "jason.zarr"), (sea.channel,))
    week = week.select(points_in(week.longitude, week.latitude, [GULF_STREAM]))
    end = float(np.floor(week.time[0])) + sea.window
    ahead = week.window(np.nextafter(end, np.inf), end + sea.ahead)
    split = Split("Jason-3", week.window(end - sea.window, end), ahead, end)
    maps = within(open_store(stores / "global.zarr"), widened(GULF_STREAM, domain.tile_degrees / 2)).load()
    return compared(run, sea, [split], maps, given.seed)


def compared(run: Forecaster, sea: Sea, todo: list[Split], maps: xr.Dataset, seed: int) -> dict[str, Any]:
    """Scores of all methods on the points that were withheld."""
    by_maps, told = sea.from_maps(run, maps), []
    table = predicted(todo, every_method(run, sea, by_maps, seed, told), run.assimilation.errors)
    return {
        "analyses": len(todo),
        "withheld_points": len(table["truth"]),
        "observation_error_cm": observation_error_cm(table),
        "tiles_from_maps": by_maps.ocean.charts,
        **score_groups(table, METHODS, sea.ahead),
        "normalised_error": {m: normalised_error(table, m) for m in METHODS if f"{m}_std" in table},
        "told_by_points": told,
    }


def every_method(
    run: Forecaster, sea: Sea, by_maps: Forecaster, seed: int, told: list[dict[str, Any]]
) -> Callable[[Split], Predictions]:
    """A function that predicts by every method; `told` is given what the observations of a split tell of the sea."""

    def methods(split: Split) -> Predictions:
        began = time.perf_counter()
        alone = sea.from_points(run, split.seen)
        laid = time.perf_counter()
        offset = mean_departure(alone, split.seen)
        made = predict(alone, split, sea.window, "dino", offset)
        seconds = {"laying_seconds": laid - began, "predicting_seconds": time.perf_counter() - laid}
        told.append({"mission": split.mission, **told_by(alone.ocean, split.seen), **seconds})
        still = replace(split.withheld, time=np.minimum(split.withheld.time, split.end))
        made |= predict(alone, replace(split, withheld=still), sea.window, "dino_persistence", offset)
        made |= predict(alone, split, sea.window, "dino_raw", 0.0)
        made |= predict(by_maps, split, sea.window, "dino_maps", mean_departure(by_maps, split.seen))
        return made | interpolate(split, seed)

    return methods


def black_sea(run: Forecaster, domain: DomainConfig, stores: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Three days of one satellite: what they tell, and the share of the sea's variance that stays unknown."""
    sea = Sea("sla", domain.model_copy(update={"tile_degrees": 4.0}), given.window, 5)
    seen = Observations.from_dataset(open_store(stores / "black_sea.zarr"), (sea.channel,))
    alone = sea.from_points(run, seen)
    recent = seen.window(seen.time[-1] - sea.window, seen.time[-1])
    told = told_by(alone.ocean, seen) | {
        "points_of_the_last_window": len(recent),
        "variance_unknown": unknown(alone, seen, sea.window),
    }
    print(
        f"black sea: {told['points']} points on {told['days']} days; {told['tiles_with_points']} of {told['tiles']} "
        f"tiles hold any, {told['tiles_with_their_own_amplitude']} enough to tell their own amplitude. The analysis of "
        f"{datetime_of(seen.time[-1])!s:.10} has {len(recent)} points and leaves "
        f"{100 * told['variance_unknown']:.0f} % of the sea's variance unknown."
    )
    return told


def told_by(ocean: Ocean, seen: Observations) -> dict[str, Any]:
    """How much observations tell of a sea that is laid over them."""
    tiles, count = np.unique(ocean.cover.pairs(seen.longitude, seen.latitude).chart, return_counts=True)
    return {
        "points": len(seen),
        "days": len(np.unique(np.floor(seen.time))),
        "tiles": ocean.charts,
        "tiles_with_points": len(tiles),
        "tiles_with_their_own_amplitude": int((count >= POOLED).sum()),
        "spread_cm": [100.0 * float(part) for part in (ocean.scale.min(), ocean.scale.max())],
    }


def unknown(forecaster: Forecaster, seen: Observations, window: float) -> float:
    """Variance that the analysis of the last `window` days leaves over all of the sea, over that without a value."""
    end, field = float(seen.time[-1]), forecaster.ocean.background
    recent = seen.window(end - window, end)
    axes = {name: getattr(field, name) for name in ("longitude", "latitude")}
    at = xr.Dataset(coords={name: np.arange(axis[0], axis[-1], GRID_DEGREES) for name, axis in axes.items()})
    name, left = f"{forecaster.ocean.names[0]}_std", []
    for values in (recent.values, np.full_like(recent.values, np.nan)):
        analysis = forecaster.analyse_observations(replace(recent, values=values), end, window)
        left.append(np.nanmean(forecaster.forecast(analysis, datetime_of(np.array([end])), at)[name].values ** 2))
    return float(left[0] / left[1])


CASES = {"mediterranean": mediterranean, "gulf_stream": gulf_stream, "black_sea": black_sea}
STORES = {
    "mediterranean": TRACKS | {"mediterranean.zarr": MAPS["mediterranean.zarr"]},
    "gulf_stream": JASON | {"global.zarr": MAPS["global.zarr"]},
    "black_sea": BLACK_SEA,
}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--run", type=Path, required=True, help="a run of tiles")
    options.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    options.add_argument("--window", type=float, default=15.0, help="days analysed in closed seas")
    options.add_argument("--every", type=float, default=1.0, help="mediterranean: days between the analyses")
    options.add_argument("--analyses", type=int, help="mediterranean: only the first so many, for a trial")
    given = options.parse_args()
    prepare(given)
    stores = {name: files for case in given.cases for name, files in STORES[case].items()}
    skip_without(given.data, stores)
    config = load_run_config(given.run, given.overrides)
    run = Forecaster(*load_model(given.run), config.assimilation)
    with work_folder(given.work) as work:
        make_stores(work, given.data, stores)
        results = {case: CASES[case](run, config.domain, work / "stores", given) for case in given.cases}
    report(given, results)


if __name__ == "__main__":
    main()
