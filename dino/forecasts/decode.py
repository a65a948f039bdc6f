"""From latent forecasts of all charts to field values and their spread at any points, block by block."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import LatentModel, Ocean
from ..model.blending import Places, blend, blocks
from ..numerics.modes import without_gradients
from ..space.decoders import bases, fields
from .latent import LatentForecast

Array = NDArray[np.float64]


@without_gradients
def decode_points(
    latent: LatentModel, ocean: Ocean, forecast: LatentForecast, longitude: Array, latitude: Array, spread: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Mean and standard deviation (time, point, channel) in the channels' units; NaN on land and outside the charts.

    Without `spread` no standard deviation is made. A decoder that is not affine is linearised about the mean code of
    every time: the field is that of the mean code and its variance right to first order.
    """
    leading = (len(forecast.codes),)
    mean = np.empty((*leading, len(longitude), len(ocean.channels)), np.float32)
    deviation = np.empty_like(mean) if spread else None

    def evaluate(places: Places) -> tuple[Tensor, Tensor | None]:
        codes = forecast.codes[:, places.chart]
        if not spread:
            return fields(latent.decoder, places.coordinates, codes), None
        made, variances = [], []
        for times, basis in bases(latent.decoder, places.coordinates, codes):
            shape, modes = basis.offset.shape[1:], basis.modes.flatten(1, 2)
            values = (modes @ codes[times].permute(1, 2, 0)).permute(2, 0, 1)
            made.append(values.unflatten(2, shape) + basis.offset)
            variances.append(variance_of_modes(modes, forecast, places.chart, times).unflatten(2, shape))
        explained = torch.cat(variances) * forecast.calibration[:, None, None, :, 0].square()
        variance = explained + forecast.calibrated_unresolved[:, None, None]
        return torch.cat(made), variance * forecast.scale[:, places.chart, None, None].square()

    for block in blocks(len(longitude)):
        value, error = blend(ocean, latent.code_variance, longitude[block], latitude[block], evaluate, leading)
        mean[:, block] = value
        if deviation is not None:
            deviation[:, block] = error
    return mean, deviation


def variance_of_modes(modes: Tensor, forecast: LatentForecast, chart: Tensor, times: slice) -> Tensor:
    """(time, chart, value) variance of what codes explain at some times through modes (chart, value, code)."""
    factor = forecast.factor[times][:, chart].permute(1, 2, 0, 3)
    variance = modes.square() @ forecast.model_error[times].T
    shaken = (modes @ factor.flatten(2)).unflatten(2, factor.shape[2:])
    return (variance + shaken.square().sum(-1)).permute(2, 0, 1)
