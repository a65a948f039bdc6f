"""Charts that cover a domain: pairs against brute force, blending weights, context and the windows of tiles."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dino.errors import DomainError
from dino.space.cover import CONTEXT, Cover, Pairs, tile_windows
from dino.space.domain import PeriodicBox, Region, Sphere, wrap_longitude


def tiles(*bounds: tuple[float, float, float, float]) -> Cover:
    charts = tuple(Region.from_bounds(*b, isotropic=False) for b in bounds)
    return Cover(charts, np.linspace(0.5, 1.5, len(charts)), tiled=True)


TWO = tiles((0.0, 4.0, 30.0, 34.0), (2.0, 6.0, 30.0, 34.0))
SEAM = tiles((177.0, -179.0, 0.0, 4.0), (179.0, -177.0, 0.0, 4.0))


def weight(cover: Cover, chart: int, longitude: NDArray, latitude: NDArray) -> NDArray:
    """(point,) the blending weight of a chart, zero outside it."""
    pairs = cover.pairs(longitude, latitude)
    mine = pairs.chart == chart
    made = np.zeros(len(longitude))
    made[pairs.point[mine]] = pairs.weight[mine]
    return made


def by_brute_force(cover: Cover, longitude: NDArray, latitude: NDArray) -> Pairs:
    """Every chart asked for the points it holds, in the order of points and charts."""
    found = []
    placed = np.flatnonzero(np.isfinite(longitude + latitude))
    for number, chart in enumerate(cover.charts):
        point = placed[chart.contains(longitude[placed], latitude[placed])]
        x, y = longitude[point], latitude[point]
        east = wrap_longitude(x - chart.longitude) / chart.extent_degrees[0]
        share = [np.cos(np.pi / 2 * np.clip(d, -1, 1)) for d in (east, (y - chart.latitude) / chart.extent_degrees[1])]
        weight = (share[0] * share[1]) ** 2 + 1e-6
        found.append(Pairs(point, np.full(len(point), number), chart.coordinates(x, y), weight))
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Pairs(*(column[order] for column in columns))


def check_pairs(cover: Cover, longitude: NDArray, latitude: NDArray) -> None:
    pairs, expected = cover.pairs(longitude, latitude), by_brute_force(cover, longitude, latitude)
    assert (np.diff(pairs.point) >= 0).all()
    order = np.lexsort((pairs.chart, pairs.point))
    np.testing.assert_array_equal(pairs.point[order], expected.point)
    np.testing.assert_array_equal(pairs.chart[order], expected.chart)
    np.testing.assert_allclose(pairs.coordinates[order], expected.coordinates, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pairs.weight[order], expected.weight, rtol=1e-9, atol=1e-12)
    assert pairs.coordinates.dtype == pairs.weight.dtype == np.float64
    np.testing.assert_array_equal(cover.holds(longitude, latitude), np.isin(np.arange(len(longitude)), expected.point))


@st.composite
def random_tiles(draw) -> Region:
    """Anywhere on the globe, from a twentieth of a degree to a hemisphere, in any convention of longitudes."""
    west, width = draw(st.floats(-360, 360)), draw(st.floats(0.05, 180))
    south = draw(st.floats(-90, 89.9))
    north = min(south + draw(st.floats(0.05, 60)), 90.0)
    return Region.from_bounds(west, west + width, south, north, isotropic=draw(st.booleans()))


def places(charts: list[Region], seed: int) -> tuple[NDArray, NDArray]:
    """Points all over the globe, inside, on the edges and corners of charts, on seams and poles, and missing ones."""
    rng = np.random.default_rng(seed)
    chart = [charts[i] for i in rng.integers(0, len(charts), 60)]
    share = np.concatenate([rng.uniform(-1.2, 1.2, (40, 2)), rng.choice([-1.0, 0.0, 1.0], (20, 2))])
    near = np.array([(c.longitude, c.latitude) for c in chart]) + share * [c.extent_degrees for c in chart]
    special = [(180.0, 0.0), (-180.0, 0.0), (540.0, 5.0), (-0.0, 0.0), (10.0, 90.0), (10.0, -90.0), (179.9999, 0.0)]
    missing = [(np.nan, 0.0), (0.0, np.nan), (np.inf, 0.0), (np.nan, np.nan)]
    anywhere = np.stack([rng.uniform(-400, 400, 60), rng.uniform(-90, 90, 60)], axis=-1)
    longitude, latitude = np.concatenate([near, special, missing, anywhere]).T
    return longitude + 360.0 * rng.integers(-1, 2, len(longitude)), np.clip(latitude, -90, 90)


@settings(deadline=None)
@given(st.lists(random_tiles(), min_size=1, max_size=12), st.integers(0, 99))
def test_pairs_are_those_of_a_loop_over_charts(charts, seed):
    check_pairs(Cover(tuple(charts), np.ones(len(charts)), tiled=True), *places(charts, seed))


@pytest.mark.parametrize("degrees", [8.0, 3.0])
def test_pairs_of_a_lattice_of_tiles_over_the_whole_globe(degrees):
    """Half overlapping tiles with their columns across 180 degrees and rows up to the poles."""
    starts = np.arange(-180.0, 180.0, degrees / 2)[: int(720 / degrees)]
    rows = np.arange(-90.0, 90.0 - degrees + 1e-9, 4 * degrees)
    charts = [Region.from_bounds(w, w + degrees, s, s + degrees, isotropic=False) for s in rows for w in starts]
    check_pairs(Cover(tuple(charts), np.ones(len(charts)), tiled=True), *places(charts, 5))


@pytest.mark.parametrize("pole", [-90.0, 90.0])
def test_pairs_beside_a_pole(pole):
    south = min(pole, pole - 5 * np.sign(pole))
    charts = [
        Region.from_bounds(west, west + 40.0, south, south + 5.0, isotropic=False) for west in range(-180, 180, 20)
    ]
    check_pairs(Cover(tuple(charts), np.ones(len(charts)), tiled=True), *places(charts, 1))


def test_pairs_of_tiles_across_180_degrees():
    longitude = np.array([176.9, 177.0, 179.0, 180.0, -180.0, -179.0, -177.0, -176.9, 183.0, 537.5, -182.5])
    check_pairs(SEAM, longitude, np.full(11, 2.0))
    pairs = SEAM.pairs(longitude, np.full(11, 2.0))
    assert pairs.point.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 8, 9, 10]


def test_float32_axes_that_miss_a_tile_by_rounding_are_in_it():
    edge = np.float32([0.1, 4.7]).astype(np.float64)
    cover = tiles((0.1, 4.7, 30.0, 34.0))
    assert cover.holds(edge, np.array([30.0, 34.0])).all()
    assert not cover.holds(np.array([0.1 - 1e-5, 4.7 + 1e-5]), np.array([31.0, 31.0])).any()


def test_pairs_of_a_single_chart():
    longitude, latitude = np.array([0.0, 180.0, np.nan, 10.0, 30.0]), np.array([0.0, 90.0, 0.0, np.nan, 30.0])
    for chart, inside in (
        (Sphere(), [0, 1, 4]),
        (PeriodicBox(length_km=(500.0, 500.0)), [0, 1, 4]),
        (TWO.charts[0], []),
        (Region.from_bounds(20, 40, 20, 40), [4]),
    ):
        pairs = Cover((chart,), np.ones(1), tiled=False).pairs(longitude, latitude)
        assert pairs.point.tolist() == inside
        assert pairs.chart.tolist() == [0] * len(inside)
        np.testing.assert_array_equal(pairs.coordinates, chart.coordinates(longitude[inside], latitude[inside]))
        assert (pairs.weight == 1).all()


def test_no_points_make_no_pairs():
    for cover in (TWO, Cover((Sphere(),), np.ones(1), tiled=False)):
        pairs = cover.pairs(np.zeros(0), np.zeros(0))
        assert pairs.coordinates.shape == (0, cover.input_size)
        assert [len(column) for column in pairs] == [0] * 4


def test_some_charts_of_many():
    some = SEAM.select([1])
    assert some.charts == SEAM.charts[1:]
    assert some.amplitude.tolist() == [1.5]
    assert some.pairs(np.array([178.0, -178.0]), np.full(2, 2.0)).point.tolist() == [1]
    np.testing.assert_array_equal(some.context(), SEAM.context()[1:])


@settings(deadline=None)
@given(st.floats(0.0, 6.0), st.floats(30.0, 34.0))
def test_every_point_inside_has_a_positive_weight(longitude, latitude):
    place = np.array([longitude]), np.array([latitude])
    weights = [weight(TWO, i, *place)[0] for i in range(2)]
    assert sum(weights) > 1e-7  # at the edge of the outermost tile too, and not by rounding
    for share, chart in zip(weights, TWO.charts, strict=True):
        assert (share > 0) == bool(chart.contains(*place)[0])


def test_weights_are_smooth_and_fade_to_the_edge():
    longitude = np.linspace(-1.0, 7.0, 8001)
    latitude = np.full_like(longitude, 32.0)
    first = weight(TWO, 0, longitude, latitude)
    assert first.max() == pytest.approx(1.0, abs=1e-5)
    assert longitude[first.argmax()] == pytest.approx(2.0, abs=1e-3)
    step = longitude[1] - longitude[0]
    assert np.abs(np.diff(first)).max() < 1.05 * np.pi / 4 * step + 2e-6  # slope of cos^2 over half a tile of 2 degrees
    assert first[(longitude < -1e-3) | (longitude > 4 + 1e-3)].max() == 0
    blended = first / (first + weight(TWO, 1, longitude, latitude)).clip(1e-12)
    overlap = (longitude > 2.001) & (longitude < 3.999)
    assert np.abs(np.diff(blended[overlap])).max() < 0.002


def test_weights_across_180_degrees_mirror():
    offsets, latitude = np.linspace(0.01, 2.9, 30), np.full(30, 2.0)
    east = sum(weight(SEAM, chart, 180.0 - offsets, latitude) for chart in range(2))
    west = sum(weight(SEAM, chart, -180.0 + offsets, latitude) for chart in range(2))
    np.testing.assert_allclose(east, west, atol=1e-9)
    assert (east > 0).all()


def test_context_of_tiles():
    context = TWO.context()
    assert context.shape == (2, len(CONTEXT)) == (2, 4)
    angle = math.radians(32.0)
    np.testing.assert_allclose(context[0, :3], [math.sin(angle), math.cos(angle), math.log(0.5)])
    assert context[0, 3] == pytest.approx(math.log(math.radians(2.0) * 6371.0 / 400.0))
    single = Cover((Sphere(),), np.ones(1), tiled=False)
    assert single.context().shape == (1, 0)
    assert single.input_size == 3


def test_points_outside_all_tiles_are_refused_with_their_extent():
    TWO.check(np.array([100.0, 1.0]), np.array([32.0, 32.0]))
    with pytest.raises(DomainError, match=r"none of the 2 points \(99.0 to 100.0 E, 32.0 to 33.0 N\).*2 tiles"):
        TWO.check(np.array([100.0, 99.0]), np.array([32.0, 33.0]))
    with pytest.raises(DomainError, match="none of the 1 points"):
        Cover((TWO.charts[0],), np.ones(1), tiled=False).check(np.array([100.0]), np.array([32.0]))


@settings(deadline=None)
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
