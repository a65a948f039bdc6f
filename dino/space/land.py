"""Where land lies: a mask of the globe that ships with the package, for data that come without one.

The source is Natural Earth, land at 1:10m, version 4.1 (naturalearthdata.com, public domain), as the npm package
`world-atlas` 2.0.2 distributes it. `benchmarks/land_mask.py` made `land.npz` from it, at the finest size of cells whose
file fits half a megabyte: 1/116 degree, about a kilometre. A cell is land where more than half of it is.

Natural Earth decides what is land. The Black Sea and the Caspian Sea are water, all lakes and the Aral Sea are land.
Antarctica is land up to its grounded coast, so the ocean under ice shelves is water.
"""

import lzma
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DomainError

FILE = "land.npz"
WATER, LAND, COAST = 0, 1, 2  # what a tile of the file may be
MOST_POINTS = 400


@dataclass(frozen=True)
class _Mask:
    """Tiles of a degree.

    number (180, 360) counts them from 90 S and 180 W: 0 is all water, 1 all land, the others have a coast.
    bits (tile, byte) are their cells, 1 for land; a byte holds two rows of four columns, which compress best.
    """

    cells: int
    number: NDArray[np.int64]
    bits: NDArray[np.uint8]


@cache
def _mask() -> _Mask:
    with resources.files("dino.space").joinpath(FILE).open("rb") as file, np.load(file) as content:
        cells, kind, packed = int(content["cells_per_degree"]), content["kind"], content["packed"].tobytes()
    size = cells * cells // 8
    coasts = np.frombuffer(lzma.decompress(packed), np.uint8).reshape(-1, size)
    number = kind.astype(np.int64)
    number[kind == COAST] = COAST + np.arange(len(coasts))
    uniform = np.repeat(np.array([[0x00], [0xFF]], np.uint8), size, axis=1)
    return _Mask(cells, number, np.concatenate([uniform, coasts]))


def cells_per_degree() -> int:
    """How many cells of the mask a degree has, in both directions."""
    return _mask().cells


def is_land(longitude: ArrayLike, latitude: ArrayLike) -> NDArray[np.bool_]:
    """Which points lie on land; longitudes count from anywhere, and the arguments are broadcast [degrees].

    A point without a position (NaN or infinite) is not on land. Raises DomainError for a latitude beyond a pole.
    """
    mask = _mask()
    longitude, latitude = np.broadcast_arrays(np.asarray(longitude, np.float64), np.asarray(latitude, np.float64))
    known = np.isfinite(longitude) & np.isfinite(latitude)
    if not known.all():
        longitude, latitude = np.where(known, longitude, 0.0), np.where(known, latitude, 0.0)
    if latitude.size and max(latitude.max(), -latitude.min()) > 90.0:
        farthest = latitude.flat[np.abs(latitude).argmax()]
        raise DomainError(f"latitude {farthest:g} is beyond a pole; give latitudes within -90..90")
    cells = mask.cells
    row = np.minimum(((latitude + 90.0) * cells).astype(np.int32), 180 * cells - 1)
    # Wrapped as whole numbers: a float just under 180 degrees may round to it.
    column = np.floor((longitude + 180.0) * cells).astype(np.int64) % (360 * cells)
    south, row = np.divmod(row, cells)
    west, column = np.divmod(column.astype(np.int32), cells)
    tile = mask.number.ravel().take(south * 360 + west)
    byte = mask.bits.ravel().take(tile * mask.bits.shape[1] + (row >> 1) * (cells // 4) + (column >> 2))
    place = 7 - ((row & 1) << 2 | column & 3)
    return (byte >> place & 1).astype(bool) & known


def land_fraction(west: float, east: float, south: float, north: float) -> float:
    """The share of a box's area that is land; the box runs eastwards from `west` and may cross 180 degrees [degrees].

    Points as dense as the mask's cells are counted, at most 400 a side. Raises DomainError for a box without a height.
    """
    if not -90.0 <= south < north <= 90.0:
        raise DomainError(f"latitudes {south:g} to {north:g} are no range within -90..90; give south < north")
    width = (east - west) % 360.0 or 360.0
    across, along = (min(math.ceil(extent * cells_per_degree()), MOST_POINTS) for extent in (width, north - south))
    longitude = west + (np.arange(across) + 0.5) * width / across
    latitude = south + (np.arange(along) + 0.5) * (north - south) / along
    shares = is_land(longitude, latitude[:, None]).mean(axis=1)
    return float(np.average(shares, weights=np.cos(np.deg2rad(latitude))))
