"""Sampled members of a forecast, coherent in space and time, with the mean and the spread of the closed form.

A member is one draw of the analysis' posterior carried ahead: the same departure at all leads, seen through the factor
of the forecast's covariance. To it comes what the model errs, as a sequence whose variance at each lead is that of the
forecast. Charts that overlap draw together (`coherence`). What modes leave out has a variance and no pattern: it is
drawn for every place and time by itself.
"""

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import SAME_MOMENT_DAYS
from ..errors import ConfigError, ObservationError
from ..inference.analysis import Analysis
from ..model import LatentModel, Ocean
from ..model.blending import Places, blend
from ..numerics.modes import without_gradients
from ..space.decoders import bases
from .coherence import Coherence
from .latent import LatentForecast, forecast_latent

BLOCK_VALUES = 2**24  # of all members, times and points that are decoded together
Array = NDArray[np.float64]


@without_gradients
def departures(
    latent: LatentModel, ocean: Ocean, analysis: Analysis, days: Array, longitude: Array, latitude: Array, count: int,
    seed: int = 0,
) -> NDArray[np.float32]:  # fmt: skip
    """Departures of `count` members from the forecast's mean (member, time, point, channel), in the channels' units.

    days : since 1950-01-01, at or after the analysis. NaN on land and outside the charts.
    Raises ConfigError for a count that is none, ObservationError for times inside the window.
    """
    if count < 1:
        raise ConfigError(f"{count} members are none; give one or more")
    if (days < analysis.time - SAME_MOMENT_DAYS).any():
        raise ObservationError("members are drawn at the end of the window and go ahead; ask for no time inside it")
    order = np.argsort(days, kind="stable")
    forecast = forecast_latent(latent, ocean, analysis, days[order], together=True)
    codes = drawn_codes(latent, ocean, forecast, days[order], count, seed)
    shape = (count, len(days), len(longitude), len(ocean.channels))
    made, chance = np.empty(shape, np.float32), np.random.default_rng(seed)
    size = max(1, BLOCK_VALUES // (count * len(days)))
    for first in range(0, len(longitude), size):
        block = slice(first, first + size)
        made[:, :, block] = _decoded(latent, ocean, forecast, codes, longitude[block], latitude[block], chance)
    return made[:, np.argsort(order)]


def drawn_codes(
    latent: LatentModel, ocean: Ocean, forecast: LatentForecast, days: Array, count: int, seed: int = 0
) -> Tensor:
    """(member, time, chart, code) departures of codes at ascending `days`, whose factor's directions are one at all."""
    generator = torch.Generator().manual_seed(seed)
    together = Coherence(latent, ocean)
    numbers = together.draw(forecast.factor[[0, -1]], count, generator)
    made = torch.einsum("tckd,mcd->mtck", forecast.factor, numbers)
    gained = made.new_zeros(count, *forecast.codes.shape[1:])
    before = torch.zeros_like(forecast.model_error[0])
    for index, variance in enumerate(forecast.model_error):
        kept, new = _carried(latent, before, variance, float(days[index] - days[max(index - 1, 0)]))
        gained = kept * gained
        if bool((new > 0).any()):
            root = torch.diag(new.sqrt()).expand(1, gained.shape[1], -1, -1)
            gained = gained + new.sqrt() * together.draw(root, count, generator)
        made[:, index] += gained
        before = variance
    return made


def _carried(latent: LatentModel, before: Tensor, now: Tensor, days: float) -> tuple[Tensor, Tensor]:
    """(code,) by which model errors of variance `before` are multiplied, and the variance that comes to make `now`.

    Codes that relax forget their errors as they forget themselves; others keep them, where the variance does not fall.
    """
    share = torch.where(before > 0, (now / before.clamp_min(1e-30)).sqrt().clamp_max(1.0), 0.0)
    if latent.spec.relaxing:
        lost = latent.model_error(days)[0] / latent.code_variance
        share = torch.minimum(share, (1.0 - lost).clamp_min(0.0).sqrt())
    return share, (now - share.square() * before).clamp_min(0.0)


def _decoded(
    latent: LatentModel, ocean: Ocean, forecast: LatentForecast, codes: Tensor, longitude: Array, latitude: Array,
    chance: np.random.Generator,
) -> NDArray[np.float32]:  # fmt: skip
    """Fields (member, time, point, channel) of departures of codes (member, time, chart, code)."""
    members, times = codes.shape[:2]

    def evaluate(places: Places) -> tuple[Tensor, Tensor]:
        made = []
        for which, basis in bases(latent.decoder, places.coordinates, forecast.codes[:, places.chart]):
            modes = basis.modes.flatten(1, 2)
            part = codes[:, which][:, :, places.chart]
            field = torch.einsum("pvk,mtpk->mtpv", modes, part).unflatten(3, basis.offset.shape[1:])
            made.append(field * forecast.calibration[which, None, None, :, 0])
        scale = forecast.scale[:, places.chart, None, None]
        left = (forecast.calibrated_unresolved[:, None, None] * scale.square()).expand(-1, *made[0].shape[2:4], -1)
        field = torch.cat(made, dim=1) * scale
        return field.flatten(0, 1), left.repeat(members, 1, 1, 1)

    value, deviation = blend(
        ocean, latent.code_variance, longitude, latitude, evaluate, (members * times,)
    )  # departures have no mean field
    place = (np.where(np.isfinite(longitude + latitude), part, 0.0) for part in (longitude, latitude))
    value -= ocean.background.at(*place)
    made = value + deviation * chance.standard_normal(value.shape)
    return made.reshape(members, times, *value.shape[1:]).astype(np.float32)


def with_members(
    made: xr.Dataset, latent: LatentModel, ocean: Ocean, analysis: Analysis, days: Array, count: int, seed: int = 0
) -> xr.Dataset:
    """A forecast dataset with `<channel>_members` over (realization, time, ...) beside mean and standard deviation."""
    dims = made[ocean.names[0]].dims
    latitude, longitude = xr.broadcast(made["latitude"], made["longitude"])
    east, north = (np.asarray(part.transpose(*dims[1:]).values.ravel(), np.float64) for part in (longitude, latitude))
    found = departures(latent, ocean, analysis, days, east, north, count, seed)
    made = made.assign_coords(realization=("realization", np.arange(count), {"standard_name": "realization"}))
    for index, name in enumerate(ocean.names):
        shape = count, *made[name].shape
        values = made[name].values + found[..., index].reshape(shape)
        attributes = {
            **made[name].attrs,
            "long_name": f"members of the forecast of {name}, drawn from its distribution",
        }
        made[f"{name}_members"] = ("realization", *dims), values, attributes
    return made
