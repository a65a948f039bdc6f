"""Boxes on the globe against brute force over points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.space.boxes import centred_in, points_in, touches, widened
from dino.space.domain import Region

AXIS = np.arange(0.5, 20, 1.0)


@given(st.integers(-200, 200), st.integers(0, 16), st.integers(0, 16), st.integers(1, 4), st.integers(1, 4))
def test_a_tile_touches_a_box_when_they_share_a_cell(origin, column, row, width, height):
    """Tiles and boxes of whole degrees, anywhere on the globe, so that cells of a degree tell."""
    tile = Region.from_bounds(origin + 6, origin + 10, 6, 10)
    box = (origin + column, origin + column + width, row, row + height)
    longitude, latitude = np.meshgrid(origin + AXIS, AXIS)
    shared = tile.contains(longitude, latitude) & points_in(longitude, latitude, [box])
    assert touches(tile, [box]) == shared.any()
    assert centred_in(tile, [box]) == (column < 8 < column + width and row < 8 < row + height)
    assert touches(tile, [(origin + 90, origin + 91, 0, 1), box]) == shared.any()
    assert not touches(tile, [])


@pytest.mark.parametrize("turn", [0, 360, -360])
def test_points_in_a_box_across_180_degrees(turn):
    longitude = np.array([169.0, 171.0, 179.0, -179.0, -171.0, -169.0]) + turn
    np.testing.assert_array_equal(points_in(longitude, np.zeros(6), [(170, 190, -1, 1)]), [0, 1, 1, 1, 1, 0])


def test_a_margin_ends_at_the_poles():
    assert widened((-10, 10, -85, 50), 10) == (-20, 20, -90, 60)
