"""Point observations as one table: a row for every observed value and every chart that holds its point."""

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ErrorsConfig
from ..data.observations import Observations
from ..data.overflights import overflights
from ..model import LatentModel, Ocean
from ..numerics.gaussian import Gaussian
from ..numerics.modes import without_gradients
from ..space.decoders import Basis, Decoder, at_points, relinearised
from .errors import Errors, errors_of, pieces, whitened_with_roots
from .gross import raised


class Form(NamedTuple):
    """Rows as linear functions of codes: value = offset (row,) + operator (row, code) @ code + error.

    To first order about some codes where the decoder is not affine.
    """

    operator: Tensor
    offset: Tensor


@dataclass(frozen=True)
class ObservedValues:
    """Observed values in the charts' normalised units.

    chart, channel : (row,) where and what was observed; coordinates : (row, input) of the point on the chart
    value : (row,); variance : (row,) of its whole error, that of what the basis cannot represent included
    node, fraction : (row,) the trajectory node before the observation and the way to the next, 0..1
    observation : (row,) number of the observation that the value belongs to
    form : of the rows about the population's mean, where it was asked for
    errors, piece : the parts of the error and the piece of an overflight (row,) that shares them; errors of rows are
    independent where there are none
    unit : (row,) what a constant shared by all rows is in a row; one unless rows are whitened
    stretch : (row,) logarithm of what a row was divided by when it was whitened
    trust : (row,) share of its weight that a value is left with beside its neighbours; all of it when absent
    """

    chart: Tensor
    channel: Tensor
    coordinates: Tensor
    value: Tensor
    variance: Tensor
    node: Tensor
    fraction: Tensor
    observation: Tensor
    form: Form | None = None
    errors: Errors | None = None
    piece: Tensor | None = None
    unit: Tensor | None = None
    trust: Tensor | None = None
    stretch: Tensor | None = None

    def __len__(self) -> int:
        return len(self.value)

    def select(self, which: Tensor | slice) -> "ObservedValues":
        """Some of the rows, by a mask, indices or a slice."""
        form = None if self.form is None else Form(*(part[which] for part in self.form))
        errors = None if self.errors is None else self.errors.select(which)
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("form", "errors")}
        chosen = {name: None if column is None else column[which] for name, column in columns.items()}
        return replace(self, **chosen, form=form, errors=errors)

    def distrusted(self, population: Gaussian, bound: float) -> "ObservedValues":
        """The same rows, of which those that `bound` refutes beside their neighbours have larger errors (`gross`).

        population : of codes (code,); the forms have to be there
        """
        if self.errors is None or self.piece is None or bound == math.inf:
            return self
        assert self.form is not None
        missed = self.value - self.form.offset - self.form.operator @ population.mean
        white = raised(self.piece, self.errors, missed, self.form.operator, population.covariance, bound)
        trust = (self.errors.white / white).to(self.value)
        return replace(self, errors=replace(self.errors, white=white), trust=trust)

    def whitened(self) -> "ObservedValues":
        """Combinations of the rows of every overflight whose errors are independent and of variance one.

        Rows keep their places in the table. The forms have to be there; an overflight has to be there as a whole.
        """
        if self.errors is None or self.piece is None:
            return self
        assert self.form is not None
        missed = self.value - self.form.offset
        columns = torch.cat([torch.stack([missed, torch.ones_like(missed)], dim=-1), self.form.operator], dim=-1)
        made, roots = whitened_with_roots(self.piece, self.errors, columns)
        value, unit, operator = made.split([1, 1, columns.shape[-1] - 2], dim=-1)
        return replace(
            self, value=value.squeeze(-1), variance=torch.ones_like(missed), unit=unit.squeeze(-1), stretch=roots,
            form=Form(operator, torch.zeros_like(missed)), errors=None, piece=None,
        )  # fmt: skip

    def stretched(self) -> Tensor:
        """(row,) logarithm of what a row is divided by when it is whitened."""
        if self.stretch is not None:
            return self.stretch
        if self.errors is None or self.piece is None:
            return torch.zeros_like(self.value)
        return whitened_with_roots(self.piece, self.errors, self.value[:, None])[1]

    def trusted(self, weight: Tensor) -> Tensor:
        """Huber's weights (row,) of rows, with what neighbours have taken off."""
        return weight if self.trust is None else weight * self.trust

    def formed(self, decoder: Decoder) -> "ObservedValues":
        """The same rows with their form about a code of zero."""
        codes = self.value.new_zeros(1, decoder.code_size).expand(len(self), -1)
        return self._with(at_points(decoder, self.coordinates, codes))

    def about(self, decoder: Decoder, codes: Tensor) -> "ObservedValues":
        """The same rows with their form about other codes (row, code); unchanged where it is the same about all."""
        basis = relinearised(decoder, self.coordinates, codes)
        return self if basis is None else self._with(basis)

    def along(self, codes: Tensor) -> Tensor:
        """The codes (row, code) at the observations of trajectories (node, chart, code)."""
        following = (self.node + 1).clamp_max(len(codes) - 1)
        return torch.lerp(codes[self.node, self.chart], codes[following, self.chart], self.fraction[:, None])

    def _with(self, basis: Basis) -> "ObservedValues":
        index = torch.arange(len(self), device=self.channel.device), self.channel
        return replace(self, form=Form(basis.modes[index], basis.offset[index]))


@without_gradients
def observed_values(
    latent: LatentModel, ocean: Ocean, observations: Observations, nodes: NDArray[np.float64], errors: ErrorsConfig
) -> ObservedValues:
    """The table of observations that charts hold, between `nodes` [days since 1950-01-01], in order of charts.

    The error is the instrument's plus what the basis cannot represent. Values without an error take that of `errors`.
    Rows of one overflight on a chart, which takes minutes, have the same time.
    """
    like, pairs = latent.code_variance, ocean.cover.pairs(observations.longitude, observations.latitude)
    order = np.argsort(pairs.chart, kind="stable")
    point, chart = pairs.point[order], pairs.chart[order]
    seen, back = np.unique(point, return_inverse=True)
    place = observations.longitude[seen], observations.latitude[seen]
    anomaly = observations.values[seen] - ocean.background.at(*place) if len(seen) else observations.values[seen]
    pair, channel = np.nonzero(np.isfinite(anomaly)[back])
    scale = ocean.scale[chart[pair], channel]
    passed, channels = overflights(observations), len(ocean.channels)
    group = (chart[pair] * max(len(passed), 1) + passed.number[point[pair]]) * channels + channel
    time = _mean_of(observations.time[point[pair]], group)
    position = np.interp(time, nodes, np.arange(len(nodes), dtype=float))
    node = np.minimum(np.floor(position).astype(np.int64), max(len(nodes) - 2, 0))
    unresolved = latent.unresolved_variance.double().cpu()[torch.as_tensor(channel)]
    every = errors_of(observations, passed, errors)
    made = every.select(torch.as_tensor(point[pair] * channels + channel)).scaled(torch.as_tensor(scale), unresolved)
    made = made.to(like.device)

    def number(values: NDArray) -> Tensor:
        return torch.as_tensor(values, device=like.device)

    return ObservedValues(
        chart=number(chart[pair]),
        channel=number(channel),
        coordinates=number(pairs.coordinates[order][pair]).to(like),
        value=number(anomaly[back[pair], channel] / scale).to(like),
        variance=made.variance.to(like),
        node=number(node),
        fraction=number(position - node).to(like),
        observation=number(point[pair]),
        errors=made,
        piece=pieces(number(group)),
    )


def _mean_of(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """(row,) the mean of a row's group."""
    _, place, count = np.unique(group, return_inverse=True, return_counts=True)
    first = values[0] if len(values) else 0.0
    return first + (np.bincount(place, values - first) / count)[place]
