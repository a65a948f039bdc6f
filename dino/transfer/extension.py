"""Models whose dynamics were given something more: the residual and the drift of `AdaptedODE`."""

import numpy as np
import torch
from torch import Tensor

from ..dynamics import AdaptedODE
from ..model.latent import OceanModel, ResidualSpec
from ..numerics.gaussian import cholesky
from ..space.domain import EARTH_RADIUS_KM

POINTS = 2048  # of the chart's grid, on which derivatives of the modes are fitted
STEP_KM = 5.0
RIDGE = 1e-4


def extend(model: OceanModel, hidden: int, drifts: bool) -> AdaptedODE:
    """Give a model's dynamics a residual and, if `drifts`, a drift, in place; both begin at zero.

    What an earlier transfer added is kept as part of the base.
    """
    like = model.code_variance
    adapted = AdaptedODE(model.dynamics, hidden, drifts).to(like)
    if drifts:
        adapted.operators.copy_(derivative_operators(model))
        if model.spec.tiled:
            adapted.reference.copy_(model.context()[0, [1, 3]])
    model.dynamics = adapted
    model.spec = model.spec.model_copy(
        update={"residuals": [*model.spec.residuals, ResidualSpec(hidden=hidden, drifts=drifts)]}
    )
    return adapted


def retract(model: OceanModel) -> None:
    """Take off what `extend` added last."""
    assert isinstance(model.dynamics, AdaptedODE)
    model.dynamics = model.dynamics.base
    model.spec = model.spec.model_copy(update={"residuals": model.spec.residuals[:-1]})


@torch.no_grad()
def derivative_operators(model: OceanModel) -> Tensor:
    """(2, code, code) the eastward and northward derivative [1/km] of a decoded field as matrices on codes.

    Of the first chart, by least squares over a grid of its points; centred differences of the modes.
    """
    longitude, latitude = _cells(model)
    kilometres = np.deg2rad(1.0) * EARTH_RADIUS_KM
    steps = STEP_KM / (kilometres * np.cos(np.deg2rad(latitude))), np.full_like(latitude, STEP_KM / kilometres)
    size = model.dynamics.code_size
    zero = model.code_variance.new_zeros(1, size)

    def modes(east: np.ndarray | float, north: np.ndarray | float) -> Tensor:
        basis = model.decoder.linearise(model.coordinates(0, longitude + east, latitude + north), zero)
        return basis.modes.reshape(-1, size).double()

    centre = modes(0.0, 0.0)
    normal = centre.T @ centre
    normal += RIDGE * normal.diagonal().mean() * torch.eye(size, dtype=normal.dtype, device=normal.device)
    factor = cholesky(normal)
    changes = [modes(steps[0], 0.0) - modes(-steps[0], 0.0), modes(0.0, steps[1]) - modes(0.0, -steps[1])]
    solved = [torch.cholesky_solve(centre.T @ change / (2 * STEP_KM), factor) for change in changes]
    return torch.stack(solved).to(model.code_variance)


def _cells(model: OceanModel) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of some cells of the training grid that lie on the first chart, land or sea."""
    longitude, latitude = model.background.longitude, model.background.latitude
    if longitude.ndim == 1:
        longitude, latitude = np.meshgrid(longitude, latitude)
    longitude, latitude = longitude.ravel(), latitude.ravel()
    inside = np.flatnonzero(model.cover.charts[0].contains(longitude, latitude))
    chosen = inside[:: max(1, len(inside) // POINTS)]
    return longitude[chosen], latitude[chosen]
