"""Geostrophic currents and relative vorticity with error bars, from exact derivatives of the forecast sea level.

    u = -g / f dh/dy,    v = g / f dh/dx,    zeta = g / f (d2h/dx2 + d2h/dy2 - (tan phi + cot phi) / R dh/dy)

on a sphere of radius R, f = 2 Omega sin phi: the third is dv/dx - du/dy with the meridians' convergence and the change
of f. All are linear in the jet of h (`space.jets`), so that codes that are Gaussian give currents that are Gaussian.
The field is that of blended charts, whose derivatives hold those of the weights. Errors are blended as those of the
field are: charts that overlap err alike, and then the weights' derivatives, which sum to nothing, cancel.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.globe import EARTH_RADIUS_KM

from ..errors import ConfigError
from ..inference.analysis import Analysis
from ..model import LatentModel, Ocean
from ..model.blending import blocks
from ..numerics.groups import batches
from ..numerics.modes import without_gradients
from ..space.cover import Cover
from ..space.jets import PARTS, bounds, coordinate_jets, map_jets, mode_jets, weight_jets
from .decode import variance_of_modes
from .latent import LatentForecast, carried_residual, forecast_latent

GRAVITY, ROTATION = 9.81, 7.2921159e-5  # m s-2, s-1
NO_CURRENTS_DEGREES = 0.5  # from the equator, where geostrophy ends
PLACES = 2**13  # of a batch: the jets of modes are five times the modes
WEAKEST, SAMPLES = 0.25, 512  # share of the modes, and places, that tell how the rest of the field varies
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Currents:
    """Eastward and northward current [m s-1] and relative vorticity [s-1] (time, point, 3) with standard deviations."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


def sea_level(ocean: Ocean) -> int:
    """The channel whose slopes make currents; ConfigError where there is none."""
    for index, channel in enumerate(ocean.channels):
        known = channel.name in ("adt", "ssh", "sla") or "sea_surface_height" in str(channel.standard_name)
        if known and channel.units == "m":
            return index
    said = ", ".join(ocean.names)
    raise ConfigError(f"currents are slopes of sea level, and the run forecasts {said}; leave them out")


def operators(latitude: Array) -> Array:
    """(point, 3, 5) that make currents and vorticity of a jet of sea level [m, per degree]; NaN at the equator."""
    phi = np.deg2rad(latitude)
    near = np.abs(latitude) < NO_CURRENTS_DEGREES
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(near, np.nan, GRAVITY / (2.0 * ROTATION * np.sin(phi)))
        degree = np.rad2deg(1.0) / (1000.0 * EARTH_RADIUS_KM)  # slopes a degree to slopes a metre, northward
        made = np.zeros((len(latitude), 3, PARTS))
        made[:, 0, 2] = -scale * degree
        made[:, 1, 1] = scale * degree / np.cos(phi)
        made[:, 2, 3] = scale * (degree / np.cos(phi)) ** 2
        made[:, 2, 4] = scale * degree**2
        made[:, 2, 2] = -scale * degree / (1000.0 * EARTH_RADIUS_KM) * (np.tan(phi) + 1.0 / np.tan(phi))
    made[near] = np.nan
    return made


@without_gradients
def currents(
    latent: LatentModel, ocean: Ocean, forecast: LatentForecast, longitude: Array, latitude: Array
) -> Currents:
    """Currents of a latent forecast at points; NaN on land, outside the charts and near the equator.

    Raises ConfigError for a run without sea level, for a decoder that is not affine, and for a mean field on 2-D
    coordinates.
    """
    channel, times, count = sea_level(ocean), len(forecast.codes), len(longitude)
    usable = np.isfinite(longitude) & np.isfinite(latitude)
    place = np.where(usable, longitude, 0.0), np.where(usable, latitude, 0.0)
    usable &= ocean.background.is_ocean(*place) & (np.abs(place[1]) >= NO_CURRENTS_DEGREES)
    shape = (times, count, 3)
    mean, deviation = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for block in blocks(count):
        inside = np.flatnonzero(usable[block]) + block.start
        lon, lat = place[0][inside], place[1][inside]
        made, error = _blended(latent, ocean, forecast, channel, lon, lat)
        slopes = map_jets(ocean.background, lon, lat)[..., channel]
        slopes[0] = 0.0
        made += np.einsum("pqj,jp->pq", operators(lat), slopes)
        mean[:, inside], deviation[:, inside] = made, error
    return Currents(mean, deviation)


def _blended(
    latent: LatentModel, ocean: Ocean, forecast: LatentForecast, channel: int, longitude: Array, latitude: Array
) -> tuple[Array, Array]:
    """Currents of the anomaly and their standard deviations (time, point, 3); NaN outside the charts."""
    cover, like = ocean.cover, forecast.codes
    pairs = cover.pairs(longitude, latitude)
    weights = weight_jets(cover, pairs, len(longitude)) * (ocean.scale[pairs.chart, channel])[:, None]
    paths = coordinate_jets(cover, pairs, longitude, latitude)
    operator = operators(latitude)[pairs.point]
    rest = _rest_of_field(latent, cover, channel)
    reach = _reach(cover)
    shape = (len(like), len(longitude), 3)
    value, deviation = torch.zeros(2, *shape, dtype=torch.float64)
    columns = [torch.as_tensor(part).to(like) for part in (pairs.coordinates, paths, operator)]
    weight = torch.as_tensor(weights)
    number, chart_of = torch.as_tensor(pairs.point), torch.as_tensor(pairs.chart)
    for batch in batches(chart_of, PLACES, split=True):
        coordinates, path, turn = (column[batch.row] for column in columns)
        offset, modes = mode_jets(latent.decoder, coordinates, path)
        offset, modes = offset[..., channel], modes[..., channel, :]  # (5, chart, place[, code])
        share = (weight[batch.row] * batch.known.unsqueeze(-1)).to(like)
        blended = _weighted(turn, share)
        rows = torch.einsum("cpqj,jcpk->cpqk", blended, modes).flatten(1, 2)
        codes = forecast.codes[:, batch.group]
        made = (rows @ codes.permute(1, 2, 0)).permute(2, 0, 1).unflatten(2, turn.shape[1:3])
        made = made + torch.einsum("cpqj,jcp->cpq", blended, offset)
        plain = torch.einsum("cpqj,jcpk->cpqk", turn, modes).flatten(1, 2)
        explained = variance_of_modes(plain, forecast, batch.group, slice(None)).unflatten(2, turn.shape[1:3])
        size = torch.as_tensor(reach[batch.group.cpu().numpy()]).to(like)[:, None, None] * turn
        left = torch.einsum("cpqi,ij,cpqj->cpq", size, rest.to(like), size)
        variance = explained * forecast.calibration[:, channel, 0].square()[:, None, None, None]
        variance = variance + forecast.calibrated_unresolved[:, channel, None, None, None] * left
        error = variance.sqrt() * forecast.scale[:, batch.group, None, None] * share[..., :1]
        where = number[batch.row].flatten()
        for target, part in ((value, made), (deviation, error)):
            target.index_add_(1, where, part.flatten(1, 2).double())
    held = np.zeros(len(longitude), bool)
    held[pairs.point] = True
    outside = np.where(held, 1.0, np.nan)[:, None]
    return value.numpy() * outside, deviation.numpy() * outside


def _weighted(operator: Tensor, weight: Tensor) -> Tensor:
    """(chart, place, 3, 5) operators on the jet of a field that a weight multiplies, of jets (chart, place, 5)."""
    made = operator * weight[..., None, :1]
    made[..., 0] += (operator[..., 1:] * weight[..., None, 1:]).sum(-1)
    for axis in (1, 2):
        made[..., axis] += 2.0 * operator[..., 2 + axis] * weight[..., None, axis]
    return made


def _reach(cover: Cover) -> Array:
    """(chart, 5) by which a jet per degree of the first chart is multiplied to be one of another chart."""
    made = np.ones((len(cover.charts), PARTS))
    if cover.tiled:
        rate = cover.per_degree / cover.per_degree[0]
        made[:, 1:3], made[:, 3:] = rate, rate**2
    return made


def _rest_of_field(latent: LatentModel, cover: Cover, channel: int) -> Tensor:
    """(5, 5) second moments of the jet of what modes leave out, of variance one, per degree of the first chart.

    It is taken to vary as the weakest quarter of the modes does: they are the smallest scales that the decoder has.
    """
    chance = np.random.default_rng(0)
    first = cover.select([0]) if cover.tiled else cover
    low, high = bounds(first.charts[0])
    longitude, latitude = low[:, None] + (high - low)[:, None] * chance.random((2, SAMPLES))
    pairs = first.pairs(longitude, latitude)
    like = latent.code_variance
    places = torch.as_tensor(pairs.coordinates).to(like)
    paths = torch.as_tensor(coordinate_jets(first, pairs, longitude, latitude)).to(like)
    modes = mode_jets(latent.decoder, places, paths).modes[..., channel, :] * like.sqrt()
    power = modes[0].square().mean(0)
    weak = torch.argsort(power)[: max(1, math.ceil(WEAKEST * len(power)))]
    jets = modes[..., weak].double()
    moments = torch.einsum("ipk,jpk->ij", jets, jets) / jets.shape[1]
    return moments / moments[0, 0].clamp_min(torch.finfo(moments.dtype).tiny)


def with_currents(made: xr.Dataset, latent: LatentModel, ocean: Ocean, analysis: Analysis, days: Array) -> xr.Dataset:
    """A forecast dataset with currents and vorticity at its times `days` and places, each with its standard deviation.

    Of absolute heights they are `ugos`, `vgos` and `vorticity`, of anomalies the anomalies of these, `ugosa`, `vgosa`
    and `vorticitya`, since the slope of the mean sea surface is in neither.
    """
    channel = ocean.channels[sea_level(ocean)]
    dims = made[channel.name].dims
    longitude, latitude = _places(made, dims[1:])
    found = currents(latent, ocean, forecast_latent(latent, ocean, analysis, days), longitude, latitude)
    mean = found.mean
    if analysis.maps is not None:
        carried = carried_residual(latent, ocean, analysis.maps, days - analysis.time)
        index, operator = sea_level(ocean), operators(latitude)
        known = np.flatnonzero(np.isfinite(longitude + latitude))
        for row, field in enumerate(carried):
            slopes = map_jets(field, longitude[known], latitude[known])[..., index]
            mean[row, known] += np.einsum("pqj,jp->pq", operator[known], slopes)
    for index, (name, attributes) in enumerate(named(channel.name, channel.standard_name).items()):
        shape = made[channel.name].shape
        error = {"units": attributes["units"], "long_name": f"standard deviation of the error of {name}"}
        if "standard_name" in attributes:
            error["standard_name"] = f"{attributes['standard_name']} standard_error"
        made[name] = dims, mean[..., index].reshape(shape), attributes
        made[f"{name}_std"] = dims, found.deviation[..., index].reshape(shape), error
    return made


def named(channel: str, standard_name: str | None) -> dict[str, dict[str, str]]:
    """Names and CF attributes of the currents of a channel of sea level: absolute ones, or anomalies."""
    anomaly = channel == "sla" or str(standard_name) in CHANNELS["sla"].standard_names
    letter, of = ("a", "anomaly of the ") if anomaly else ("", "")
    made = {}
    for axis, way in (("u", "eastward"), ("v", "northward")):
        name = f"surface_geostrophic_{way}_sea_water_velocity"
        made[f"{axis}gos{letter}"] = {
            "standard_name": f"{name}_assuming_mean_sea_level_for_geoid" if anomaly else name,
            "long_name": f"{of}{way} geostrophic current",
            "units": "m s-1",
        }
    vorticity = {"long_name": f"{of}relative vorticity of the geostrophic current", "units": "s-1"}
    made[f"vorticity{letter}"] = vorticity if anomaly else {"standard_name": "ocean_relative_vorticity"} | vorticity
    return made


def _places(made: xr.Dataset, dims: tuple) -> tuple[Array, Array]:
    """Longitudes and latitudes (point,) of the places of a forecast, in the order of its values."""
    latitude, longitude = xr.broadcast(made["latitude"], made["longitude"])
    pair = (part.transpose(*dims).values.ravel() for part in (longitude, latitude))
    longitude, latitude = (np.asarray(part, np.float64) for part in pair)
    return longitude, latitude
