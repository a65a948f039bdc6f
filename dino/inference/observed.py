"""Point observations as one table: a row for every observed value and every chart that holds its point."""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import Observations
from ..model import LatentModel, Ocean
from ..numerics.modes import without_gradients
from ..space.decoders import Basis, Decoder, at_points, relinearised


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
    value : (row,); variance : (row,) of its error, that of what the basis cannot represent included
    node, fraction : (row,) the trajectory node before the observation and the way to the next, 0..1
    observation : (row,) number of the observation that the value belongs to
    form : of the rows about the population's mean, where it was asked for
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

    def __len__(self) -> int:
        return len(self.value)

    def select(self, which: Tensor | slice) -> "ObservedValues":
        """Some of the rows, by a mask, indices or a slice."""
        columns = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "form"}
        form = None if self.form is None else Form(*(part[which] for part in self.form))
        return ObservedValues(**columns, form=form)

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
    latent: LatentModel, ocean: Ocean, observations: Observations, nodes: NDArray[np.float64], default_error: float
) -> ObservedValues:
    """The table of observations that charts hold, between `nodes` [days since 1950-01-01], in order of charts.

    The error variance is the instrument's plus that of what the basis cannot represent. Values without an error take
    `default_error` [units of the channel].
    """
    like, pairs = latent.code_variance, ocean.cover.pairs(observations.longitude, observations.latitude)
    order = np.argsort(pairs.chart, kind="stable")
    point, chart = pairs.point[order], pairs.chart[order]
    seen, back = np.unique(point, return_inverse=True)
    place = observations.longitude[seen], observations.latitude[seen]
    anomaly = observations.values[seen] - ocean.background.at(*place) if len(seen) else observations.values[seen]
    error = np.where(np.isfinite(observations.error[seen]), observations.error[seen], default_error)
    pair, channel = np.nonzero(np.isfinite(anomaly)[back])
    scale = ocean.scale[chart[pair], channel]
    position = np.interp(observations.time[point[pair]], nodes, np.arange(len(nodes), dtype=float))
    node = np.minimum(np.floor(position).astype(np.int64), max(len(nodes) - 2, 0))
    unresolved = latent.unresolved_variance.double().cpu().numpy()[channel]

    def number(values: NDArray) -> Tensor:
        return torch.as_tensor(values, device=like.device)

    return ObservedValues(
        chart=number(chart[pair]),
        channel=number(channel),
        coordinates=number(pairs.coordinates[order][pair]).to(like),
        value=number(anomaly[back[pair], channel] / scale).to(like),
        variance=number((error[back[pair], channel] / scale) ** 2 + unresolved).to(like),
        node=number(node),
        fraction=number(position - node).to(like),
        observation=number(point[pair]),
    )
