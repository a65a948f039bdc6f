"""A model of tiles laid over another sea: what it learned is kept, where its tiles lie and how much varies is new.

Decoder and dynamics see a tile in coordinates of its own, divided by its amplitude, and know of its place its context
alone. Nothing of them belongs to the ocean they were trained on. Tiles, amplitudes and mean field come from maps or,
where there are none, from the observations themselves and the shipped land mask.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.layout.channels import CHANNELS
from data_pipeline.stores.blocks import Store

from ..config import Box, DomainConfig, StoreConfig
from ..data.charts import tile_cut
from ..data.entering import entered
from ..data.maps import open_maps
from ..data.moments import moments
from ..data.observations import Observations
from ..errors import ConfigError, DomainError, EmptyDataError
from ..space.cover import Cover, Pairs
from ..space.domain import PeriodicBox, Region, wrap_longitude
from ..space.gridmap import GridMap
from ..space.land import is_land, land_fraction
from .ocean import Ocean
from .spec import ChannelSpec

Array = NDArray[np.float64]

MASK_DEGREES, MASK_CELLS = 1 / 16, 1500  # cells of the mean field over a sea without maps: so fine, or so many a side
SAMPLES = 16  # places a side of a tile at which its land is looked up
POOLED = 30.0  # observations of all tiles that count beside a tile's own: a pass is no more than a few eddies
WIDEST_DEGREES = 60.0  # of one chart
FEWEST = 20  # observations from which amplitudes are told at all
SEA_LEVEL = ("sla", "adt", "ssh")  # one quantity to a model whose weights know no mean field
ENCLOSED = 0.5  # share of land around a sea above which its eddies are taken for small ones
TILE_DEGREES, SMALL_TILE_DEGREES = 8.0, 4.0


def ocean_of_maps(
    like: Ocean, source: Store, store: StoreConfig, domain: DomainConfig, until: float | None = None
) -> Ocean:
    """Tiles over the sea of a field store (a path or a dataset in store layout).

    store, domain : how the sea is cut: climatology, tile size and overlap. The mean field, the land mask and the tiles'
    amplitudes come from the maps up to `until` [days since 1950-01-01], all of them when absent: for an honest forecast
    it is the day of the last map that is known. Channels take their order, not their names, from `like`, where
    `store.channels` names them. Raises ConfigError for a model that has no tiles, and what `tile_cut` raises.
    """
    channels = _named(like, store.channels)
    maps = open_maps(source, [channel.name for channel in channels], end=until).loaded()
    seen = moments(maps, slice(None))
    background = seen.grid_map(store.climatology)
    cut = tile_cut(maps, store, domain, seen, background, like.spread)
    return Ocean(channels, cut.cover, background)


def ocean_of_observations(
    like: Ocean,
    observations: Observations,
    domain: DomainConfig,
    *,
    names: list[str] | None = None,
    box: Box | None = None,
    tile_degrees: float | None = None,
) -> Ocean:
    """Tiles over the sea that point observations lie in, or over a `box`; no map is wanted.

    Land is that of the shipped mask. The mean field is zero for anomalies and the observations' own mean for anything
    else. A tile's amplitude is that of its observations, less the errors they state, drawn towards that of all of them
    where they are few. Raises ConfigError for a model that has no tiles, DomainError when no tile holds enough ocean,
    EmptyDataError for fewer than `FEWEST` observations.
    """
    channels = _named(like, names)
    if len(observations) < FEWEST:
        raise EmptyDataError(
            f"{len(observations)} observations tell no amplitude of a sea, {FEWEST} are wanted; give a longer record"
        )
    box = box or around(observations.longitude, observations.latitude)
    charts = _tiles(box, tile_degrees or domain.tile_degrees, domain)
    mean = np.array([_mean(observations.values[:, i], channel) for i, channel in enumerate(channels)])
    pairs = Cover(tuple(charts), np.ones(len(charts)), tiled=True).pairs(observations.longitude, observations.latitude)
    if not len(pairs.point):
        raise DomainError(
            f"no observation lies in one of the {len(charts)} tiles between {box[0]:g} and {box[1]:g} E, {box[2]:g} "
            f"and {box[3]:g} N; give observations of that sea or another box"
        )
    amplitude = _amplitudes(observations, pairs, len(charts), mean, like.spread)
    return Ocean(channels, Cover(tuple(charts), amplitude, tiled=True), _constant_field(charts, mean))


def entered_as(source: xr.Dataset, names: Sequence[str]) -> tuple[xr.Dataset, tuple[str, ...]]:
    """A dataset that comes in through Python, arranged as a store has it, and what a model's channels are called there.

    A model of sea level alone takes it by any name: its own first, then anomalies, then topography, whose mean field is
    then estimated from it. Raises `SchemaError` when it holds none of them.
    """
    sea_level = isinstance(source, xr.Dataset) and len(names) == 1 and names[0] in SEA_LEVEL
    others = SEA_LEVEL if sea_level else ()
    for other in others:
        if names[0] not in source and other in source:
            return entered(source, (other,)), (other,)
    return entered(source, tuple(names)), tuple(names)


def suited_tile_degrees(observations: Observations, box: Box | None = None) -> float:
    """The size of tiles for a sea: 8 degrees, or 4 where more than half of the box around it is land.

    Eddies of the Mediterranean are half as large as those of the open ocean. Enclosed seas are told by their coasts, as
    no map of their stratification is known.
    """
    west, east, south, north = box or around(observations.longitude, observations.latitude)
    if not south < north:
        return TILE_DEGREES
    land = land_fraction(west, west + min(east - west, 360.0), south, north)
    return SMALL_TILE_DEGREES if land > ENCLOSED else TILE_DEGREES


def ocean_of_points(
    channels: Sequence[ChannelSpec], seen: Observations, domain: DomainConfig, box: PeriodicBox | None = None
) -> Ocean:
    """The sea of point observations from which a model is trained: one chart, or tiles as `domain` says.

    channels : their `spread` is replaced by that of the observations about their mean, less the errors they state
    box : the periodic box that the points lie in, if any, which is then the only chart
    Raises EmptyDataError for observations that are too few or do not vary, ConfigError for a domain without a chart,
    DomainError when no tile holds enough ocean.
    """
    if len(seen) < FEWEST:
        raise EmptyDataError(
            f"{len(seen)} observations tell nothing of a sea, {FEWEST} are wanted; give a longer record"
        )
    mean = np.array([_mean(seen.values[:, i], channel) for i, channel in enumerate(channels)])
    error = np.where(np.isfinite(seen.values), np.nan_to_num(seen.error), np.nan)
    power = np.nanmean((seen.values - mean) ** 2, axis=0)
    variance = power - np.minimum(np.nanmean(error**2, axis=0), 0.9 * power)
    if not (variance > 0).all():
        still = ", ".join(c.name for c, v in zip(channels, variance, strict=True) if not v > 0)
        raise EmptyDataError(f"{still} does not vary in the observations, or is not in them; there is nothing to learn")
    made = tuple(c.model_copy(update={"spread": float(s)}) for c, s in zip(channels, np.sqrt(variance), strict=True))
    west, east, south, north = around(seen.longitude, seen.latitude)
    if domain.kind == "tiles":
        region = Region.from_bounds(west, east, south, north)
        like = Ocean(made, Cover((region,), np.ones(1), tiled=True), _constant_field([region], mean))
        return ocean_of_observations(like, seen, domain)
    if domain.kind == "periodic_box" or (domain.kind == "auto" and box is not None):
        if box is None:
            raise ConfigError(
                "domain.kind=periodic_box wants observations of a periodic simulation; use region or tiles"
            )
        latitude, longitude = (np.array([centre - 1.0, centre + 1.0]) for centre in (box.latitude, box.longitude))
        field = GridMap(longitude, latitude, np.broadcast_to(mean[:, None, None], (len(mean), 2, 2)).copy())
        return Ocean(made, Cover((box,), np.ones(1), tiled=False), field)
    if domain.kind == "sphere" or (domain.kind == "auto" and east - west > WIDEST_DEGREES):
        raise ConfigError(
            f"points over {east - west:.0f} degrees of longitude train tiles: a single chart has no place for what "
            "varies within it; set domain.kind=tiles"
        )
    region = Region.from_bounds(west, east, max(south, -90.0), min(north, 90.0))
    return Ocean(made, Cover((region,), np.ones(1), tiled=False), _constant_field([region], mean))


def _named(like: Ocean, names: list[str] | None) -> tuple[ChannelSpec, ...]:
    """The channels of a model by the names they have in a store."""
    if not like.cover.tiled:
        raise ConfigError("the run has a single chart, which belongs to its ocean; relocate wants domain.kind=tiles")
    names = names or list(like.names)
    if len(names) != len(like.channels):
        raise ConfigError(f"the run forecasts {', '.join(like.names)}; name as many channels of the store")
    return tuple(_renamed(channel, name) for channel, name in zip(like.channels, names, strict=True))


def _renamed(channel: ChannelSpec, name: str) -> ChannelSpec:
    """A channel of another name, which is described as that name's channel is where it is a known one."""
    known = CHANNELS.get(name)
    if name == channel.name or known is None or known.units != channel.units:
        return channel.model_copy(update={"name": name})
    return channel.model_copy(update={"name": name, **known.attrs})


def around(longitude: Array, latitude: Array) -> Box:
    """The smallest box around points, across 180 degrees where the widest gap is elsewhere."""
    known = np.unique(longitude)
    gaps = np.diff(known, append=known[0] + 360.0)
    widest = int(np.argmax(gaps))
    west = float(known[(widest + 1) % len(known)])
    return west, west + 360.0 - float(gaps[widest]), float(latitude.min()), float(latitude.max())


def _tiles(box: Box, size: float, domain: DomainConfig) -> list[Region]:
    """Overlapping tiles of `size` degrees that cover a box and hold enough ocean."""
    west, east, south, north = box
    stride, highest = size * (1 - domain.overlap), domain.maximum_latitude
    columns, rows = _starts(west, east, size, stride), _rows(south, north, size, stride, highest)
    share = (np.arange(SAMPLES) + 0.5) / SAMPLES * size
    found = []
    for row in rows:
        for column in columns:
            longitude, latitude = np.meshgrid(column + share, row + share)
            if 1.0 - is_land(longitude, latitude).mean() >= domain.minimum_valid:
                found.append(Region.from_bounds(column, column + size, row, row + size, isotropic=False))
    if not found:
        raise DomainError(
            f"no tile of {size:g} degrees between {west:g} and {east:g} E, {south:g} and {north:g} N has "
            f"{100 * domain.minimum_valid:.0f} % ocean within {highest:g} degrees of the equator; lower "
            "domain.minimum_valid or the tile size"
        )
    return found


def _starts(low: float, high: float, size: float, stride: float) -> list[float]:
    """Lower edges of tiles that cover an axis, evenly about its middle; a whole circle is not covered twice."""
    count = max(1, int(np.ceil((high - low - size) / stride)) + 1)
    if high - low >= 360.0 - stride:
        count = int(np.ceil(360.0 / stride))
        return [low + number * 360.0 / count for number in range(count)]
    first = (low + high - size - (count - 1) * stride) / 2
    return [first + number * stride for number in range(count)]


def _rows(south: float, north: float, size: float, stride: float, highest: float) -> list[float]:
    """Lower edges of rows that cover latitudes up to the highest one, none of them beyond it."""
    if max(south, -north) > highest or size > 2 * highest:
        return []
    rows = _starts(max(south, -highest), min(north, highest), size, stride)
    first, last = np.clip([rows[0], rows[-1]], -highest, highest - size)
    return np.linspace(first, last, len(rows)).tolist()


def _mean(values: Array, channel: ChannelSpec) -> float:
    """The mean field of a channel without maps; anomalies have none."""
    standard_name = channel.standard_name or ""
    anomaly = standard_name in CHANNELS["sla"].standard_names or "anomaly" in standard_name
    return 0.0 if anomaly or not np.isfinite(values).any() else float(np.nanmean(values))


def _amplitudes(observations: Observations, pairs: Pairs, charts: int, mean: Array, spread: Array) -> Array:
    """(chart,) root mean square of anomalies over the spread, without the errors that observations state."""
    error = np.nan_to_num(observations.error)
    power = ((observations.values - mean) ** 2 - error**2) / spread**2
    known = np.asarray(np.isfinite(power).any(1))
    value = np.nanmean(np.where(known[:, None], power, 0.0), axis=1)
    point, chart = pairs.point[known[pairs.point]], pairs.chart[known[pairs.point]]
    count, total = np.bincount(chart, minlength=charts), np.bincount(chart, value[point], charts)
    pooled = max(float(value[known].mean()), 1e-6)
    variance = (np.maximum(total, 0.0) + POOLED * pooled) / (count + POOLED)
    return np.sqrt(variance)


def _constant_field(charts: list[Region], mean: Array) -> GridMap:
    """The mean on cells around all tiles, missing over land."""
    longitude = np.array([chart.longitude for chart in charts])
    latitude = np.array([chart.latitude for chart in charts])
    reach = np.array([chart.extent_degrees for chart in charts]).max(0)
    west, east, south, north = around(longitude, latitude)
    axes = []
    for low, high, whole in ((south - reach[1], north + reach[1], 180.0), (west - reach[0], east + reach[0], 360.0)):
        length = min(high - low, whole)
        count = int(np.ceil(min(length / MASK_DEGREES, MASK_CELLS)))
        axes.append(low + (np.arange(count) + 0.5) * length / count)
    rows, columns = np.meshgrid(*axes, indexing="ij")
    land = is_land(wrap_longitude(columns), np.clip(rows, -90.0, 90.0))
    return GridMap(axes[1], axes[0], np.where(land, np.nan, mean[:, None, None]))
