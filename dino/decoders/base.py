"""What every decoder offers to inference, training and forecasting."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


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

    def __call__(self, coordinates: Tensor, codes: Tensor) -> Tensor:
        """Values (..., point, channel) from coordinates (point, input) and codes (..., code)."""
        ...

    def basis(self, coordinates: Tensor) -> Basis:
        """The affine form at coordinates (..., input): exact where the decoder is affine in its code."""
        ...


def require_finite(coordinates: Tensor) -> Tensor:
    """Return coordinates unchanged; a NaN among them would silently spread over a whole solve."""
    if not torch.isfinite(coordinates).all():
        raise ValueError("coordinates must be finite")
    return coordinates
