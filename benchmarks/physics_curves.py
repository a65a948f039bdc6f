"""Many physics: how many trajectories of a new environment, and how many frames of one, are enough? CoDA's protocol.

python benchmarks/physics_curves.py --tasks Lotka-Volterra glycolysis --seeds 0 1 2 --json physics_curves.json
python benchmarks/physics_curves.py --again physics_curves.json --figure physics_curves.png
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import parser, prepare, report
from matplotlib.figure import Figure
from realdata import work_folder

from data_pipeline.figures.style import LABEL_SIZE, PALETTE, dress_curves, save
from dino.experiments.physics_coda import CODA
from dino.experiments.physics_curves import FRAMES, TRAJECTORIES, score_curves

MARKERS = "osv^"
Rows = Sequence[Mapping[str, Any]]
CHOSEN = {"Lotka-Volterra": "library", "glycolysis": "rates", "Gray-Scott": "true terms", "Navier-Stokes": "true terms"}
AXES = {"trajectories": "trajectories of a new environment", "frames": "frames of one trajectory"}


def points(rows: Rows, task: str, along: str) -> list[tuple[int, float, float, float]]:
    """Number, and the mean, least and largest score over seeds; a number of which a seed has no score is left out."""
    mine = [row for row in rows if (row["task"], row["along"]) == (task, along)]
    made = []
    for number in sorted({row[along] for row in mine}):
        given = [row.get("value") for row in mine if row[along] == number]
        scores = [float(value) for value in given if value is not None]
        if len(scores) == len(given):
            made.append((number, fmean(scores), min(scores), max(scores)))
    return made


def plot_curves(rows: Rows, path: Path) -> Path:
    """Mean squared error over seeds, and its range: by trajectories on the left, by frames on the right."""
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    for axis, (along, label) in zip(figure.subplots(1, 2, sharey=True), AXES.items(), strict=True):
        for number, task in enumerate(dict.fromkeys(row["task"] for row in rows)):
            drawn = points(rows, task, along)
            if not drawn:
                continue
            where, mean, low, high = zip(*drawn, strict=True)
            colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
            axis.fill_between(where, low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(where, mean, color=colour, marker=marker, markersize=4.5, label=task)
        axis.set_yscale("log")
        axis.set_xscale("log")
        ticks = sorted({row[along] for row in rows if row["along"] == along})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        dress_curves(axis, label, "mean squared error of forecasts" if along == "trajectories" else "")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=LABEL_SIZE, frameon=False)
    return save(figure, path)


def scored(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all tasks and seeds."""
    rows = []
    with work_folder(arguments.work) as folder:
        for task in (each for each in CODA.tasks if each.name in arguments.tasks):
            library = next(each for each in task.libraries if each.name == CHOSEN[task.name])
            for seed in arguments.seeds:
                print(f"{task.name}, seed {seed}")
                rows += score_curves(task, library, folder, seed, arguments.trajectories, arguments.frames)
    return rows


def main() -> None:
    """Learn, adapt to more and to less, score, draw and report."""
    options = parser(__doc__ or "")
    options.add_argument("--tasks", nargs="+", choices=list(CHOSEN), default=list(CHOSEN))
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--trajectories", type=int, nargs="+", default=list(TRAJECTORIES))
    options.add_argument("--frames", type=int, nargs="+", default=list(FRAMES))
    options.add_argument("--add", action="store_true", help="keep the JSON's rows of other tasks and seeds")
    options.add_argument("--again", type=Path, help="draw the rows of this JSON, and score none")
    options.add_argument("--figure", type=Path, help="draw the curves here")
    options.add_argument("--work", type=Path, help="folder that keeps simulations")
    arguments = options.parse_args()
    prepare(arguments)
    if arguments.again:
        plot_curves(json.loads(arguments.again.read_text())["results"]["rows"], arguments.figure)
        return
    rows = scored(arguments)
    if arguments.add and arguments.json.exists():
        new = {(row["task"], row["seed"]) for row in rows}
        earlier = json.loads(arguments.json.read_text())["results"]["rows"]
        rows = [row for row in earlier if (row["task"], row["seed"]) not in new] + rows
    rows.sort(key=lambda row: (CODA.names.index(row["task"]), row["seed"]))
    if arguments.figure:
        plot_curves(rows, arguments.figure)
    arguments.seeds = sorted({row["seed"] for row in rows})
    report(arguments, {"protocol": CODA.source, "rows": rows})


if __name__ == "__main__":
    main()
