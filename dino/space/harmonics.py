"""Harmonics of a periodic box of one or two dimensions as codes, and channels without space.

A state of the box has shape (..., block, channel): a block is a wave of the real Fourier transform. For a system of
ordinary differential equations there is one block, and states are real.
"""

import math
from functools import cached_property

import torch
from torch import Tensor

from ..errors import ConfigError

FEWEST_POINTS = 3  # along an axis, of one wave
SAME = 1e-9  # share by which the spacings of a square grid may differ


class Harmonics:
    """The waves of a periodic box that a code keeps, and the points at which products are taken.

    cutoffs : the largest index of a wave along each axis, rows first; points : sizes of the grid of products;
    lengths : of the axes, rows first
    """

    def __init__(
        self, channels: tuple[str, ...], lengths: tuple[float, ...], sizes: tuple[int, ...], degree: int = 2
    ) -> None:
        """sizes : of the grid whose waves are kept (rows first); degree : of products that must be free of aliasing, 1
        for products on the grid itself, which then keeps all its waves

        Raises ConfigError for a box without extent and for a grid that holds no wave.
        """
        if len(lengths) != len(sizes) or len(sizes) not in (1, 2):
            raise ConfigError(f"a periodic box has one or two lengths and as many sizes; came {lengths} and {sizes}")
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise ConfigError(f"a periodic box wants finite lengths above 0; came {lengths}, rows first")
        if min(sizes) < FEWEST_POINTS:
            raise ConfigError(f"a grid of {sizes} holds no wave; give at least {FEWEST_POINTS} points along each axis")
        self.channels, self.lengths, self.sizes, self.degree = channels, lengths, sizes, degree
        self.whole = degree <= 1  # all waves of the grid, and products on its points
        self.cutoffs = tuple(size // 2 if self.whole else (size - 1) // 2 for size in sizes)
        self.points = sizes if self.whole else tuple(_fast((degree + 1) * cut + 1) for cut in self.cutoffs)
        self.dtype = torch.complex128

    @property
    def dimensions(self) -> int:
        """Of the box."""
        return len(self.sizes)

    @property
    def blocks(self) -> int:
        """How many waves a state has."""
        *rows, columns = self.cutoffs
        return math.prod(self.sizes[:-1] if self.whole else [2 * cut + 1 for cut in rows]) * (columns + 1)

    @cached_property
    def indices(self) -> tuple[Tensor, ...]:
        """Index of every block's wave along each axis, rows first: (block,) each."""
        *rows, columns = self.cutoffs
        along = [torch.cat([torch.arange(cut + 1), torch.arange(-cut, 0)]) for cut in rows]
        if self.whole:
            along = [torch.fft.fftfreq(size, 1 / size).round().long() for size in self.sizes[:-1]]
        grids = torch.meshgrid(*along, torch.arange(columns + 1), indexing="ij")
        return tuple(grid.flatten() for grid in grids)

    @cached_property
    def wave_numbers(self) -> tuple[Tensor, ...]:
        """(block,) float64 of each axis, rows first; zero for the derivative of the shortest wave of an even grid."""
        made = []
        for index, length, size in zip(self.indices, self.lengths, self.sizes, strict=True):
            made.append(2 * math.pi / length * index.double())
            if self.whole and size % 2 == 0:
                made[-1] = torch.where(index.abs() == size // 2, 0.0, made[-1])
        return tuple(made)

    @cached_property
    def squared(self) -> Tensor:
        """(block,) squared wave number, of the shortest waves too."""
        pairs = zip(self.indices, self.lengths, strict=True)
        return sum(((2 * math.pi / length * index.double()) ** 2 for index, length in pairs), torch.zeros(()))

    @cached_property
    def weights(self) -> Tensor:
        """(block,) share of a block's squared size in the mean square of a field: twice for a wave with a mirror."""
        columns, size = self.indices[-1], self.sizes[-1]
        alone = (columns == 0) | (self.whole & (size % 2 == 0) & (columns == size // 2))
        return torch.where(alone, 1.0, 2.0).double()

    def symbol(self, operator: str) -> Tensor:
        """(block,) complex factor of an operator; see `dino.dynamics.terms`."""
        x, y = self.wave_numbers[-1], self.wave_numbers[0]
        if operator == "id":
            return torch.ones_like(x, dtype=self.dtype)
        if operator == "lap9":
            return self._nine_points().to(self.dtype)
        if operator == "lap5":
            return self._neighbours().to(self.dtype)
        if operator.startswith("lap"):
            return ((-self.squared) ** int(operator[3:] or 1)).to(self.dtype)
        if "y" in operator and self.dimensions == 1:
            raise ConfigError(f"operator {operator} wants two dimensions; the box has one")
        if operator.startswith("p"):
            inverse = torch.where(self.squared > 0, -1 / self.squared.clamp_min(1e-300), 0.0)
            return inverse * ({"": torch.ones_like(x), "x": 1j * x, "y": 1j * y}[operator[1:]])
        if operator.count("x") % 2 == 0 and operator.count("y") % 2 == 0:  # even: the shortest wave has one
            full = [
                (2j * math.pi / length * index.double())
                for index, length in zip(self.indices, self.lengths, strict=True)
            ]
            x, y = full[-1] / 1j, full[0] / 1j
        return (1j * x) ** operator.count("x") * (1j * y) ** operator.count("y")

    def _neighbours(self) -> Tensor:
        """(block,) factor of the differences of neighbours on the box's grid, as of finite volumes: five points."""
        if self.dimensions != 2:
            raise ConfigError("operator lap5 is the Laplacian of a grid of two dimensions")
        made = torch.zeros(self.blocks, dtype=torch.float64)
        for index, length, size in zip(self.indices, self.lengths, self.sizes, strict=True):
            made += (2 * torch.cos(2 * math.pi * index.double() / size) - 2) * (size / length) ** 2
        return made

    def _nine_points(self) -> Tensor:
        """(block,) factor of the nine-point Laplacian of the box's grid, which published simulations difference with.

        Raises ConfigError where its cells are no squares.
        """
        if self.dimensions != 2:
            raise ConfigError("operator lap9 is the Laplacian of a grid of two dimensions")
        (down, across), spacing = self.indices, self.lengths[-1] / self.sizes[-1]
        if abs(self.lengths[0] / self.sizes[0] - spacing) > SAME * spacing:
            raise ConfigError(
                f"operator lap9 wants square cells; came {self.lengths} over {self.sizes} points, rows first: use lap"
            )
        y, x = (
            torch.cos(2 * math.pi * index.double() / size)
            for index, size in zip((down, across), self.sizes, strict=True)
        )
        return (x + y + x * y - 3) / spacing**2

    def wave(self, kind: str, harmonic: tuple[int, ...]) -> Tensor:
        """(*points) values of a harmonic with indices along x, then y, the latter zero when absent.

        Raises ConfigError for an index of a dimension or a wave that the grid does not have.
        """
        most = [(size - 1) // 2 for size in self.sizes[::-1]]
        if len(harmonic) > len(most) or any(abs(i) > top for i, top in zip(harmonic, most, strict=False)):
            raise ConfigError(f"{kind}{harmonic} came where the grid has waves up to {most} along {'xy'[: len(most)]}")
        axes = [torch.arange(size).double() * (2 * math.pi / size) for size in self.points]
        phase = harmonic[0] * axes[-1]
        if self.dimensions == 2:
            phase = phase + (harmonic[1] if len(harmonic) > 1 else 0) * axes[0][:, None]
        return (torch.cos if kind == "cos" else torch.sin)(phase)

    def at(self, places: Tensor) -> Tensor:
        """(place, block) factors of waves at places (place, dimension), rows' axis first.

        The real part of their sum with a spectrum is the field's value there.
        """
        phase = torch.zeros(len(places), self.blocks, dtype=torch.float64)
        for axis, (index, length) in enumerate(zip(self.indices, self.lengths, strict=True)):
            phase = phase + places[:, axis, None].double() * (2 * math.pi / length * index.double())
        return self.weights * torch.exp(1j * phase)

    def encode(self, fields: Tensor) -> Tensor:
        """States (..., block, channel) of fields (..., channel, *space) on any grid; waves that it has not are zero."""
        fields = fields.double()
        sizes = tuple(fields.shape[-self.dimensions :])
        spectrum = torch.fft.rfftn(fields, dim=tuple(range(-self.dimensions, 0))) / math.prod(sizes)
        where, kept, _ = self._places(sizes)
        flat = spectrum.flatten(-self.dimensions)
        return (flat[..., where] * kept).transpose(-1, -2)

    def decode(self, states: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
        """Fields (..., channel, *sizes) of states; on the grid of `sizes` of the box when absent.

        A coarser grid has their values at its points, to which waves add that it does not hold.
        """
        wanted = sizes or self.sizes
        times = [-(-own // size) for own, size in zip(self.sizes, wanted, strict=True)]
        finer = tuple(number * size for number, size in zip(times, wanted, strict=True))
        made = self.at_points(states.transpose(-1, -2), finer)
        return made[(..., *(slice(None, None, number) for number in times))]

    def at_points(self, spectra: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
        """Real values (..., *sizes) of spectra (..., block); at the points of products when absent."""
        sizes = sizes or self.points
        where, kept, whole = self._places(sizes)
        if not whole:
            full = spectra.new_zeros(*spectra.shape[:-1], math.prod(sizes[:-1]) * (sizes[-1] // 2 + 1))
            inside = kept > 0
            full[..., where[inside]] = spectra[..., inside]
            full = full.unflatten(-1, (*sizes[:-1], sizes[-1] // 2 + 1))
            return torch.fft.irfftn(full, s=sizes, dim=tuple(range(-self.dimensions, 0)), norm="forward")
        if self.dimensions == 1:
            return torch.fft.irfft(spectra, n=sizes[0], norm="forward")
        known = spectra.unflatten(-1, (-1, self.cutoffs[1] + 1))
        if known.shape[-2] == sizes[0]:
            return torch.fft.irfft2(known, s=sizes, norm="forward")
        # Along the first axis only the columns of the code are transformed; the others are zero.
        cut = self.cutoffs[0]
        padded = known.new_zeros(*known.shape[:-2], sizes[0], known.shape[-1])
        padded[..., : cut + 1, :], padded[..., sizes[0] - cut :, :] = known[..., : cut + 1, :], known[..., cut + 1 :, :]
        return torch.fft.irfft(torch.fft.ifft(padded, dim=-2, norm="forward"), n=sizes[1], norm="forward")

    def from_points(self, values: Tensor) -> Tensor:
        """Spectra (..., block) of values (..., *points)."""
        columns = self.cutoffs[-1] + 1
        along = torch.fft.rfft(values, norm="forward")[..., :columns]
        if self.dimensions == 1:
            return along
        both, cut = torch.fft.fft(along, dim=-2, norm="forward"), self.cutoffs[0]
        if not self.whole:
            both = torch.cat([both[..., : cut + 1, :], both[..., self.points[0] - cut :, :]], -2)
        return both.flatten(-2)

    def _places(self, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor, bool]:
        """Where each block lies in the flat transform of a grid, 1 where that grid has it, else 0, and whether it has
        all."""
        if sizes not in self._known:
            kept = torch.ones(len(self.indices[0]), dtype=torch.bool)
            where = torch.zeros(len(kept), dtype=torch.long)
            for axis, (index, size) in enumerate(zip(self.indices, sizes, strict=True)):
                limit = (size - 1) // 2
                if self.whole and size == self.sizes[axis]:
                    limit = size // 2
                elif self.whole:  # on another grid the shortest wave of an even one is two waves, or none
                    limit = min(limit, (self.sizes[axis] - 1) // 2)
                kept &= index.abs() <= limit
                columns = sizes[-1] // 2 + 1 if axis == len(sizes) - 1 else size
                where = where * columns + torch.where(kept, index % size, 0)
            self._known[sizes] = (torch.where(kept, where, 0), kept.double(), bool(kept.all()))
        return self._known[sizes]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], tuple[Tensor, Tensor, bool]]:
        return {}


class NoSpace:
    """Channels without space: one block, states (..., 1, channel) float64, products at one point."""

    dimensions, blocks, degree, sizes, points, lengths = 0, 1, 1, (), (), ()

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels, self.dtype = channels, torch.float64
        self.weights, self.squared = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)

    def symbol(self, operator: str) -> Tensor:
        """One; ConfigError for a derivative."""
        if operator != "id":
            raise ConfigError(f"operator {operator} wants a box; this system has no dimension")
        return torch.ones(1, dtype=torch.float64)

    def wave(self, kind: str, harmonic: tuple[int, ...]) -> Tensor:
        """There are none."""
        raise ConfigError("a harmonic wants a box; this system has no dimension")

    def at(self, places: Tensor) -> Tensor:
        """(place, 1) ones: there is one place."""
        return torch.ones(len(places), 1, dtype=torch.float64)

    def encode(self, fields: Tensor) -> Tensor:
        """States (..., 1, channel) of values (..., channel)."""
        return fields.double().unsqueeze(-2)

    def decode(self, states: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
        """Values (..., channel) of states."""
        return states.squeeze(-2)

    def at_points(self, spectra: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
        """Values (...) of states of one channel (..., 1)."""
        return spectra.squeeze(-1)

    def from_points(self, values: Tensor) -> Tensor:
        """States (..., 1) of values (...)."""
        return values.unsqueeze(-1)


def _fast(size: int) -> int:
    """The next size whose only factors are 2, 3 and 5."""
    while True:
        left = size
        for factor in (2, 3, 5):
            while left % factor == 0:
                left //= factor
        if left == 1:
            return size
        size += 1
