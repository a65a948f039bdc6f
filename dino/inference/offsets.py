"""Constant offsets of sources, estimated beside the state: a mission that reads too high says so by disagreeing.

One offset for each source and channel, constant over the window, with a Gaussian prior about zero, is appended to the
state (Derber & Wu 1998; Dee 2005). In the augmented state they follow the code,

    code | offsets | rest of the state

so that window and filter, which observe the first entries, need not know of them: an operator row gets a one in the
column of its offset. The flow leaves offsets as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..numerics.gaussian import Gaussian


class Offset(NamedTuple):
    """Whose offset it is, and when the source was last seen [days since 1950-01-01]."""

    source: str
    channel: int
    last: float


@dataclass(frozen=True)
class StateAndOffsets:
    """Gaussians of charts' states and of the offsets of sources behind them, in the charts' normalised units.

    offsets : what stands behind the state, in order
    mean : (chart, state + offset); covariance : (chart, state + offset, state + offset)
    """

    offsets: tuple[Offset, ...]
    mean: Tensor
    covariance: Tensor

    @property
    def state_size(self) -> int:
        """Length of the state in front of the offsets."""
        return self.mean.shape[-1] - len(self.offsets)

    def with_sources(self, seen: Sequence[Offset], variance: Tensor) -> "StateAndOffsets":
        """Offsets of sources that are `seen` now: known ones as they are known, others with their prior `variance`.

        variance : (chart, channel)
        """
        known = {(o.source, o.channel): o for o in self.offsets}
        new = [o for o in seen if (o.source, o.channel) not in known]
        known |= {(o.source, o.channel): o for o in seen}
        if not new:
            return StateAndOffsets(tuple(known.values()), self.mean, self.covariance)
        mean = torch.cat([self.mean, self.mean.new_zeros(len(self.mean), len(new))], dim=-1)
        old, size = self.mean.shape[-1], mean.shape[-1]
        covariance = mean.new_zeros(len(mean), size, size)
        covariance[:, :old, :old] = self.covariance
        covariance.diagonal(dim1=-2, dim2=-1)[:, old:] = variance[:, [o.channel for o in new]]
        return StateAndOffsets(tuple(known.values()), mean, covariance)

    def without_sources(self, before: float = float("inf")) -> "StateAndOffsets":
        """The joint Gaussian without the offsets of sources last seen `before` a time, by default without any."""
        keep = [index for index, offset in enumerate(self.offsets) if offset.last >= before]
        if len(keep) == len(self.offsets):
            return self
        which = torch.tensor([*range(self.state_size), *(self.state_size + index for index in keep)])
        which = which.to(self.mean.device)
        return StateAndOffsets(
            tuple(self.offsets[index] for index in keep),
            self.mean[:, which],
            self.covariance[:, which[:, None], which],
        )


@dataclass(frozen=True)
class Layout:
    """Where things are in an augmented state: code | offsets | rest of the state."""

    code_size: int
    state_size: int
    offsets: int = 0

    @property
    def seen(self) -> int:
        """Length of what observations see: code and offsets."""
        return self.code_size + self.offsets

    @property
    def place(self) -> Tensor:
        """(state + offset,) positions in the augmented state of the entries of state and offsets, in this order."""
        shifted = torch.arange(self.state_size)
        shifted[self.code_size :] += self.offsets
        return torch.cat([shifted, self.code_size + torch.arange(self.offsets)])

    @property
    def state(self) -> Tensor:
        """(state,) positions in the augmented state of the entries of the state."""
        return self.place[: self.state_size]

    def augmented(self, joint: Gaussian) -> Gaussian:
        """Gaussians (chart, state + offset) as ones of the augmented state."""
        return self._ordered(joint, torch.argsort(self.place))

    def parted(self, augmented: Gaussian) -> Gaussian:
        """The inverse of `augmented`."""
        return self._ordered(augmented, self.place)

    def of_state(self, matrix: Tensor, fill: float) -> Tensor:
        """A matrix (..., state, state) in the augmented state, with `fill` on the diagonal of the offsets."""
        if not self.offsets:
            return matrix
        whole = matrix.new_zeros(*matrix.shape[:-2], len(self.place), len(self.place))
        where = self.state.to(matrix.device)
        whole[..., where[:, None], where] = matrix
        whole.diagonal(dim1=-2, dim2=-1)[..., self.code_size : self.seen] = fill
        return whole

    def operator(self, operator: Tensor, group: Tensor, unit: Tensor | None = None) -> Tensor:
        """Rows (row, code) of which each also sees the offset `group` (row,), `unit` (row,) of it, all when absent."""
        one = torch.nn.functional.one_hot(group, self.offsets).to(operator)
        one = one if unit is None else one * unit.unsqueeze(-1)
        return torch.cat([operator, one], dim=-1)

    def _ordered(self, gaussian: Gaussian, order: Tensor) -> Gaussian:
        if not self.offsets:
            return gaussian
        order = order.to(gaussian.mean.device)
        return Gaussian(gaussian.mean[:, order], gaussian.covariance[:, order[:, None], order])
