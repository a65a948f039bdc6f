"""Static maps: bilinear values, the global seam, coasts and curvilinear grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.space.gridmap import GridMap

LONGITUDE, LATITUDE = np.linspace(-10.0, 20.0, 7), np.linspace(30.0, 42.0, 5)


def linear(longitude, latitude):
    """Two linear fields (channel, ...)."""
    return np.stack([0.5 + 0.02 * longitude - 0.1 * latitude, -3.0 * longitude + latitude])


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
