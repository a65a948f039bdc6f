"""From the stores of a configuration to what training sees: normalised, cut, held out, and an untrained model."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from data_pipeline.stores import open_store

from ..config import Config, StoreConfig
from ..cover import Cover
from ..errors import EmptyDataError, SchemaError
from ..gridmap import GridMap
from ..model import ChannelSpec, ModelSpec, OceanModel
from ..observations import day_of
from .series import (
    Maps,
    Series,
    chart_cells,
    choose_domain,
    kept_cells,
    read_maps,
    series_of_chart,
    series_of_tiles,
    translated,
)
from .symmetries import symmetric_copies, symmetries_of


@dataclass(frozen=True)
class Split:
    """A store's series, the part of them that training may see, and symmetric copies of that part."""

    series: Series
    training_frames: slice
    copies: tuple[Series, ...] = ()
    training_series: torch.Tensor | None = None
    validation_series: torch.Tensor | None = None

    @property
    def training(self) -> Series:
        """What is trained on."""
        return (self.series if self.training_series is None else self.series.subset(self.training_series)).frames(
            self.training_frames
        )


def prepare(config: Config) -> tuple[list[Split], OceanModel]:
    """Read the stores, normalise and cut them, and build an untrained model for the first one."""
    target = config.data.stores[0]
    dataset = open_fields(target)
    start, end = (None if t is None else day_of(t) for t in (config.data.train_start, config.data.train_end))
    maps = read_maps(dataset, config.data.channels, start, end)
    if len(maps.times) < 2:
        raise EmptyDataError("the training period holds a single map; dynamics need more, widen data.train_start/end")
    interval = float(np.median(np.diff(maps.times)))
    splits, model_parts = [], None
    for store in config.data.stores:
        own = store is target
        current = maps if own else read_maps(open_fields(store), store.channels or config.data.channels, None, None)
        held = (slice(None), None, None)
        if own:
            aside = _held_trajectories(current, config)
            current = translated(current, config.data.translations, aside, config.seed)
            held = _validation_split(current, aside, config, interval)
        kept = kept_cells(current.values.shape[-2:], config.data.keep, config.data.keep_seed)
        background = current.grid_map(held[0], store.climatology, kept)
        if own:
            spread = _spread(current, background, held[0], kept)
        series, cover = _cut(current, store, config, background, spread, held[0], kept)
        frames, *trajectories = held
        parts = (_in_every_chart(which, len(current.values), series.count) for which in trajectories)
        split = Split(series, frames, (), *parts)
        splits.append(_with_copies(split, current, config, cover, background, kept))
        if own:
            model_parts = (background, cover, spread)
    assert model_parts is not None
    _refuse_short(splits, config)
    background, cover, spread = model_parts
    spec = ModelSpec(
        channels=[_channel(dataset, name, s) for name, s in zip(config.data.channels, spread, strict=True)],
        decoder=config.decoder,
        dynamics=config.dynamics,
        charts=list(cover.charts),
        amplitude=[float(a) for a in cover.amplitude],
        tiled=cover.tiled,
        interval_days=interval,
        noise_variance=config.field.noise_std**2,
        data_digest=hashlib.sha256(repr([open_store(s.path).attrs for s in config.data.stores]).encode()).hexdigest(),
    )
    return splits, OceanModel(spec, background)


def _refuse_short(splits: list[Split], config: Config) -> None:
    """Raise EmptyDataError when a store's training maps hold no history together with a map to forecast."""
    wanted = (config.dynamics.lags if config.dynamics.order > 1 else 0) + 2
    for split, store in zip(splits, config.data.stores, strict=True):
        frames = len(split.training.times)
        if frames < wanted:
            raise EmptyDataError(
                f"{store.path} has {frames} maps to train on where dynamics.lags={config.dynamics.lags} wants at least "
                f"{wanted}; lengthen the training period or lower dynamics.lags"
            )


def _in_every_chart(trajectories: torch.Tensor | None, count: int, series: int) -> torch.Tensor | None:
    """Numbers of the series, `count` to a chart, that belong to some of the trajectories."""
    if trajectories is None:
        return None
    return (torch.arange(0, series, count)[:, None] + trajectories).flatten()


def open_fields(store: StoreConfig) -> xr.Dataset:
    """Open a field store; `SchemaError` when it holds observations."""
    dataset = open_store(store.path)
    if dataset.attrs.get("dino_store") != "fields":
        raise SchemaError(f"{store.path} holds observations; training wants a field store, `dino transfer` takes these")
    return dataset


def _cut(
    maps: Maps,
    store: StoreConfig,
    config: Config,
    background: GridMap,
    spread: np.ndarray,
    training: slice,
    kept: np.ndarray,
):
    if config.domain.kind == "tiles":
        return series_of_tiles(maps, store, config.domain, background, spread, training)
    return series_of_chart(maps, choose_domain(maps, config.domain), background, spread, kept)


def _with_copies(
    split: Split, maps: Maps, config: Config, cover: Cover, background: GridMap, kept: np.ndarray
) -> Split:
    """The split with the symmetric copies of its training part that the configuration asks for."""
    if config.data.symmetries == 1:
        return split
    _, *positions = chart_cells(maps, background, kept)
    longitude, latitude = positions
    names, symmetries = config.data.channels, symmetries_of(maps.attributes)
    made = symmetric_copies(
        split.training,
        (longitude, latitude),
        cover.charts[0],
        names,
        symmetries,
        config.data.symmetries - 1,
        config.seed,
    )
    return replace(split, copies=tuple(made))


def _spread(maps: Maps, background: GridMap, training: slice, kept: np.ndarray) -> np.ndarray:
    anomaly = np.where(kept, maps.values[:, training] - background.values, np.nan)
    spread = np.sqrt(np.nanmean(np.square(anomaly, dtype=np.float64), axis=(0, 1, 3, 4)))
    if not (spread > 0).all():
        raise EmptyDataError("a channel of the training store does not vary at all; there is nothing to learn from it")
    return spread


def _held_trajectories(maps: Maps, config: Config) -> int:
    """Trajectories held out for validation: a share of eight or more, else none."""
    originals = len(maps.values)
    if originals < 8 or not config.data.validation_trajectories:
        return 0
    return max(1, round(originals * config.data.validation_trajectories))


def _validation_split(maps: Maps, held_trajectories: int, config: Config, interval: float):
    """Hold out the last trajectories when there are many, else the last days of the training period."""
    trajectories, length = maps.values.shape[:2]
    if held_trajectories:
        order = torch.arange(trajectories)
        return slice(None), order[: trajectories - held_trajectories], order[trajectories - held_trajectories :]
    held = round(config.data.validation_days / interval)
    if held < 1 or length - held < 2:
        raise EmptyDataError(
            f"{length} maps leave nothing to validate on after {config.data.validation_days:g} days are held out; "
            "lengthen the training period or shorten data.validation_days"
        )
    return slice(0, length - held), None, None


def _channel(dataset: xr.Dataset, name: str, spread: float) -> ChannelSpec:
    attributes = dataset[name].attrs
    return ChannelSpec(
        name=name,
        units=attributes.get("units", "1"),
        standard_name=attributes.get("standard_name"),
        long_name=attributes.get("long_name"),
        spread=float(spread),
    )
