"""Exponential integration of primitives: the linear terms exactly, the others to fourth order.

The scheme of Cox & Matthews (2002, Journal of Computational Physics 176). Its functions phi_k of the matrices of a wave
are series of a small part of it, doubled from there (Skaflestad & Wright 2009, Applied Numerical Mathematics 59).
For one channel they are series alone. No difference of large numbers occurs.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .primitives import Primitives, apply

TERMS = 20  # of the series of phi, for arguments below one
SMALL, SMALL_TERMS = 0.5, 12  # the same of matrices, for norms below
LARGEST_GROWTH = 3.0  # e-foldings that a wave may grow in a step; a faster one is no physics of the data's own interval


class Exponential:
    """Steps of one length for environments with coefficients (environment, term).

    damping : (block,) rate at which every wave is damped besides, the closure of what the code leaves out
    """

    def __init__(self, primitives: Primitives, theta: Tensor, step: float, damping: Tensor | None = None) -> None:
        self.primitives, self.step = primitives, step
        linear = primitives.linear(theta)
        if damping is not None:
            linear = linear - damping[:, None, None] * torch.eye(linear.shape[-1], dtype=linear.dtype)
        self._alone = primitives.uncoupled
        if self._alone:  # numbers in place of diagonal matrices
            linear = linear.diagonal(dim1=-2, dim2=-1)[..., None, None]
        whole, half = phi_functions(bounded(step * linear)), phi_functions(bounded(0.5 * step * linear))
        if self._alone:
            whole, half = ([each[..., 0, 0] for each in made] for made in (whole, half))
        self._decay, one, two, three = (each.unsqueeze(1) for each in whole)
        self._half, self._middle = half[0].unsqueeze(1), 0.5 * step * half[1].unsqueeze(1)
        self._first = step * (one - 3 * two + 4 * three)
        self._between = step * (2 * two - 4 * three)
        self._last = step * (4 * three - two)
        if self._alone:
            names = ("_decay", "_half", "_middle", "_first", "_between", "_last")
            self.__dict__.update({name: by_channel(getattr(self, name)) for name in names})
        self._tendency = primitives.tendency(theta) if primitives.other_terms else None

    def __call__(self, state: Tensor, time: Tensor) -> Tensor:
        """States (environment, sample, block, channel) a step after `time` (sample,)."""
        tendency = self._tendency
        if tendency is None:
            return self._plus(None, self._decay, state)
        middle = time + 0.5 * self.step
        first = tendency(state, time)
        decayed = self._plus(None, self._half, state)
        one = self._plus(decayed, self._middle, first)
        second = tendency(one, middle)
        third = tendency(self._plus(decayed, self._middle, second), middle)
        last = self._plus(self._plus(None, self._half, one), self._middle, 2 * third - first)
        last = tendency(last, time + self.step)
        made = self._plus(self._plus(None, self._decay, state), self._first, first)
        return self._plus(self._plus(made, self._between, second + third), self._last, last)

    def _plus(self, given: Tensor | None, factor: Tensor, state: Tensor) -> Tensor:
        """What is given plus a factor of every wave times states."""
        if not self._alone:
            made = apply(factor, state)
            return made if given is None else given + made
        return factor * state if given is None else torch.addcmul(given, factor, state)

    def advance(self, state: Tensor, time: Tensor, steps: int) -> Tensor:
        """States after so many steps."""
        state = by_channel(state)
        for number in range(steps):
            state = self(state, time + number * self.step)
        return state

    def path(self, state: Tensor, time: Tensor, frames: int, steps: int) -> Iterator[Tensor]:
        """The states of `frames` frames, `steps` steps apart, without the first."""
        for frame in range(frames):
            state = self.advance(state, time + frame * steps * self.step, steps)
            yield state


def by_channel(values: Tensor) -> Tensor:
    """The same values (..., block, channel), the waves of a channel side by side in memory: transforms want them so."""
    return values.mT.contiguous().mT


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
    if matrices.is_complex() and not bool(matrices.imag.any()):
        return tuple(made.to(matrices.dtype) for made in phi_functions(matrices.real))  # pyright: ignore[reportReturnType]
    # Of a small part of each matrix by the series, and of the double as often as that part was halved. Rows and columns
    # lead: elements of all matrices then lie side by side.
    largest = float(matrices.abs().sum(-1).nan_to_num(nan=0.0, posinf=0.0).max())
    halvings = math.ceil(math.log2(max(largest, SMALL) / SMALL))
    part = (matrices / 2**halvings).movedim((-2, -1), (0, 1)).contiguous()
    identity = torch.eye(size, dtype=matrices.dtype).reshape(size, size, *[1] * (part.dim() - 2))
    three = torch.zeros_like(part)
    for number in range(SMALL_TERMS, -1, -1):
        three = product(three, part) + identity / math.factorial(number + 3)
    two = 0.5 * identity + product(part, three)
    one = identity + product(part, two)
    grown = product(part, one)  # exp - 1, of which slow waves lose nothing
    for _ in range(halvings):
        three = (product(one, two) + 2 * three + two) / 8
        two = (product(one, one) + 2 * two) / 4
        one = one + 0.5 * product(grown, one)
        grown = 2 * grown + product(grown, grown)
    made = identity + grown, one, two, three
    return tuple(each.movedim((0, 1), (-2, -1)).contiguous() for each in made)  # pyright: ignore[reportReturnType]


def product(one: Tensor, other: Tensor) -> Tensor:
    """Of matrices (n, n, ...), n being few: batched products of such are slow."""
    made = one[:, 0, None] * other[None, 0]
    for number in range(1, len(one)):
        made = torch.addcmul(made, one[:, number, None], other[None, number])
    return made


def _scalar_phi(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The functions of numbers: a series near zero, the recursion elsewhere."""
    small = z.abs() < 1
    safe = torch.where(small, torch.ones_like(z), z)
    near = torch.where(small, z, torch.zeros_like(z))
    term, last = torch.full_like(z, 1 / 6), torch.zeros_like(z)
    for number in range(1, TERMS + 1):
        last = last + term
        term = term * near / (3 + number)
    series = [last]
    for factorial in (2.0, 1.0):
        series.append(near * series[-1] + 1 / factorial)
    made, far = [z.exp()], safe.exp()
    for factorial, close in zip((1.0, 1.0, 2.0), reversed(series), strict=True):
        far = (far - 1 / factorial) / safe
        made.append(torch.where(small, close, far))
    return tuple(made)  # pyright: ignore[reportReturnType]
