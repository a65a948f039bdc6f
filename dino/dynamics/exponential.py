"""Exponential integration of primitives: the linear terms exactly, the others to fourth order.

The scheme of Cox & Matthews (2002, Journal of Computational Physics 176). Its functions phi_k of the matrices of a wave
are blocks of one matrix exponential (Al-Mohy & Higham 2011), for one channel a series, so that no difference of large
numbers occurs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .primitives import Primitives, apply

TERMS = 20  # of the series of phi, for arguments below one
LARGEST_GROWTH = 3.0  # e-foldings that a wave may grow in a step; a faster one is no physics of the data's own interval


class Exponential:
    """Steps of one length for environments with coefficients (environment, term).

    damping : (block,) rate at which every wave is damped besides, the closure of what the code leaves out
    """

    def __init__(self, primitives: Primitives, theta: Tensor, step: float, damping: Tensor | None = None) -> None:
        self.primitives, self.theta, self.step = primitives, theta, step
        linear = primitives.linear(theta)
        if damping is not None:
            linear = linear - damping[:, None, None] * torch.eye(linear.shape[-1], dtype=linear.dtype)
        whole, half = phi_functions(bounded(step * linear)), phi_functions(bounded(0.5 * step * linear))
        self._decay, one, two, three = (each.unsqueeze(1) for each in whole)
        self._half, self._middle = half[0].unsqueeze(1), 0.5 * step * half[1].unsqueeze(1)
        self._first = step * (one - 3 * two + 4 * three)
        self._between = step * (2 * two - 4 * three)
        self._last = step * (4 * three - two)

    def __call__(self, state: Tensor, time: Tensor) -> Tensor:
        """States (environment, sample, block, channel) a step after `time` (sample,)."""
        tendency = self.primitives.nonlinear
        if not self.primitives.other_terms:
            return apply(self._decay, state)
        middle = time + 0.5 * self.step
        first = tendency(self.theta, state, time)
        decayed = apply(self._half, state)
        one = decayed + apply(self._middle, first)
        second = tendency(self.theta, one, middle)
        third = tendency(self.theta, decayed + apply(self._middle, second), middle)
        last = tendency(self.theta, apply(self._half, one) + apply(self._middle, 2 * third - first), time + self.step)
        made = apply(self._decay, state) + apply(self._first, first) + apply(self._between, second + third)
        return made + apply(self._last, last)

    def advance(self, state: Tensor, time: Tensor, steps: int) -> Tensor:
        """States after so many steps."""
        for number in range(steps):
            state = self(state, time + number * self.step)
        return state

    def path(self, state: Tensor, time: Tensor, frames: int, steps: int) -> Iterator[Tensor]:
        """The states of `frames` frames, `steps` steps apart, without the first."""
        for frame in range(frames):
            state = self.advance(state, time + frame * steps * self.step, steps)
            yield state


def bounded(matrices: Tensor) -> Tensor:
    """Matrices (..., channel, channel) of a step whose growth is at most `LARGEST_GROWTH`, taken off the diagonal."""
    symmetric = 0.5 * (matrices + matrices.mH)
    alone = matrices.shape[-1] == 1
    growth = symmetric[..., 0, 0].real if alone else torch.linalg.eigvalsh(symmetric)[..., -1]
    excess = (growth - LARGEST_GROWTH).clamp_min(0)
    if not bool((excess > 0).any()):
        return matrices
    return matrices - excess[..., None, None] * torch.eye(matrices.shape[-1], dtype=matrices.dtype)


def phi_functions(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """exp, phi_1, phi_2 and phi_3 of matrices (..., n, n); phi_k(z) = (phi_(k-1)(z) - 1/(k-1)!) / z, phi_0 = exp."""
    size = matrices.shape[-1]
    if size == 1:
        return _scalar_phi(matrices)
    identity = torch.eye(size, dtype=matrices.dtype)
    whole = matrices.new_zeros(*matrices.shape[:-2], 4 * size, 4 * size)
    whole[..., :size, :size] = matrices
    for block in range(3):
        whole[..., block * size : (block + 1) * size, (block + 1) * size : (block + 2) * size] = identity
    exponential = torch.linalg.matrix_exp(whole)[..., :size, :]
    return tuple(exponential[..., block * size : (block + 1) * size] for block in range(4))  # pyright: ignore[reportReturnType]


def _scalar_phi(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The functions of numbers: a series near zero, the recursion elsewhere."""
    small = z.abs() < 1
    safe = torch.where(small, torch.ones_like(z), z)
    near = torch.where(small, z, torch.zeros_like(z))
    made, far = [z.exp()], safe.exp()
    factorial = 1.0
    for order in range(1, 4):
        far = (far - 1 / factorial) / safe
        factorial *= order
        term, total = torch.full_like(z, 1 / factorial), torch.zeros_like(z)
        for number in range(1, TERMS + 1):
            total = total + term
            term = term * near / (order + number)
        made.append(torch.where(small, total, far))
    return tuple(made)  # pyright: ignore[reportReturnType]
