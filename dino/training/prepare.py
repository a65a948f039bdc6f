"""From the stores of a configuration to what training sees: normalised, cut, held out, and an untrained model."""

import glob
import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr

from data_pipeline.stores.writing import open_store

from ..config import Config, StoreConfig
from ..data.charts import ChartedCells, cells_in, chart_cells, chart_cut, choose_domain, kept_cells, tile_cut
from ..data.copies import mirrored, symmetric_copies, symmetries_of
from ..data.maps import Maps, StoredMaps, open_maps, translated
from ..data.moments import Moments, moments
from ..data.observations import datetime_of, day_of
from ..data.series import Series, series_of
from ..data.streamed import StreamedSeries
from ..errors import ConfigError, DomainError, EmptyDataError, MissingFileError, SchemaError
from ..model import ChannelSpec, LatentModel, LatentSpec, Ocean
from ..space.cover import CONTEXT
from ..space.decoders import FourierDecoder
from ..space.gridmap import GridMap
from .apart import fall_apart, parts_of

log = logging.getLogger(__name__)

EVEN_SHARE = 0.1  # of the interval, by which the steps between maps may differ from it
# More would only cost: their number sets the scatter of validation errors, a few per cent with these.
MOST_HELD = 512
# Of the values that may be held in memory: the share of the pool that a streamed store is drawn from, and of a block.
POOL_SHARE, BLOCK_SHARE = 0.25, 1 / 32


@dataclass(frozen=True)
class Split:
    """A store's series, the part of them that training may see, and symmetric copies of that part.

    Held out are the series `apart`, tiles of other areas, or the last `held` trajectories or, where there are none of
    both, the times after `training_frames`.
    """

    series: Series | StreamedSeries
    training_frames: slice
    held: int = 0
    copies: tuple[Series, ...] = ()
    apart: Series | StreamedSeries | None = None

    @property
    def training_rows(self) -> slice:
        """Trajectories that are trained on."""
        trajectories = self.series.count // self.series.charts
        return slice(0, trajectories - self.held)

    @property
    def held_rows(self) -> slice:
        """Trajectories that are held out; all of them where times are."""
        return slice(self.training_rows.stop if self.held else 0, None)

    def held_frames(self, history: int = 0) -> slice:
        """Times of what is held out, after `history` + 1 earlier maps that forecasts begin from, if any are wanted."""
        if self.held:
            return slice(None)
        first = int(self.training_frames.stop)
        return slice(max(0, first - 1 - history) if history else first, None)

    @property
    def training(self) -> Series | StreamedSeries:
        """What is trained on."""
        return self.series.trajectories(self.training_rows).frames(self.training_frames)

    @property
    def validation(self) -> Series:
        """What the decoder is validated on, in memory; of a streamed store a part."""
        if self.apart is not None:
            return self.apart.loaded()
        return self.series.trajectories(self.held_rows).frames(self.held_frames()).loaded()


def prepare(config: Config) -> tuple[list[Split], LatentModel, Ocean]:
    """Read the stores, normalise and cut them, and build an untrained model over the first one."""
    stores = found_stores(config.data.stores)
    target, areas = stores[0], config.data.validation_areas
    names = [*config.data.channels, *config.data.hidden]
    if target.channels is not None and target.channels != names:
        raise ConfigError(
            f"data.stores.0.channels is {target.channels} but data.channels (and data.hidden) are {names}: a run has "
            "the names of its first store; write these in data.channels, and other stores' own in their channels"
        )
    dataset = open_fields(target)
    start, end = (None if t is None else day_of(t) for t in (config.data.train_start, config.data.train_end))
    stored = open_maps(target.path, names, start, end)
    if len(stored.times) < 2:
        raise EmptyDataError("the training period holds a single map; dynamics need more, widen data.train_start/end")
    interval = even_interval(stored.times, str(target.path))
    splits, model_parts, spread = [], None, np.empty(0)
    for store in stores:
        own = store is target
        if not own:
            open_fields(store)
        maps = _read(stored if own else open_maps(store.path, store.channels or names), config)
        even_interval(maps.times, str(store.path), interval)
        frames, held = slice(None), 0
        if own:
            held = _held_trajectories(maps.trajectories, config)
            frames = slice(None) if held or areas else _training_frames(len(maps.times), config, interval)
        if isinstance(maps, Maps):
            maps = translated(maps, config.data.translations, held, config.seed)
        kept = kept_cells(maps.grid, config.data.keep, config.data.keep_seed)
        left_out = [*store.exclude, *(areas if own else ())]
        if left_out:
            kept &= ~cells_in(maps, left_out)
        seen = moments(maps, frames, slice(0, maps.trajectories - held))
        _refuse_still(seen, store)
        if not (np.isfinite(seen.mean).all(0) & kept).any():
            raise DomainError(f"the areas left out leave no cell of {store.path} to train on; make them smaller")
        background = seen.grid_map(store.climatology, kept)
        if own:
            spread = seen.spread(background, kept)
        if config.domain.kind == "tiles":
            cut = tile_cut(maps, store, config.domain, seen, background, spread, without=areas if own else ())
        else:
            cut = chart_cut(maps, choose_domain(maps, config.domain), background, spread, kept)
        split = Split(_series(maps, cut, store, config), frames, held)
        if own and areas:
            apart = tile_cut(maps, store, config.domain, seen, background, spread, only=areas)
            split = replace(split, apart=_series(maps, apart, store, config))
        splits.append(_with_copies(split, maps, config, cut, background, kept))
        if own:
            model_parts = (background, cut.cover)
    assert model_parts is not None
    _refuse_short(splits, stores, config)
    background, cover = model_parts
    channels = [_channel(dataset, name, s) for name, s in zip(names, spread, strict=True)]
    spec = LatentSpec(
        decoder=config.decoder,
        dynamics=config.dynamics,
        input_size=cover.input_size,
        channels=len(channels),
        context=CONTEXT if cover.tiled else (),
        interval_days=interval,
        noise_variance=config.field.noise_std**2,
        data_digest=hashlib.sha256(repr([open_store(s.path).attrs for s in stores]).encode()).hexdigest(),
    )
    model = LatentModel(spec)
    if parts := parts_of(spec.decoder, spec.channels, spec.dynamics.tracers):
        fall_apart(cast(FourierDecoder, model.decoder), parts)
    return splits, model, Ocean(tuple(channels), cover, background)


def even_interval(times: np.ndarray, where: str, wanted: float | None = None) -> float:
    """Days between maps at `times` [days]: the median, which all of them keep to within a tenth, as months do.

    wanted : the interval of the run's first store. Raises ConfigError for maps at uneven or other intervals: dynamics
    that were trained on them would take every step for one of the same length.
    """
    steps = np.diff(times)
    interval = float(np.median(steps)) if wanted is None or not len(steps) else wanted
    odd = np.abs(steps - interval) > EVEN_SHARE * interval
    if not odd.any():
        return interval
    edges = np.flatnonzero(np.concatenate([[True], odd, [True]]))
    longest = int(np.argmax(np.diff(edges)))
    first, last = datetime_of(times[edges[longest]]), datetime_of(times[edges[longest + 1] - 1])
    raise ConfigError(
        f"maps of {where} are {steps.min():g} to {steps.max():g} days apart where {interval:g} is wanted "
        f"({np.count_nonzero(odd)} of {len(steps)} steps are others); fill the gaps, thin the maps to equal steps, or "
        f"train on the longest part that has them: data.train_start={first!s:.16} data.train_end={last!s:.16}"
    )


def _refuse_still(seen: Moments, store: StoreConfig) -> None:
    """Raise EmptyDataError for maps that never change; say how many are copies of the one before them."""
    if seen.maps and seen.copies == seen.maps:
        raise EmptyDataError(
            f"all maps of {store.path} are the same, so that there are no dynamics to learn; give a store of fields "
            "that change in time"
        )
    if seen.copies:
        log.warning("%s: %d of %d maps are copies of the one before them", store.path, seen.copies, seen.maps)


def _read(maps: StoredMaps, config: Config) -> Maps | StoredMaps:
    """The maps in memory, or as they are stored when there are too many. Raises ConfigError for copies of these."""
    budget = config.data.memory_gb * 1e9
    if maps.nbytes <= budget:
        return maps.loaded()
    if config.data.translations > 1 or config.data.symmetries > 1:
        raise ConfigError(
            f"data.translations and data.symmetries want the store in memory: it holds {maps.nbytes / 1e9:.1f} GB and "
            f"data.memory_gb is {config.data.memory_gb:g}; raise that, or do without copies of so many maps"
        )
    if config.data.mirrors:
        raise ConfigError(
            f"data.mirrors wants the store in memory: it holds {maps.nbytes / 1e9:.1f} GB and data.memory_gb is "
            f"{config.data.memory_gb:g}; raise that, or set data.mirrors=false"
        )
    return replace(maps, block_bytes=round(BLOCK_SHARE * budget))


def _series(maps: Maps | StoredMaps, cut: ChartedCells, store: StoreConfig, config: Config) -> Series | StreamedSeries:
    if isinstance(maps, Maps):
        return series_of(maps, cut, store.weight)
    return StreamedSeries(
        maps=maps,
        cut=cut,
        pool_bytes=round(POOL_SHARE * config.data.memory_gb * 1e9),
        steps=config.field.steps,
        seed=config.seed,
        share=store.weight,
        which=slice(0, maps.trajectories),
        within=slice(0, len(maps.times)),
    )


def _refuse_short(splits: list[Split], stores: list[StoreConfig], config: Config) -> None:
    """Raise EmptyDataError when a store's training maps hold no history together with a map to forecast."""
    wanted = (config.dynamics.lags if config.dynamics.order > 1 else 0) + 2
    for split, store in zip(splits, stores, strict=True):
        frames = len(split.series.times[split.training_frames])
        if frames < wanted:
            raise EmptyDataError(
                f"{store.path} has {frames} maps to train on where dynamics.lags={config.dynamics.lags} wants at least "
                f"{wanted}; lengthen the training period or lower dynamics.lags"
            )


def found_stores(stores: list[StoreConfig]) -> list[StoreConfig]:
    """The stores of a configuration, a pattern in a path replaced by all that it finds, in the order of their names.

    What a pattern finds has its weight together. Raises MissingFileError when it finds nothing.
    """
    found = []
    for store in stores:
        if not glob.has_magic(str(store.path)):
            found.append(store)
            continue
        paths = sorted(glob.glob(str(store.path)))
        if not paths:
            raise MissingFileError(
                f"no store matches the pattern {str(store.path)!r} of data.stores; check it, or make the stores first"
            )
        each = store.weight / len(paths)
        found += [store.model_copy(update={"path": Path(path), "weight": each}) for path in paths]
    return found


def open_fields(store: StoreConfig) -> xr.Dataset:
    """Open a field store; `SchemaError` when it holds observations."""
    dataset = open_store(store.path)
    if dataset.attrs.get("dino_store") != "fields":
        raise SchemaError(f"{store.path} holds observations; training wants a field store, `dino transfer` takes these")
    return dataset


def _with_copies(
    split: Split, maps: Maps | StoredMaps, config: Config, cut: ChartedCells, background: GridMap, kept: np.ndarray
) -> Split:
    """The split with the symmetric copies of its training part that the configuration asks for."""
    training = split.training
    if config.data.mirrors and isinstance(training, Series):
        return replace(split, copies=tuple(mirrored(training, cut.sides)))
    if config.data.symmetries == 1 or not isinstance(training, Series):
        return split
    _, longitude, latitude = chart_cells(maps, background, kept)
    names, symmetries = [*config.data.channels, *config.data.hidden], symmetries_of(maps.attributes)
    places, chart, count = (longitude, latitude), cut.cover.charts[0], config.data.symmetries - 1
    return replace(
        split, copies=tuple(symmetric_copies(training, places, chart, names, symmetries, count, config.seed))
    )


def _held_trajectories(trajectories: int, config: Config) -> int:
    """Trajectories held out for validation: a share of eight or more, else none."""
    if trajectories < 8 or not config.data.validation_trajectories:
        return 0
    return min(MOST_HELD, max(1, round(trajectories * config.data.validation_trajectories)))


def _training_frames(length: int, config: Config, interval: float) -> slice:
    """Without trajectories to hold out, the last days of the training period are."""
    held = round(config.data.validation_days / interval)
    if held < 1 or length - held < 2:
        raise EmptyDataError(
            f"{length} maps leave nothing to validate on after {config.data.validation_days:g} days are held out; "
            "lengthen the training period or shorten data.validation_days"
        )
    return slice(0, length - held)


def _channel(dataset: xr.Dataset, name: str, spread: float) -> ChannelSpec:
    attributes = dataset[name].attrs
    return ChannelSpec(
        name=name,
        units=attributes.get("units", "1"),
        standard_name=attributes.get("standard_name"),
        long_name=attributes.get("long_name"),
        spread=float(spread),
    )
