"""What figures share: colours, maps, curves, saving. Figures are objects; pyplot's state is never touched."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from data_pipeline.errors import ConfigError
from data_pipeline.system.atomic import writing_file

# Okabe & Ito (2008): told apart by readers with any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
NOTHING, INK = "0.88", "0.2"
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 10, 9, 8
DPI = 150


def draw_map(
    figure: Figure, axis: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Normalize, cmap: str, label: str
) -> None:
    """Cells (y, x) in colours, cells without a value in grey; x and y are axes or both (y, x), in degrees."""
    shown = np.ma.masked_invalid(values)
    axis.set_facecolor(NOTHING)
    finite = np.isfinite(x).all() and np.isfinite(y).all()
    drawn: ScalarMappable
    if finite:
        drawn = axis.pcolormesh(x, y, shown, cmap=cmap, norm=norm, shading="nearest", rasterized=True)
    else:
        drawn = axis.scatter(x, y, c=shown, s=2, marker="s", linewidths=0, cmap=cmap, norm=norm, rasterized=True)
    middle = 0.5 * (np.nanmin(y) + np.nanmax(y))
    axis.set_aspect(1 / max(float(np.cos(np.deg2rad(middle))), 0.2))
    label_degrees(axis)
    axis.locator_params(nbins=5)
    axis.tick_params(labelsize=TICK_SIZE)
    beyond = "max" if shown.count() and shown.max() > (norm.vmax or 0) else "neither"
    bar = figure.colorbar(drawn, ax=axis, aspect=25, pad=0.02, extend=beyond)
    bar.set_label(label, fontsize=LABEL_SIZE)
    bar.ax.tick_params(labelsize=TICK_SIZE)


def label_degrees(axis: Axes) -> None:
    """Longitudes and latitudes with their hemispheres; longitudes may run on beyond 180 degrees."""
    axis.xaxis.set_major_formatter(lambda value, _: _degrees((value + 180.0) % 360.0 - 180.0, "E", "W"))
    axis.yaxis.set_major_formatter(lambda value, _: _degrees(value, "N", "S"))


def dress_curves(axis: Axes, xlabel: str, ylabel: str) -> None:
    """Axes for curves: two spines, a light horizontal grid."""
    axis.set_xlabel(xlabel, fontsize=LABEL_SIZE)
    axis.set_ylabel(ylabel, fontsize=LABEL_SIZE)
    axis.tick_params(labelsize=TICK_SIZE, color=INK, labelcolor=INK)
    axis.grid(axis="y", color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def dates(axis: Axes) -> None:
    """Days or months below an axis of time, as many as fit."""
    locator = AutoDateLocator(minticks=2, maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the path's suffix; ConfigError for a suffix that is no figure format."""
    path = Path(path)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in known:
        raise ConfigError(f"{path.name!r} has no suffix of a figure format; use one of {', '.join(sorted(known))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(path) as partial:
        figure.savefig(partial, dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    return path


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}°{positive if value > 0 else negative if value < 0 else ''}"
