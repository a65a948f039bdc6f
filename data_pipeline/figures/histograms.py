"""Histograms of values, of declared errors, and of drawn errors where the truth is known."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data_pipeline.figures.style import PALETTE, TITLE_SIZE, dress_curves, save
from data_pipeline.layout.checks import beside


def draw_histograms(counts: dict[str, tuple[np.ndarray, np.ndarray]], units: dict[str, str], path: Path) -> Path:
    """One panel for each histogram.

    counts: name -> (counts (bin,), edges (bin + 1,)), of `histograms`. units: of the variables of the store.
    """
    columns = min(3, len(counts))
    rows = -(-len(counts) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axis, (name, (number, edges)) in zip(axes, counts.items(), strict=False):
        drawn = name.endswith("_drawn")
        colour = PALETTE[1] if drawn or beside(name) else PALETTE[0]
        axis.stairs(number, edges, fill=True, color=colour, alpha=0.85)
        if drawn:
            _draw_normal(axis, number, edges)
        unit = "" if drawn else f" [{units.get(name, '')}]"
        dress_curves(axis, f"{_label(name)}{unit}", "number")
        axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 4))
        axis.set_title(f"n = {int(number.sum()):,}", fontsize=TITLE_SIZE)
    for axis in axes[len(counts) :]:
        axis.set_visible(False)
    return save(figure, path)


def _draw_normal(axis, number: np.ndarray, edges: np.ndarray) -> None:
    """The normal distribution that errors in units of their standard deviation follow."""
    middle = 0.5 * (edges[1:] + edges[:-1])
    density = np.exp(-0.5 * middle**2) / np.sqrt(2 * np.pi)
    axis.plot(middle, density * number.sum() * np.diff(edges), color="0.2", linewidth=1.2)


def _label(name: str) -> str:
    if name.endswith("_drawn"):
        return f"({name.removesuffix('_drawn')} − truth) / declared error"
    return name.replace("_", " ")
