"""Predictions at the places and times of observations, to be compared with them one by one."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..forecaster import Analysis, Forecaster
from ..space.decoders import at_points
from .decode import blend

Array = NDArray[np.float64]

BLOCK_POINTS = 1024


@torch.no_grad()
def predict_along_track(
    forecaster: Forecaster, analysis: Analysis, time: Array, longitude: Array, latitude: Array, node_hours: float = 3.0
) -> tuple[Array, Array]:
    """Mean and standard deviation (obs, channel) at points that each have a time of their own.

    The trajectory of codes is computed once at nodes `node_hours` apart and taken linearly between them; every point
    has its own basis. Cost grows with the points, not with points times moments as that of `Forecaster.forecast`.

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
    forecaster.model.cover.check(longitude, latitude)
    nodes, low, fraction = _nodes(np.asarray(time, np.float64), analysis, node_hours / 24.0)
    latent = forecaster.forecast_latent(analysis, nodes)
    mean, deviation = np.full((2, len(time), len(forecaster.model.spec.channels)), np.nan)
    carried = None
    if analysis.maps is not None:
        carried = forecaster.unresolved_maps(analysis, analysis.maps, nodes)

    order = np.argsort(time, kind="stable")
    for start in range(0, len(order), BLOCK_POINTS):
        rows = order[start : start + BLOCK_POINTS]
        place = longitude[rows], latitude[rows]
        before = torch.as_tensor(low[rows])
        after = (before + 1).clamp_max(len(nodes) - 1)
        part = torch.as_tensor(fraction[rows], dtype=latent.codes.dtype, device=latent.codes.device)

        def between(table: Tensor, inside: NDArray[np.intp], before=before, after=after, part=part) -> Tensor:
            """(point, ...) a table (node, ...) at the times of some points of the block."""
            weight = part[inside].reshape(-1, *[1] * (table.dim() - 1))
            return torch.lerp(table[before[inside]], table[after[inside]], weight)

        def evaluate(
            chart: int, inside: NDArray[np.intp], coordinates: Tensor, between=between
        ) -> tuple[Tensor, Tensor]:
            codes = between(latent.codes[:, chart], inside)
            basis = at_points(forecaster.model.decoder, coordinates, codes)
            field = torch.einsum("pck,pk->pc", basis.modes, codes) + basis.offset
            shaken = torch.einsum("pck,pkm->pcm", basis.modes, between(latent.factor[:, chart], inside))
            variance = torch.einsum("pck,pk->pc", basis.modes.square(), between(latent.model_error, inside))
            explained = (variance + shaken.square().sum(-1)) * between(latent.calibration, inside)[..., 0].square()
            return field, explained + between(latent.calibrated_unresolved, inside)

        mean[rows], deviation[rows] = blend(forecaster.model, *place, evaluate)
        if carried is not None:
            for node in np.unique(low[rows]):
                here = low[rows] == node
                where = place[0][here], place[1][here]
                ends = carried[node].at(*where), carried[min(node + 1, len(nodes) - 1)].at(*where)
                mean[rows[here]] += ends[0] + fraction[rows[here], None] * (ends[1] - ends[0])
    return mean, deviation


def _nodes(time: Array, analysis: Analysis, step: float) -> tuple[Array, NDArray[np.intp], Array]:
    """Node times around every time, and for each time (obs,) the node before it and the fraction to the next."""
    cells = np.floor(time / step)
    nodes = np.unique(np.concatenate([cells, cells + 1])) * step
    # Where no point lies inside the window it is not smoothed, which costs as much as the analysis.
    ahead = analysis.nodes is None or bool((time >= analysis.time).all())
    earliest = analysis.time if ahead or analysis.nodes is None else float(analysis.nodes[0])
    # A window begins and ends between two nodes: before its start there is nothing, at its end the trajectory bends.
    nodes = np.union1d(np.maximum(nodes, min(earliest, time.min())), [analysis.time])
    low = np.clip(np.searchsorted(nodes, time, side="right") - 1, 0, max(len(nodes) - 2, 0))
    following = np.minimum(low + 1, len(nodes) - 1)
    width = nodes[following] - nodes[low]
    return nodes, low, np.divide(time - nodes[low], width, out=np.zeros(len(time)), where=width > 0)
