"""The stores of a configuration as a record of points: opened, checked, and what is told from a sample of them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from data_pipeline.layout.channels import CHANNELS
from data_pipeline.stores.writing import open_store

from ..config import Config, StoreConfig
from ..data.observations import Observations, day_of
from ..data.points import DAY_POINTS, POINT_BYTES, Points, PointStore
from ..errors import ConfigError, EmptyDataError
from ..inference.evidence_record import MOST_ROWS
from ..model import ChannelSpec, LatentSpec, Ocean
from ..space.cover import CONTEXT
from ..space.domain import PeriodicBox
from ..training.prepare import found_stores

INTERVAL_DAYS = 1.0  # between the leads at which errors of forecasts are kept
HELD_SHARE = 1 / 3  # of a record at most is held out; a shorter one is judged by what it was trained on
FEWEST_DAYS = 1e-6
# Cells that always hold a value, of those that ever do, below which maps are points; and maps that are looked at first.
WHOLE_SHARE, LOOKED_AT = 0.5, 16


@dataclass(frozen=True, eq=False)
class PointRecord:
    """Points of all stores; span : days of the first, of the first that is held out, and of the last."""

    points: Points
    box: PeriodicBox | None
    span: tuple[float, float, float]
    window_days: float
    digest: str

    @cached_property
    def sample(self) -> Observations:
        """Points of some training days."""
        found = self.points.sample()
        early = found.between(-np.inf, self.span[1])
        return early if len(early) else found

    def values(self, ocean: Ocean) -> int:
        """How many values the evidence of the whole record is of, those counted once that overlapping charts share."""
        sampled = np.unique(np.floor(self.sample.time)).size
        inside = int(ocean.cover.holds(self.sample.longitude, self.sample.latitude).sum())
        every = inside / sampled * len(self.points.days)
        windows = max(1.0, (self.span[1] - self.span[0]) / max(self.window_days, FEWEST_DAYS))
        return int(max(1, min(every, windows * ocean.charts * MOST_ROWS)))


def holds_points(config: Config) -> bool:
    """Whether a store of the configuration gives points: observations, or maps whose gaps move over most cells."""
    return any(_gives_points(store) for store in found_stores(config.data.stores))


def record_of_points(config: Config) -> PointRecord:
    """Open the stores; raises `ConfigError` for settings that want maps and what `PointStore` raises."""
    _refuse(config)
    names = tuple(config.data.channels)
    start, end = (None if t is None else day_of(t) for t in (config.data.train_start, config.data.train_end))
    stores = found_stores(config.data.stores)
    room = max(4, int(config.data.memory_gb * 1e9 / (2 * DAY_POINTS * POINT_BYTES) / len(stores)))
    opened = []
    for store in stores:
        channels = tuple(store.channels or names)
        if len(channels) != len(names):
            raise ConfigError(f"{store.path} names {len(channels)} channels where data.channels has {len(names)}")
        low, high = (-np.inf if start is None else start), (np.inf if end is None else end)
        opened.append(PointStore(str(store.path), open_store(store.path), channels, low, high, room, config.seed))
    points = Points(tuple(opened), names)
    first, last = (_edge(points, which) for which in (0, -1))
    held = last - config.data.validation_days
    if last - held > HELD_SHARE * (last - first):
        held = last
    digest = hashlib.sha256(repr([one.dataset.attrs for one in opened]).encode()).hexdigest()
    days = min(config.assimilation.window_days or 1.0, held - first)
    return PointRecord(points, _box(opened[0].dataset), (first, held, last), days, digest)


def channels_of(record: PointRecord, config: Config) -> list[ChannelSpec]:
    """The channels as the first store, or else the registry, describes them."""
    first, made = record.points.stores[0], []
    for name, stored in zip(config.data.channels, first.channels, strict=True):
        known = CHANNELS.get(name)
        told = first.dataset[stored].attrs | (known.attrs if known is not None else {})
        about = {key: told.get(key) for key in ("standard_name", "long_name")}
        made.append(ChannelSpec(name=name, spread=1.0, units=str(told.get("units", "1")), **about))
    return made


def spec_of(record: PointRecord, config: Config, ocean: Ocean) -> LatentSpec:
    """What a model of these points is, before it is one of codes that relax."""
    return LatentSpec(
        decoder=config.decoder,
        dynamics=config.dynamics.model_copy(update={"order": 1, "depth": 0, "form": "network"}),
        input_size=ocean.cover.input_size,
        channels=len(ocean.channels),
        context=CONTEXT if ocean.cover.tiled else (),
        interval_days=INTERVAL_DAYS,
        noise_variance=config.field.noise_std**2,
        data_digest=record.digest,
    )


def _gives_points(store: StoreConfig) -> bool:
    dataset = open_store(store.path)
    if dataset.attrs.get("dino_store") != "fields":
        return True
    if dataset.sizes.get("trajectory", 1) > 1:
        return False
    return _gaps_move(dataset)


def _gaps_move(dataset: xr.Dataset) -> bool:
    """Whether most cells of a field store that ever hold a value do not hold one at all times.

    Some maps spread over the store are looked at first: where these have the same cells, as behind a coast, no other
    is read.
    """
    name = str(next(iter(dataset.data_vars)))
    times = dataset.sizes["time"]

    def known(frame: int) -> np.ndarray:
        return np.isfinite(dataset[name].isel(time=frame).values)

    first = known(0)
    looked = np.unique(np.linspace(0, times - 1, LOOKED_AT).astype(int)).tolist()
    if all(np.array_equal(known(frame), first) for frame in looked):
        return False
    ever, whole = first.copy(), first.copy()
    for frame in range(1, times):
        here = known(frame)
        ever |= here
        whole &= here
    return bool(whole.sum() < WHOLE_SHARE * ever.sum())


def _box(dataset: xr.Dataset) -> PeriodicBox | None:
    """The periodic box that a store says its points lie in."""
    if "periodic_length_km" not in dataset.attrs:
        return None
    x, y = dataset.attrs["periodic_length_km"]
    longitude, latitude = (float(dataset.attrs[f"reference_{name}"]) for name in ("longitude", "latitude"))
    return PeriodicBox(length_km=(float(x), float(y)), longitude=longitude, latitude=latitude)


def _edge(points: Points, which: int) -> float:
    """The time of the first or the last point."""
    for day in points.days[:: 1 if which == 0 else -1].tolist():
        found = points.between(float(day), float(np.nextafter(day + 1.0, 0.0)))
        if found is not None:
            return float(found.time[which])
    raise EmptyDataError(f"none of the stores holds a value of {', '.join(points.names)}; check channels and period")


def _refuse(config: Config) -> None:
    """Raise ConfigError for what points cannot be trained with."""
    if config.decoder.kind != "fourier":
        raise ConfigError(
            "points want a decoder that is affine in its codes, whose evidence is known: decoder.kind=fourier"
        )
    if config.dynamics.form == "quadratic":
        raise ConfigError(
            "dynamics.form=quadratic is solved from complete maps; from points codes relax (dynamics.form=network, "
            "whose network is then not trained), or two layers of flow are fitted (dynamics.form=layers)"
        )
    if config.dynamics.form == "layers":
        return  # what it simulates are maps
    data = config.data
    wanted = {
        "data.translations": data.translations > 1, "data.symmetries": data.symmetries > 1,
        "data.mirrors": data.mirrors,
        "data.keep": data.keep < 1, "data.validation_areas": bool(data.validation_areas),
    }  # fmt: skip
    for name, asked in wanted.items():
        if asked:
            raise ConfigError(f"{name} is for complete maps, and the stores hold points; leave it out")
