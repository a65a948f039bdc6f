"""A record of points filtered node by node, and what forecasts from every node miss, by the numbers of a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..data.duplicates import without_duplicates
from ..data.observations import Observations
from ..errors import EmptyDataError, NonFiniteError
from ..forecaster import Forecaster
from ..inference.filter import Problem, filtered
from ..inference.observed import ObservedValues, observed_values
from ..inference.offsets import Layout
from ..model import LatentModel
from ..numerics.gaussian import Gaussian, cholesky

AHEAD, SETTLING = 5, 8  # nodes that are forecast, and nodes after which the filter knows the ocean
DIFFERENCE = 0.02  # of the derivatives: large enough for the rounding of single precision


@dataclass(frozen=True)
class Filtering:
    """A record ready to be filtered with any model that has the same decoder, node by node.

    rows : what is seen at every node; nodes : their times [days since 1950-01-01]
    """

    forecaster: Forecaster
    rows: list[ObservedValues]
    nodes: np.ndarray

    @classmethod
    def of(cls, forecaster: Forecaster, record: Observations) -> "Filtering":
        """Raises `EmptyDataError` for a record without values in the model's area, `DomainError` outside of it."""
        latent, ocean, settings = forecaster.latent, forecaster.ocean, forecaster.assimilation
        seen, _ = without_duplicates(record)
        first, last = (float(seen.time[0]), float(seen.time[-1])) if len(seen) else (0.0, 0.0)
        nodes = np.linspace(first, last, max(2, math.ceil((last - first) / settings.node_days) + 1))
        if len(seen):
            ocean.cover.check(seen.longitude, seen.latitude)
        rows = observed_values(latent, ocean, seen, nodes, settings.errors)
        if not len(rows):
            raise EmptyDataError("a record without values tells nothing of the ocean's numbers; give another")
        rows, nearest = rows.formed(latent.decoder), rows.node + (rows.fraction > 0.5).long()
        parts = [rows.select(torch.nonzero(nearest == node).squeeze(-1)) for node in range(len(nodes))]
        still = [replace(p, node=torch.zeros_like(p.node), fraction=torch.zeros_like(p.fraction)) for p in parts]
        return cls(forecaster, still, nodes)

    def missed(self, latent: LatentModel) -> Tensor:
        """(value,) float64, what forecasts from every node miss of the values up to `AHEAD` nodes later, whitened.

        A value is met by as many forecasts as there are leads. Raises `NonFiniteError` where forecasts are no numbers.
        """
        return self.sensitive(latent, ())[0]

    def sensitive(self, latent: LatentModel, moved: Sequence[LatentModel]) -> tuple[Tensor, Tensor]:
        """What `missed` tells, and its derivatives (value, n) by what n models differ in.

        moved : models with a step `DIFFERENCE` of one number each

        The filter's gains are taken as they are: what a number does to them is of second order where the model errs
        as it says. From before a node to after it, a change of the mean shrinks as the covariance does.
        """
        state, means, changes = self._population(latent), [], []
        first, context = min(SETTLING, max(len(self.nodes) - AHEAD - 1, 0)), latent.context(self.forecaster.ocean)
        change = state.mean.new_zeros(len(moved), *state.mean.shape)
        for place, rows in enumerate(self.rows):
            days = self.nodes[place : place + 2] - self.nodes[place]
            before, state = state, filtered(self._problem(latent, state, rows, days[:1])).end
            if moved:
                change = _shrunk(change, before.covariance, state.covariance)
            means.append(state.mean)
            changes.append(change)
            if len(days) > 1:
                after = torch.as_tensor(days[1:]).to(state.mean)
                start = state.mean + DIFFERENCE * change
                state = filtered(self._problem(latent, state, rows.select(slice(0, 0)), days)).end
                ends = [other.integrate(one, after, context)[0] for other, one in zip(moved, start, strict=True)]
                change = (torch.stack(ends) - state.mean) / DIFFERENCE if moved else change
        leads = torch.arange(1, AHEAD + 1) * float(self.nodes[1] - self.nodes[0])
        starts, every = torch.stack(means[first:]), torch.stack(changes[first:], dim=1)
        ahead = latent.dynamics.codes(latent.integrate(starts, leads, context))
        missed = self._missed_ahead(ahead, first)
        columns = []
        for other, one in zip(moved, every, strict=True):
            codes = other.dynamics.codes(other.integrate(starts + DIFFERENCE * one, leads, context))
            columns.append((self._missed_ahead(codes, first) - missed) / DIFFERENCE)
        return missed, torch.stack(columns, dim=1) if columns else missed.new_zeros(len(missed), 0)

    def _missed_ahead(self, codes: Tensor, first: int) -> Tensor:
        """(value,) of codes (lead, start, chart, code) forecast from the nodes `first` on."""
        found = [
            _misfit(self.rows[first + start + lead + 1], codes[lead, start])
            for lead in range(AHEAD)
            for start in range(len(self.nodes) - first - lead - 1)
        ]
        missed = torch.cat(found).cpu()
        if not bool(torch.isfinite(missed).all()):
            raise NonFiniteError("forecasts left the finite numbers: the equations cannot be stepped this far")
        return missed

    def _population(self, latent: LatentModel) -> Gaussian:
        charts, prior = self.forecaster.ocean.charts, latent.state_prior
        return Gaussian(prior.mean.expand(charts, -1).clone(), prior.covariance.expand(charts, -1, -1).clone())

    def _problem(self, latent: LatentModel, state: Gaussian, rows: ObservedValues, days: np.ndarray) -> Problem:
        """What is seen at a node, and the way to the next one."""
        bound = self.forecaster.assimilation.bound
        context = latent.context(self.forecaster.ocean)
        layout = Layout(latent.dynamics.code_size, latent.dynamics.code_size, 0)
        return Problem(
            latent, context, layout.augmented(state), rows, days, layout, bound=math.inf if bound is None else bound
        )


def _misfit(rows: ObservedValues, codes: Tensor) -> Tensor:
    """(row,) of rows with a form, given codes (chart, code)."""
    assert rows.form is not None
    predicted = rows.form.offset + (rows.form.operator * codes[rows.chart]).sum(-1)
    return ((rows.value - predicted) / rows.variance.sqrt()).double()


def _shrunk(change: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Changes (n, chart, code) of a mean once values were seen that took its covariance from `before` to `after`."""
    size = before.diagonal(dim1=-2, dim2=-1).double().sqrt()
    scaled = before.double() / (size.unsqueeze(-1) * size.unsqueeze(-2))
    column = (change.double() / size).movedim(0, -1)
    told = torch.cholesky_solve(column, cholesky(scaled)) / size.unsqueeze(-1)
    return (after.double() @ told).movedim(-1, 0).to(change)
