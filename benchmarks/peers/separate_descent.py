"""L-BFGS for many problems at once, each with its own curvature and its own step, evaluated together."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]

SHORTEST = 6  # trials of a step, each shorter than the one before, after which a problem rests for this iteration
SUFFICIENT = 1e-4  # share of the linear decrease that a step has to bring


@dataclass(frozen=True)
class Minimum:
    """Where the descent ended: point (problem, n), value (problem,), iterations made."""

    point: Tensor
    value: Tensor
    iterations: int


def minimise(
    objective: Objective, start: Tensor, iterations: int, *, memory: int = 12, settled: float = 1e-5
) -> Minimum:
    """Minimise every row of `start` (problem, n) by itself.

    objective : from points (problem, n) to values (problem,) and gradients (problem, n)
    settled : ends when no problem's value falls by more than this share in one iteration
    """
    point = start
    value, gradient = objective(point)
    pairs: list[tuple[Tensor, Tensor]] = []
    for made in range(1, iterations + 1):
        direction = _direction(gradient, pairs)
        uphill = (direction * gradient).sum(1) >= 0
        direction = torch.where(uphill[:, None], -gradient, direction)
        moved, lower, steeper = _search(objective, point, value, gradient, direction)
        pairs = [*pairs, (moved - point, steeper - gradient)][-memory:]
        fall = (value - lower) / value.abs().clamp_min(torch.finfo(value.dtype).tiny)
        point, value, gradient = moved, lower, steeper
        if float(fall.max()) < settled:
            return Minimum(point, value, made)
    return Minimum(point, value, iterations)


def _direction(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The quasi-Newton direction (problem, n) from steps and changes of gradient; no curvature, no say."""
    if not pairs:
        return -gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
    turned, shares = gradient, []
    for step, change in reversed(pairs):
        curvature = (step * change).sum(1, keepdim=True)
        inverse = torch.where(curvature > 1e-14 * change.square().sum(1, keepdim=True), 1.0 / curvature, 0.0)
        share = inverse * (step * turned).sum(1, keepdim=True)
        turned = turned - share * change
        shares.append((share, inverse))
    step, change = pairs[-1]
    power = change.square().sum(1, keepdim=True)
    scale = torch.where(power > 0, (step * change).sum(1, keepdim=True) / power, 1.0)
    turned = scale.clamp(1e-8, 1e8) * turned
    for (step, change), (share, inverse) in zip(pairs, reversed(shares), strict=True):
        turned = turned + (share - inverse * (change * turned).sum(1, keepdim=True)) * step
    return -turned


def _search(
    objective: Objective, point: Tensor, value: Tensor, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The point, value and gradient after a step that lowers each value enough; where none does, as before."""
    slope = (gradient * direction).sum(1)
    length = torch.ones_like(value)
    for _ in range(SHORTEST):
        moved = point + length[:, None] * direction
        lower, steeper = objective(moved)
        # A value that is not finite fails the comparison, so a model that blew up takes a shorter step.
        enough = lower <= value + SUFFICIENT * length * slope
        if bool(enough.all()):
            return moved, lower, steeper
        length = torch.where(enough, length, 0.3 * length)
    rest = enough[:, None]
    return torch.where(rest, moved, point), torch.where(enough, lower, value), torch.where(rest, steeper, gradient)
