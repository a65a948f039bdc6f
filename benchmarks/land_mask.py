"""The land mask of `dino.space.land`: Natural Earth's land as cells of the finest size whose file fits half a megabyte.

LAND is `land-10m.json` of the npm package `world-atlas` 2.0.2 (`npm pack world-atlas@2.0.2`): TopoJSON of Natural
Earth 4.1, public domain. A cell is land where more than half of its 3 x 3 sub-cells have their centre on land. With
real maps at hand the mask is compared with theirs: cells without a value at any time against cells of land.
"""

import io
import json
import lzma
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds
from numpy.typing import NDArray

from dino.space import land

OUT = Path(__file__).resolve().parents[1] / "dino" / "space" / land.FILE
LIMIT_BYTES = 500_000
CELLS = [120, 116, 112, 108, 104, 100]
SUB_CELLS = 3
MAPS = {
    "global": "grids/duacs_l4_global_sla_2014-01.nc",
    "mediterranean": "grids/duacs_l4_med_adt_2005-04-01_2005-06-09.nc",
}
Ring = NDArray[np.float64]


def read_rings(path: Path) -> list[Ring]:
    """The rings (point, 2) of a TopoJSON file's land, longitude and latitude [degrees]; holes are rings as well."""
    topology = json.loads(path.read_text())
    scale, origin = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in topology["arcs"]]
    rings = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
        for ring in (ring for polygon in polygons for ring in polygon):
            # Arc ~i is arc i backwards; the first point of an arc is the last of the one before.
            parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in ring]
            rings.append(np.concatenate([parts[0], *(part[1:] for part in parts[1:])]))
    return rings


def closed(ring: Ring) -> Ring:
    """A ring whose longitudes run on across 180 degrees; one that goes round a pole is closed along that pole."""
    longitude, latitude = np.unwrap(ring[:, 0], period=360.0), ring[:, 1]
    if abs(longitude[-1] - longitude[0]) > 180.0:
        pole = 90.0 if latitude.mean() > 0 else -90.0
        longitude, latitude = np.append(longitude, longitude[[-1, 0]]), np.append(latitude, [pole, pole])
    longitude, latitude = np.append(longitude, longitude[0]), np.append(latitude, latitude[0])
    return np.stack([longitude, latitude], axis=-1)


def crossings(rings: Iterable[Ring], cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where edges cross the parallels through the centres of cells: rows, and the first column to the east of each.

    Columns run on beyond the globe's, as the longitudes of rings do.
    """
    rings, corner = list(rings), np.array([180.0, 90.0])
    start, end = (np.concatenate([ring[part] for ring in rings]) for part in (slice(None, -1), slice(1, None)))
    (x0, y0), (x1, y1) = (((side + corner) * cells - 0.5).T for side in (start, end))
    low, high = (np.ceil(find(y0, y1)).astype(np.int64) for find in (np.minimum, np.maximum))
    count = high - low  # an edge owns its lower end alone, so that a shared vertex counts once
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + low[edge]
    x = x0[edge] + (row - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    inside = (row >= 0) & (row < 180 * cells)
    return row[inside], np.ceil(x).astype(np.int64)[inside]


def rasterise(rings: Sequence[Ring], cells: int, sub: int = SUB_CELLS) -> NDArray[np.bool_]:
    """The mask (row, column) of closed rings by the even-odd rule: rows from 90 S, columns from 180 W."""
    row, column = crossings(rings, cells * sub)
    width = 360 * cells * sub
    turns, column = np.divmod(column, width)
    order = np.argsort(row, kind="stable")
    row, column, turns = row[order], column[order], turns[order]
    made = np.zeros((180 * cells, 360 * cells), bool)
    for first in range(0, 180 * cells, cells):
        begin, end = np.searchsorted(row, [first * sub, (first + cells) * sub])
        flips = np.zeros((cells * sub, width), np.uint8)
        where = row[begin:end] - first * sub
        np.bitwise_xor.at(flips, (where, column[begin:end]), 1)
        # What begins in another turn of the globe flips every column of this one.
        np.bitwise_xor.at(flips[:, 0], where, (turns[begin:end] & 1).astype(np.uint8))
        fine = np.bitwise_xor.accumulate(flips, axis=1).reshape(cells, sub, 360 * cells, sub)
        made[first : first + cells] = 2 * fine.sum(axis=(1, 3), dtype=np.uint16) > sub * sub
    return made


def encoded(mask: NDArray[np.bool_]) -> bytes:
    """The file of a mask, as `dino.space.land` reads it: the kind of every tile of a degree, and cells along coasts.

    A byte holds 2 x 4 cells: a coast is met once by it, not twice as by a row of eight.
    """
    cells = len(mask) // 180
    tiles = mask.reshape(180, cells, 360, cells).transpose(0, 2, 1, 3)
    share = tiles.mean(axis=(2, 3))
    kind = np.select([share == 0.0, share == 1.0], [land.WATER, land.LAND], land.COAST).astype(np.uint8)
    blocks = tiles[kind == land.COAST].reshape(-1, cells // 2, 2, cells // 4, 4).swapaxes(2, 3)
    bits = np.packbits(blocks.reshape(len(blocks), -1), axis=1).tobytes()
    # Neighbours in the file are unrelated to the position of a byte, so the coder needs no bits of it.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    packed = np.frombuffer(lzma.compress(bits, filters=filters), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, cells_per_degree=cells, kind=kind, packed=packed)
    return file.getvalue()


def agreement(path: Path) -> dict[str, float]:
    """Shares of the cells of real maps, weighed by area, for which the shipped mask says what the maps say."""
    with xr.open_dataset(path) as dataset:
        name = next(str(name) for name in dataset.data_vars if dataset[name].ndim >= 3)
        field = dataset[name].transpose("time", "latitude", "longitude")
        empty = field.isnull().all("time").values
        longitude, latitude = np.meshgrid(dataset["longitude"].values, dataset["latitude"].values)
    mask = land.is_land(longitude, latitude)
    # Sea ice, and seas beyond the product's own, are empty too: they are no land of the maps.
    warm = np.abs(latitude) < 60.0
    black_sea = (longitude % 360 > 26.5) & (longitude % 360 < 42.0) & (latitude > 40.3) & (latitude < 47.5)
    caspian = (longitude % 360 > 46.0) & (longitude % 360 < 55.5) & (latitude > 36.0) & (latitude < 48.0)
    weight = np.cos(np.deg2rad(latitude))
    compared = warm & ~black_sea & ~caspian
    share = lambda where, what: float((weight * (where & what)).sum() / (weight * where).sum())  # noqa: E731
    return {
        "all_cells": share(np.ones_like(warm), mask == empty),
        "within_60_degrees": share(warm, mask == empty),
        "without_black_and_caspian_sea": share(compared, mask == empty),
        "land_where_maps_have_values": share(compared & ~empty, mask),
        "water_where_maps_have_none": share(compared & empty, ~mask),
    }


def main() -> None:
    """Make, measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("land", type=Path, nargs="?", help="land-10m.json; without it the shipped mask is measured")
    options.add_argument("--cells", type=int, nargs="+", default=CELLS, help="a degree, to try; multiples of four")
    options.add_argument("--out", type=Path, default=OUT)
    options.add_argument("--data", type=Path, default=os.environ.get("DINO_DATA"), help="folder of real maps")
    arguments = options.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    if arguments.land is not None:
        rings = [closed(ring) for ring in read_rings(arguments.land)]
        for cells in sorted(arguments.cells, reverse=True):
            file = encoded(rasterise(rings, cells))
            results[f"bytes_at_{cells}"] = len(file)
            if len(file) <= LIMIT_BYTES:
                arguments.out.write_bytes(file)
                break
        else:
            options.error(f"no file fits {LIMIT_BYTES} bytes; give fewer --cells")
    random = np.random.default_rng(arguments.seed)
    longitude, latitude = random.uniform(-180, 180, 1_000_000), np.rad2deg(np.arcsin(random.uniform(-1, 1, 1_000_000)))
    results["load_seconds"] = seconds(lambda: land.is_land(0, 0))
    results["million_points_seconds"] = min(seconds(lambda: land.is_land(longitude, latitude)) for _ in range(5))
    results |= {"cells_per_degree": land.cells_per_degree(), "land_share": land.land_fraction(-180, 180, -90, 90)}
    for name, file in MAPS.items():
        if arguments.data is not None and (Path(arguments.data) / file).is_file():
            results[name] = agreement(Path(arguments.data) / file)
    report(arguments, results)


if __name__ == "__main__":
    main()
