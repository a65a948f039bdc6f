"""From latent forecasts of all charts to field values and their spread at any points, block by block."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .decoders.base import Basis
from .model import OceanModel

BLOCK_POINTS = 16384
Array = NDArray[np.float64]
# (chart, indices of the points inside it, basis there) to the field and its variance, or None, (..., point, channel).
Evaluate = Callable[[int, NDArray[np.intp], Basis], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class LatentForecast:
    """Gaussian codes at some times.

    codes : (time, chart, code); factor : (time, chart, code, member) with covariance factor factor';
    model_error : (time, code) variance added to every chart; unresolved : (time, channel) variance of what the basis
    leaves out. All in the charts' normalised units.
    """

    codes: Tensor
    factor: Tensor
    model_error: Tensor
    unresolved: Tensor


def blocks(count: int) -> Iterator[slice]:
    """Slices that cover `count` points in blocks of bounded memory."""
    return (slice(start, min(start + BLOCK_POINTS, count)) for start in range(0, count, BLOCK_POINTS))


@torch.no_grad()
def decode_points(
    model: OceanModel, forecast: LatentForecast, longitude: Array, latitude: Array, spread: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Mean and standard deviation (time, point, channel) in the channels' units; NaN on land and outside the charts.

    Without `spread` no standard deviation is made.
    """
    leading = (len(forecast.codes),)
    mean = np.empty((*leading, len(longitude), len(model.spec.channels)), np.float32)
    deviation = np.empty_like(mean) if spread else None

    def evaluate(chart: int, inside: NDArray[np.intp], basis: Basis) -> tuple[Tensor, Tensor | None]:
        return basis.decode(forecast.codes[:, chart]), _variance(basis.modes, forecast, chart) if spread else None

    for block in blocks(len(longitude)):
        value, error = blend(model, longitude[block], latitude[block], evaluate, leading)
        mean[:, block] = value
        if deviation is not None:
            deviation[:, block] = error
    return mean, deviation


@torch.no_grad()
def blend(
    model: OceanModel, longitude: Array, latitude: Array, evaluate: Evaluate, leading: tuple[int, ...] = ()
) -> tuple[Array, Array]:
    """Mean and standard deviation (*leading, point, channel) of all charts blended, in the channels' units.

    NaN on land, outside the charts and where a coordinate is NaN; a standard deviation of zero where `evaluate` gives
    no variance.
    """
    usable = np.isfinite(longitude) & np.isfinite(latitude)
    lon, lat = np.where(usable, longitude, 0.0), np.where(usable, latitude, 0.0)
    usable &= model.background.is_ocean(lon, lat)
    shape = (*leading, len(lon), len(model.spec.channels))
    value, deviation, total = np.zeros(shape), np.zeros(shape), np.zeros(len(lon))
    for chart, amplitude in enumerate(model.cover.amplitude):
        weight = np.where(usable, model.cover.weight(chart, lon, lat), 0.0)
        inside = np.flatnonzero(weight > 0)
        if not len(inside):
            continue
        basis = model.decoder.basis(model.coordinates(chart, lon[inside], lat[inside]))
        field, variance = evaluate(chart, inside, basis)
        w = weight[inside, None] * amplitude
        value[..., inside, :] += w * field.double().cpu().numpy()
        if variance is not None:
            deviation[..., inside, :] += w * variance.sqrt().double().cpu().numpy()
        total[inside] += weight[inside]
    scale = model.spec.spread / np.where(total > 0, total, np.nan)[:, None]
    value *= scale
    value += model.background.at(lon, lat)
    deviation *= scale
    return value, deviation


def _variance(modes: Tensor, forecast: LatentForecast, chart: int) -> Tensor:
    """(time, point, channel) variance of the field."""
    points, channels, size = modes.shape
    flat = modes.reshape(points * channels, size)
    times, _, _, members = forecast.factor.shape
    variance = flat.square() @ forecast.model_error.T
    if members:
        columns = forecast.factor[:, chart].permute(1, 0, 2).reshape(size, times * members)
        variance = variance + (flat @ columns).reshape(-1, times, members).square().sum(-1)
    return variance.T.unflatten(1, (points, channels)) + forecast.unresolved[:, None, :]
