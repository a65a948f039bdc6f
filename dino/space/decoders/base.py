"""What every decoder offers to inference, training and forecasting, and the one door to both kinds of them.

An affine decoder has one linear form for all codes, another decoder one for each. Callers that take the forms from
`common_form`, `bases`, `fields` and `relinearised` serve both kinds and never ask which one they have.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

BLOCK_POINTS = 8192


class Basis(NamedTuple):
    """A field that is affine in its code, at fixed points: values = offset + modes @ code.

    offset : (..., point, channel)
    modes : (..., point, channel, code)
    """

    offset: Tensor
    modes: Tensor

    def decode(self, codes: Tensor) -> Tensor:
        """Values (..., point, channel) of codes (..., code) at points shared by all of them."""
        points, channels, size = self.modes.shape
        flat = codes @ self.modes.reshape(points * channels, size).T
        return flat.unflatten(-1, (points, channels)) + self.offset


@runtime_checkable
class Decoder(Protocol):
    """A continuous field: coordinates and a code give values in every channel."""

    input_size: int
    code_size: int
    channels: int

    @property
    def is_affine(self) -> bool:
        """Whether values are offset + modes @ code exactly, with the same offset and modes for all codes."""
        ...

    def __call__(self, coordinates: Tensor, codes: Tensor) -> Tensor:
        """Values (..., point, channel) from coordinates (point, input) and codes (..., code).

        Coordinates (..., point, input) of their own for every code are taken too.
        """
        ...

    def linearise(self, coordinates: Tensor, codes: Tensor) -> Basis:
        """The affine form that agrees with the decoder to first order about codes (frame, code).

        Coordinates are (point, input) or (frame, point, input); offset and modes have a dimension `frame` before
        `point`, but for an affine decoder at shared points, whose form is the same for every frame.
        """
        ...

    def modulation(self) -> list[Tensor]:
        """The weights through which the code enters."""
        ...

    def change_codes(self, transform: Tensor, origin: Tensor) -> None:
        """Fold the substitution code = origin + transform @ new_code into the weights; the field stays the same."""
        ...


def common_form(decoder: Decoder, coordinates: Tensor, code: Tensor) -> Basis | None:
    """The form at shared points (point, input) that serves all codes, or None where every code has its own.

    code : (code,) any one of them
    """
    return decoder.linearise(coordinates, code[None]) if decoder.is_affine else None


def decode(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Tensor:
    """Values (..., point, channel) of codes (..., code) at shared coordinates (point, input), the shortest way."""
    if decoder.is_affine:
        return decoder.linearise(coordinates, codes).decode(codes)
    flat = codes.reshape(-1, codes.shape[-1])
    # A network's layers hold a vector a point and frame: blocks of frames keep them in the cache.
    size = max(1, BLOCK_POINTS // max(1, len(coordinates)))
    values = [decoder(coordinates, part) for part in flat.split(size)] or [decoder(coordinates, flat)]
    return torch.cat(values).unflatten(0, codes.shape[:-1])


def fields(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Tensor:
    """Values (time, chart, point, channel) of codes (time, chart, code) at charts' own points (chart, point, input)."""
    if decoder.is_affine:
        basis = decoder.linearise(coordinates, codes[0])
        flat = basis.modes.flatten(1, 2) @ codes.permute(1, 2, 0)
        return flat.permute(2, 0, 1).unflatten(2, basis.offset.shape[1:]) + basis.offset
    return torch.stack([decoder(coordinates, part) for part in codes])


def bases(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Iterator[tuple[slice, Basis]]:
    """The forms about codes (time, chart, code) at charts' own points (chart, point, input), with the times of each.

    One for all times, or one a time: all of them together would fill the memory.
    """
    if decoder.is_affine:
        yield slice(0, len(codes)), decoder.linearise(coordinates, codes[0])
        return
    for time, part in enumerate(codes):
        yield slice(time, time + 1), decoder.linearise(coordinates, part)


def at_points(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Basis:
    """The affine form at points (point, input) about a code (point, code) each.

    offset : (point, channel); modes : (point, channel, code)
    """
    if decoder.is_affine:
        return decoder.linearise(coordinates, codes)
    basis = decoder.linearise(coordinates.unsqueeze(-2), codes)
    return Basis(basis.offset.squeeze(-2), basis.modes.squeeze(-3))


def relinearised(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Basis | None:
    """`at_points` about other codes; None where the form is the same about all of them."""
    return None if decoder.is_affine else at_points(decoder, coordinates, codes)


def values_at_points(decoder: Decoder, coordinates: Tensor, codes: Tensor) -> Tensor:
    """Values (point, channel) at points (point, input) with a code (point, code) each, the shortest way."""
    if decoder.is_affine:
        basis = at_points(decoder, coordinates, codes)
        return torch.einsum("pck,pk->pc", basis.modes, codes) + basis.offset
    return decoder(coordinates.unsqueeze(-2), codes).squeeze(-2)
