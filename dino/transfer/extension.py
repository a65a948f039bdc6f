"""Dynamics with what another ocean adds to them: a residual network and a drift, `AdaptedODE`.

Shared residual (LEADS, Yin et al. 2021, arXiv 2106.04546): the dynamics of every environment are a part common to all
and a residual as small as the data allow. The common part was learned in simulation and is kept; the residual is
fitted to what followed the analysed windows.

Physics (APHYNITY, Yin et al. 2021, arXiv 2010.04456): incomplete physics is completed by a network that is as small as
the misfit allows. The observed ocean drifts otherwise than the simulated one, as mean currents and the beta effect
have it; the velocity [km/day] is fitted.

Neither helps on real observations (docs/transfer.md); they are kept for comparison.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data_pipeline.system.progress import Progress

from ..dynamics import AdaptedODE
from ..forecaster import Forecaster
from ..model import LatentModel, Ocean, ResidualSpec
from ..numerics.gaussian import cholesky
from ..space.domain import EARTH_RADIUS_KM
from .base import Analyse, Task, Transferred, descend, improve
from .losses import future_misfit
from .plan import Episode

POINTS = 2048  # of the chart's grid, on which derivatives of the modes are fitted
STEP_KM = 5.0
RIDGE = 1e-4


def add_residual(task: Task, progress: Progress) -> Transferred:
    """Give the dynamics a residual network with a penalty (LEADS); see `Strategy`."""
    return _completed(task, progress, drifts=False)


def add_drift(task: Task, progress: Progress) -> Transferred:
    """Give the dynamics a drift, and a residual whose penalty falls from round to round (APHYNITY); see `Strategy`."""
    return _completed(task, progress, drifts=True)


def _completed(task: Task, progress: Progress, drifts: bool) -> Transferred:
    settings, generator = task.settings, torch.Generator().manual_seed(task.seed)
    with torch.random.fork_rng():
        torch.manual_seed(task.seed)
        dynamics = extend(task.forecaster, settings.hidden, drifts)
    turn = iter(range(1, settings.rounds + 1))

    def adapt(analyse: Analyse) -> None:
        episodes = analyse()
        future, size = future_misfit(task, episodes, generator), residual_size(task.forecaster, dynamics, episodes)
        # Physics explains first what it can.
        penalty = settings.pull / (next(turn) if drifts else 1)
        weights = [dynamics.drift, *dynamics.network.parameters()] if drifts else list(dynamics.network.parameters())
        descend(task.latent, weights, lambda: future() + penalty * size(), settings.steps, settings.learning_rate)

    result = improve(task, adapt, progress)
    if not result.kept:
        retract(task.latent)
    return result


def extend(forecaster: Forecaster, hidden: int, drifts: bool) -> AdaptedODE:
    """Give a model's dynamics a residual and, if `drifts`, a drift, in place; both begin at zero.

    What an earlier transfer added is kept as part of the base.
    """
    model, context = forecaster.latent, forecaster.latent.spec.context
    adapted = AdaptedODE(model.dynamics, hidden, drifts, context).to(model.code_variance)
    if drifts:
        adapted.operators.copy_(derivative_operators(forecaster))
        if context:
            first = model.context(forecaster.ocean)[0]
            adapted.reference.copy_(first[[context.index(name) for name in ("cos_latitude", "log_size")]])
    model.dynamics = adapted
    model.spec = model.spec.model_copy(
        update={"residuals": [*model.spec.residuals, ResidualSpec(hidden=hidden, drifts=drifts)]}
    )
    return adapted


def retract(model: LatentModel) -> None:
    """Take off what `extend` added last."""
    assert isinstance(model.dynamics, AdaptedODE)
    model.dynamics = model.dynamics.base
    model.spec = model.spec.model_copy(update={"residuals": model.spec.residuals[:-1]})


@torch.no_grad()
def derivative_operators(forecaster: Forecaster) -> Tensor:
    """(2, code, code) the eastward and northward derivative [1/km] of a decoded field as matrices on codes.

    Of the first chart, by least squares over a grid of its points; centred differences of the modes.
    """
    model, chart = forecaster.latent, forecaster.ocean.cover.charts[0]
    longitude, latitude = _cells(forecaster.ocean)
    kilometres = np.deg2rad(1.0) * EARTH_RADIUS_KM
    steps = STEP_KM / (kilometres * np.cos(np.deg2rad(latitude))), np.full_like(latitude, STEP_KM / kilometres)
    size = model.dynamics.code_size
    zero = model.code_variance.new_zeros(1, size)

    def modes(east: np.ndarray | float, north: np.ndarray | float) -> Tensor:
        where = zero.new_tensor(chart.coordinates(longitude + east, latitude + north))
        basis = model.decoder.linearise(where, zero)
        return basis.modes.reshape(-1, size).double()

    centre = modes(0.0, 0.0)
    normal = centre.T @ centre
    normal += RIDGE * normal.diagonal().mean() * torch.eye(size, dtype=normal.dtype, device=normal.device)
    factor = cholesky(normal)
    changes = [modes(steps[0], 0.0) - modes(-steps[0], 0.0), modes(0.0, steps[1]) - modes(0.0, -steps[1])]
    solved = [torch.cholesky_solve(centre.T @ change / (2 * STEP_KM), factor) for change in changes]
    return torch.stack(solved).to(model.code_variance)


def _cells(ocean: Ocean) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of some cells of the training grid that lie on the first chart, land or sea."""
    longitude, latitude = ocean.background.longitude, ocean.background.latitude
    if longitude.ndim == 1:
        longitude, latitude = np.meshgrid(longitude, latitude)
    longitude, latitude = longitude.ravel(), latitude.ravel()
    inside = np.flatnonzero(ocean.cover.charts[0].contains(longitude, latitude))
    chosen = inside[:: max(1, len(inside) // POINTS)]
    return longitude[chosen], latitude[chosen]


def residual_size(forecaster: Forecaster, dynamics: AdaptedODE, episodes: list[Episode]) -> Callable[[], Tensor]:
    """Mean square of a residual at the windows' ends over that of the highest derivative's own change there."""
    states = torch.cat([episode.analysis.mean for episode in episodes])
    context = forecaster.latent.context(forecaster.ocean).repeat(len(episodes), 1)
    with torch.no_grad():
        own = dynamics.base.derivative(states, context)[..., -dynamics.code_size :] / dynamics.rates[-1]
        scale = own.square().mean().clamp_min(1e-12)
    return lambda: dynamics.residual(states, context).square().mean() / scale
