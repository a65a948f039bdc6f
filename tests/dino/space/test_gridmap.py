"""Static maps: bilinear values, the global seam, coasts and curvilinear grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from dino.space.domain import wrap_longitude
from dino.space.gridmap import GridMap

LONGITUDE, LATITUDE = np.linspace(-10.0, 20.0, 7), np.linspace(30.0, 42.0, 5)


def linear(longitude, latitude):
    """Two linear fields (channel, ...)."""
    return np.stack([0.5 + 0.02 * longitude - 0.1 * latitude, -3.0 * longitude + latitude])


@settings(deadline=None)
@given(st.floats(-10.0, 20.0), st.floats(30.0, 42.0))
def test_linear_fields_are_read_exactly(longitude, latitude):
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    values = GridMap(LONGITUDE, LATITUDE, linear(x, y)).at(np.array([longitude]), np.array([latitude]))
    np.testing.assert_allclose(values[0], linear(longitude, latitude), rtol=1e-10, atol=1e-9)


def test_points_beyond_the_grid_take_its_edge():
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    grid = GridMap(LONGITUDE, LATITUDE, linear(x, y))
    values = grid.at(np.array([-11.0, 5.0]), np.array([30.0, 50.0]))
    np.testing.assert_allclose(values, np.stack([linear(-10.0, 30.0), linear(5.0, 42.0)]))


def test_a_global_axis_closes_on_itself():
    longitude, latitude = np.arange(-180.0, 180.0, 1.0), np.linspace(-80.0, 80.0, 17)
    y, x = np.meshgrid(latitude, longitude, indexing="ij")
    grid = GridMap(longitude, latitude, np.sin(np.deg2rad(x))[None] + 0 * y)
    places = np.array([179.0, 179.25, 179.5, 179.999, 180.0, -180.0, 539.5, -179.999])
    np.testing.assert_allclose(grid.at(places, np.zeros(8))[:, 0], np.sin(np.deg2rad(places)), atol=1e-5)


def test_an_axis_that_runs_beyond_180_degrees_is_read_at_wrapped_longitudes():
    longitude = np.linspace(170.0, 190.0, 21)
    grid = GridMap(longitude, LATITUDE, np.broadcast_to(longitude, (1, 5, 21)))
    places = np.array([175.5, -179.5, 180.0, -170.0])
    np.testing.assert_allclose(grid.at(places, np.full(4, 35.0))[:, 0], [175.5, 180.5, 180.0, 190.0])


def test_land_mask_and_values_beside_a_coast():
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    values = linear(x, y)
    values[1, :, 3:] = np.nan  # one channel is enough to make land
    grid = GridMap(LONGITUDE, LATITUDE, values)
    assert grid.is_ocean(np.array([-10.0, 2.4, 2.6, 20.0]), np.full(4, 35.0)).tolist() == [True, True, False, False]
    beside = grid.at(np.array([2.4]), np.array([36.0]))[0]
    assert np.isfinite(beside).all()
    assert beside[1] == pytest.approx(linear(0.0, 36.0)[1])  # the coastal cell's own value, not a mixture with land
    everywhere = GridMap(LONGITUDE, LATITUDE, linear(x, y))
    assert everywhere.is_ocean(np.array([100.0]), np.array([0.0])).all()


def test_curvilinear_grid_takes_the_nearest_cell_even_where_land_has_no_place():
    y, x = np.meshgrid(np.linspace(-2.0, 2.0, 5), np.linspace(176.0, 184.0, 9), indexing="ij")
    values = (x + 10 * y)[None].copy()
    values[:, 0, 0] = np.nan
    values[:, 4, 8] = np.nan
    longitude, latitude = (x + 180) % 360 - 180, y.copy()
    longitude[4, 8] = latitude[4, 8] = np.nan  # as products leave removed land
    grid = GridMap(longitude, latitude, values)
    read = grid.at(np.array([180.1, -179.1, 176.0]), np.array([0.1, 0.9, -2.0]))[:, 0]
    np.testing.assert_allclose(read, [180.0, 191.0, values[0, 0, 1]])
    assert grid.is_ocean(np.array([180.1, 176.0]), np.array([0.1, -2.0])).tolist() == [True, False]


def axis(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """An axis of uneven steps, none of them next to nothing."""
    steps = rng.uniform(0.2, 1.0, count - 1)
    return low + (high - low) * np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3), st.integers(0, 999))
def test_bilinear_values_are_those_of_scipy(rows, columns, channels, seed):
    """On uneven axes, for points inside, on the nodes and, taken to the edge, beyond."""
    rng = np.random.default_rng(seed)
    latitude, longitude = axis(rng, rows, -37.0, 12.0), axis(rng, columns, 150.0, 260.0)
    values = rng.normal(size=(channels, rows, columns))
    x = np.concatenate([rng.uniform(140, 270, 40), rng.choice(longitude, 10), longitude[[0, -1]]])
    y = np.concatenate([rng.uniform(-50, 30, 40), rng.choice(latitude, 10), latitude[[0, -1]]])
    inside = np.stack([np.clip(y, latitude[0], latitude[-1]), np.clip(x, longitude[0], longitude[-1])], axis=-1)
    expected = np.stack([RegularGridInterpolator((latitude, longitude), v)(inside) for v in values], axis=-1)
    read = GridMap(longitude, latitude, values).at(wrap_longitude(x), y)
    np.testing.assert_allclose(read, expected, rtol=1e-9, atol=1e-9)
    assert read.shape == (52, channels)


@settings(deadline=None)
@given(st.sampled_from([-180.0, -179.5, 0.0, 0.5, 20.0]), st.sampled_from([6, 36, 359]), st.integers(0, 99))
def test_global_axes_are_those_of_scipy_on_a_repeated_axis(first, count, seed):
    rng = np.random.default_rng(seed)
    longitude, latitude = first + np.arange(count) * 360.0 / count, np.linspace(-80.0, 80.0, 5)
    values = rng.normal(size=(2, 5, count))
    x, y = rng.uniform(-180, 180, 60), rng.uniform(-80, 80, 60)
    x[:4] = [-180.0, 179.999999, 0.0, first]
    around = np.concatenate([longitude - 360, longitude, longitude + 360])
    expected = np.stack(
        [RegularGridInterpolator((latitude, around), np.tile(v, 3))(np.stack([y, x], axis=-1)) for v in values], axis=-1
    )
    grid = GridMap(longitude, latitude, values)
    for turn in (-360.0, 0.0, 360.0):
        np.testing.assert_allclose(grid.at(x + turn, y), expected, rtol=1e-9, atol=1e-8)


def test_axes_in_any_order_are_read_alike():
    """Latitudes from north to south, and longitudes that jump at 180 degrees, as users' files have them."""
    rng = np.random.default_rng(0)
    longitude, latitude = np.arange(170.0, 191.0), np.linspace(30.0, 42.0, 5)
    values = rng.normal(size=(1, 5, 21))
    values[0, 1, 4:7] = np.nan
    x, y = wrap_longitude(rng.uniform(168, 192, 200)), rng.uniform(29, 43, 200)
    grid = GridMap(longitude, latitude, values)
    southwards = GridMap(longitude, latitude[::-1], values[:, ::-1])
    np.testing.assert_array_equal(southwards.at(x, y), grid.at(x, y))
    np.testing.assert_array_equal(southwards.is_ocean(x, y), grid.is_ocean(x, y))
    inside = (wrap_longitude(x - 180) > -10) & (wrap_longitude(x - 180) < 10)
    jumping = GridMap(wrap_longitude(longitude), latitude, values)
    np.testing.assert_allclose(jumping.at(x, y)[inside], grid.at(x, y)[inside], atol=1e-9)
    np.testing.assert_array_equal(jumping.is_ocean(x, y)[inside], grid.is_ocean(x, y)[inside])


def test_axes_of_one_cell_are_constant_along_them():
    x, y = np.array([3.0, 5.0, 90.0]), np.array([-10.0, 31.5, 40.0])
    row = GridMap(LONGITUDE, np.array([35.0]), linear(LONGITUDE[None], np.full((1, 7), 35.0)))
    np.testing.assert_allclose(row.at(x, y), linear(np.clip(x, -10, 20), np.full(3, 35.0)).T)
    column = GridMap(np.array([5.0]), LATITUDE, linear(np.full((5, 1), 5.0), LATITUDE[:, None]))
    np.testing.assert_allclose(column.at(x, y), linear(np.full(3, 5.0), np.clip(y, 30, 42)).T)
    one = GridMap(np.array([5.0]), np.array([35.0]), np.array([[[2.5]]]))
    assert one.at(x, y).tolist() == [[2.5]] * 3
    assert one.is_ocean(x, y).all()


def test_a_constant_field_with_land_is_constant_everywhere():
    values = np.full((2, 5, 7), 1.5)
    values[1] = -0.25
    values[:, 2, 1:4] = np.nan
    grid = GridMap(LONGITUDE, LATITUDE, values)
    np.testing.assert_array_equal(grid.at(np.linspace(-10, 20, 50), np.full(50, 36.1)), [[1.5, -0.25]] * 50)
    assert not grid.is_ocean(np.array([0.0]), np.array([36.0]))[0]


def test_land_without_any_ocean_is_read_as_zero():
    grid = GridMap(LONGITUDE, LATITUDE, np.full((1, 5, 7), np.nan))
    assert not grid.is_ocean(np.array([0.0]), np.array([36.0]))[0]
    assert grid.at(np.array([0.0]), np.array([36.0])).tolist() == [[0.0]]


def test_a_point_without_a_place_has_no_value_and_no_points_none():
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    grid = GridMap(LONGITUDE, LATITUDE, linear(x, y))
    assert np.isnan(grid.at(np.array([np.nan, 5.0]), np.array([35.0, np.nan]))).all()
    assert grid.at(np.zeros(0), np.zeros(0)).shape == (0, 2)
