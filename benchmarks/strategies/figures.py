"""Transfer strategies: what each is worth by lead, and with how much of the real ocean seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_pipeline.errors import EmptyDataError
from data_pipeline.figures.style import INK, LABEL_SIZE, PALETTE, dress_curves, save

from .comparison import ratios

MARKERS = "osv^DPXh"


def plot_strategies(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """RMSE over that without transfer against lead time, a curve a strategy; seeds as thin lines behind their mean.

    rows : as `comparison.compare` gives them. Raises EmptyDataError without a score.
    """
    scored = _scored(rows)
    most = max(row["days"] for row in scored), max(row["share"] for row in scored)
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate(_names(scored)):
        mine = [r for r in scored if r["strategy"] == name and (r["days"], r["share"]) == most]
        _curve(axis, mine, "lead_days", number, name)
    dress_curves(axis, "lead time [days]", "RMSE / RMSE without transfer")
    _finish(figure, axis)
    return save(figure, path)


def plot_few_shot(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """RMSE over that without transfer, all leads pooled, against the real days and the share of points seen.

    rows : as for `plot_strategies`. Raises EmptyDataError without a score.
    """
    scored = _scored(rows)
    days, share = max(row["days"] for row in scored), max(row["share"] for row in scored)
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for number, name in enumerate(_names(scored)):
        mine = [r for r in scored if r["strategy"] == name]
        _curve(left, [r for r in mine if r["share"] == share], "days", number, name)
        _curve(right, [r for r in mine if r["days"] == days], "share", number, name)
    dress_curves(left, "real days seen by transfer", "RMSE / RMSE without transfer")
    dress_curves(right, f"share of the points of {days:g} days", "")
    left.set_xscale("log")
    right.set_xscale("log")
    right.axhline(1.0, color=INK, linewidth=0.8)
    _finish(figure, left)
    return save(figure, path)


def plot_shots(cells: Mapping[str, Any], methods: Sequence[str], path: str | Path) -> Path:
    """RMSE against the days seen, a column a share of their points: in the window above, after it below.

    cells : by `DAYS_days`, then by share, the scores of `few_shots.py`
    """
    days = sorted((float(name.removesuffix("_days")), name) for name in cells)
    shares = sorted(cells[days[0][1]], key=float)
    figure = Figure(figsize=(9.6, 6.0), layout="constrained")
    axes = figure.subplots(2, len(shares), sharex=True, sharey="row", squeeze=False)
    for row, band in enumerate(("window", "after")):
        for axis, share in zip(axes[row], shares, strict=True):
            for number, name in enumerate(methods):
                points = [(d, cells[key][share][band][name]) for d, key in days if name in cells[key][share][band]]
                colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4.5, label=method(name))
            beside = "RMSE in the window [cm]" if band == "window" else "RMSE after it [cm]"
            under = f"days seen, {100 * float(share):g} % of their points" if row else ""
            dress_curves(axis, under, beside if share == shares[0] else "")
            axis.set_xscale("log")
            axis.set_xticks([d for d, _ in days], [f"{d:g}" for d, _ in days])
            axis.minorticks_off()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=LABEL_SIZE, frameon=False)
    return save(figure, path)


def method(name: str) -> str:
    """A method of `few_shots.py` in words."""
    return name.replace("dino_", "from simulation: ").replace("untrained_", "untrained: ").replace("_", " ")


def _scored(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of strategies with `ratio`, RMSE over that of `none` of the same seed, channel and lead."""
    made = [row for row in ratios(rows) if row["strategy"] != "none"]
    if not made:
        raise EmptyDataError("no strategy has a score beside that of `none`; compare at least one of them")
    return made


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["strategy"] for row in rows))


def _curve(axis: Axes, rows: Sequence[Mapping[str, Any]], along: str, number: int, name: str) -> None:
    where = sorted({row[along] for row in rows})
    middle = [np.mean([row["ratio"] for row in rows if row[along] == x]) for x in where]
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    axis.plot(where, middle, color=colour, marker=marker, markersize=4.5, linewidth=1.6, label=name)
    for seed in {row["seed"] for row in rows}:
        own = [np.mean([r["ratio"] for r in rows if r[along] == x and r["seed"] == seed] or [np.nan]) for x in where]
        axis.plot(where, own, color=colour, linewidth=0.6, alpha=0.5)


def _finish(figure: Figure, axis: Axes) -> None:
    axis.axhline(1.0, color=INK, linewidth=0.8)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(len(labels), 4), fontsize=LABEL_SIZE, frameon=False
    )
