"""Scattered observations: where and when they are, and how a forecast agrees with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import EmptyDataError, SchemaError
from data_pipeline.figures.style import INK, LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dress_curves, save
from data_pipeline.layout.checks import beside
from dino.evaluation.report import display_units
from dino.plotting.style import dress_map, field_scale, map_height

Array = NDArray[np.float64]

# More dots than this cover each other and only make a file slow to draw.
MOST_POINTS = 60_000


def plot_observations(observations: xr.Dataset, path: str | Path, *, channel: str | None = None) -> Path:
    """A map of the observations coloured by value over the number a day from each source.

    observations: in the layout of an observation store. channel: one of its variables, by default the first that has
    dims (obs,) and is no coordinate. Raises EmptyDataError without a valid value, SchemaError for an unknown channel.
    """
    channel = channel or _first_channel(observations)
    if channel not in observations:
        names = ", ".join(map(str, observations))
        raise SchemaError(f"the observations have {names} but no {channel!r}; name one of these")
    values = observations[channel].values.astype(np.float64)
    valid = np.flatnonzero(np.isfinite(values))
    if len(valid) == 0:
        raise EmptyDataError(f"no observation of {channel} is valid; widen the window or the area")
    factor, label = display_units(observations[channel].attrs.get("units", ""))
    shown = valid[:: -(-len(valid) // MOST_POINTS)]
    lon, lat = (observations[name].values[shown] for name in ("longitude", "latitude"))
    coloured = factor * values[shown]

    width = 7.2
    map_inches = map_height(lon, lat, width - 1.2)
    figure = Figure(figsize=(width, map_inches + 2.3), layout="constrained")
    over, under = figure.subplots(2, 1, height_ratios=[map_inches, 1.4])
    dress_map(over, lon, lat)
    over.set_facecolor("0.93")
    over.margins(0.02)
    scale = field_scale(coloured)
    dots = over.scatter(lon, lat, c=coloured, s=4, linewidths=0, cmap=scale.cmap, norm=scale.norm(), rasterized=True)
    bar = figure.colorbar(dots, ax=over, extend="both", aspect=25, pad=0.02)
    bar.set_label(f"{channel} [{label}]", fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)
    over.set_title(f"{len(valid):,} observations of {channel}", fontsize=TITLE_SIZE)
    _draw_daily_counts(under, observations, valid)
    return save(figure, path)


def plot_tracks(
    observed: ArrayLike,
    predicted: ArrayLike,
    channel: str,
    units: str,
    path: str | Path,
    *,
    std: ArrayLike | None = None,
) -> Path:
    """Predicted against observed values along tracks, and how the errors are spread.

    observed, predicted, std: (obs,) in `units`; std of the observed value (forecast spread and observation noise).
    With std the errors are shown in units of it, over the normal distribution they should follow.
    Raises EmptyDataError without a pair.
    """
    factor, label = display_units(units)
    pair = [factor * np.ravel(np.asarray(values, dtype=np.float64)) for values in (observed, predicted)]
    spread = np.ones_like(pair[0]) if std is None else factor * np.ravel(np.asarray(std, dtype=np.float64))
    valid = np.isfinite(pair[0]) & np.isfinite(pair[1]) & (spread > 0)
    if not valid.any():
        raise EmptyDataError(f"no valid pair of observed and predicted {channel}; predict where there are observations")
    seen, said = pair[0][valid], pair[1][valid]
    figure = Figure(figsize=(8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _draw_density(figure, left, seen, said)
    dress_curves(left, f"observed {channel} [{label}]", f"predicted {channel} [{label}]")
    error = said - seen
    note = f"n = {len(seen):,}\nRMSE = {np.sqrt(np.mean(error**2)):.3g} {label}\nbias = {np.mean(error):+.2g} {label}"
    if np.ptp(seen) > 0 and np.ptp(said) > 0:
        note += f"\nr = {np.corrcoef(seen, said)[0, 1]:.3f}"
    left.text(0.04, 0.97, note, transform=left.transAxes, va="top", fontsize=TICK_SIZE, color=INK)
    if std is None:
        right.hist(error, bins=60, color=PALETTE[0], alpha=0.85)
        dress_curves(right, f"predicted − observed [{label}]", "number")
    else:
        _draw_normalised(right, error / spread[valid])
    return save(figure, path)


def _draw_density(figure: Figure, axis: Axes, seen: Array, said: Array) -> None:
    """Density of the pairs around the line of perfect prediction; single dots while there are few."""
    low, high = min(seen.min(), said.min()), max(seen.max(), said.max())
    margin = 0.03 * (high - low) or 1.0
    limits = low - margin, high + margin
    axis.plot(limits, limits, color="black", linewidth=1.0, linestyle="--", zorder=3)
    if len(seen) > 2000:
        extent = (*limits, *limits)
        look: dict[str, Any] = {"cmap": "viridis", "norm": LogNorm(), "linewidths": 0.1}
        bins = axis.hexbin(seen, said, gridsize=60, extent=extent, mincnt=1, **look)
        bar = figure.colorbar(bins, ax=axis, pad=0.02, aspect=30)
        bar.set_label("observations per cell", fontsize=LABEL_SIZE)
        bar.ax.tick_params(labelsize=TICK_SIZE)
    else:
        axis.scatter(seen, said, s=9, color=PALETTE[0], alpha=0.5, linewidths=0)
    axis.set_xlim(limits)
    axis.set_ylim(limits)
    axis.set_aspect("equal")


def _draw_normalised(axis: Axes, score: Array) -> None:
    """Histogram of errors over their predicted standard deviation beside the standard normal."""
    axis.hist(np.clip(score, -5, 5), bins=60, range=(-5, 5), density=True, color=PALETTE[0], alpha=0.85, label="errors")
    grid = np.linspace(-5, 5, 201)
    normal = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    axis.plot(grid, normal, color=PALETTE[1], linewidth=2, label="standard normal")
    dress_curves(axis, "error / predicted standard deviation", "density")
    axis.set_title(f"root mean square {np.sqrt(np.mean(score**2)):.2f} (reliable: 1)", fontsize=TITLE_SIZE)
    axis.legend(fontsize=TICK_SIZE, frameon=False)


def _draw_daily_counts(axis: Axes, observations: xr.Dataset, valid: NDArray[np.intp]) -> None:
    """Stacked bars: observations a day by source, days in UTC."""
    days = pd.DatetimeIndex(observations["time"].values[valid]).floor("D")
    if "source" in observations and "source_name" in observations:
        source = observations["source"].values[valid]
        names = [str(name) for name in observations["source_name"].values]
    else:
        source, names = np.zeros(len(valid), dtype=int), ["observations"]
    edges = pd.date_range(days[0], days.max(), freq="D")
    bottom = np.zeros(len(edges))
    for index, name in enumerate(names):
        count = np.bincount(edges.get_indexer(days[source == index]), minlength=len(edges))
        axis.bar(edges.to_numpy(), count, bottom=bottom, width=0.85, color=PALETTE[index % len(PALETTE)], label=name)
        bottom += count
    dress_curves(axis, "", "observations a day")
    axis.xaxis.set_major_locator(AutoDateLocator(maxticks=8))
    axis.xaxis.set_major_formatter(ConciseDateFormatter(axis.xaxis.get_major_locator()))
    if 1 < len(names) <= len(PALETTE):
        axis.legend(fontsize=TICK_SIZE, frameon=False, ncols=len(names), loc="lower right", bbox_to_anchor=(1, 0.98))


def _first_channel(observations: xr.Dataset) -> str:
    passed_over = {"source", "time", "longitude", "latitude"}
    for name, variable in observations.data_vars.items():
        if variable.dims == ("obs",) and name not in passed_over and beside(str(name)) is None:
            return str(name)
    raise SchemaError("the dataset has no channel with the dimension obs; give an observation store")
