"""Real altimeter tracks and a quasi-geostrophic assimilation that learns nothing, on the analyses of `tracks.py`.

`quasi_geostrophic` is 4D-Var with a reduced-gravity ocean that takes mean, covariance and errors from the preferred
interpolation (`peers/track_variational.py`). Its deformation radius is chosen for every analysis by what a part of the
assimilated overflights tells of the others: the last days of the window and every fifth overflight before are held out.
`still` is the same without motion, which is the interpolation but for its box; `quasi_geostrophic_or_still` lets the
choice include it. `radius_R` are the radii that were tried."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from numpy.typing import NDArray
from peers.reduced_gravity import Box, ReducedGravity
from peers.track_variational import TrackAnalysis
from realdata import TRACKS, add_options, make_stores, skip_without, work_folder
from torch import Tensor
from tracks import Predictions, Split, alike, interpolate, missions, over, predicted, score_groups, splits

from dino.config import ErrorsConfig
from dino.data.overflights import overflights
from dino.evaluation.fitted_interpolation import fitted_interpolation
from dino.model.checkpoint import load_model
from dino.space.cover import Cover

HELD_OUT_DAYS, EVERY_OVERFLIGHT = 3.0, 5
MARGIN_KM = 350.0  # between the basin and its periodic image
METHODS = [
    *("quasi_geostrophic", "quasi_geostrophic_or_still"),
    *("mean_of_quasi_geostrophic_and_interpolation", "optimal_interpolation", "optimal_interpolation_persistence"),
    *("customary_interpolation", "mean"),
]
Radius = float | None  # of deformation [km]; None without motion


@dataclass
class Yardstick:
    """The radii that are tried, the first without motion, and what became of every split."""

    box: Box
    radii: list[Radius]
    seed: int
    cover: Cover | None = None
    told: list[dict[str, Any]] = field(default_factory=list)

    def predict(self, split: Split) -> Predictions:
        """By the interpolations and with every radius; the names of `METHODS` are the chosen ones.

        NaN where the tiles of a run, if one is given, do not hold a point.
        """
        made = interpolate(split, self.seed)
        began = time.process_time()
        misfit = {name_of(radius): told for radius, told in self.held_out(split).items()}
        choosing = time.process_time() - began
        seconds: dict[str, float] = {}
        for radius, run in self.analyses(split):
            began = time.process_time()
            made[name_of(radius)] = run().predict(split.withheld)
            seconds[name_of(radius)] = time.process_time() - began
        moving = [name_of(radius) for radius in self.radii[1:]]

        def worth(name: str) -> float:
            return float(np.prod(misfit[name]))

        chosen, either = min(moving, key=worth), min(misfit, key=worth)
        made |= {"quasi_geostrophic": made[chosen], "quasi_geostrophic_or_still": made[either]}
        made["mean_of_quasi_geostrophic_and_interpolation"] = 0.5 * (made[chosen] + made["optimal_interpolation"])
        self.told.append(
            {
                "mission": split.mission, "end": split.end, "chosen": chosen, "chosen_or_still": either,
                "held_out_rmse_cm_in_and_after": misfit, "processor_seconds": seconds,
                "choosing_processor_seconds": choosing,
            }
        )  # fmt: skip
        if self.cover is not None:
            held = self.cover.holds(split.withheld.longitude, split.withheld.latitude)
            made = {name: np.where(held, values, np.nan) for name, values in made.items()}
        return made

    def held_out(self, split: Split) -> dict[Radius, tuple[float, float]]:
        """RMSE [cm] with every radius at assimilated points that are held out, before the last days and in them."""
        part = inner(split)
        later = part.withheld.time > part.end
        found = {}
        for radius, run in self.analyses(part):
            off = run().predict(part.withheld) - part.withheld.values[:, 0]
            found[radius] = tuple(100.0 * float(np.sqrt(np.mean(off[where] ** 2))) for where in (~later, later))
        return found

    def analyses(self, split: Split) -> list[tuple[Radius, Callable[[], TrackAnalysis]]]:
        """For every radius a function that makes the analysis; each begins where the first one has ended."""
        covariance = fitted_interpolation(split.seen, None, self.seed).covariance
        start = float(split.seen.time[0])
        days, ahead = int(np.ceil(split.end - start - 1e-9)), int(np.ceil(split.withheld.time.max() - split.end))
        sea, first = self.box.sea(), list[Tensor]()

        def run(radius: Radius) -> TrackAnalysis:
            model = ReducedGravity(self.box, radius, sea)
            made = TrackAnalysis(model, covariance, split.seen, start, days, ahead)
            first.append(made.run(first[0] if first else None))
            del first[1:]
            return made

        return [(radius, lambda chosen=radius: run(chosen)) for radius in self.radii]


def inner(split: Split) -> Split:
    """A split of what a split assimilates: the last days and every fifth overflight before them are withheld."""
    end = split.end - HELD_OUT_DAYS
    late = split.seen.time > end
    kept: NDArray[np.bool_] = ~late & (overflights(split.seen).number % EVERY_OVERFLIGHT != 0)
    return Split(split.mission, split.seen.select(kept), split.seen.select(~kept), end)


def name_of(radius: Radius) -> str:
    """How a radius is called in the table."""
    return "still" if radius is None else f"radius_{radius:g}"


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--window", type=float, default=15.0, help="days of observations analysed")
    options.add_argument("--days-ahead", type=int, default=5, help="days scored after the window")
    options.add_argument("--every", type=float, default=5.0, help="days between the analyses")
    options.add_argument("--analyses", type=int, help="only the first so many, for a trial")
    options.add_argument("--radii", type=float, nargs="+", default=[8.0, 12.0, 20.0, 30.0], help="[km] to choose from")
    options.add_argument("--run", type=Path, help="score the points alone that the tiles of this run hold")
    options.add_argument("--cell-km", type=float, default=20.0, help="of the model's grid")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, TRACKS)
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, TRACKS)
        observations, names = missions(work / "stores" / "tracks.zarr", ("adt",))
    todo = list(splits(observations, names, arguments.window, arguments.days_ahead, arguments.every))
    box = Box.around(observations.longitude, observations.latitude, arguments.cell_km, MARGIN_KM)
    cover = None if arguments.run is None else load_model(arguments.run)[1].cover
    yardstick = Yardstick(box, [None, *arguments.radii], arguments.seed, cover)
    table = predicted(todo[: arguments.analyses], yardstick.predict, ErrorsConfig())
    methods = METHODS + [name_of(radius) for radius in yardstick.radii]
    results = {
        "analyses": len(yardstick.told),
        "withheld_points": len(table["truth"]),
        "box": vars(box),
        **score_groups(table, methods, arguments.days_ahead),
        "choices": yardstick.told,
        "errors_correlate_with_those_of_interpolation": alike(table, methods),
        "over_interpolation": {m: over(table, m, "optimal_interpolation", methods) for m in methods},
    }
    report(arguments, results)


if __name__ == "__main__":
    main()
