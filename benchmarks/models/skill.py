"""What a shipped model is worth as `dino forecast` uses it: Jason-3, five days assimilated, two more predicted.

The model is laid over a box by the assimilated points and adapted to them; nothing else is known of the sea. RMSE in cm
at the withheld points, that of the mean, the share within the 90 % interval (errors of the instrument included) and
processor seconds. `chosen` are seas on which settings may be chosen, `scored` the three that are quoted. The split is
that of `benchmarks/currents.py`, whose results have the interpolations.
"""

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from currents import SEAS, splits
from harness import parser, prepare, report
from realdata import JASON, add_options, make_stores, skip_without, work_folder

import dino
from data_pipeline.stores.writing import open_store
from dino.config import Box
from dino.data.observations import Observations
from dino.forecaster import Forecaster
from dino.inference.errors import error_variance
from dino.space.boxes import points_in

CHOSEN: dict[str, Box] = {
    "brazil_malvinas": (-60, -40, -50, -34),
    "east_australia": (148, 170, -44, -28),
    "north_atlantic": (-40, -15, 35, 50),
    "north_pacific": (-160, -135, 28, 46),
}
HALF_WIDTH_90 = 1.6448536269514722


def scored(model: Forecaster, week: Observations, box: Box, rows: int, modulation: bool, adapt: bool) -> dict[str, Any]:
    """Scores of one model in one sea."""
    (split,) = splits(week.select(points_in(week.longitude, week.latitude, [box])), "ahead")
    began = time.process_time()
    here = model.over(split.seen, names=["sla"], box=box)
    if adapt:
        here = dino.adapt(here, split.seen, rows=rows, modulation=modulation)
    analysis = here.analyse_observations(split.seen, split.end, split.end - np.floor(split.seen.time[0]), smooth=True)
    points = split.withheld
    mean, std = (part[:, 0] for part in here.along_track(analysis, points.time, points.longitude, points.latitude))
    seconds = time.process_time() - began
    truth = points.values[:, 0]
    known = np.isfinite(mean)
    wrong = (mean - truth)[known]
    whole = np.hypot(std, np.sqrt(error_variance(points, here.assimilation.errors)[:, 0]))[known]
    return {
        "points": int(known.sum()),
        "rmse_cm": 100 * float(np.sqrt(np.mean(wrong**2))),
        "mean_rmse_cm": 100 * float(np.sqrt(np.mean((truth - split.seen.values.mean())[known] ** 2))),
        "coverage_90": float(np.mean(np.abs(wrong) <= HALF_WIDTH_90 * whole)),
        "processor_seconds": seconds,
    }


def main() -> None:
    """Measure and report."""
    options = parser(str(__doc__).splitlines()[0])
    add_options(options)
    options.add_argument("--models", nargs="+", default=["sea-level", "simulated"], help="names, or run folders")
    options.add_argument("--seas", nargs="+", default=["chosen", "scored"], choices=["chosen", "scored"])
    options.add_argument("--rows", type=int, default=200, help="values of a chart that the evidence compares")
    options.add_argument("--modulation", action="store_true")
    options.add_argument("--no-adapt", dest="adapt", action="store_false")
    given = options.parse_args()
    prepare(given)
    skip_without(given.data, JASON)
    results: dict[str, Any] = {}
    with work_folder(given.work) as work:
        make_stores(work, given.data, JASON)
        week = Observations.from_dataset(open_store(work / "stores" / "jason.zarr"), ("sla",))
        for name in given.models:
            model = dino.load(name)
            for group in given.seas:
                for sea, box in (CHOSEN if group == "chosen" else SEAS).items():
                    made = scored(model, week, box, given.rows, given.modulation, given.adapt)
                    results.setdefault(Path(name).name, {}).setdefault(group, {})[sea] = made
                    print(Path(name).name, sea, made, flush=True)
    report(given, results)


if __name__ == "__main__":
    main()
