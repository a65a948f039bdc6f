"""Predictions at the places and times of observations, to be compared with them one by one."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inference.analysis import Analysis
from ..model import LatentModel, Ocean
from ..model.blending import Places, blend, blocks
from ..numerics.modes import without_gradients
from ..space.decoders import Basis, at_points
from .latent import carried_residual, forecast_latent

# Few points share a chart and a time: a batch holds a factor for nearly every one of them.
PLACES = 2**11
Array = NDArray[np.float64]


@without_gradients
def along_track(
    latent: LatentModel,
    ocean: Ocean,
    analysis: Analysis,
    time: Array,
    longitude: Array,
    latitude: Array,
    node_hours: float = 3.0,
) -> tuple[Array, Array]:
    """Mean and standard deviation (obs, channel) at points that each have a time of their own.

    The trajectory of codes is computed once at nodes `node_hours` apart and taken linearly between them; every point
    has its own basis. Cost grows with the points, not with points times moments as that of a forecast on a grid.

    Parameters
    ----------
    time : (obs,) days since 1950-01-01, in any order, at or after the start of the analysed window
    longitude, latitude : (obs,) degrees

    Returns
    -------
    In the channels' units, NaN on land and outside the domain. The standard deviation is that of the field; an
    observation adds its own error. Raises `ObservationError` for times before the analysis and `DomainError` when all
    points are outside.
    """
    ocean.cover.check(longitude, latitude)
    nodes, low, fraction = _nodes(np.asarray(time, np.float64), analysis, node_hours / 24.0)
    forecast = forecast_latent(latent, ocean, analysis, nodes)
    mean, deviation = np.full((2, len(time), len(ocean.channels)), np.nan)
    order = np.argsort(time, kind="stable")
    for block in blocks(len(order)):
        rows = order[block]
        way = torch.as_tensor(fraction[rows], device=forecast.codes.device).to(forecast.codes)

        def evaluate(places: Places, way=way) -> tuple[Tensor, Tensor]:
            before = places.part
            after = (before + 1).clamp_max(len(nodes) - 1)
            share = way[places.point].unsqueeze(-1)
            first, last = (forecast.codes[node, places.chart].unsqueeze(1) for node in (before, after))
            codes = torch.lerp(first, last, share)
            flat = at_points(latent.decoder, places.coordinates.flatten(0, 1), codes.flatten(0, 1))
            basis = Basis(*(part.unflatten(0, places.point.shape) for part in flat))
            modes, shape = basis.modes.flatten(1, 2), basis.offset.shape[1:]

            def between(table: Tensor) -> Tensor:
                """(chart, place, channel) a table (node, channel) at the times of the points."""
                return torch.lerp(table[before].unsqueeze(1), table[after].unsqueeze(1), share)

            # Between two nodes variances are linear: roots of covariances are no sequence, and cancel in between.
            variances = []
            for node in (before, after):
                grown = (modes.square() @ forecast.model_error[node].unsqueeze(-1)).squeeze(-1)
                shaken = (modes @ forecast.factor[node, places.chart]).square().sum(-1)
                variances.append((grown + shaken).unflatten(1, shape))
            variance = torch.lerp(variances[0], variances[1], share)
            field = (basis.modes @ codes.unsqueeze(-1)).squeeze(-1) + basis.offset
            explained = variance * between(forecast.calibration[..., 0]).square()
            first, last = (forecast.scale[node, places.chart, None] for node in (before, after))
            scale = torch.lerp(first, last, share[..., 0]).unsqueeze(-1)
            return field, scale.square() * (explained + between(forecast.calibrated_unresolved))

        mean[rows], deviation[rows] = blend(
            ocean, latent.code_variance, longitude[rows], latitude[rows], evaluate, part=low[rows], places=PLACES
        )
    if analysis.maps is not None:
        carried = carried_residual(latent, ocean, analysis.maps, nodes - analysis.time)
        for node in np.unique(low):
            here = np.flatnonzero(low == node)
            ends = [carried[min(at, len(nodes) - 1)].at(longitude[here], latitude[here]) for at in (node, node + 1)]
            mean[here] += ends[0] + fraction[here, None] * (ends[1] - ends[0])
    return mean, deviation


def _nodes(time: Array, analysis: Analysis, step: float) -> tuple[Array, NDArray[np.int64], Array]:
    """Node times around every time, and for each time (obs,) the node before it and the fraction to the next."""
    cells = np.floor(time / step)
    nodes = np.unique(np.concatenate([cells, cells + 1])) * step
    # A window begins and ends between two nodes: before its start there is nothing, at its end the trajectory bends.
    nodes = np.union1d(np.maximum(nodes, min(analysis.earliest, time.min())), [analysis.time])
    low = np.clip(np.searchsorted(nodes, time, side="right") - 1, 0, max(len(nodes) - 2, 0))
    following = np.minimum(low + 1, len(nodes) - 1)
    width = nodes[following] - nodes[low]
    return nodes, low, np.divide(time - nodes[low], width, out=np.zeros(len(time)), where=width > 0)
