"""Constant offsets of sources, estimated beside the state: a mission that reads too high says so by disagreeing.

One offset for each source and channel, constant over the window, with a Gaussian prior about zero, is appended to the
state (Derber & Wu 1998; Dee 2005). In the augmented state they follow the code,

    code | offsets | rest of the state

so that window and filter, which observe the first entries, need not know of them: an operator row gets a one in the
column of its offset. The flow leaves offsets as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..numerics.gaussian import Gaussian
from .filter import Filter
from .observed import Rows
from .window import Flow, RightHandSide, Trajectory, tangent_flow


class Offset(NamedTuple):
    """Whose offset it is, and when the source was last seen [days since 1950-01-01]."""

    source: str
    channel: int
    last: float


@dataclass(frozen=True)
class Joint:
    """Gaussians of charts' states and of the offsets of sources beside them, in the charts' normalised units.

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

    def with_sources(self, seen: Sequence[Offset], variance: Tensor) -> "Joint":
        """Offsets of sources that are `seen` now: known ones as they are known, others with their prior `variance`.

        variance : (chart, channel)
        """
        known = {(o.source, o.channel): o for o in self.offsets}
        new = [o for o in seen if (o.source, o.channel) not in known]
        known |= {(o.source, o.channel): o for o in seen}
        mean = torch.cat([self.mean, self.mean.new_zeros(len(self.mean), len(new))], dim=-1)
        covariance = torch.stack(
            [
                torch.block_diag(old, torch.diag(row[[o.channel for o in new]]))
                for old, row in zip(self.covariance, variance, strict=True)
            ]
        )
        return Joint(tuple(known.values()), mean, covariance)

    def without_sources(self, before: float = float("inf")) -> "Joint":
        """The joint Gaussian without the offsets of sources last seen `before` a time, by default without any."""
        keep = [index for index, offset in enumerate(self.offsets) if offset.last >= before]
        which = torch.tensor([*range(self.state_size), *(self.state_size + index for index in keep)])
        which = which.to(self.mean.device)
        return Joint(
            tuple(self.offsets[index] for index in keep),
            self.mean[:, which],
            self.covariance[:, which[:, None], which],
        )


@dataclass(frozen=True)
class Layout:
    """Where things are in an augmented state: code | offsets | rest of the state."""

    code_size: int
    state_size: int
    offsets: int

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
        """A Gaussian of state and offsets as one of the augmented state."""
        order = torch.argsort(self.place)
        return Gaussian(joint.mean[order], joint.covariance[order[:, None], order])

    def parted(self, augmented: Gaussian) -> Gaussian:
        """The inverse of `augmented`."""
        place = self.place
        return Gaussian(augmented.mean[place], augmented.covariance[place[:, None], place])

    def noise(self, noise: Tensor) -> Tensor:
        """Process noise of the augmented state: offsets have none."""
        whole = noise.new_zeros(len(self.place), len(self.place))
        whole[self.state[:, None], self.state] = noise
        return whole

    def rows(self, rows: Rows, group: Tensor) -> Rows:
        """Rows of which each also sees the offset `group` (row,)."""
        one = torch.nn.functional.one_hot(group, self.offsets).to(rows.operator)
        return replace(rows, operator=torch.cat([rows.operator, one], dim=-1))


@dataclass(frozen=True)
class Beside(Flow):
    """The flow of an augmented state: that of the state, and offsets that stay."""

    right: RightHandSide
    layout: Layout

    def __call__(self, time: Tensor, state: Tensor) -> Tensor:
        """d(augmented state)/dt."""
        moved, where = torch.zeros_like(state), self.layout.state
        moved[..., where] = self.right(time, state[..., where])
        return moved

    def flow(self, initial: Tensor, nodes: Tensor, method: str, step: float) -> tuple[Tensor, Tensor]:
        """States and Jacobians, integrated without the offsets."""
        where = self.layout.state
        moved, turned = tangent_flow(self.right, initial[where], nodes, method, step)
        states = initial.expand(len(nodes), -1).clone()
        states[:, where] = moved
        jacobians = torch.eye(len(initial), dtype=initial.dtype, device=initial.device).repeat(len(nodes), 1, 1)
        jacobians[:, where[:, None], where] = turned
        return states, jacobians


@dataclass(frozen=True)
class WithoutOffsets:
    """What a window or filter of the augmented state says of the state alone."""

    whole: Trajectory | Filter
    layout: Layout

    @property
    def mean(self) -> Tensor:
        """(node, state) means."""
        return self.whole.mean[:, self.layout.state]

    @property
    def covariance(self) -> Tensor:
        """(node, state, state) covariances."""
        where = self.layout.state
        return self.whole.covariance[:, where[:, None], where]

    @property
    def weight(self) -> Tensor:
        """(row,) Huber's weights."""
        return self.whole.weight

    @property
    def joint(self) -> Gaussian:
        """State and offsets at the last node."""
        return self.layout.parted(self.whole.end)

    @property
    def end(self) -> Gaussian:
        """The state at the last node."""
        size, joint = self.layout.state_size, self.joint
        return Gaussian(joint.mean[:size], joint.covariance[:size, :size])
