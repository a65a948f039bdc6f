"""Coverage in space and time: how often a cell is seen, for how long not, and by whom."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from data_pipeline.figures.style import LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dates, draw_map, dress_curves, save

MOST_PIXELS = 800  # of a field along an axis: more are neither seen nor quick to draw


def draw_observations(covered: xr.Dataset, path: Path) -> Path:
    """Observations per cell and day, the longest gap of each cell, and observations a day by source.

    covered: of `coverage` of an observation store.
    """
    x, y = covered["longitude"].values, covered["latitude"].values
    figure = Figure(figsize=(7.2, 2 * _height(x, y) + 2.2), layout="constrained")
    over, middle, under = figure.subplots(3, 1, height_ratios=[_height(x, y), _height(x, y), 1.6])
    cell = covered.attrs["cell_degrees"]
    often = covered["per_day"].where(covered["per_day"] > 0).values
    low, high = (float(np.nanpercentile(often, p)) for p in (2, 99))
    norm = LogNorm(low, max(high, 1.01 * low)) if high > 20 * low else Normalize(0, high)
    draw_map(figure, over, x, y, often, norm, "viridis", "observations a day")
    over.set_title(f"Observations per cell of {cell:g}° and day (grey: none)", fontsize=TITLE_SIZE)
    gap = covered["longest_gap"].values
    # A few cells at a coast would otherwise take all colours for themselves.
    norm = Normalize(0, float(np.nanpercentile(gap, 98)) or 1.0)
    draw_map(figure, middle, x, y, gap, norm, "magma_r", "days")
    middle.set_title("Longest time without an observation (grey: never seen)", fontsize=TITLE_SIZE)
    bottom = np.zeros(covered.sizes["day"])
    for index, name in enumerate(covered["source"].values):
        count = covered["of_source"].values[:, index]
        colour = PALETTE[index % len(PALETTE)]
        under.bar(covered["day"].values, count, bottom=bottom, width=0.9, color=colour, label=str(name))
        bottom += count
    dress_curves(under, "", "observations a day")
    dates(under)
    seen = under.twinx()
    seen.plot(covered["day"].values, 100 * covered["seen"].values, color="0.25", linewidth=1.2)
    seen.set_ylim(0, 105)
    seen.set_ylabel("cells seen so far [%]", fontsize=LABEL_SIZE, color="0.25")
    seen.tick_params(labelsize=TICK_SIZE)
    seen.spines["top"].set_visible(False)
    if covered.sizes["source"] <= len(PALETTE):
        figure.legend(
            *under.get_legend_handles_labels(), fontsize=TICK_SIZE, frameon=False, loc="outside lower center", ncols=4
        )
    return save(figure, path)


def draw_fields(covered: xr.Dataset, path: Path) -> Path:
    """Share of maps with a value in each cell, and share of cells with a value in each map.

    covered: of `coverage` of a field store.
    """
    step = max(1, -(-max(covered["share"].shape) // MOST_PIXELS))
    share = covered["share"][::step, ::step]
    x, y = share["longitude"].values, share["latitude"].values
    height = _height(x, y)
    figure = Figure(figsize=(7.2, height + 1.9), layout="constrained")
    over, under = figure.subplots(2, 1, height_ratios=[height, 1.4])
    values = share.where(share > 0).values * 100
    draw_map(figure, over, x, y, values, Normalize(0, 100), "viridis", "% of maps")
    over.set_title("Maps with a value (grey: none)", fontsize=TITLE_SIZE)
    under.plot(covered["time"].values, 100 * covered["valid"].values, color=PALETTE[0], marker=".", markersize=3)
    under.set_ylim(0, 110 * max(float(covered["valid"].max()), 0.01))
    dress_curves(under, "", "% of cells")
    dates(under)
    return save(figure, path)


def _height(x: np.ndarray, y: np.ndarray) -> float:
    """Inches of a map of 6 inches' width, within what a page can hold."""
    middle = np.cos(np.deg2rad(0.5 * (np.nanmin(y) + np.nanmax(y))))
    ratio = (np.nanmax(y) - np.nanmin(y)) / max(float(np.nanmax(x) - np.nanmin(x)) * max(float(middle), 0.2), 1e-6)
    return float(np.clip(6 * ratio, 1.8, 6.0))
