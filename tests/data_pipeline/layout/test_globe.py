"""Longitudes that come round, and axes that become positions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_pipeline.layout.globe import mesh, wrap_longitude

DEGREES = st.floats(-1e6, 1e6)


@given(arrays(np.float64, 5, elements=DEGREES))
def test_wrapped_longitudes_lie_in_the_half_open_interval(longitude):
    wrapped = wrap_longitude(longitude)
    assert ((wrapped >= -180.0) & (wrapped < 180.0)).all()
    turns = (wrapped - longitude) / 360.0
    np.testing.assert_allclose(turns, np.round(turns), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(wrap_longitude(wrapped), wrapped)


@given(st.floats(-180.0, 180.0, exclude_max=True))
def test_longitudes_inside_stay_exactly_as_they_are(longitude):
    assert float(wrap_longitude(longitude)) == longitude


def test_longitudes_at_the_edges():
    np.testing.assert_array_equal(wrap_longitude([180.0, 359.875, -180.0, 360.0, 540.0]), [-180, -0.125, -180, 0, -180])
    for outside in (-180.00000000000003, np.nextafter(-180.0, -np.inf)):
        assert -180.0 <= float(wrap_longitude(outside)) < 180.0
    assert np.isnan(wrap_longitude(np.nan))


def test_axes_span_positions_and_positions_stay():
    longitude, latitude = mesh(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0]))
    np.testing.assert_array_equal(longitude, [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(latitude, [[10, 10, 10], [20, 20, 20]])
    again = mesh(longitude, latitude)
    assert again[0] is longitude
    assert again[1] is latitude
