"""A forecast on one page: maps of the analysis and of what follows, their spread, and series at some places."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data_pipeline.errors import SchemaError
from data_pipeline.figures.style import INK, LABEL_SIZE, PALETTE, TICK_SIZE, TITLE_SIZE, dates, dress_curves, save
from dino.evaluation.report import display_units
from dino.plotting.style import ColourScale, draw_map, field_scale, map_coordinates, map_height, spread_scale
from dino.space.land import is_land

Array = NDArray[np.float64]

WIDTH_INCHES, SERIES_INCHES, MARGIN_INCHES = 11.0, 1.6, 1.0
MOST_PLACES, ACROSS = 6, 3
UNKNOWN = "0.93"
HALF_WIDTH_90 = 1.6448536269514722  # of an interval that holds 90 %, in standard deviations
MOST_DOTS, FEW_DOTS = 20_000, 3_000
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

    maps : a forecast over (time, latitude, longitude), all of its times are drawn; three are easily read
    series : a forecast over (time, point), of which the first `MOST_PLACES` are drawn; shaded is the interval that
    holds 90 % of the true values, dots are observations nearby
    seen : observations, those of the last days drawn on the first map
    Raises SchemaError when `channel` is not in both.
    """
    for name, dataset in (("maps", maps), ("series", series)):
        if channel not in dataset:
            raise SchemaError(f"the {name} hold {', '.join(map(str, dataset))} but no {channel!r}; name one of these")
    series = series.isel(point=slice(0, MOST_PLACES))
    factor, units = display_units(maps[channel].attrs.get("units", ""))
    mean, std = (factor * maps[name].values.astype(np.float64) for name in (channel, f"{channel}_std"))
    lon, lat = map_coordinates(maps["longitude"].values, maps["latitude"].values, mean.shape[1:])
    height = map_height(lon, lat, WIDTH_INCHES / (len(mean) + 0.25))
    rows = -(-series.sizes["point"] // ACROSS)
    below_inches = rows * SERIES_INCHES + 0.5
    figure = Figure(figsize=(WIDTH_INCHES, 2 * height + below_inches + MARGIN_INCHES), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2 * height + 0.6, below_inches])
    above, below = parts
    axes = above.subplots(2, len(mean), squeeze=False, sharex=True, sharey=True)
    start: Any = maps["forecast_reference_time"].values[()]
    scale = field_scale(mean)
    for line, fields, colours, label in (
        (0, mean, scale, f"{channel} [{units}]"),
        (1, std, spread_scale(std), f"standard deviation [{units}]"),
    ):
        for axis, field in zip(axes[line], fields, strict=True):
            draw_map(axis, lon, lat, field, colours)
            _unknown(axis, lon, lat, field)
        _bar(above, axes[line], colours, label)
    for axis, moment in zip(axes[0], maps["time"].values, strict=True):
        axis.set_title(_headline(moment, start), fontsize=TITLE_SIZE)
    if seen is not None:
        _dots(axes[0, 0], seen, maps["time"].values[0], scale, factor)
    labels = _places(axes[0, 0], series)
    _panels(below, rows, series, labels, channel, (factor, units), start, seen)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE + 1)
    if credit:
        figure.supxlabel(credit, fontsize=TICK_SIZE - 1, color="0.45", x=0.01, ha="left")
    return save(figure, path)


def _unknown(axis: Axes, lon: Array, lat: Array, field: Array) -> None:
    """Sea without a value in a light colour, so that it is not taken for land."""
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return
    unknown = ~np.isfinite(field) & ~is_land(lon, np.clip(lat, -90.0, 90.0))
    if unknown.any():
        shown = np.ma.masked_where(~unknown, np.ones(field.shape))
        axis.pcolormesh(lon, lat, shown, cmap=ListedColormap([UNKNOWN]), shading="nearest", rasterized=True)


def _headline(moment: np.datetime64, start: np.datetime64) -> str:
    days = (moment - start) / np.timedelta64(1, "D")
    what = (
        "analysis" if abs(days) < 1e-6 else f"forecast, {days:+g} d" if days > 0 else f"within the window, {days:g} d"
    )
    return f"{moment!s:.10}  {what}"


def _bar(figure: Any, axes: NDArray, scale: ColourScale, label: str) -> None:
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
    place = longitude[shown], seen.latitude[shown]
    size = 8.0 if len(shown) < FEW_DOTS else 2.0
    # A dark edge below the dots shows where they are; their colour, how well the map agrees.
    axis.scatter(*place, s=1.8 * size, color="0.25", linewidths=0, rasterized=True)
    axis.scatter(
        *place, c=factor * seen.value[shown], s=size, cmap=scale.cmap, norm=scale.norm(), linewidths=0, rasterized=True
    )


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


def _panels(
    figure: Any, rows: int, series: xr.Dataset, labels: Sequence[str], channel: str, units: tuple[float, str],
    start: np.datetime64, seen: Seen | None,
) -> None:  # fmt: skip
    """A panel for every place, all on one scale."""
    axes = np.ravel(figure.subplots(rows, min(ACROSS, len(labels)), squeeze=False, sharex=True, sharey=True))
    for place, (axis, label) in enumerate(zip(axes, labels, strict=False)):
        _series(axis, series, place, channel, units[0], start, seen)
        axis.set_title(
            _where(label, series, place), fontsize=TICK_SIZE + 1, color=PALETTE[place % len(PALETTE)], loc="left"
        )
        first = place % ACROSS == 0
        dress_curves(axis, "", f"{channel} [{units[1]}]" if first else "")
        dates(axis)
        axis.margins(x=0.01)
    for axis in axes[len(labels) :]:
        axis.set_visible(False)
    what = (
        f"line: mean; shaded: 90 % of the true values; dots: observations within {NEAR_KM:g} km; dotted: the analysis"
    )
    figure.suptitle(what, fontsize=TICK_SIZE, color="0.4")


def _series(
    axis: Axes, series: xr.Dataset, place: int, channel: str, factor: float, start: np.datetime64, seen: Seen | None
) -> None:
    """Mean and 90 % interval at one place over time, beside the observations near it."""
    time, colour = series["time"].values, PALETTE[place % len(PALETTE)]
    axis.axvline(mdates.date2num(start), color=INK, linewidth=0.8, linestyle=":")
    mean, std = (factor * series[name].values[:, place].astype(float) for name in (channel, f"{channel}_std"))
    if not np.isfinite(mean).any():
        axis.text(0.5, 0.5, "land, or outside the model's tiles", transform=axis.transAxes, ha="center", color="0.5")
        return
    axis.fill_between(time, mean - HALF_WIDTH_90 * std, mean + HALF_WIDTH_90 * std, color=colour, alpha=0.2, lw=0)
    axis.plot(time, mean, color=colour, linewidth=1.5)
    if seen is not None:
        at = float(series["longitude"].values[place]), float(series["latitude"].values[place])
        near = _near(seen, at) & (seen.time >= time[0])
        axis.plot(seen.time[near], factor * seen.value[near], ".", color=INK, markersize=3, alpha=0.6)


def _where(label: str, series: xr.Dataset, place: int) -> str:
    longitude, latitude = (float(series[name].values[place]) for name in ("longitude", "latitude"))
    longitude = (longitude + 180.0) % 360.0 - 180.0
    east, north = "E" if longitude >= 0 else "W", "N" if latitude >= 0 else "S"
    return f"{label}  {abs(longitude):.1f}°{east} {abs(latitude):.1f}°{north}"


def _near(seen: Seen, at: tuple[float, float]) -> NDArray[np.bool_]:
    east = ((seen.longitude - at[0] + 180.0) % 360.0 - 180.0) * np.cos(np.deg2rad(at[1]))
    return np.asarray(np.hypot(east, seen.latitude - at[1]) * 111.2 <= NEAR_KM)
