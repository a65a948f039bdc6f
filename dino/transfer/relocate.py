"""A model of tiles laid over another sea: what it learned is kept, where its tiles lie and how much varies is new.

Decoder and dynamics see a tile in coordinates of its own, divided by its amplitude, and know of its place its context
alone. Nothing of them belongs to the ocean they were trained on.
"""

import numpy as np

from data_pipeline.stores.blocks import Store

from ..config import DomainConfig, StoreConfig
from ..data.charts import tile_cut
from ..data.maps import open_maps
from ..data.moments import moments
from ..errors import ConfigError
from ..model.latent import OceanModel


def relocated(
    model: OceanModel, source: Store, store: StoreConfig, domain: DomainConfig, until: float | None = None
) -> OceanModel:
    """A copy of a model of tiles whose tiles cover the sea of a field store (a path or a dataset in store layout).

    store, domain : how the sea is cut: climatology, tile size and overlap. The mean field, the land mask and the tiles'
    amplitudes come from the maps up to `until` [days since 1950-01-01], all of them when absent: for an honest forecast
    it is the day of the last map that is known. Channels take their order, not their names, from the model, where
    `store.channels` names them. Raises ConfigError for a model that has no tiles, and what `tile_cut` raises.
    """
    spec = model.spec
    if not spec.tiled:
        raise ConfigError("the run has a single chart, which belongs to its ocean; relocate wants domain.kind=tiles")
    names = store.channels or list(spec.names)
    if len(names) != len(spec.channels):
        raise ConfigError(f"the run forecasts {', '.join(spec.names)}; name as many channels of the store")
    maps = open_maps(source, names, end=until).loaded()
    seen = moments(maps, slice(None))
    background = seen.grid_map(store.climatology)
    cut = tile_cut(maps, store, domain, seen, background, spec.spread)
    channels = [channel.model_copy(update={"name": name}) for channel, name in zip(spec.channels, names, strict=True)]
    changed = {
        "channels": channels,
        "charts": list(cut.cover.charts),
        "amplitude": [float(a) for a in np.asarray(cut.cover.amplitude)],
    }
    made = OceanModel(spec.model_copy(update=changed), background)
    made.load_state_dict(model.state_dict())
    return made.to(model.code_variance.device).eval()
