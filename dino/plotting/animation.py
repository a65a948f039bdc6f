"""A forecast as a moving picture."""

from pathlib import Path

from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from data_pipeline.errors import ConfigError
from data_pipeline.figures.style import TITLE_SIZE
from data_pipeline.system.atomic import writing_file
from dino.evaluation.report import display_units
from dino.plotting.maps import PANEL_WIDTH_INCHES, checked_maps, colour_bar, panel_groups
from dino.plotting.style import draw_map, map_coordinates, map_height

DPI = 100


def animate(
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
    frames_per_second: float = 4.0,
) -> Path:
    """Truth, forecast, their difference and, when given, the predicted spread over lead time, as a GIF.

    Arguments as `plot_maps`: maps (lead, y, x), axes (x,), (y,) or coordinates (y, x), leads in days.
    Raises SchemaError when shapes do not agree, ConfigError when the path is no .gif.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ConfigError(f"{path.name!r} is no name of a GIF; give a path that ends in .gif")
    factor, label = display_units(units)
    expected, shown, spread, days = checked_maps(truth, forecast, std, leads, factor)
    lon, lat = map_coordinates(longitude, latitude, shown.shape[1:])
    groups = panel_groups(expected, shown, spread, f"{channel} [{label}]", label)
    panels = [(title, maps, group.scale) for group in groups for title, maps in group.panels]

    height = map_height(lon, lat, PANEL_WIDTH_INCHES) + 1.3
    figure = Figure(figsize=(PANEL_WIDTH_INCHES * len(panels), height), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)
    heading = figure.suptitle(f"lead {days[-1]:.1f} d", fontsize=TITLE_SIZE + 1, fontweight="bold")
    drawn = []
    for axis, (title, maps, scale) in zip(axes[0], panels, strict=True):
        axis.set_title(title, fontsize=TITLE_SIZE)
        drawn.append(draw_map(axis, lon, lat, maps[0], scale))
    first = 0
    for group in groups:
        colour_bar(figure, axes[:, first : first + len(group.panels)], group)
        first += len(group.panels)
    # Laid out once: panels that breathe with the width of a label are hard to compare.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PillowWriter(fps=frames_per_second)  # pyright: ignore[reportArgumentType]
    with writing_file(path) as partial, writer.saving(figure, str(partial), DPI):
        for i, day in enumerate(days):
            heading.set_text(f"lead {day:.1f} d")
            for k, (_, maps, scale) in enumerate(panels):
                drawn[k].remove()
                drawn[k] = draw_map(axes[0, k], lon, lat, maps[i], scale)
            writer.grab_frame()
    return path
