"""Units of longitudes and latitudes: every spelling of an angle gives the same place, anything else is refused."""

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import UnitsError
from data_pipeline.layout.degrees import degrees

EAST = (
    *("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE", "Degrees East", "DEGREES_EAST"),
    *("deg_E", "degE", "deg east", "° E", "°E", "degrees_e", "degree-east", "arc_degree_east", "decimal degrees east"),
)
PLAIN = (
    *("", "degree", "degrees", "Degrees", "DEGREES", "deg", "degs", "DEG", "°", "º", "arc_degree", "arcdeg"),
    *("angular_degree", "arc_degrees", "decimal degrees", "decimal_degrees", " degrees ", "1 degree"),
)
OTHERS = {
    "radian": 180 / np.pi, "radians": 180 / np.pi, "rad": 180 / np.pi, "arc_minute": 1 / 60, "arcmin": 1 / 60,
    "arcminutes": 1 / 60, "angular_minutes": 1 / 60, "'": 1 / 60, "arc_second": 1 / 3600, "arcsec": 1 / 3600,
    "angular_second": 1 / 3600, '"': 1 / 3600, "grad": 0.9, "grade": 0.9, "gon": 0.9, "turn": 360.0, "circle": 360.0,
    "microdegrees": 1e-6, "micro_degree": 1e-6, "1e-6 degrees": 1e-6, "0.01 degree": 0.01, "milliradian": 0.18 / np.pi,
}  # fmt: skip
NO_ANGLES = (
    *("km", "m", "metre", "meters", "kilometers", "1", "s", "seconds", "minutes", "second", "percent", "degC", "K"),
    *("degree_Celsius", "degrees_true", "degree_C", "unknown", "none", "degrees_easterly", "days since 1950-01-01"),
    *("0 degrees", "inf degrees", "-", "degrees/s", "east"),
)
values = np.array([0.0, -70.25, 12.5, np.nan])


@pytest.mark.parametrize("units", EAST + PLAIN)
def test_degrees_east_stay(units):
    found, note = degrees(values, units, "longitude", "file.nc")
    np.testing.assert_array_equal(found, values)
    assert note == ""


@pytest.mark.parametrize(
    "units",
    [
        text.replace("east", "west").replace("East", "West").replace("EAST", "WEST")
        for text in EAST
        if "ast" in text.lower()
    ]
    + ["degree_W", "degrees_W", "degreeW", "degreesW", "degW", "°W", "degrees_w", "-1 degrees_east"],
)
def test_degrees_west_turn_their_sign(units):
    found, note = degrees(values, units, "longitude", "file.nc")
    np.testing.assert_array_equal(found, -values)
    assert units in note
    assert "degrees_east" in note


@pytest.mark.parametrize(
    "units", ["degrees_south", "degree_S", "degrees_S", "degreeS", "degreesS", "degS", "DEGREE_S", "deg s"]
)
def test_degrees_south_turn_their_sign(units):
    np.testing.assert_array_equal(degrees(values, units, "latitude", "file.nc")[0], -values)


@pytest.mark.parametrize("units", ["degrees_north", "degree_N", "degreesN", "degN", "° N", "Degrees North", *PLAIN])
def test_degrees_north_stay(units):
    np.testing.assert_array_equal(degrees(values, units, "latitude", "file.nc")[0], values)


@pytest.mark.parametrize("role", ["longitude", "latitude"])
@pytest.mark.parametrize(("units", "factor"), OTHERS.items())
def test_other_angles_convert(units, factor, role):
    found, note = degrees(values / factor, units, role, "file.nc")
    np.testing.assert_allclose(found, values, rtol=1e-14)
    assert found.dtype == np.float64
    assert note.startswith(f"{role}: {units} converted")


@pytest.mark.parametrize("role", ["longitude", "latitude"])
@pytest.mark.parametrize("units", NO_ANGLES)
def test_no_angles_are_refused(units, role):
    with pytest.raises(UnitsError, match=rf"(?s){role} of 'file.nc'.*--units {role}="):
        degrees(values, units, role, "file.nc")


@pytest.mark.parametrize(
    ("role", "units"),
    [("longitude", "degrees_north"), ("longitude", "degree_S"), ("latitude", "degrees_east"), ("latitude", "degW")],
)
def test_the_other_axis_is_refused(role, units):
    with pytest.raises(UnitsError, match=units):
        degrees(values, units, role, "file.nc")


def test_dask_stays_lazy_and_integers_become_floats():
    lazy = dask.array.from_array(np.array([[1, 2], [3, 4]], np.int32), chunks=1)
    found, _ = degrees(lazy, "degrees_west", "longitude", "file.nc")
    assert isinstance(found, dask.array.Array)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.compute(), [[-1, -2], [-3, -4]])


@given(st.text(max_size=20))
def test_no_text_is_an_angle_by_accident(units):
    try:
        found, note = degrees(np.array([1.0]), units, "longitude", "file.nc")
    except UnitsError:
        return
    assert found[0] == 1.0 or note
