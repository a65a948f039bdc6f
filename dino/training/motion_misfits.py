"""What forecasts of held-out days miss of their points: by what motion is kept or not."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..data.observations import Observations
from ..dynamics import CoupledODE, RelaxingODE
from ..inference.filter import filtered
from ..inference.observed import ObservedValues, observed_values
from ..model import LatentModel
from ..numerics.parallel import ALONE, Group
from .motion import Scene


@torch.no_grad()
def forecast_misfits(
    latent: LatentModel, scene: Scene, starts: list[float], days: float, leads: int, group: Group = ALONE
) -> Tensor:
    """(lead, 2) sums of squares of what forecasts miss of the points of each of `leads` days ahead, and their number.

    Of all charts' values, in the charts' units; forecasts start from windows of `days` that end at `starts`.
    """
    total = torch.zeros(leads, 2, dtype=torch.float64)
    for number, start in enumerate(starts):
        if number % group.size == group.rank:
            for row, ahead in _ahead(latent, scene, start, days, leads):
                total.index_add_(0, row, ahead)
    group.sum_([total])
    return total


def _ahead(latent: LatentModel, scene: Scene, start: float, days: float, leads: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Leads (row,) and squared misfits with ones (row, 2) of the points after one start."""
    seen, later = scene.points(start - days, start), scene.points(np.nextafter(start, np.inf), start + leads)
    if seen is None or later is None:
        return
    made = filtered(scene.problem(latent, start - days, start, seen))
    states = torch.zeros(scene.ocean.charts, latent.dynamics.state_size).to(made.end.mean)
    states[_charts(latent, scene, seen)] = made.end.mean
    rows = observed_values(latent, scene.ocean, later, np.array([start, start + leads]), scene.errors)
    rows = rows.formed(latent.decoder)
    ahead = rows.fraction.double() * leads
    for lead in range(leads):
        here = torch.nonzero((ahead > lead) & (ahead <= lead + 1)).squeeze(-1)
        if len(here):
            yield torch.full((len(here),), lead), _missed(latent, states, rows.select(here), ahead[here])


def _charts(latent: LatentModel, scene: Scene, seen: Observations) -> Tensor:
    """Numbers of the charts that hold any of the points."""
    return torch.as_tensor(np.unique(scene.ocean.cover.pairs(seen.longitude, seen.latitude).chart))


def _missed(latent: LatentModel, states: Tensor, rows: ObservedValues, ahead: Tensor) -> Tensor:
    """(row, 2) squared misfits of rows `ahead` (row,) days after states (chart, state), and ones."""
    moments, which = torch.unique(ahead, return_inverse=True)
    assert rows.form is not None
    if isinstance(latent.dynamics, CoupledODE):
        carried = torch.einsum("tij,cj->tci", latent.dynamics.flows(moments).to(states), states)
    else:
        assert isinstance(latent.dynamics, RelaxingODE)
        carried = states * torch.exp(-moments[:, None, None] / latent.dynamics.days)
    said = rows.form.offset + (rows.form.operator * carried[which, rows.chart]).sum(-1)
    return torch.stack([(rows.value - said).double().square(), torch.ones(len(rows), dtype=torch.float64)], dim=-1)
