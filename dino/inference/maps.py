"""Gridded maps as observations: every frame encoded exactly, the residual field kept beside the codes."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.layout.relations import lacking

from ..data.entering import entered
from ..data.observations import SAME_MOMENT_DAYS, datetime_of, days_since_epoch
from ..errors import EmptyDataError, HorizonError, ObservationError
from ..model import LatentModel, Ocean
from ..model.blending import BATCH_PLACES, Places, blend, blocks
from ..numerics.groups import batches
from ..numerics.modes import without_gradients
from ..space.decoders import fields
from ..space.domain import wrap_longitude
from .encode import encode_charts

Array = NDArray[np.float64]

HISTORY_DAYS, HISTORY_MAPS = 60.0, 60  # from which hindcasts are made, at most
CELLS = 48  # of a chart at which these are compared
FARTHEST_INTERVALS = 31  # between the last map and the moment that an analysis is asked for


class Record(NamedTuple):
    """Maps up to the last one in the charts' own units, which tell what forecasts from them were worth.

    times : (frame,) days since 1950-01-01; codes : (frame, chart, code)
    values : (frame, chart, place, channel) at some cells of every chart, NaN where nothing is known; coordinates :
    (chart, place, input) of these cells
    """

    times: Array
    codes: Tensor
    values: Tensor
    coordinates: Tensor

    def until(self, count: int) -> "Record":
        """Its first frames."""
        return Record(self.times[:count], self.codes[:count], self.values[:count], self.coordinates)

    def among(self, times: Array, population: Tensor) -> "Record":
        """With a frame that holds nothing for those of `times` that it lacks, as where other charts have values."""
        if len(times) == len(self.times):
            return self
        there = torch.as_tensor(np.flatnonzero(np.isin(times, self.times)), device=self.codes.device)
        codes = population.repeat(len(times), self.codes.shape[1], 1).index_copy(0, there, self.codes)
        values = self.values.new_full((len(times), *self.values.shape[1:]), torch.nan)
        return Record(times, codes, values.index_copy(0, there, self.values), self.coordinates)

    def charts(self, which: slice) -> "Record":
        """Some of its charts."""
        return Record(self.times, self.codes[:, which], self.values[:, which], self.coordinates[which])

    def even(self, interval_days: float) -> "Record":
        """Its last frames as far back as they are an interval apart, at most those of the history."""
        even = np.isclose(np.diff(self.times), interval_days, atol=1e-3)
        even &= self.times[:-1] >= self.times[-1] - HISTORY_DAYS
        gaps = np.flatnonzero(~even)
        first = max(int(gaps[-1]) + 1 if len(gaps) else 0, len(self.times) - HISTORY_MAPS - 1)
        return Record(self.times[first:], self.codes[first:], self.values[first:], self.coordinates)


@dataclass(frozen=True)
class EncodedMaps:
    """Frames of one grid in latent space.

    times : (time,) days since 1950-01-01
    codes : (time, chart, code); covariance : (time, chart, code, code), one time for all when gaps stay in place
    longitude, latitude : (point,) cells; shape : of the grid
    residual : (time, channel, point) the residual field, what the blended decode leaves, relative to the spread
    record : these maps and those before them, for hindcasts
    """

    times: Array
    codes: Tensor
    covariance: Tensor
    longitude: Array
    latitude: Array
    shape: tuple[int, int]
    axes: tuple[Array, Array]
    residual: Tensor
    record: Record | None = None

    def frames(self, which: slice) -> "EncodedMaps":
        """The same maps over part of the times."""
        covariance = self.covariance if len(self.covariance) == 1 else self.covariance[which]
        after = len(self.times) - which.indices(len(self.times))[1]
        return replace(
            self,
            times=self.times[which],
            codes=self.codes[which],
            covariance=covariance,
            residual=self.residual[which],
            record=None if self.record is None else self.record.until(len(self.record.times) - after),
        )

    @without_gradients
    def state(self, latent: LatentModel) -> tuple[Tensor, Tensor]:
        """Mean (chart, state) and covariance of the state at the last frame, derivatives from the changes before."""
        mean = latent.initialiser(self.codes[-(latent.lags + 1) :].movedim(0, 1))
        code, size = latent.dynamics.code_size, mean.shape[-1]
        covariance = 1e-8 * torch.eye(size, dtype=mean.dtype, device=mean.device).repeat(len(mean), 1, 1)
        covariance[:, :code, :code] += self.covariance[-1]
        return mean, covariance


def is_maps(dataset: xr.Dataset) -> bool:
    """Whether a dataset is in field layout with a time axis."""
    return "obs" not in dataset.dims and "time" in dataset.dims and "trajectory" not in dataset.dims


def recent_maps(
    dataset: xr.Dataset, wanted: int, interval_days: float, end: float | None, history_days: float = 0.0
) -> xr.Dataset | None:
    """The last `wanted` frames up to `end` when they are spaced as in training, else None; in any order.

    Before them come, at whatever intervals, those of the `history_days` before the last.
    """
    times = days_since_epoch(dataset["time"].values)
    order = np.argsort(times, kind="stable")
    times = times[order]
    last = len(times) if end is None else int(np.searchsorted(times, end + SAME_MOMENT_DAYS))
    recent = slice(max(last - wanted, 0), last)
    if last and end is not None and end - times[last - 1] > FARTHEST_INTERVALS * interval_days:
        raise HorizonError(
            f"the last map before {datetime_of(end)!s:.16} is of {datetime_of(times[last - 1])!s:.16}; ask for its "
            "time, and for leads from there"
        )
    if last < wanted or not np.allclose(np.diff(times[recent]), interval_days, atol=1e-3):
        return None
    first = min(recent.start, int(np.searchsorted(times, times[last - 1] - history_days)))
    return dataset.isel(time=order[first:last])


@without_gradients
def encode_maps(latent: LatentModel, ocean: Ocean, dataset: xr.Dataset, wanted: int | None = None) -> EncodedMaps:
    """Encode all frames of a field dataset; raises `ObservationError` or `EmptyDataError` for what does not fit.

    wanted : frames, the last ones, that forecasts start from; earlier ones are for hindcasts alone and may be empty
    """
    dataset = entered(dataset, ocean.names, ocean.units)
    held, times, place, shape = _cells(ocean, dataset, wanted)
    every = days_since_epoch(dataset["time"].values)
    ocean.cover.check(*place)
    anomaly = (held - ocean.background.at(*place)) / ocean.spread
    like, count = latent.code_variance, len(anomaly)
    pairs = ocean.cover.pairs(*place)
    seen = torch.as_tensor(anomaly, device=like.device).to(like)
    amplitude = torch.as_tensor(ocean.cover.amplitude, device=like.device).to(like)
    cell, chart = (torch.as_tensor(column, device=like.device) for column in (pairs.point, pairs.chart))
    coordinates = torch.as_tensor(pairs.coordinates, device=like.device).to(like)
    prior = latent.code_prior
    codes = prior.mean.repeat(count, ocean.charts, 1)
    covariances = []
    values = codes.new_full((count, ocean.charts, CELLS, len(ocean.names)), torch.nan)
    spots = codes.new_zeros(ocean.charts, CELLS, coordinates.shape[1])
    for batch in batches(chart, BATCH_PLACES):
        here = seen[:, cell[batch.row]] / amplitude[batch.group, None, None]
        here = torch.where(batch.known.unsqueeze(-1), here, torch.nan)
        found = encode_charts(latent.decoder, coordinates[batch.row], here, latent.spec.noise_variance, prior)
        codes[:, batch.group] = found.mean
        covariances.append((batch.group, found.covariance))
        # Cells of a chart that are as far apart in its rows as they can be; padding comes last.
        spread = (torch.arange(CELLS, device=like.device) + 0.5) / CELLS
        chosen = (spread * batch.known.sum(1, keepdim=True)).long()
        values[:, batch.group] = here.gather(2, chosen[None, :, :, None].expand(count, -1, -1, here.shape[-1]))
        spots[batch.group] = coordinates[batch.row.gather(1, chosen)]
    frames = max(len(covariance) for _, covariance in covariances)
    covariance = prior.covariance.repeat(frames, ocean.charts, 1, 1)
    for group, part in covariances:
        covariance[:, group] = part
    # Not views: an analysis keeps the last frames, and would keep and send all of them.
    first = 0 if wanted is None else len(codes) - wanted
    fitted = blended_field(latent, ocean, codes[first:], *place)
    rows, columns = dataset["latitude"], dataset["longitude"]
    return EncodedMaps(
        times=times[first:],
        codes=codes[first:].clone(),
        covariance=covariance if len(covariance) == 1 else covariance[first:].clone(),
        longitude=place[0],
        latitude=place[1],
        shape=shape,
        axes=(rows.values.astype(float), columns.values.astype(float)),
        residual=like.new_tensor(np.nan_to_num(np.moveaxis(anomaly[first:] - fitted, 2, 1))),
        record=Record(times, codes, values, spots).among(every, prior.mean),
    )


def encode_recent(latent: LatentModel, ocean: Ocean, dataset: xr.Dataset, end: float | None) -> EncodedMaps | None:
    """The last frames up to `end`, as many as a forecast starts from, encoded; None where `recent_maps` has none."""
    wanted, interval = latent.lags + 1, latent.spec.interval_days
    maps = recent_maps(dataset, wanted, interval, end, min(HISTORY_DAYS, HISTORY_MAPS * interval))
    return None if maps is None else encode_maps(latent, ocean, maps, wanted)


def _cells(
    ocean: Ocean, dataset: xr.Dataset, wanted: int | None
) -> tuple[Array, Array, tuple[Array, Array], tuple[int, int]]:
    """Values (time, cell, channel), times, longitudes and latitudes (cell,) and the grid's shape of maps that fit.

    Of maps before the last `wanted` those without any value are left out.
    """
    names = ocean.names
    missing = [name for name in names if name not in dataset]
    if missing:
        raise ObservationError(lacking("the gridded input", map(str, dataset.data_vars), names, missing))
    space = [d for d in dataset[names[0]].dims if d != "time"]
    values = np.stack([dataset[n].transpose("time", *space).values.astype(np.float64) for n in names], axis=-1)
    times = days_since_epoch(dataset["time"].values)
    held = np.asarray(np.isfinite(values).any(axis=(1, 2, 3)))
    if wanted is not None and not held.all():
        kept = held | (np.arange(len(held)) >= len(held) - wanted)
        dataset, values, times, held = dataset.isel(time=kept), values[kept], times[kept], held[kept]
    blank = np.flatnonzero(~held)
    if len(blank):
        raise EmptyDataError(
            f"{len(blank)} of {len(values)} maps hold no value at all, the first that of "
            f"{dataset['time'].values[blank[0]]!s:.16}; leave them out or choose another period"
        )
    mesh = xr.broadcast(dataset["latitude"], dataset["longitude"])
    latitude, longitude = (axis.transpose(*space).values.ravel() for axis in mesh)
    place = wrap_longitude(longitude), np.asarray(latitude, np.float64)
    shape = (dataset.sizes[space[0]], dataset.sizes[space[1]])
    return values.reshape(len(values), -1, len(names)), times, place, shape


def blended_field(latent: LatentModel, ocean: Ocean, codes: Tensor, longitude: Array, latitude: Array) -> Array:
    """Field anomalies (time, point, channel) of codes (time, chart, code), relative to the channels' spread."""

    def evaluate(places: Places) -> tuple[Tensor, None]:
        return fields(latent.decoder, places.coordinates, codes[:, places.chart]), None

    parts = [
        blend(ocean, latent.code_variance, longitude[block], latitude[block], evaluate, (len(codes),))[0]
        - ocean.background.at(longitude[block], latitude[block])
        for block in blocks(len(longitude))
    ]
    return np.concatenate(parts, axis=1) / ocean.spread
