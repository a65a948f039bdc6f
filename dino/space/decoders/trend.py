"""A decoder with a field of large scales beside it: polynomials of second degree in a tile's coordinates.

What is larger than a tile is not among the modes that were learned in tiles. Optimal interpolation has a covariance of
hundreds of kilometres for it; a tile sees of such a field its constant, its slope and its curvature.
"""

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from .base import Basis
from .fourier import FourierDecoder, product_of_jets

TERMS = 6  # of a channel: 1, x, y, (3 x^2 - 1) / 2, x y, (3 y^2 - 1) / 2
DEGREE = (0, 1, 1, 2, 2, 2)


class TrendDecoder(nn.Module):
    """An affine decoder of tiles whose last `TERMS` codes of every channel are coefficients of polynomials."""

    def __init__(self, base: FourierDecoder) -> None:
        super().__init__()
        self.base, self.input_size, self.channels = base, base.input_size, base.channels
        self.code_size = base.code_size + TERMS * base.channels
        if base.input_size != 2:
            raise ConfigError(f"polynomials want tiles, of two coordinates; this decoder has {base.input_size}")

    @property
    def is_affine(self) -> bool:
        """As the decoder it stands beside, always."""
        return self.base.is_affine

    def forward(self, coordinates: Tensor, codes: Tensor) -> Tensor:
        """Values (..., point, channel) from coordinates (..., point, input) and codes (..., code)."""
        size = self.base.code_size
        shape = (*codes.shape[:-1], self.channels, TERMS)
        return self.base(coordinates, codes[..., :size]) + polynomials(coordinates) @ codes[..., size:].view(shape).mT

    def basis(self, coordinates: Tensor) -> Basis:
        """Offset (..., channel) and modes (..., channel, code) at coordinates (..., input)."""
        offset, modes = self.base.basis(coordinates)
        terms = polynomials(coordinates)
        apart = torch.eye(self.channels, dtype=terms.dtype, device=terms.device)
        added = torch.einsum("...t,cd->...cdt", terms, apart).flatten(-2)
        return Basis(offset, torch.cat([modes, added.to(modes)], dim=-1))

    def jets(self, coordinates: Tensor, paths: Tensor) -> Basis:
        """`basis` with its slopes and curvatures along two directions, see `FourierDecoder.jets`."""
        offset, modes = self.base.jets(coordinates, paths)
        x, y = (
            torch.stack([coordinates[..., axis], *(paths[..., axis, part] for part in range(4))]) for axis in (0, 1)
        )
        one, squares = torch.zeros_like(x), [product_of_jets(axis, axis) for axis in (x, y)]
        one[0] = 1.0
        terms = torch.stack(
            [one, x, y, 1.5 * squares[0] - 0.5 * one, product_of_jets(x, y), 1.5 * squares[1] - 0.5 * one], dim=-1
        )
        apart = torch.eye(self.channels, dtype=terms.dtype, device=terms.device)
        added = torch.einsum("...t,cd->...cdt", terms, apart).flatten(-2)
        return Basis(offset, torch.cat([modes, added.to(modes)], dim=-1))

    def linearise(self, coordinates: Tensor, codes: Tensor) -> Basis:
        """`basis`, whatever the codes: the field is affine in them."""
        return self.basis(coordinates)

    def modulation(self) -> list[Tensor]:
        """The weights through which the learned codes enter."""
        return self.base.modulation()

    def change_codes(self, transform: Tensor, origin: Tensor) -> None:
        """Refused with `ConfigError`: polynomials stay what they are."""
        raise ConfigError("the codes of a run adapted by its evidence cannot be translated; translate it before")


def polynomials(coordinates: Tensor) -> Tensor:
    """(..., term) polynomials at coordinates (..., 2), of about the same size on a tile."""
    x, y = coordinates[..., 0], coordinates[..., 1]
    return torch.stack([torch.ones_like(x), x, y, 1.5 * x * x - 0.5, x * y, 1.5 * y * y - 0.5], dim=-1)
