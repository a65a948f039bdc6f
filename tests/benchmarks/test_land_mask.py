"""TopoJSON to cells: arcs, holes, the antimeridian, the poles, and the file that the package reads back."""

import io
import json

import numpy as np
import pytest
from land_mask import closed, encoded, rasterise, read_rings

from dino.space import land


def square(west, east, south, north):
    return np.array([[west, south], [east, south], [east, north], [west, north], [west, south]], float)


def mask_of(*rings, cells=4):
    return rasterise([closed(ring) for ring in rings], cells)


def box(west, east, south, north, cells=4):
    """The cells of a box, by columns and rows."""
    made = np.zeros((180 * cells, 360 * cells), bool)
    made[(south + 90) * cells : (north + 90) * cells, (west + 180) * cells : (east + 180) * cells] = True
    return made


def test_arcs_are_decoded_forwards_and_backwards(tmp_path):
    """Two squares share an arc; the second one goes through it backwards."""
    topology = {
        "type": "Topology",
        "transform": {"scale": [0.5, 0.25], "translate": [-10.0, 5.0]},
        "objects": {
            "land": {
                "type": "GeometryCollection",
                "geometries": [
                    {"type": "Polygon", "arcs": [[0, 1]]},
                    {"type": "MultiPolygon", "arcs": [[[~0, 2]]]},
                ],
            }
        },
        "arcs": [
            [[4, 0], [0, 8]],
            [[4, 8], [-4, 0], [0, -8], [4, 0]],
            [[4, 0], [4, 0], [0, 8], [-4, 0]],
        ],
    }
    path = tmp_path / "land.json"
    path.write_text(json.dumps(topology))
    first, second = read_rings(path)
    assert first.tolist() == [[-8, 5], [-8, 7], [-10, 7], [-10, 5], [-8, 5]]
    assert second.tolist() == [[-8, 7], [-8, 5], [-6, 5], [-6, 7], [-8, 7]]
    assert np.array_equal(mask_of(first, second), box(-10, -6, 5, 7))


def test_a_hole_is_no_land():
    assert np.array_equal(mask_of(square(0, 10, 0, 10), square(3, 5, 4, 8)), box(0, 10, 0, 10) & ~box(3, 5, 4, 8))


def test_a_ring_across_the_antimeridian():
    ring = np.array([[170, 0], [-170, 0], [-170, 5], [170, 5], [170, 0]], float)
    expected = box(170, 180, 0, 5) | box(-180, -170, 0, 5)
    assert np.array_equal(mask_of(ring), expected)
    assert np.array_equal(mask_of(ring[::-1]), expected)
    cut = [square(170, 180, 0, 5), square(-180, -170, 0, 5)]
    assert np.array_equal(mask_of(*cut), expected)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("south", [True, False])
def test_a_ring_round_a_pole_is_closed_along_it(south, backwards):
    longitude = np.array([-180.0, -90.0, 0.0, 90.0, 180.0])
    ring = np.stack([longitude, np.full(5, -70.0 if south else 70.0)], axis=-1)
    expected = box(-180, 180, -90, -70) if south else box(-180, 180, 70, 90)
    assert np.array_equal(mask_of(ring[::-1] if backwards else ring), expected)


def test_a_cell_is_land_where_more_than_half_of_it_is():
    assert mask_of(square(0, 0.17, 0, 0.25)).sum() == 1
    assert mask_of(square(0, 0.08, 0, 0.25)).sum() == 0
    assert mask_of(square(0, 0.17, 0, 0.13)).sum() == 0  # two thirds by a third


def test_a_triangle_has_its_area():
    triangle = np.array([[0, 0], [20, 0], [0, 20], [0, 0]], float)
    assert mask_of(triangle, cells=8).sum() / 64 == pytest.approx(200, rel=0.02)


def test_the_package_reads_what_is_written(monkeypatch):
    """Every cell of a random mask, through the file."""
    random = np.random.default_rng(0)
    mask = np.zeros((720, 1440), bool)
    mask[100:300, 200:700] = random.random((200, 500)) < 0.5
    mask[400:440] = True
    file = encoded(mask)

    class Folder:
        def joinpath(self, name):
            return self

        def open(self, mode):
            return io.BytesIO(file)

    monkeypatch.setattr(land.resources, "files", lambda package: Folder())
    land._mask.cache_clear()
    try:
        latitude, longitude = (np.arange(720) + 0.5) / 4 - 90, (np.arange(1440) + 0.5) / 4 - 180
        assert np.array_equal(land.is_land(longitude, latitude[:, None]), mask)
        assert land.cells_per_degree() == 4
    finally:
        land._mask.cache_clear()
