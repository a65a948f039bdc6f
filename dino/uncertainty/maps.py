"""The spread of forecasts from maps, against maps that training held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..forecaster import Forecaster
from ..maps import encode_maps
from ..observations import days_since_epoch
from .samples import Samples, split_variance

# Enough for the pooled error to scatter by a few per cent; more would only cost.
FORECASTS, CELLS = 48, 4096


@dataclass(frozen=True)
class Segment:
    """Maps of one trajectory and the number of the one a forecast starts from; the maps after it are the truth."""

    maps: xr.Dataset
    start: int


def samples_of_maps(forecaster: Forecaster, segments: Sequence[Segment], leads: Sequence[int]) -> Samples:
    """Forecast every segment after `leads` intervals as `Forecaster.forecast` does and compare with its maps."""
    parts = [_samples(forecaster, number, segment, leads) for number, segment in enumerate(segments)]
    return Samples.join(parts)


def _samples(forecaster: Forecaster, number: int, segment: Segment, leads: Sequence[int]) -> Samples:
    model, maps, start = forecaster.model, segment.maps, segment.start
    after = [lead for lead in leads if start + lead < maps.sizes["time"]]
    analysis = forecaster.analyse_maps(encode_maps(model, maps.isel(time=slice(start - model.lags, start + 1))))
    assert analysis.maps is not None
    days = days_since_epoch(maps["time"].values[[start + lead for lead in after]])
    targets = maps.isel(time=[start + lead for lead in after])
    names = model.spec.names
    space = [d for d in targets[names[0]].dims if d != "time"]
    truth = np.stack([targets[n].transpose("time", *space).values.reshape(len(after), -1) for n in names], axis=-1)
    known = np.flatnonzero(np.isfinite(truth).all((0, 2)))
    cells = known[np.unique(np.linspace(0, len(known) - 1, min(CELLS, len(known))).astype(int))]
    place = analysis.maps.longitude[cells], analysis.maps.latitude[cells]
    mean, deviation = forecaster.predict(analysis, days, *place)
    assert deviation is not None
    unresolved = forecaster.forecast_latent(analysis, days).calibrated_unresolved
    explained, rest = split_variance(model, deviation, unresolved, *place)
    shape, channels = (len(after), len(cells)), len(names)
    return Samples(
        lead=np.repeat(days - analysis.time, len(cells)),
        start=np.full(len(after) * len(cells), number),
        weight=np.broadcast_to(np.cos(np.deg2rad(place[1])), shape).ravel(),
        explained=explained.reshape(-1, channels),
        unresolved=rest.reshape(-1, channels),
        squared=np.square(mean - truth[:, cells], dtype=np.float64).reshape(-1, channels),
        noise=np.zeros((len(after) * len(cells), channels)),
    )
