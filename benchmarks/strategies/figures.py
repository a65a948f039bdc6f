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
