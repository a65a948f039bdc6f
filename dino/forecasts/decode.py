"""From latent forecasts of all charts to field values and their spread at any points, block by block."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model.latent import OceanModel
from ..space.decoders import Decoder, decode

BLOCK_POINTS = 16384
Array = NDArray[np.float64]
# (chart, indices of the points inside it, their decoder coordinates) to the field and its variance, or None,
# (..., point, channel).
Evaluate = Callable[[int, NDArray[np.intp], Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class LatentForecast:
    """Gaussian codes at some times.

    codes : (time, chart, code); factor : (time, chart, code, member) with covariance factor factor';
    model_error : (time, code) variance added to every chart; unresolved : (time, channel) variance of what the basis
    leaves out; calibration : (time, channel, part) factors of the standard deviation of what codes explain and of what
    is unresolved. All in the charts' normalised units.
    """

    codes: Tensor
    factor: Tensor
    model_error: Tensor
    unresolved: Tensor
    calibration: Tensor

    @property
    def calibrated_unresolved(self) -> Tensor:
        """(time, channel) variance of what the basis leaves out, with its factor."""
        return self.unresolved * self.calibration[..., 1].square()


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

    def evaluate(chart: int, inside: NDArray[np.intp], coordinates: Tensor) -> tuple[Tensor, Tensor | None]:
        return _field(model.decoder, coordinates, forecast, chart, spread)

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
        field, variance = evaluate(chart, inside, model.coordinates(chart, lon[inside], lat[inside]))
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


def _field(
    decoder: Decoder, coordinates: Tensor, forecast: LatentForecast, chart: int, spread: bool
) -> tuple[Tensor, Tensor | None]:
    """Field of one chart and, with `spread`, its variance (time, point, channel).

    A decoder that is not affine is linearised about the mean code of every time: the field is that of the mean code
    and its variance right to first order.
    """
    codes, factor = forecast.codes[:, chart], forecast.factor[:, chart]
    if not spread and not decoder.is_affine:
        return decode(decoder, coordinates, codes), None
    if decoder.is_affine:
        basis = decoder.linearise(coordinates, codes)
        variance = _variance(basis.modes, factor, forecast, slice(None)) if spread else None
        return basis.decode(codes), variance
    fields, variances = [], []
    for time in range(len(codes)):  # a Jacobian a time: all of them together would fill the memory
        now = slice(time, time + 1)
        basis = decoder.linearise(coordinates, codes[now])
        modes = basis.modes[0]
        fields.append(basis.offset + modes @ codes[time])
        variances.append(_variance(modes, factor, forecast, now))
    return torch.cat(fields), torch.cat(variances)


def _variance(modes: Tensor, factor: Tensor, forecast: LatentForecast, times: slice) -> Tensor:
    """(time, point, channel) variance of the field at some times through modes (point, channel, code).

    factor : (time, code, member) that of the chart, at all times
    """
    factor = factor[times]
    points, channels, size = modes.shape
    flat = modes.reshape(points * channels, size)
    count, _, members = factor.shape
    variance = flat.square() @ forecast.model_error[times].T
    if members:
        columns = factor.permute(1, 0, 2).reshape(size, count * members)
        variance = variance + (flat @ columns).reshape(-1, count, members).square().sum(-1)
    explained = variance.T.unflatten(1, (points, channels)) * forecast.calibration[times, None, :, 0].square()
    return explained + forecast.calibrated_unresolved[times, None, :]
