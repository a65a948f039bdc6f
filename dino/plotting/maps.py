"""Maps of a forecast beside the truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from data_pipeline.errors import SchemaError
from data_pipeline.figures.style import INK, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, save
from dino.evaluation.report import display_units
from dino.evaluation.scores import area_weights
from dino.plotting.style import (
    ColourScale,
    draw_map,
    error_scale,
    field_scale,
    map_coordinates,
    map_height,
    spread_scale,
)

Array = NDArray[np.float64]

PANEL_WIDTH_INCHES = 3.6


def plot_maps(
    truth: ArrayLike | None,
    forecast: ArrayLike,
    longitude: ArrayLike,
    latitude: ArrayLike,
    leads: ArrayLike,
    channel: str,
    units: str,
    path: str | Path,
    *,
    std: ArrayLike | None = None,
    observations: xr.Dataset | None = None,
) -> Path:
    """One row per lead time; columns truth, forecast, their difference and, when given, the predicted spread.

    truth, forecast, std: (lead, y, x) in `units`, NaN where missing; without truth only forecast and spread are drawn.
    longitude, latitude: axes (x,), (y,) or coordinates (y, x) in degrees. leads: (lead,) in days.
    observations: a dataset with longitude and latitude (obs,), drawn as dots on the first map.
    Raises SchemaError when shapes do not agree.
    """
    factor, label = display_units(units)
    expected, shown, spread, days = checked_maps(truth, forecast, std, leads, factor)
    lon, lat = map_coordinates(longitude, latitude, shown.shape[1:])
    groups = panel_groups(expected, shown, spread, f"{channel} [{label}]", label)
    panels = [panel for group in groups for panel in group.panels]

    height = map_height(lon, lat, PANEL_WIDTH_INCHES) + 0.25
    size = (PANEL_WIDTH_INCHES * len(panels) + 0.4, height * len(days) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(days), len(panels), squeeze=False, sharex=True, sharey=True)
    column = 0
    for group in groups:
        first = column
        for title, maps in group.panels:
            axes[0, column].set_title(title, fontsize=TITLE_SIZE)
            for axis, field in zip(axes[:, column], maps, strict=True):
                draw_map(axis, lon, lat, field, group.scale)
                if group.is_error:
                    _note_rmse(axis, field, lat, label)
            column += 1
        colour_bar(figure, axes[:, first:column], group)
    for axis, day in zip(axes[:, 0], days, strict=True):
        axis.set_ylabel(f"lead {day:g} d", fontsize=TITLE_SIZE, fontweight="bold")
    if observations is not None:
        _draw_observations(axes[0, 0], observations)
    return save(figure, path)


@dataclass(frozen=True)
class PanelGroup:
    """Columns of maps (lead, y, x), each with its title, that share one colour scale and one colour bar."""

    panels: list[tuple[str, Array]]
    scale: ColourScale
    label: str
    is_error: bool = False


def panel_groups(
    truth: Array | None, forecast: Array, std: Array | None, field_label: str, units: str
) -> list[PanelGroup]:
    """Columns of a comparison: the fields, their difference if there is a truth, the spread if there is one."""
    if truth is None:
        groups = [PanelGroup([("forecast", forecast)], field_scale(forecast), field_label)]
    else:
        error = forecast - truth
        groups = [
            PanelGroup([("truth", truth), ("forecast", forecast)], field_scale(truth, forecast), field_label),
            PanelGroup([("forecast − truth", error)], error_scale(error), f"error [{units}]", is_error=True),
        ]
    if std is not None:
        title = "predicted standard deviation"
        groups.append(PanelGroup([(title, std)], spread_scale(std), f"standard deviation [{units}]"))
    return groups


def colour_bar(figure: Figure, axes: NDArray, group: PanelGroup) -> None:
    """A horizontal colour bar under the columns of a group."""
    mappable = ScalarMappable(norm=group.scale.norm(), cmap=group.scale.cmap)
    bar = figure.colorbar(
        mappable,
        ax=list(axes.ravel()),
        location="bottom",
        shrink=0.9 if len(group.panels) == 1 else 0.6,
        aspect=20 * (1 + len(group.panels)) // 2 + 8,
        pad=0.02,
        extend="max" if group.scale.low == 0 else "both",
    )
    bar.set_label(group.label, fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)


def _note_rmse(axis: Axes, error: Array, lat: Array, units: str) -> None:
    """Write the area-weighted RMSE into a corner of an error map."""
    valid = np.isfinite(error) & np.isfinite(lat)
    if not valid.any():
        return
    rmse = np.sqrt(np.average(error[valid] ** 2, weights=area_weights(lat[valid])))
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    note = f"RMSE {rmse:#.2g} {units}"
    axis.text(0.98, 0.96, note, transform=axis.transAxes, ha="right", va="top", fontsize=TICK_SIZE, color=INK, bbox=box)


def _draw_observations(axis: Axes, observations: xr.Dataset) -> None:
    points = observations["longitude"].values, observations["latitude"].values
    axis.scatter(*points, s=0.8, color="black", linewidths=0, alpha=0.5, label=f"{len(points[0]):,} observations")
    axis.legend(loc="lower left", fontsize=TICK_SIZE - 1, markerscale=4, framealpha=0.85, handletextpad=0.2)


def checked_maps(
    truth: ArrayLike | None, forecast: ArrayLike, std: ArrayLike | None, leads: ArrayLike, factor: float
) -> tuple[Array | None, Array, Array | None, Array]:
    """Truth, forecast, spread (lead, y, x) in float64 times a factor, and leads; SchemaError when they disagree."""
    days = np.atleast_1d(np.asarray(leads, dtype=np.float64))
    shown = factor * np.asarray(forecast, dtype=np.float64)
    expected = None if truth is None else factor * np.asarray(truth, dtype=np.float64)
    spread = None if std is None else factor * np.asarray(std, dtype=np.float64)
    for name, maps in (("forecast", shown), ("truth", expected), ("std", spread)):
        if maps is not None and (maps.ndim != 3 or maps.shape != shown.shape or len(maps) != len(days)):
            raise SchemaError(
                f"{name} has shape {maps.shape} beside a forecast {shown.shape} at {len(days)} leads; give (lead, y, x)"
            )
    return expected, shown, spread, days
