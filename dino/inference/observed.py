"""Point observations as rows of a linear operator on the codes of one chart, along a trajectory of nodes."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ..data.observations import Observations
from ..model.latent import OceanModel
from ..space.decoders import Decoder, at_points


@dataclass(frozen=True)
class Rows:
    """Observed values of one chart, in its normalised units.

    operator : (row, code) so that value = offset + operator @ code(time) + error, to first order about some codes
        where the decoder is not affine
    innovation : (row,) value minus offset; offset : (row,) of the decoder; variance : (row,) of the error
    coordinates : (row, input) and channel : (row,) where and what was observed
    decoder : where it is not affine, for `about`; None where the operator is the same about all codes
    node, fraction : (row,) the trajectory node before the observation and the way to the next, 0..1
    observation : (row,) index of the observation that the value belongs to, where somebody wants to know

    Columns of the operator beyond the decoder's code are those of offsets of sources (`offsets`).
    """

    operator: Tensor
    innovation: Tensor
    variance: Tensor
    node: Tensor
    fraction: Tensor
    offset: Tensor
    coordinates: Tensor
    channel: Tensor
    decoder: Decoder | None = None
    observation: Tensor | None = None

    def __len__(self) -> int:
        return len(self.innovation)

    def select(self, which: Tensor | slice) -> "Rows":
        """Some of the rows, by a mask, indices or a slice."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: column[which] for name, column in columns.items() if isinstance(column, Tensor)})

    def about(self, codes: Tensor) -> "Rows":
        """The same observations with the operator of the decoder about other codes (row, code)."""
        if self.decoder is None or not len(self):
            return self
        size = self.decoder.code_size
        basis = at_points(self.decoder, self.coordinates, codes[:, :size])
        index = torch.arange(len(self), device=codes.device), self.channel
        offset = basis.offset[index]
        innovation = self.innovation + self.offset - offset
        operator = torch.cat([basis.modes[index], self.operator[:, size:]], dim=-1)
        return replace(self, operator=operator, innovation=innovation, offset=offset)

    def along(self, nodes: Tensor) -> Tensor:
        """The codes (row, code) of a trajectory (node, code) at the moments of the observations."""
        following = (self.node + 1).clamp_max(len(nodes) - 1)
        return torch.lerp(nodes[self.node], nodes[following], self.fraction[:, None])


def rows_of_chart(
    model: OceanModel, chart: int, observations: Observations, nodes: np.ndarray, default_error: float
) -> Rows:
    """The observations that a chart holds, between `nodes` [days since 1950-01-01].

    The error variance is the instrument's plus that of what the basis cannot represent. Values without an error take
    `default_error` [units of the channel].
    """
    inside = model.cover.charts[chart].contains(observations.longitude, observations.latitude)
    seen = observations.select(np.flatnonzero(inside))
    scale = model.spec.spread * model.cover.amplitude[chart]
    background = model.background.at(seen.longitude, seen.latitude) if len(seen) else np.zeros((0, len(scale)))
    values = (seen.values - background) / scale
    error = np.where(np.isfinite(seen.error), seen.error, default_error) / scale
    like = model.code_variance
    coordinates = model.coordinates(chart, seen.longitude, seen.latitude)
    with torch.no_grad():
        # About the population's mean; who knows better codes asks for `about`.
        basis = at_points(model.decoder, coordinates, torch.zeros_like(like).expand(len(coordinates), -1))
    observation, channel = np.nonzero(np.isfinite(values))
    device = like.device
    index = torch.as_tensor(observation, device=device), torch.as_tensor(channel, device=device)
    position = np.interp(seen.time[observation], nodes, np.arange(len(nodes), dtype=float))
    node = np.minimum(np.floor(position).astype(np.int64), max(len(nodes) - 2, 0))
    return Rows(
        operator=basis.modes[index],
        innovation=like.new_tensor(values[observation, channel]) - basis.offset[index],
        variance=like.new_tensor(error[observation, channel] ** 2) + model.unresolved_variance[index[1]],
        node=torch.as_tensor(node, device=device),
        fraction=like.new_tensor(position - node),
        offset=basis.offset[index],
        coordinates=coordinates[index[0]],
        channel=index[1],
        decoder=None if model.decoder.is_affine else model.decoder,
        observation=torch.as_tensor(np.flatnonzero(inside)[observation], device=device),
    )
