"""Gridded maps as observations: every frame encoded exactly, what the basis leaves out kept beside the codes."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import days_since_epoch
from ..errors import EmptyDataError, ObservationError
from ..forecasts.decode import blocks
from ..model.latent import OceanModel
from ..space.decoders import decode
from ..space.domain import wrap_longitude
from . import encode_frames

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EncodedMaps:
    """Frames of one grid in latent space.

    times : (time,) days since 1950-01-01
    codes : (time, chart, code); covariance : (time, chart, code, code), one time for all when gaps stay in place
    longitude, latitude : (point,) cells; shape : of the grid
    remainder : (time, channel, point) what the blended decode leaves, relative to the channels' spread
    """

    times: Array
    codes: Tensor
    covariance: Tensor
    longitude: Array
    latitude: Array
    shape: tuple[int, int]
    axes: tuple[Array, Array]
    remainder: Tensor

    def frames(self, which: slice) -> "EncodedMaps":
        """The same maps over part of the times."""
        covariance = self.covariance if len(self.covariance) == 1 else self.covariance[which]
        return replace(
            self,
            times=self.times[which],
            codes=self.codes[which],
            covariance=covariance,
            remainder=self.remainder[which],
        )


def is_maps(dataset: xr.Dataset) -> bool:
    """Whether a dataset is in field layout with a time axis."""
    return "obs" not in dataset.dims and "time" in dataset.dims and "trajectory" not in dataset.dims


@torch.no_grad()
def encode_maps(model: OceanModel, dataset: xr.Dataset) -> EncodedMaps:
    """Encode all frames of a field dataset; raises `ObservationError` or `EmptyDataError` for what does not fit."""
    names = model.spec.names
    missing = [name for name in names if name not in dataset]
    if missing:
        raise ObservationError(
            f"maps lack {', '.join(missing)}; this model wants every one of {', '.join(names)} in gridded input"
        )
    first = dataset[names[0]]
    space = [d for d in first.dims if d != "time"]
    values = np.stack([dataset[n].transpose("time", *space).values.astype(np.float64) for n in names], axis=1)
    blank = np.flatnonzero(~np.isfinite(values).any(axis=(1, 2, 3)))
    if len(blank):
        raise EmptyDataError(
            f"{len(blank)} of {len(values)} maps hold no value at all, the first that of "
            f"{dataset['time'].values[blank[0]]!s:.16}; leave them out or choose another period"
        )
    mesh = xr.broadcast(dataset["latitude"], dataset["longitude"])
    latitude, longitude = (axis.transpose(*space).values.ravel() for axis in mesh)
    longitude, latitude = wrap_longitude(longitude), np.asarray(latitude, np.float64)
    model.cover.check(longitude, latitude)
    flat = values.reshape(len(values), len(names), -1)
    background = model.background.at(longitude, latitude)
    anomaly = (np.moveaxis(flat, 1, 2) - background) / model.spec.spread
    codes, covariances = [], []
    for chart, amplitude in enumerate(model.cover.amplitude):
        inside = np.flatnonzero(model.cover.charts[chart].contains(longitude, latitude))
        coordinates = model.coordinates(chart, longitude[inside], latitude[inside])
        seen = model.code_variance.new_tensor(anomaly[:, inside] / amplitude)
        # Frames with the same gaps share a factorisation; a static land mask makes that all of them.
        keep = torch.isfinite(seen).any(0).any(-1)
        noise = model.spec.noise_variance
        posterior = encode_frames(model.decoder, coordinates[keep], seen[:, keep], noise, model.code_prior)
        codes.append(posterior.mean)
        covariances.append(posterior.covariance if posterior.covariance.dim() == 3 else posterior.covariance[None])
    stacked = torch.stack(codes, dim=1)
    frames = max(len(covariance) for covariance in covariances)
    fitted = blended_field(model, stacked, longitude, latitude)
    remainder = np.moveaxis(anomaly, 2, 1) - fitted
    rows, columns = dataset["latitude"], dataset["longitude"]
    return EncodedMaps(
        times=days_since_epoch(dataset["time"].values),
        codes=stacked,
        covariance=torch.stack([c.expand(frames, -1, -1) for c in covariances], dim=1),
        longitude=longitude,
        latitude=latitude,
        shape=(dataset.sizes[space[0]], dataset.sizes[space[1]]),
        axes=(rows.values.astype(float), columns.values.astype(float)),
        remainder=model.code_variance.new_tensor(np.nan_to_num(remainder)),
    )


@torch.no_grad()
def blended_field(model: OceanModel, codes: Tensor, longitude: Array, latitude: Array) -> Array:
    """Field anomalies (time, channel, point) of codes (time, chart, code), relative to the channels' spread."""
    out = np.full((len(codes), len(model.spec.channels), len(longitude)), np.nan)
    for block in blocks(len(longitude)):
        lon, lat = longitude[block], latitude[block]
        total, value = np.zeros(len(lon)), np.zeros((len(codes), len(lon), out.shape[1]))
        for chart, amplitude in enumerate(model.cover.amplitude):
            weight = model.cover.weight(chart, lon, lat)
            inside = np.flatnonzero(weight > 0)
            if not len(inside):
                continue
            coordinates = model.coordinates(chart, lon[inside], lat[inside])
            field = decode(model.decoder, coordinates, codes[:, chart]).double().cpu().numpy()
            value[:, inside] += field * (weight[inside, None] * amplitude)
            total[inside] += weight[inside]
        with np.errstate(invalid="ignore"):
            out[..., block] = np.moveaxis(value / np.where(total > 0, total, np.nan)[:, None], 2, 1)
    return out
