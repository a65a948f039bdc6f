"""The spread of forecasts from maps, calibrated on maps that training held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ..data.observations import days_since_epoch
from ..errors import NonFiniteError
from ..forecaster import Forecaster
from ..inference.maps import HISTORY_DAYS, HISTORY_MAPS, encode_maps
from ..model import LEADS, Start
from .samples import Samples, split_variance
from .spread_factors import Calibration, fit_factors

# Enough for the pooled error to scatter by a few per cent; more would only cost.
FORECASTS, CELLS, KNOTS = 48, 4096, 6


@dataclass(frozen=True)
class Segment:
    """Maps of one trajectory and the number of the one a forecast starts from; the maps after it are the truth."""

    maps: xr.Dataset
    start: int


def calibrate_from_maps(forecaster: Forecaster, segments: Sequence[Segment]) -> Calibration | None:
    """Fit the factors of the spread of forecasts from maps and put them into the model; None without any segment.

    The segments must not have been trained on.
    """
    model = forecaster.latent
    before = model.spread_factor[Start.MAPS].clone()
    model.spread_factor[Start.MAPS] = 1.0
    leads = _knots(forecaster, max((s.maps.sizes["time"] - 1 - s.start for s in segments), default=0))
    parts = [part for number, segment in enumerate(segments) for part in _samples(forecaster, number, segment, leads)]
    if not parts:
        model.spread_factor[Start.MAPS] = before
        return None
    # A knot each: its edges lie midway to its neighbours.
    middle = [0.0, *(0.5 * (low + high) for low, high in pairwise(leads)), leads[-1] + 0.5]
    edges = np.array(middle) * model.spec.interval_days
    fitted = fit_factors(Samples.join(parts), edges.tolist(), separate=True)
    model.spread_factor[Start.MAPS] = fitted.table(model.spec.interval_days).to(before)
    return fitted


def segments_of(
    forecaster: Forecaster, dataset: xr.Dataset, first: int, kept: NDArray[np.bool_] | None
) -> list[Segment]:
    """Segments of held-out maps: of each trajectory, forecasts of the maps from number `first` on.

    kept : (row, column) cells that the model may see, all when None. Grids with coordinates in two dimensions have no
    forecasts from maps and give no segment; neither do maps without a value, nor times that are spaced unevenly.
    """
    if dataset["latitude"].ndim != 1:
        return []
    lags, frames = forecaster.latent.lags, dataset.sizes["time"]
    # Maps before the lags are for hindcasts.
    history = min(HISTORY_MAPS, round(HISTORY_DAYS / forecaster.latent.spec.interval_days))
    runs = [dataset]
    if "trajectory" in dataset.dims:
        runs = [dataset.isel(trajectory=index) for index in range(dataset.sizes["trajectory"])]
    reach = max(1, min(_reach(forecaster), frames - max(lags + 1, first)))
    possible = range(max(lags, first - 1), frames - 1)
    if len(runs) > 1:
        # Runs enough to choose from: every forecast is seen to its end.
        possible = range(max(lags, first - 1), frames - reach)
    pairs = [(run, start) for start in possible for run in range(len(runs))]
    if not pairs:
        return []
    # Neighbours in the list are of different runs: a stride through it meets runs and starts alike.
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(FORECASTS, len(pairs))).astype(int))
    made = []
    for run, start in (pairs[index] for index in chosen):
        before = min(start, max(lags, history))
        part = runs[run].isel(time=slice(start - before, min(start + reach, frames - 1) + 1)).load()
        if kept is not None:
            part = part.where(xr.DataArray(kept, dims=_space(part, forecaster)))
        if _usable(part.isel(time=slice(before - lags, None)), forecaster):
            made.append(Segment(part, before))
    return made


def _space(maps: xr.Dataset, forecaster: Forecaster) -> tuple[str, ...]:
    return tuple(str(d) for d in maps[forecaster.ocean.names[0]].dims if d != "time")


def _usable(maps: xr.Dataset, forecaster: Forecaster) -> bool:
    steps = np.diff(days_since_epoch(maps["time"].values))
    known = [maps[name].notnull().any(_space(maps, forecaster)).all() for name in forecaster.ocean.names]
    return all(bool(there) for there in known) and bool(
        np.allclose(steps, forecaster.latent.spec.interval_days, atol=1e-3)
    )


def _reach(forecaster: Forecaster) -> int:
    """Half as far again as training looked, as the model error is measured."""
    return min(LEADS - 1, round(1.5 * forecaster.latent.spec.dynamics.horizons[-1]))


def _knots(forecaster: Forecaster, available: int) -> list[int]:
    """Leads in intervals at which factors are fitted: ever farther apart."""
    reach = max(1, min(_reach(forecaster), available))
    return sorted({round(lead) for lead in np.geomspace(1, reach, KNOTS)})


def _samples(forecaster: Forecaster, number: int, segment: Segment, leads: Sequence[int]) -> Iterator[Samples]:
    """Forecast a segment as `Forecaster.forecast` does and compare with its maps."""
    latent, ocean, maps, start = forecaster.latent, forecaster.ocean, segment.maps, segment.start
    after = [lead for lead in leads if start + lead < maps.sizes["time"]]
    if not after:
        return
    analysis = forecaster.analyse_maps(encode_maps(latent, ocean, maps.isel(time=slice(0, start + 1)), latent.lags + 1))
    assert analysis.maps is not None
    days = days_since_epoch(maps["time"].values[[start + lead for lead in after]])
    targets = maps.isel(time=[start + lead for lead in after])
    names = ocean.names
    space = _space(maps, forecaster)
    truth = np.stack([targets[n].transpose("time", *space).values.reshape(len(after), -1) for n in names], axis=-1)
    known = np.flatnonzero(np.isfinite(truth).all((0, 2)))
    cells = known[np.unique(np.linspace(0, len(known) - 1, min(CELLS, len(known))).astype(int))]
    place = analysis.maps.longitude[cells], analysis.maps.latitude[cells]
    try:
        mean, deviation = forecaster.predict(analysis, days, *place)
    except NonFiniteError:
        return  # no factor of the spread mends a forecast that blows up
    assert deviation is not None
    unresolved = torch.stack([latent.model_error(float(day - analysis.time))[1] for day in days])
    scale = forecaster.forecast_latent(analysis, days, spread=False).scale
    explained, rest = split_variance(ocean, deviation, unresolved, *place, scale)
    shape, channels = (len(after), len(cells)), len(names)
    yield Samples(
        lead=np.repeat(days - analysis.time, len(cells)),
        start=np.full(len(after) * len(cells), number),
        weight=np.broadcast_to(np.cos(np.deg2rad(place[1])), shape).ravel(),
        explained=explained.reshape(-1, channels),
        unresolved=rest.reshape(-1, channels),
        squared=np.square(mean - truth[:, cells], dtype=np.float64).reshape(-1, channels),
        noise=np.zeros((len(after) * len(cells), channels)),
    )
