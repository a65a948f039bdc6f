"""Training data: maps of one store cut into charts, normalised, as tensors that the stages draw from."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.stream import iterate_blocks

from ..config import DomainConfig, StoreConfig
from ..cover import Cover, tile_context, tile_windows
from ..domain import Domain, PeriodicBox, Region, Sphere
from ..errors import ConfigError, DomainError, EmptyDataError
from ..gridmap import GridMap
from ..observations import days_since_epoch


@dataclass(frozen=True)
class Series:
    """Maps in one shape of chart: `series` is a trajectory, a tile, or a tile of a trajectory.

    coordinates : (point, input) shared by all series
    weights : (series, point, channel) area weight of mean one over the valid values, zero where missing
    values : (series, time, point, channel) normalised, zero where missing
    times : (time,) float64 days since 1950-01-01
    context : (series, context); amplitude : (series,)
    """

    coordinates: Tensor
    weights: Tensor
    values: Tensor
    times: NDArray[np.float64]
    context: Tensor
    amplitude: Tensor
    share: float = 1.0

    @property
    def count(self) -> int:
        """Number of series."""
        return self.values.shape[0]

    def frames(self, which: slice) -> "Series":
        """The same series over part of the times."""
        return replace(self, values=self.values[:, which], times=self.times[which])

    def subset(self, which: Tensor) -> "Series":
        """Some of the series."""
        return replace(
            self,
            values=self.values[which],
            weights=self.weights[which],
            context=self.context[which],
            amplitude=self.amplitude[which],
        )

    def points(self, which: slice) -> "Series":
        """All series at some of the points, as views."""
        return replace(
            self,
            coordinates=self.coordinates[which],
            weights=self.weights[:, which],
            values=self.values[:, :, which],
        )

    def to(self, device: str) -> "Series":
        """A copy on another device."""
        names = ("coordinates", "weights", "values", "context", "amplitude")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class Maps:
    """A field store in memory: values (trajectory, time, channel, row, column) float32, NaN where missing."""

    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    attributes: dict

    def grid_map(self, training: slice, kind: str, kept: NDArray[np.bool_] | bool = True) -> GridMap:
        """The training mean (kind "map") or its mean over the kept cells ("constant"), NaN where a cell has gaps."""
        whole = np.isfinite(self.values).all(axis=(0, 1, 2))
        if not whole.any():
            raise EmptyDataError(
                "no cell of the store is valid at all times; fields with moving gaps are observations: "
                "sample them into an observation store, or choose a period without gaps"
            )
        mean = self.values[:, training].mean(axis=(0, 1), dtype=np.float64)
        if kind == "constant":
            rows = np.cos(np.deg2rad(self.latitude))
            area = np.where(whole & kept, rows[:, None] if rows.ndim == 1 else rows, 0.0)
            average = np.nansum(np.where(whole, mean, 0) * area, axis=(1, 2)) / area.sum()
            mean = np.broadcast_to(average[:, None, None], mean.shape)
        return GridMap(self.longitude, self.latitude, np.where(whole, mean, np.nan))


def translated(maps: Maps, copies: int, keep: int, seed: int) -> Maps:
    """Add `copies` - 1 randomly shifted copies of all but the last `keep` trajectories, in front of the originals.

    On a doubly periodic box with uniform forcing a shifted ocean is another, equally valid one.
    """
    if copies == 1:
        return maps
    if "periodic_length_km" not in maps.attributes:
        raise ConfigError("data.translations wants stores of a periodic box; set it to 1")
    chance = np.random.default_rng(seed)
    moved = [
        np.roll(run, tuple(chance.integers(0, size) for size in run.shape[-2:]), axis=(-2, -1))
        for _ in range(copies - 1)
        for run in maps.values[: len(maps.values) - keep]
    ]
    return replace(maps, values=np.concatenate([np.stack(moved), maps.values]))


def read_maps(dataset: xr.Dataset, channels: list[str], start: float | None, end: float | None) -> Maps:
    """Read the maps with start <= time <= end [days since 1950-01-01] block by block.

    Longitudes run on beyond 180 degrees where the ocean lies across it, so that neighbours stay neighbours.
    """
    missing = [name for name in channels if name not in dataset]
    if missing:
        raise ConfigError(
            f"channel {', '.join(missing)} is not in the store, which holds {', '.join(map(str, dataset.data_vars))}; "
            "set data.channels"
        )
    days = days_since_epoch(dataset["time"].values)
    inside = (days >= (start if start is not None else -np.inf)) & (days <= (end if end is not None else np.inf))
    if not inside.any():
        raise EmptyDataError(
            "no map lies between data.train_start and data.train_end; the store runs from "
            f"{dataset['time'].values[0]!s:.10} to {dataset['time'].values[-1]!s:.10}"
        )
    dataset = dataset.isel(time=np.flatnonzero(inside))
    latitude, longitude = dataset["latitude"].values.astype(float), dataset["longitude"].values.astype(float)
    longitude = _unbroken(longitude)
    if longitude.ndim == 1 and (np.diff(longitude) < 0).any():
        dataset = dataset.isel(longitude=np.argsort(longitude))
        longitude = np.sort(longitude)
    if "trajectory" not in dataset.dims:
        dataset = dataset.expand_dims("trajectory")
    shape = dataset[channels[0]].shape
    values = np.empty((shape[0], shape[1], len(channels), *shape[2:]), np.float32)
    flat = values.reshape(-1, *values.shape[2:])
    for index, channel in enumerate(channels):
        position = 0
        for block in iterate_blocks(dataset, channel):
            rows = block.reshape(-1, *block.shape[-2:])
            flat[position : position + len(rows), index] = rows
            position += len(rows)
    return Maps(longitude, latitude, values, days[inside], dict(dataset.attrs))


def choose_domain(maps: Maps, config: DomainConfig) -> Domain:
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


def kept_cells(shape: tuple[int, int], share: float, seed: int) -> NDArray[np.bool_]:
    """A random `share` of the cells of a grid (row, column), the same for the same seed."""
    count = max(1, round(share * math.prod(shape)))
    kept = np.zeros(math.prod(shape), bool)
    kept[np.random.default_rng(seed).permutation(kept.size)[:count]] = True
    return kept.reshape(shape)


def chart_cells(maps: Maps, background: GridMap, kept: NDArray[np.bool_] | bool) -> tuple[NDArray, NDArray, NDArray]:
    """Which cells (row, column) a chart's series hold, and their longitudes and latitudes (point,)."""
    latitude, longitude = _mesh(maps)
    valid = np.isfinite(background.values).all(0) & kept
    return np.asarray(valid), longitude[valid], latitude[valid]


def series_of_chart(
    maps: Maps, domain: Domain, background: GridMap, spread: NDArray, kept: NDArray[np.bool_] | bool = True
) -> tuple[Series, Cover]:
    """The kept cells (row, column) of the whole domain as one chart; every trajectory is a series."""
    valid, longitude, latitude = chart_cells(maps, background, kept)
    anomaly = (maps.values - background.values) / spread[:, None, None]
    values = np.moveaxis(anomaly[..., valid], 2, -1)
    # A periodic box is a plane: its cells are equal, whatever the latitudes it is laid on.
    area = np.ones(len(latitude)) if isinstance(domain, PeriodicBox) else np.cos(np.deg2rad(latitude))
    weights = np.repeat((area / area.mean())[None, :, None], values.shape[-1], axis=-1)
    series = Series(
        coordinates=tensor(domain.coordinates(longitude, latitude)),
        weights=tensor(np.repeat(weights, len(values), axis=0)),
        values=tensor(values),
        times=maps.times,
        context=torch.zeros(len(values), 0),
        amplitude=torch.ones(len(values)),
    )
    return series, Cover((domain,), np.ones(1), tiled=False)


def series_of_tiles(
    maps: Maps, store: StoreConfig, config: DomainConfig, background: GridMap, spread: NDArray, training: slice
) -> tuple[Series, Cover]:
    """Overlapping tiles of equal cell counts, so that all share their coordinates; every tile is a series."""
    if maps.longitude.ndim != 1:
        raise ConfigError("domain.kind=tiles wants 1-D latitude and longitude axes; use region for curvilinear grids")
    size = store.tile_degrees or config.tile_degrees
    steps = [float(np.diff(axis).mean()) for axis in (maps.latitude, maps.longitude)]
    cells = [
        min(round(size / step), axis.size) for step, axis in zip(steps, (maps.latitude, maps.longitude), strict=True)
    ]
    if min(cells) < 4:
        raise ConfigError(f"tiles of {size:g} degrees hold only {min(cells)} cells a side; enlarge domain.tile_degrees")
    stride = [max(1, round(n * (1 - config.overlap))) for n in cells]
    valid = np.asarray(np.isfinite(background.values).all(0))
    charts, values, weights, amplitudes = [], [], [], []
    for row in tile_windows(maps.latitude.size, cells[0], stride[0]):
        for column in tile_windows(maps.longitude.size, cells[1], stride[1]):
            box = (slice(row, row + cells[0]), slice(column, column + cells[1]))
            latitude = maps.latitude[box[0]]
            mask = valid[box]
            if mask.mean() < config.minimum_valid or np.abs(latitude).max() > config.maximum_latitude:
                continue
            anomaly = (maps.values[..., box[0], box[1]] - background.values[:, box[0], box[1]]) / spread[:, None, None]
            amplitude = float(np.sqrt(np.nanmean(np.where(mask, anomaly[:, training], np.nan) ** 2)))
            if amplitude == 0:
                continue
            charts.append(_tile_chart(maps.longitude[box[1]], latitude, steps))
            area = np.cos(np.deg2rad(latitude))[:, None] * mask
            weights.append(np.repeat((area / area[mask].mean()).reshape(-1, 1), len(spread), axis=1))
            tile = np.where(mask, anomaly, 0) / amplitude
            values.append(np.moveaxis(tile.reshape(*tile.shape[:3], -1), 2, -1))
            amplitudes.append(amplitude)
    if not charts:
        raise DomainError(
            f"no tile of {size:g} degrees has {100 * config.minimum_valid:.0f} % ocean cells; "
            "lower domain.minimum_valid or the tile size"
        )
    trajectories = maps.values.shape[0]
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in cells]
    y, x = np.meshgrid(*axes, indexing="ij")
    context = np.array([tile_context(chart, a) for chart, a in zip(charts, amplitudes, strict=True)])
    series = Series(
        coordinates=tensor(np.stack([x.ravel(), y.ravel()], axis=-1)),
        weights=tensor(np.repeat(np.stack(weights), trajectories, axis=0)),
        values=tensor(np.concatenate(values)),
        times=maps.times,
        context=tensor(np.repeat(context, trajectories, axis=0)),
        amplitude=tensor(np.repeat(amplitudes, trajectories)),
        share=store.weight,
    )
    return series, Cover(tuple(charts), np.array(amplitudes), tiled=True)


def _unbroken(longitude: NDArray) -> NDArray:
    """The same longitudes, those before the widest gap turned by 360 where that gap is not the one at 180 degrees."""
    known = np.unique(longitude[np.isfinite(longitude)])
    gaps = np.diff(known, append=known[0] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] < 1.5 * gaps[-1]:
        return longitude
    return np.where(longitude <= known[widest], longitude + 360.0, longitude)


def _tile_chart(longitude: NDArray, latitude: NDArray, steps: list[float]) -> Region:
    west, east = longitude[0] - steps[1] / 2, longitude[-1] + steps[1] / 2
    south, north = latitude[0] - steps[0] / 2, latitude[-1] + steps[0] / 2
    return Region.from_bounds(west, east, max(south, -90.0), min(north, 90.0), isotropic=False)


def _mesh(maps: Maps) -> tuple[NDArray, NDArray]:
    if maps.longitude.ndim == 2:
        return maps.latitude, maps.longitude
    latitude, longitude = np.meshgrid(maps.latitude, maps.longitude, indexing="ij")
    return latitude, longitude


def tensor(array: NDArray | list) -> Tensor:
    """A float32 tensor of an array."""
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))
