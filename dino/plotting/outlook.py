"""A forecast on one page: maps of the analysis and of what follows, their spread, and series at some places."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.dates as mdates
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data_pipeline.errors import SchemaError
from data_pipeline.figures.style import INK, LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dates, dress_curves, save
from dino.evaluation.report import display_units
from dino.plotting.style import ColourScale, draw_map, field_scale, map_coordinates, map_height, spread_scale

Array = NDArray[np.float64]

WIDTH_INCHES, SERIES_INCHES, MARGIN_INCHES = 11.0, 2.4, 1.5
HALF_WIDTH_90 = 1.6448536269514722  # of an interval that holds 90 %, in standard deviations
MOST_DOTS = 20_000
NEAR_KM = 50.0  # from a place, within which observations are drawn into its series
DOTTED = 3.0  # days before the analysis whose observations are drawn on its map


@dataclass(frozen=True)
class Seen:
    """What was observed, each (obs,): time, longitude and latitude [degrees], value [units of the channel]."""

    time: NDArray[np.datetime64]
    longitude: Array
    latitude: Array
    value: Array


def plot_outlook(
    maps: xr.Dataset, series: xr.Dataset, path: str | Path, *, channel: str, seen: Seen | None = None,
    title: str = "", credit: str = "",
) -> Path:  # fmt: skip
    """Maps of a forecast over their standard deviations over series at places.

    maps : a forecast over (time, latitude, longitude); its first, middle and last time are drawn
    series : a forecast over (time, point); shaded is the interval that holds 90 %, with the observations near a place
    seen : observations, those of the last days drawn on the first map
    Raises SchemaError when `channel` is not in both.
    """
    for name, dataset in (("maps", maps), ("series", series)):
        if channel not in dataset:
            raise SchemaError(f"the {name} hold {', '.join(map(str, dataset))} but no {channel!r}; name one of these")
    factor, units = display_units(maps[channel].attrs.get("units", ""))
    rows = sorted({0, (maps.sizes["time"] - 1) // 2, maps.sizes["time"] - 1})
    mean, std = (factor * maps[name].values[rows].astype(np.float64) for name in (channel, f"{channel}_std"))
    lon, lat = map_coordinates(maps["longitude"].values, maps["latitude"].values, mean.shape[1:])
    height = map_height(lon, lat, WIDTH_INCHES / (len(rows) + 0.25))
    figure = Figure(figsize=(WIDTH_INCHES, 2 * height + SERIES_INCHES + MARGIN_INCHES), layout="constrained")
    above, below = np.ravel(figure.subfigures(2, 1, height_ratios=[2 * height + 0.6, SERIES_INCHES + 0.3]))
    axes = above.subplots(2, len(rows), squeeze=False, sharex=True, sharey=True)
    start = maps["forecast_reference_time"].values[()]
    for line, fields, scale, label in (
        (0, mean, field_scale(mean), f"{channel} [{units}]"),
        (1, std, spread_scale(std), f"standard deviation [{units}]"),
    ):
        for axis, field, moment in zip(axes[line], fields, maps["time"].values[rows], strict=True):
            draw_map(axis, lon, lat, field, scale)
            if line == 0:
                axis.set_title(_headline(moment, start), fontsize=TITLE_SIZE)
        _bar(above, axes[line], scale, label)
    if seen is not None:
        _dots(axes[0, 0], seen, maps["time"].values[0], field_scale(mean), factor)
    marks = _places(axes[0, 0], series)
    _series(below.subplots(1, 1), series, channel, factor, units, start, seen, marks)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE + 1)
    if credit:
        figure.supxlabel(credit, fontsize=TICK_SIZE - 1, color="0.45", x=0.01, ha="left")
    return save(figure, path)


def _headline(moment: np.datetime64, start: np.datetime64) -> str:
    days = (moment - start) / np.timedelta64(1, "D")
    what = (
        "analysis" if abs(days) < 1e-6 else f"forecast, {days:+g} d" if days > 0 else f"within the window, {days:g} d"
    )
    return f"{moment!s:.10}  {what}"


def _bar(figure, axes: NDArray, scale: ColourScale, label: str) -> None:
    mappable = ScalarMappable(norm=scale.norm(), cmap=scale.cmap)
    bar = figure.colorbar(mappable, ax=list(axes), location="right", aspect=18, pad=0.01, shrink=0.9,
                          extend="max" if scale.low == 0 else "both")  # fmt: skip
    bar.set_label(label, fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)


def _dots(axis: Axes, seen: Seen, moment: np.datetime64, scale: ColourScale, factor: float) -> None:
    """Observations of the last days in the colours of the map, so that a difference shows."""
    low, high = axis.get_xlim()
    longitude = low + (seen.longitude - low) % 360.0
    bottom, top = axis.get_ylim()
    age = (moment - seen.time) / np.timedelta64(1, "D")
    shown = (longitude <= high) & (seen.latitude >= bottom) & (seen.latitude <= top) & np.isfinite(seen.value)
    shown = np.flatnonzero(shown & (age <= DOTTED))
    shown = shown[:: max(1, -(-len(shown) // MOST_DOTS))]
    size = 7.0 if len(shown) < 2_000 else 2.0
    axis.scatter(
        longitude[shown], seen.latitude[shown], c=factor * seen.value[shown], s=size, cmap=scale.cmap,
        norm=scale.norm(), linewidths=0.15, edgecolors="0.25", rasterized=True,
    )  # fmt: skip


def _places(axis: Axes, series: xr.Dataset) -> list[str]:
    """Mark the places of the series on a map and return their labels."""
    labels = []
    low, _ = axis.get_xlim()
    longitude = low + (series["longitude"].values - low) % 360.0
    names = series["name"].values if "name" in series.coords else [chr(65 + i) for i in range(series.sizes["point"])]
    for place, (x, y, name) in enumerate(zip(longitude, series["latitude"].values, names, strict=True)):
        colour = PALETTE[place % len(PALETTE)]
        axis.plot(x, y, marker="o", markersize=5, color=colour, markeredgecolor="white", clip_on=True)
        axis.annotate(
            str(name), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=TICK_SIZE, fontweight="bold",
            color=colour, bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )  # fmt: skip
        labels.append(str(name))
    return labels


def _series(
    axis: Axes, series: xr.Dataset, channel: str, factor: float, units: str, start: np.datetime64,
    seen: Seen | None, labels: Sequence[str],
) -> None:  # fmt: skip
    """Mean and 90 % interval at every place over time, beside the observations near it."""
    time = series["time"].values
    for place, label in enumerate(labels):
        colour = PALETTE[place % len(PALETTE)]
        mean, std = (factor * series[name].values[:, place].astype(float) for name in (channel, f"{channel}_std"))
        if not np.isfinite(mean).any():
            continue
        axis.plot(time, mean, color=colour, label=label, linewidth=1.5)
        axis.fill_between(time, mean - HALF_WIDTH_90 * std, mean + HALF_WIDTH_90 * std, color=colour, alpha=0.15, lw=0)
        if seen is not None:
            at = float(series["longitude"].values[place]), float(series["latitude"].values[place])
            near = _near(seen, at) & (seen.time >= time[0])
            axis.plot(seen.time[near], factor * seen.value[near], ".", color=colour, markersize=4, alpha=0.7)
    axis.axvline(mdates.date2num(start), color=INK, linewidth=0.8, linestyle=":")
    dress_curves(axis, "", f"{channel} [{units}]")
    dates(axis)
    axis.margins(x=0.01)
    what = f"lines: mean; shaded: 90 % of the true values; dots: observations within {NEAR_KM:g} km; dotted: analysis"
    axis.set_title(what, fontsize=TICK_SIZE, color="0.4", loc="left")
    if len(labels) > 1:
        axis.legend(frameon=False, fontsize=TICK_SIZE, ncols=len(labels), loc="upper right", bbox_to_anchor=(1.0, 1.18))


def _near(seen: Seen, at: tuple[float, float]) -> NDArray[np.bool_]:
    east = ((seen.longitude - at[0] + 180.0) % 360.0 - 180.0) * np.cos(np.deg2rad(at[1]))
    return np.asarray(np.hypot(east, seen.latitude - at[1]) * 111.2 <= NEAR_KM)
