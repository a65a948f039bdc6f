"""Normal equations of the quadratic vector field, summed over intervals block by block.

Integrated over one interval the ODE d a/dt = features(a) C reads a(t+1) - a(t) = (integral of features) C, linear in C.
The path between two frames is a cubic through four of them, or one that a model integrates, bent to meet both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..data.codes import CodeSeries
from ..dynamics import QuadraticODE, integrate
from ..dynamics.quadratic import quadratic_features
from ..model import LatentModel
from ..numerics.gaussian import cholesky
from ..numerics.parallel import Group

BLOCK = 2048  # intervals at a time: bounds memory by a few blocks of features
CUBIC = (-1 / 24, 13 / 24, 13 / 24, -1 / 24)  # integral over the middle interval of a cubic through four frames
BOOLE = (7 / 90, 32 / 90, 12 / 90, 32 / 90, 7 / 90)


@dataclass
class NormalEquations:
    """Sums over intervals of integrated features: gram (feature, feature), right (feature, code), float64.

    Squares are taken less one, their mean: otherwise all of them and the constant share one huge eigenvalue, under
    which the rounding of single precision hides the small ones.
    weight : (feature,) of the penalty on each coefficient
    """

    gram: Tensor
    right: Tensor
    squares: Tensor
    weight: Tensor
    interval: float
    count: Tensor

    @classmethod
    def empty(cls, pairs: Tensor, size: Tensor, code_size: int, interval: float) -> "NormalEquations":
        """No intervals yet; size (feature,) is what the features, whose products are of `pairs`, are divided by."""
        gram = torch.zeros(len(size), len(size), dtype=torch.float64, device=size.device)
        squares = 1 + code_size + (pairs[0] == pairs[1]).nonzero().squeeze(-1)
        weight = size[1:].max().double() / size.double()
        weight[0] = weight.min()
        return cls(gram, gram[:, :code_size].clone(), squares, weight, interval, gram.new_zeros(()))

    def add(self, features: Tensor, change: Tensor) -> None:
        """Add intervals with time-mean features (interval, feature) and changes of code (interval, code)."""
        whole = torch.isfinite(features).all(-1)  # a path that left the numbers teaches nothing
        features[:, self.squares] -= 1.0
        features *= self.interval
        features.masked_fill_(~whole.unsqueeze(-1), 0.0)  # not cut out: how many they are only the device knows
        self.gram += features.T @ features
        self.right += features.T @ torch.where(whole.unsqueeze(-1), change, 0.0)
        self.count += whole.sum()

    def join(self, group: Group) -> None:
        """Add what the other processes of the group found in their blocks."""
        for sums in (self.gram, self.right, self.count):
            group.sum_([sums])

    def solve(self, ridge: float, products: float) -> Tensor:
        """Coefficients (feature, code) with penalties on those of features of unit size, another one for products."""
        normal, linear = self.gram / self.count, 1 + self.right.shape[-1]
        normal.diagonal()[:linear] += ridge * self.weight[:linear]
        normal.diagonal()[linear:] += products * self.weight[linear:]
        coefficients = torch.cholesky_solve(self.right / self.count, cholesky(normal))
        coefficients[0] -= coefficients[self.squares].sum(0)
        return coefficients


def normal_equations(
    model: LatentModel, training: list[CodeSeries], size: Tensor, group: Group, first: bool
) -> NormalEquations:
    """Equations of all intervals of codes, on cubics (`first`) or on paths of the model's dynamics as they are.

    size : (feature,) by which features are divided, so that they are of unit size
    """
    dynamics = cast(QuadraticODE, model.dynamics)
    equations = NormalEquations.empty(dynamics.pairs, size, dynamics.code_size, model.spec.interval_days)
    blocks = _cubic_blocks if first else _path_blocks
    for data in training:
        for features, change in blocks(model, data.codes, group):
            equations.add(features / size, change)
    equations.join(group)
    return equations


def _cubic_blocks(model: LatentModel, codes: Tensor, group: Group) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean features over the inner intervals and the changes of code, features interpolated through four frames."""
    length, pairs = codes.shape[1], cast(QuadraticODE, model.dynamics).pairs
    parts = codes.split(max(1, BLOCK // (length - 3)))
    for block in parts[group.share(len(parts))]:
        features = quadratic_features(block, pairs)
        inner = sum(weight * features[:, k : length - 3 + k] for k, weight in enumerate(CUBIC))
        assert isinstance(inner, Tensor)
        yield inner.flatten(0, 1), (block[:, 2:-1] - block[:, 1:-2]).flatten(0, 1)


def _path_blocks(model: LatentModel, codes: Tensor, group: Group) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean features over all intervals and the changes of code, along the model's paths bent to meet both frames."""
    starts, ends = codes[:, :-1].flatten(0, 1), codes[:, 1:].flatten(0, 1)
    interval, dynamics = model.spec.interval_days, cast(QuadraticODE, model.dynamics)
    panels = max(1, round(interval / model.step_days / 4))
    nodes = 4 * panels
    times = torch.linspace(0, interval, nodes + 1)  # on the host, see `integrate`
    weights = torch.zeros(nodes + 1)
    for panel in range(panels):
        weights[4 * panel : 4 * panel + 5] += torch.tensor(BOOLE) / panels
    parts = list(zip(starts.split(BLOCK), ends.split(BLOCK), strict=True))
    for start, end in parts[group.share(len(parts))]:
        path = integrate(dynamics.bind(), start, times, model.method, interval / nodes)
        miss = end - path[-1]
        # A path that misses the next frame by more than frames differ tells nothing: NaN leaves it out.
        change = (end - start).square().sum(-1).mean().sqrt()
        miss = torch.where(miss.norm(dim=-1, keepdim=True) < change, miss, torch.nan)
        mean = codes.new_zeros(len(start), dynamics.feature_count)
        for k, weight in enumerate(weights.tolist()):
            mean.add_(quadratic_features(path[k] + (k / nodes) * miss, dynamics.pairs), alpha=weight)
        yield mean, end - start
