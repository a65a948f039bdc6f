"""Where a model lies: its charts, how much varies there, the mean field, the land and the units."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.stores.writing import open_store

from ..config import Box, DomainConfig, StoreConfig
from ..data.entering import entered
from ..data.observations import Observations
from ..space.boxes import touches
from ..space.cover import Cover
from ..space.domain import Region
from ..space.gridmap import GridMap
from .spec import ChannelSpec, OceanSpec

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ocean:
    """A sea that a `LatentModel` is laid over.

    channels : names, units and the spread of training anomalies, the unit of amplitudes
    cover : charts with their amplitudes; background : mean field in the channels' units, NaN over land
    """

    channels: tuple[ChannelSpec, ...]
    cover: Cover
    background: GridMap

    @classmethod
    def of(cls, spec: OceanSpec, background: GridMap) -> "Ocean":
        """From a description and its maps."""
        return cls(tuple(spec.channels), Cover(tuple(spec.charts), np.array(spec.amplitude), spec.tiled), background)

    @classmethod
    def nowhere(cls, channels: Sequence[ChannelSpec]) -> "Ocean":
        """No sea yet, for a model that is published: channels and their spread, no tile and no mean field."""
        field = GridMap(np.zeros(1), np.zeros(1), np.full((len(channels), 1, 1), np.nan))
        return cls(tuple(channels), Cover((), np.zeros(0), tiled=True), field)

    @classmethod
    def over(
        cls,
        source: Observations | xr.Dataset | Path,
        like: "Ocean",
        domain: DomainConfig | None = None,
        **settings: Any,
    ) -> "Ocean":
        """The sea of point observations or of maps, with tiles as `domain` says and channels as in `like`.

        domain : without it tiles of 8 degrees, and of 4 over the observations of an enclosed sea. Sea level is found
        under its other names (sla, adt, ssh) where the model's is not there.
        settings : those of `laying.ocean_of_observations` (names, box, tile_degrees), or of `laying.ocean_of_maps`
        (store, until), which say what is raised
        """
        from . import laying  # which makes oceans itself

        if isinstance(source, (str, Path)):
            source = open_store(source)
        if not isinstance(source, Observations):
            store = settings.get("store")
            names = settings.get("names") or (store.channels if store else None)
            source, names = laying.entered_as(source, like.names) if names is None else (entered(source, names), names)
            if "obs" in source.dims:
                source, settings["names"] = Observations.from_dataset(source, tuple(names)), list(names)
            elif store is None:
                settings["store"] = StoreConfig(path=Path("maps"), channels=list(names))
        if isinstance(source, Observations):
            if domain is None and settings.get("tile_degrees") is None:
                settings["tile_degrees"] = laying.suited_tile_degrees(source, settings.get("box"))
            domain = domain or DomainConfig(kind="tiles", tile_degrees=laying.TILE_DEGREES)
            return laying.ocean_of_observations(like, source, domain, **settings)
        domain = domain or DomainConfig(kind="tiles", tile_degrees=laying.TILE_DEGREES)
        store = settings.pop("store", None) or StoreConfig(path=Path("maps"))
        return laying.ocean_of_maps(like, source, store, domain, **settings)

    @property
    def spec(self) -> OceanSpec:
        """The description, to be written."""
        return OceanSpec(
            channels=list(self.channels),
            charts=list(self.cover.charts),
            amplitude=[float(a) for a in self.cover.amplitude],
            tiled=self.cover.tiled,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the channels in order."""
        return tuple(channel.units for channel in self.channels)

    @property
    def charts(self) -> int:
        """Number of charts."""
        return len(self.cover.charts)

    @cached_property
    def spread(self) -> Array:
        """(channel,) standard deviation of training anomalies [units of the channels]."""
        return np.array([channel.spread for channel in self.channels])

    @cached_property
    def scale(self) -> Array:
        """(chart, channel) by which anomalies are divided on a chart [units of the channels]."""
        return self.cover.amplitude[:, None] * self.spread

    def within(self, box: Box) -> "Ocean | None":
        """The charts that touch a box (west, east, south, north) [degrees]; None where there are none."""
        chosen = [i for i, chart in enumerate(self.cover.charts) if isinstance(chart, Region) and touches(chart, [box])]
        return Ocean(self.channels, self.cover.select(chosen), self.background) if chosen else None
