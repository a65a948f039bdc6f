"""Charts that cover a domain: blending weights, context and the windows of tiles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.errors import DomainError
from dino.space.cover import Cover, tile_windows
from dino.space.domain import Region, Sphere


def tiles(*bounds: tuple[float, float, float, float]) -> Cover:
    charts = tuple(Region.from_bounds(*b, isotropic=False) for b in bounds)
    return Cover(charts, np.linspace(0.5, 1.5, len(charts)), tiled=True)


TWO = tiles((0.0, 4.0, 30.0, 34.0), (2.0, 6.0, 30.0, 34.0))
SEAM = tiles((177.0, -179.0, 0.0, 4.0), (179.0, -177.0, 0.0, 4.0))


@given(st.floats(0.0, 6.0), st.floats(30.0, 34.0))
def test_every_point_inside_has_a_positive_weight(longitude, latitude):
    weights = [TWO.weight(i, np.array([longitude]), np.array([latitude]))[0] for i in range(2)]
    assert sum(weights) > 1e-7  # at the edge of the outermost tile too, and not by rounding
    for weight, chart in zip(weights, TWO.charts, strict=True):
        assert (weight > 0) == bool(chart.contains(np.array([longitude]), np.array([latitude]))[0])


def test_weights_are_smooth_and_fade_to_the_edge():
    longitude = np.linspace(-1.0, 7.0, 8001)
    latitude = np.full_like(longitude, 32.0)
    weight = TWO.weight(0, longitude, latitude)
    assert weight.max() == pytest.approx(1.0, abs=1e-5)
    assert longitude[weight.argmax()] == pytest.approx(2.0, abs=1e-3)
    step = longitude[1] - longitude[0]
    assert (
        np.abs(np.diff(weight)).max() < 1.05 * np.pi / 4 * step + 2e-6
    )  # slope of cos^2 over half a tile of 2 degrees
    assert weight[(longitude < -1e-3) | (longitude > 4 + 1e-3)].max() == 0
    blended = weight / (weight + TWO.weight(1, longitude, latitude)).clip(1e-12)
    overlap = (longitude > 2.001) & (longitude < 3.999)
    assert np.abs(np.diff(blended[overlap])).max() < 0.002


def test_weights_across_180_degrees_mirror():
    offsets = np.linspace(0.01, 2.9, 30)
    east = SEAM.weight(0, 180.0 - offsets, np.full(30, 2.0)) + SEAM.weight(1, 180.0 - offsets, np.full(30, 2.0))
    west = SEAM.weight(0, -180.0 + offsets, np.full(30, 2.0)) + SEAM.weight(1, -180.0 + offsets, np.full(30, 2.0))
    np.testing.assert_allclose(east, west, atol=1e-9)
    assert (east > 0).all()


def test_a_single_chart_weighs_one_everywhere():
    cover = Cover((Sphere(),), np.ones(1), tiled=False)
    assert cover.weight(0, np.array([0.0, 180.0, np.nan]), np.array([0.0, 90.0, 0.0])).tolist() == [1.0, 1.0, 0.0]
    assert cover.context().shape == (1, 0)
    assert cover.input_size == 3


def test_context_of_tiles():
    context = TWO.context()
    assert context.shape == (2, 4)
    angle = math.radians(32.0)
    np.testing.assert_allclose(context[0, :3], [math.sin(angle), math.cos(angle), math.log(0.5)])
    assert context[0, 3] == pytest.approx(math.log(math.radians(2.0) * 6371.0 / 400.0))


def test_points_outside_all_tiles_are_refused_with_their_extent():
    TWO.check(np.array([100.0, 1.0]), np.array([32.0, 32.0]))
    with pytest.raises(DomainError, match=r"none of the 2 points \(99.0 to 100.0 E, 32.0 to 33.0 N\).*2 tiles"):
        TWO.check(np.array([100.0, 99.0]), np.array([32.0, 33.0]))
    with pytest.raises(DomainError, match="none of the 1 points"):
        Cover((TWO.charts[0],), np.ones(1), tiled=False).check(np.array([100.0]), np.array([32.0]))


@given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_an_axis(size, cells, stride):
    stride = min(stride, cells)
    starts = tile_windows(size, cells, stride)
    covered = {cell for start in starts for cell in range(start, start + cells)}
    assert set(range(size)) <= covered
    assert starts == sorted(set(starts))
    if size > cells:
        assert max(covered) == size - 1
        assert starts[0] == 0
