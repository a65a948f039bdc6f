"""What a forecast shows: the grid of its maps, the places of its table and series, the table itself, the figure."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from rich.table import Table

from ..config import Box
from ..data.observations import Observations, datetime_of
from ..evaluation.report import display_units
from ..inference.analysis import Analysis
from ..model import Ocean
from ..model.laying import around
from ..space.domain import Region, wrap_longitude
from .sea import Sea

MOST_CELLS, FIGURE_CELLS = 1_000_000, 60_000
STEPS = (0.05, 0.1, 0.125, 0.25, 0.5, 1.0, 2.0)  # degrees, of grids that nobody has chosen
CELLS_OF_TILE, FINE_CELLS_OF_TILE = 32, 64  # a side, of what is written and of what is drawn
PLACES = 6
PAST_DAYS, MOST_SMOOTHED, SERIES_STEPS = 5.0, 400, 46  # of series: days before the analysis, and tiles up to which


def box_around(ocean: Ocean) -> Box:
    """The smallest box around the middles of an ocean's tiles, with half a tile around them."""
    charts = [chart for chart in ocean.cover.charts if isinstance(chart, Region)]
    longitude = np.array([chart.longitude for chart in charts])
    latitude = np.array([chart.latitude for chart in charts])
    west, east, south, north = around(longitude, latitude)
    wide, high = np.max([chart.extent_degrees for chart in charts], axis=0)
    return west - wide, min(east + wide, west - wide + 360.0), max(south - high, -90.0), min(north + high, 90.0)


def grid_of(ocean: Ocean, box: Box, most: int = MOST_CELLS, cells: int = CELLS_OF_TILE) -> xr.Dataset:
    """A grid over a box, with `cells` along a tile where `most` in all allow that."""
    west, east, south, north = box
    tile = min(2 * c.extent_degrees[1] for c in ocean.cover.charts if isinstance(c, Region))
    finest = tile / cells
    count = lambda step: ((east - west) / step + 1) * ((north - south) / step + 1)  # noqa: E731
    step = next((step for step in STEPS if step >= finest - 1e-9 and count(step) <= most), STEPS[-1])
    low = np.ceil(np.array([west, south]) / step) * step
    return xr.Dataset(coords={
        "latitude": np.arange(low[1], north + 1e-9, step),
        "longitude": np.arange(low[0], min(east, west + 360.0 - step) + 1e-9, step),
    })  # fmt: skip


def default_places(ocean: Ocean, box: Box, most: int = PLACES) -> xr.Dataset:
    """A few places at sea inside the tiles, spread over a box, with letters for names from west to east.

    Each is the farthest one from those before it, unless it lies near the edge of the sea.
    """
    grid = grid_of(ocean, box, 2_000)
    latitude, longitude = (part.ravel() for part in np.meshgrid(grid["latitude"], grid["longitude"], indexing="ij"))
    open_sea = ocean.background.is_ocean(longitude, latitude) & ocean.cover.holds(longitude, latitude)
    longitude, latitude = longitude[open_sea], latitude[open_sea]
    if not len(longitude):
        longitude, latitude = np.array([0.5 * (box[0] + box[1])]), np.array([0.5 * (box[2] + box[3])])
    east, north = longitude * np.cos(np.deg2rad(latitude.mean())), latitude
    middle = np.hypot(east - east.mean(), north - north.mean())
    chosen = [int(np.argmin(middle))]
    distance = np.full(len(east), np.inf)
    edge = np.minimum(
        np.minimum(east - east.min(), east.max() - east), np.minimum(north - north.min(), north.max() - north)
    )
    for _ in range(most - 1):
        distance = np.minimum(distance, np.hypot(east - east[chosen[-1]], north - north[chosen[-1]]))
        score = np.minimum(distance, 3.0 * edge)
        if not score.max() > 0:
            break
        chosen.append(int(np.argmax(score)))
    order = sorted(chosen, key=lambda i: (longitude[i], latitude[i]))
    names = [chr(ord("A") + i) for i in range(len(order))]
    columns = {"longitude": ("point", wrap_longitude(longitude[order])), "latitude": ("point", latitude[order])}
    return xr.Dataset(columns, coords={"name": ("point", names)})


def table(made: xr.Dataset, channel: str, most: int = 12) -> Table:
    """A forecast at places: a row for each, mean and standard deviation at each lead."""
    factor, units = display_units(made[channel].attrs.get("units", ""))
    start = made["forecast_reference_time"].values
    made_table = Table(title=f"{channel} in {units}, mean ± standard deviation; analysis of {start!s:.16}")
    for heading in ("place", "longitude", "latitude"):
        made_table.add_column(heading)
    for moment in made["time"].values:
        made_table.add_column(f"{(moment - start) / np.timedelta64(1, 'D'):+g} d\n{moment!s:.10}", justify="right")
    names = made["name"].values if "name" in made.coords else np.arange(made.sizes["point"]) + 1
    for place in range(min(made.sizes["point"], most)):
        at = [f"{float(made[name].values[place]):.2f}" for name in ("longitude", "latitude")]
        pairs = zip(made[channel].values[:, place], made[f"{channel}_std"].values[:, place], strict=True)
        cells = [f"{factor * m:.1f} ± {factor * s:.1f}" if np.isfinite(m) else "no value" for m, s in pairs]
        made_table.add_row(str(names[place]), *at, *cells)
    if made.sizes["point"] > most:
        made_table.caption = f"and {made.sizes['point'] - most} more places"
    return made_table


@dataclass
class Outlook:
    """One forecast as it is asked for: leads `days`, the places or grid (None for the program's choice), a figure."""

    sea: Sea
    days: np.ndarray
    target: xr.Dataset | None
    figure: Path | None
    source: str

    @property
    def wants_past(self) -> bool:
        """Whether the analysis is wanted along its window too."""
        tiles = self.sea.forecaster.ocean.charts
        return bool((self.days < 0).any()) or (self.figure is not None and tiles <= MOST_SMOOTHED)

    @cached_property
    def box(self) -> Box:
        """The area that is shown: that of the grid where one is asked for."""
        if self.target is not None and self.target["longitude"].dims != self.target["latitude"].dims:
            edges = [float(part) for name in ("longitude", "latitude") for part in _ends(self.target[name].values)]
            return edges[0], edges[1], edges[2], edges[3]
        return self.sea.box or box_around(self.sea.forecaster.ocean)

    @cached_property
    def places(self) -> xr.Dataset:
        """The places of table and series."""
        if self.target is not None and self.target["longitude"].dims == ("point",):
            return self.target
        return default_places(self.sea.forecaster.ocean, self.box)

    def forecast(self, analysis: Analysis, on_grid: bool) -> xr.Dataset:
        """The forecast to be written: at the target, else on a grid of the program's or at its places."""
        target = self.target
        if target is None:
            target = grid_of(self.sea.forecaster.ocean, self.box) if on_grid else self.places
        made = self._at(analysis, self.days, target)
        if analysis.maps is None:
            made.attrs |= analysis.quality.attributes()
        if "dino_commit" in self.sea.dataset.attrs:
            made.attrs["observations_as_of_commit"] = self.sea.dataset.attrs["dino_commit"]
        credits = (made.attrs.get("credit"), self.sea.dataset.attrs.get("credit"))
        if said := "; ".join(dict.fromkeys(str(part) for part in credits if part)):
            made.attrs["credit"] = said
        made.attrs["history"] = "\n".join([f"forecast from {self.source}", *self.sea.lines])
        return made

    def tables(self, analysis: Analysis, made: xr.Dataset) -> list[Table]:
        """A table of every channel at places, unless a grid was asked for."""
        if self.target is not None and "point" not in made.dims:
            return []
        shown = made if "point" in made.dims else self._at(analysis, self.days, self.places)
        return [table(shown, name) for name in self.sea.forecaster.ocean.names]

    def draw(self, analysis: Analysis) -> None:
        """The figure, where one is asked for: analysis and leads as maps, series at places, observations beside."""
        if self.figure is None:
            return
        from ..plotting import Seen, plot_outlook  # with matplotlib

        forecaster, end = self.sea.forecaster, analysis.time
        shown = np.unique(np.concatenate([[0.0], self.days[self.days > 0]]))
        shown = shown[sorted({0, len(shown) // 2, len(shown) - 1})]
        maps = self._at(analysis, shown, grid_of(forecaster.ocean, self.box, FIGURE_CELLS, FINE_CELLS_OF_TILE))
        every = self._times(analysis, shown[-1])
        series = self._at(analysis, every, self.places.isel(point=slice(0, PLACES)))
        channel, seen = forecaster.ocean.channels[0], None
        if "obs" in self.sea.dataset.dims:
            held = Observations.from_dataset(self.sea.dataset, forecaster.ocean.names).between(end - PAST_DAYS, end)
            seen = Seen(datetime_of(held.time), held.longitude, held.latitude, held.values[:, 0])
        title = f"{(channel.long_name or channel.name).capitalize()}: analysis of {datetime_of(end)!s:.16} and forecast"
        credit = forecaster.latent.spec.credit
        plot_outlook(maps, series, self.figure, channel=channel.name, seen=seen, title=title, credit=credit)

    def _times(self, analysis: Analysis, last: float) -> np.ndarray:
        """Days from the analysis of the points of a series; of very many tiles no more than the leads."""
        if self.sea.forecaster.ocean.charts > MOST_SMOOTHED:
            return np.unique(np.concatenate([[0.0], self.days[self.days > 0]]))
        past = 0.0 if analysis.trajectory is None else min(PAST_DAYS, analysis.time - analysis.earliest)
        return np.linspace(-past, last, SERIES_STEPS)

    def _at(self, analysis: Analysis, days: np.ndarray, where: xr.Dataset) -> xr.Dataset:
        return self.sea.forecaster.forecast(analysis, datetime_of(analysis.time + days), where, beyond=True)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(np.nanmin(values)), float(np.nanmax(values))
