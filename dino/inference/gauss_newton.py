"""Codes of fields seen at points, by any decoder: damped Gauss-Newton, batched over frames.

Every frame has a cost of its own, 1/2 |y - v(x; a)|^2_{1/R} + 1/2 |a - m|^2_{1/S}. A step solves the normal equations
of the decoder's linearisation about the present codes, the diagonal raised by a damping that a refused step multiplies
and an accepted one divides (Levenberg 1944, Marquardt 1963): the cost of no frame ever increases. The damping starts
from nothing, so that a decoder that is affine in its code is done after one step, which is `encode`'s.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import NonFiniteError
from ..numerics.gaussian import cholesky
from ..numerics.modes import without_gradients
from ..space.decoders.base import BLOCK_POINTS, Basis, Decoder

FIRST_DAMPING, LAST_DAMPING = 1e-2, 1e6


class Prior(NamedTuple):
    """What pulls the codes: mean (code,) and precision (code, code)."""

    mean: Tensor
    precision: Tensor


class Minimum(NamedTuple):
    """Where frames' costs were left: codes (frame, code), normal matrices (frame, code, code), cost (frame,)."""

    codes: Tensor
    normal: Tensor
    cost: Tensor


class _Quadratic(NamedTuple):
    """The cost (frame,) at some codes, its downhill gradient (frame, code) and Gauss-Newton Hessian."""

    cost: Tensor
    descent: Tensor
    normal: Tensor


@without_gradients
def minimise(
    decoder: Decoder,
    coordinates: Tensor,
    values: Tensor,
    precision: Tensor,
    prior: Prior,
    start: Tensor,
    iterations: int,
    tolerance: float = 1e-5,
) -> Minimum:
    """Minimise the cost of every frame from `start` (frame, code); see the module.

    coordinates : (point, input) or (frame, point, input); values : (frame, point, channel), finite throughout
    precision : 1 / R, (1 or frame, point, channel), zero where missing
    iterations : most steps tried; a frame stops earlier, when a step could gain less than `tolerance` of its cost
    Raises `NonFiniteError` when a cost is not finite at its start.
    """
    problem = _Problem(decoder, coordinates, values, precision, prior)
    codes = start.clone()
    here = problem.at_start(codes)
    wrong = torch.nonzero(~torch.isfinite(here.cost))
    if len(wrong):
        raise NonFiniteError(
            f"the misfit of frame {int(wrong[0])} is not finite; look for infinite values or variances of zero"
        )
    damping = torch.zeros_like(here.cost)
    active = torch.arange(len(codes), device=codes.device)
    for _ in range(iterations):
        step, gain = _step(here.normal[active], here.descent[active], damping[active])
        # A step that would gain next to nothing is the end, unless it is heavy damping that keeps it short.
        ended = (gain <= tolerance * here.cost[active]) & (damping[active] <= FIRST_DAMPING)
        going = ~ended & (damping[active] < LAST_DAMPING)
        active, step = active[going], step[going]
        if not len(active):
            break
        trial = codes[active] + step
        there = problem.at(active, trial)
        better = there.cost <= here.cost[active]  # false for what is not finite
        taken = active[better]
        codes[taken] = trial[better]
        for mine, new in zip(here, there, strict=True):
            mine[taken] = new[better]
        relaxed = damping[active] / 10
        relaxed = torch.where(relaxed < FIRST_DAMPING / 100, torch.zeros_like(relaxed), relaxed)
        raised = (10 * damping[active]).clamp_min(FIRST_DAMPING)
        damping[active] = torch.where(better, relaxed, raised)
    return Minimum(codes, here.normal, here.cost)


@dataclass(frozen=True)
class _Problem:
    """The costs of some frames; arguments as of `minimise`."""

    decoder: Decoder
    coordinates: Tensor
    values: Tensor
    precision: Tensor
    prior: Prior

    def at_start(self, codes: Tensor) -> _Quadratic:
        """The cost of all frames; frames that start from one code at shared points share one linearisation."""
        if len(codes) > 1 and self.coordinates.dim() == 2 and bool((codes == codes[:1]).all()):
            basis = self.decoder.linearise(self.coordinates, codes[:1])
            return self._quadratic(basis, self.values, self.precision, codes)
        return self.at(torch.arange(len(codes), device=codes.device), codes)

    def at(self, which: Tensor, codes: Tensor) -> _Quadratic:
        """The cost of frames `which` at codes of their own, in blocks that fit the processor's cache."""
        size = max(1, BLOCK_POINTS // max(1, self.values.shape[1]))
        parts = []
        for frames, at in zip(which.split(size), codes.split(size), strict=True):
            where = self.coordinates if self.coordinates.dim() == 2 else self.coordinates[frames]
            precision = self.precision if len(self.precision) == 1 else self.precision[frames]
            parts.append(self._quadratic(self.decoder.linearise(where, at), self.values[frames], precision, at))
        return _Quadratic(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _quadratic(self, basis: Basis, values: Tensor, precision: Tensor, codes: Tensor) -> _Quadratic:
        operator = basis.modes.flatten(-3, -2)
        if operator.dim() == 2:
            operator = operator.unsqueeze(0)
        weight = precision.flatten(1)
        weighted = operator * weight.unsqueeze(-1)
        normal = weighted.mT @ operator + self.prior.precision
        predicted = basis.offset.flatten(-2) + torch.matmul(operator, codes.unsqueeze(-1)).squeeze(-1)
        misfit = values.flatten(1) - predicted
        away = codes - self.prior.mean
        pulled = away @ self.prior.precision
        cost = 0.5 * (weight * misfit.square()).sum(-1) + 0.5 * (away * pulled).sum(-1)
        descent = torch.matmul(weighted.mT, misfit.unsqueeze(-1)).squeeze(-1) - pulled
        return _Quadratic(cost, descent, normal.expand(len(codes), -1, -1).clone())


def _step(normal: Tensor, descent: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Damped steps (frame, code) and what they gain (frame,) where the cost is quadratic."""
    raised = normal.clone()
    raised.diagonal(dim1=-2, dim2=-1).mul_(1 + damping.unsqueeze(-1))
    step = torch.cholesky_solve(descent.unsqueeze(-1), cholesky(raised)).squeeze(-1)
    gain = (step * descent).sum(-1) - 0.5 * (step * (normal @ step.unsqueeze(-1)).squeeze(-1)).sum(-1)
    return step, gain
