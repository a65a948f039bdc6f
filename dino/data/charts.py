"""Maps cut into charts and normalised: which cells of a grid a chart holds, and what is taken off their values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.layout.globe import mesh

from ..config import Box, DomainConfig, StoreConfig
from ..errors import ConfigError, DomainError
from ..space.boxes import centred_in, points_in, touches
from ..space.cover import Cover, tile_context, tile_windows
from ..space.domain import Domain, PeriodicBox, Region, Sphere
from ..space.gridmap import GridMap
from .maps import Maps, StoredMaps
from .moments import Moments


@dataclass(frozen=True)
class ChartedCells:
    """Charts of one shape on a grid, with everything about their series but the values.

    cells : (chart, point) numbers of grid cells, row by row; present : (chart, point) those that hold values
    offset : (channel, cell) mean field; scale : (chart, channel) by which anomalies are divided
    coordinates : (point, input) shared by the charts; weights : (chart, point, channel), zero where not present
    context : (chart, context); sides : rows and columns of a tile
    """

    cover: Cover
    cells: NDArray[np.int64]
    present: NDArray[np.bool_]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    coordinates: Tensor
    weights: Tensor
    context: Tensor
    sides: tuple[int, int] = (0, 0)

    @property
    def charts(self) -> int:
        """Number of charts."""
        return len(self.cells)

    @property
    def map_values(self) -> int:
        """Values that one map becomes."""
        return self.cells.size * self.scale.shape[1]

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (trajectory, time, channel, row, column) as (chart, trajectory, time, point, channel), zero in gaps."""
        count, times, channels = values.shape[:3]
        flat = values.reshape(count, times, channels, -1)
        made = np.empty((self.charts, count, times, self.cells.shape[1], channels), np.float32)
        for chart, (cells, present, scale) in enumerate(zip(self.cells, self.present, self.scale, strict=True)):
            for trajectory in range(count):
                anomaly = (flat[trajectory][..., cells] - self.offset[:, cells]) / scale[:, None]
                made[chart, trajectory] = np.moveaxis(np.where(present, anomaly, 0.0), -1, -2)
        return made


def kept_cells(shape: tuple[int, int], share: float, seed: int) -> NDArray[np.bool_]:
    """A random `share` of the cells of a grid (row, column), the same for the same seed."""
    count = max(1, round(share * math.prod(shape)))
    kept = np.zeros(math.prod(shape), bool)
    kept[np.random.default_rng(seed).permutation(kept.size)[:count]] = True
    return kept.reshape(shape)


def cells_in(maps: Maps | StoredMaps, boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Cells (row, column) whose centre lies in one of some boxes."""
    longitude, latitude = mesh(maps.longitude, maps.latitude)
    return points_in(longitude, latitude, boxes)


def choose_domain(maps: Maps | StoredMaps, config: DomainConfig) -> Domain:
    """The single chart of a store: as configured, or a periodic box, the sphere or a region as its axes tell."""
    longitude, latitude = maps.longitude, maps.latitude
    kind = config.kind
    west, east, south, north = (float(f(a)) for a in (longitude, latitude) for f in (np.nanmin, np.nanmax))
    width = east - west
    if kind == "auto":
        periodic = "periodic_length_km" in maps.attributes
        kind = "periodic_box" if periodic else "sphere" if width > 300 else "region"
    if kind == "periodic_box":
        if "periodic_length_km" not in maps.attributes:
            raise ConfigError("domain.kind=periodic_box wants a store of a periodic simulation; use region or auto")
        x, y = maps.attributes["periodic_length_km"]
        return PeriodicBox(
            longitude=maps.attributes["reference_longitude"],
            latitude=maps.attributes["reference_latitude"],
            length_km=(float(x), float(y)),
        )
    if kind == "sphere":
        return Sphere()
    margin = 0.5 * width / max(longitude.shape[-1] - 1, 1)
    return Region.from_bounds(west - margin, east + margin, max(south - margin, -90.0), min(north + margin, 90.0))


def chart_cells(
    maps: Maps | StoredMaps, background: GridMap, kept: NDArray[np.bool_] | bool
) -> tuple[NDArray, NDArray, NDArray]:
    """Which cells (row, column) a chart's series hold, and their longitudes and latitudes (point,)."""
    longitude, latitude = mesh(maps.longitude, maps.latitude)
    valid = np.isfinite(background.values).all(0) & kept
    return np.asarray(valid), longitude[valid], latitude[valid]


def chart_cut(
    maps: Maps | StoredMaps,
    domain: Domain,
    background: GridMap,
    spread: NDArray[np.float64],
    kept: NDArray[np.bool_] | bool = True,
) -> ChartedCells:
    """The kept cells (row, column) of the whole domain as one chart."""
    valid, longitude, latitude = chart_cells(maps, background, kept)
    cells = np.flatnonzero(valid)[None]
    # A periodic box is a plane: its cells are equal, whatever the latitudes it is laid on.
    area = np.ones(len(latitude)) if isinstance(domain, PeriodicBox) else np.cos(np.deg2rad(latitude))
    return ChartedCells(
        cover=Cover((domain,), np.ones(1), tiled=False),
        cells=cells,
        present=np.ones_like(cells, bool),
        offset=background.values.reshape(len(spread), -1),
        scale=np.asarray(spread, np.float64)[None],
        coordinates=tensor(domain.coordinates(longitude, latitude)),
        weights=tensor(np.repeat((area / area.mean())[None, :, None], len(spread), axis=-1)),
        context=torch.zeros(1, 0),
    )


def tile_cut(
    maps: Maps | StoredMaps,
    store: StoreConfig,
    config: DomainConfig,
    moments: Moments,
    background: GridMap,
    spread: NDArray[np.float64],
    without: Sequence[Box] = (),
    only: Sequence[Box] = (),
) -> ChartedCells:
    """Overlapping tiles of equal cell counts, so that all share their coordinates.

    Tiles that touch a box of `store.exclude` or `without` are left out; with `only`, those with their centre elsewhere.
    Raises ConfigError for tiles too small or a grid without axes, DomainError when no tile holds enough ocean.
    """
    if maps.longitude.ndim != 1:
        raise ConfigError("domain.kind=tiles wants 1-D latitude and longitude axes; use region for curvilinear grids")
    size = store.tile_degrees or config.tile_degrees
    steps = [float(np.diff(axis).mean()) for axis in (maps.latitude, maps.longitude)]
    sides = [
        min(round(size / step), axis.size) for step, axis in zip(steps, (maps.latitude, maps.longitude), strict=True)
    ]
    if min(sides) < 4:
        raise ConfigError(f"tiles of {size:g} degrees hold only {min(sides)} cells a side; enlarge domain.tile_degrees")
    stride = [max(1, round(n * (1 - config.overlap))) for n in sides]
    valid = np.asarray(np.isfinite(background.values).all(0))
    relative = (moments.about(background) / spread[:, None, None] ** 2).mean(0)
    numbers = np.arange(valid.size).reshape(valid.shape)
    charts, cells, amplitudes = [], [], []
    for row in tile_windows(maps.latitude.size, sides[0], stride[0]):
        for column in tile_windows(maps.longitude.size, sides[1], stride[1]):
            box = (slice(row, row + sides[0]), slice(column, column + sides[1]))
            latitude, mask = maps.latitude[box[0]], valid[box]
            if mask.mean() < config.minimum_valid or np.abs(latitude).max() > config.maximum_latitude:
                continue
            chart = _tile_chart(maps.longitude[box[1]], latitude, steps)
            if touches(chart, [*store.exclude, *without]) or (only and not centred_in(chart, only)):
                continue
            amplitude = float(np.sqrt(relative[box][mask].mean()))
            if amplitude == 0:
                continue
            charts.append(chart)
            cells.append(numbers[box].ravel())
            amplitudes.append(amplitude)
    if not charts:
        raise DomainError(
            f"no tile of {size:g} degrees has {100 * config.minimum_valid:.0f} % ocean cells"
            f"{' where it is wanted' if store.exclude or without or only else ''}; "
            "lower domain.minimum_valid or the tile size, or check the areas left out"
        )
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in sides]
    y, x = np.meshgrid(*axes, indexing="ij")
    chosen, amplitude = np.stack(cells), np.array(amplitudes)
    present = valid.ravel()[chosen]
    area = np.cos(np.deg2rad(mesh(maps.longitude, maps.latitude)[1])).ravel()[chosen] * present
    mean = area.sum(1, keepdims=True) / present.sum(1, keepdims=True)
    return ChartedCells(
        cover=Cover(tuple(charts), amplitude, tiled=True),
        cells=chosen,
        present=present,
        offset=background.values.reshape(len(spread), -1),
        scale=amplitude[:, None] * spread,
        coordinates=tensor(np.stack([x.ravel(), y.ravel()], axis=-1)),
        weights=tensor(np.repeat((area / mean)[..., None], len(spread), axis=-1)),
        context=tensor([tile_context(chart, a) for chart, a in zip(charts, amplitudes, strict=True)]),
        sides=(sides[0], sides[1]),
    )


def _tile_chart(longitude: NDArray, latitude: NDArray, steps: list[float]) -> Region:
    west, east = longitude[0] - steps[1] / 2, longitude[-1] + steps[1] / 2
    south, north = latitude[0] - steps[0] / 2, latitude[-1] + steps[0] / 2
    return Region.from_bounds(west, east, max(south, -90.0), min(north, 90.0), isotropic=False)


def tensor(array: NDArray | list) -> Tensor:
    """A float32 tensor of an array."""
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))
