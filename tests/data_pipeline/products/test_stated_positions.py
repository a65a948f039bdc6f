"""What a file says of its longitudes and latitudes is obeyed or refused, in every layout and through every reader."""

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import SchemaError, UnitsError, UnknownProductError
from data_pipeline.products import ingest

LONGITUDE, LATITUDE = np.array([-70.5, -60.25, -50.0]), np.array([-41.5, -40.0, 35.5, 36.0])
DAY = {"units": "days since 2000-01-01"}
METRES = {"units": "m"}
# units of longitude and latitude, and what a degree east or north is in them
UNITS = {
    "plain": ("degrees", "degrees", 1.0, 1.0),
    "none": ("", "", 1.0, 1.0),
    "letters": ("degreeE", "degree_N", 1.0, 1.0),
    "words": ("degrees East", "degrees North", 1.0, 1.0),
    "sign": ("°", "°", 1.0, 1.0),
    "west": ("degrees_west", "degrees_north", -1.0, 1.0),
    "west and south": ("degree_W", "degrees_S", -1.0, -1.0),
    "south": ("degrees_east", "degreeS", 1.0, -1.0),
    "radians": ("radians", "radian", np.pi / 180, np.pi / 180),
    "minutes": ("arc_minute", "arcmin", 60.0, 60.0),
    "seconds": ("arcsec", "arc_second", 3600.0, 3600.0),
    "gons": ("gon", "grad", 1 / 0.9, 1 / 0.9),
    "scaled": ("1e-6 degrees_east", "microdegrees", 1e6, 1e6),
}
REFUSED = {
    "km": ("km", "km"),
    "metres": ("m", "degrees_north"),
    "swapped": ("degrees_north", "degrees_east"),
    "latitude in degrees east": ("degrees_east", "degrees_east"),
    "one": ("1", "1"),
    "latitude in degrees west": ("degrees_east", "degrees_west"),
}


def described(longitude, latitude, units):
    """(longitude, latitude) variables in the units of an entry of UNITS or REFUSED."""
    east, north, *scales = units
    by, along = scales or (1.0, 1.0)
    named = [
        {"standard_name": name} | ({"units": unit} if unit else {})
        for name, unit in (("longitude", east), ("latitude", north))
    ]
    return (longitude * by, named[0]), (latitude * along, named[1])


def axes(units):
    """Maps on two axes."""
    (x, of_x), (y, of_y) = described(LONGITUDE, LATITUDE, units)
    values = (0.01 * LONGITUDE + 0.001 * LATITUDE[:, None])[None]
    coords = {"lon": ("lon", x, of_x), "lat": ("lat", y, of_y), "time": ("time", [1.0], DAY)}
    return xr.Dataset({"adt": (("time", "lat", "lon"), values, METRES)}, coords)


def curvilinear(units):
    """Maps on a curvilinear grid."""
    (x, of_x), (y, of_y) = described(*np.meshgrid(LONGITUDE, LATITUDE), units)
    values = (0.01 * LONGITUDE + 0.001 * LATITUDE[:, None])[None]
    coords = {"nav_lon": (("y", "x"), x, of_x), "nav_lat": (("y", "x"), y, of_y), "time": ("time", [1.0], DAY)}
    return xr.Dataset({"adt": (("time", "y", "x"), values, METRES)}, coords)


def track(units):
    """Points along a track."""
    x, y = (array.ravel() for array in np.meshgrid(LONGITUDE, LATITUDE))
    (east, of_x), (north, of_y) = described(x, y, units)
    columns = {"longitude": (east, of_x), "latitude": (north, of_y), "adt": (0.01 * x + 0.001 * y, METRES)}
    columns["time"] = (np.linspace(1.0, 1.5, x.size), DAY)
    return xr.Dataset({name: ("obs", *column) for name, column in columns.items()})


def swath(units):
    """Pixels of a swath with a time of each line."""
    (x, of_x), (y, of_y) = described(*np.meshgrid(LONGITUDE, LATITUDE), units)
    columns = {
        "longitude": (x, of_x),
        "latitude": (y, of_y),
        "adt": (0.01 * LONGITUDE + 0.001 * LATITUDE[:, None], METRES),
    }
    ds = xr.Dataset({name: (("num_lines", "num_pixels"), *column) for name, column in columns.items()})
    return ds.assign(time=("num_lines", np.linspace(1.0, 1.1, LATITUDE.size), DAY))


LAYOUTS = (axes, curvilinear, track, swath)


def ingested(tmp_path, ds, **options):
    ds.to_netcdf(tmp_path / "a.nc")
    return ingest(tmp_path / "a.nc", **options)


def require_true(ds):
    """Every value lies where it is the truth."""
    flat = ds["adt"].load()
    longitude, latitude = (position.broadcast_like(flat) for position in (ds["longitude"], ds["latitude"]))
    assert flat.size == LONGITUDE.size * LATITUDE.size
    np.testing.assert_allclose(flat, 0.01 * longitude + 0.001 * latitude, atol=1e-5)
    np.testing.assert_allclose(np.unique(np.round(ds["longitude"], 6)), LONGITUDE, atol=1e-5)
    np.testing.assert_allclose(np.unique(np.round(ds["latitude"], 6)), LATITUDE, atol=1e-5)


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize("units", UNITS)
def test_positions_in_any_angle_are_the_same_places(tmp_path, made, units):
    ds = ingested(tmp_path, made(UNITS[units]))
    require_true(ds)
    converted = [line for line in ds.attrs["history"].splitlines() if "converted to degrees" in line]
    assert len(converted) == sum(scale != 1 for scale in UNITS[units][2:])


@pytest.mark.parametrize("made", LAYOUTS)
@pytest.mark.parametrize("units", REFUSED)
def test_positions_in_no_angle_are_refused(tmp_path, made, units):
    with pytest.raises(
        UnitsError, match=r"of 'a.nc' has units .*--units (longitude=degrees_east|latitude=degrees_north)"
    ):
        ingested(tmp_path, made(REFUSED[units]))


@pytest.mark.parametrize("made", LAYOUTS)
def test_units_that_are_told_overrule_those_of_the_file(tmp_path, made):
    told = {"longitude": "degrees_east", "latitude": "degrees_north"}
    require_true(ingested(tmp_path, made(("km", "m", 1.0, 1.0)), units=told))
    told = {"longitude": "degrees_west", "latitude": "radians"}
    require_true(ingested(tmp_path, made(("", "", -1.0, np.pi / 180)), units=told))
    with pytest.raises(UnitsError, match="km"):
        ingested(tmp_path, made(UNITS["plain"]), units={"longitude": "km"})


@pytest.mark.parametrize("made", LAYOUTS)
def test_packed_positions_are_unpacked_before_they_are_converted(tmp_path, made):
    ds = made(UNITS["west"])
    name = next(name for name in ds.variables if ds[name].attrs.get("standard_name") == "longitude")
    ds[name].encoding = {"dtype": "int32", "scale_factor": 1e-6, "_FillValue": -(2**31)}
    require_true(ingested(tmp_path, ds))


@pytest.mark.parametrize(
    "names", [("grid_longitude", "grid_latitude"), ("projection_x_coordinate", "projection_y_coordinate")]
)
def test_axes_of_a_rotated_grid_are_no_places(tmp_path, names):
    ds = axes(UNITS["letters"])
    for axis, name in zip(("lon", "lat"), names, strict=True):
        ds[axis].attrs["standard_name"] = name
    with pytest.raises(UnknownProductError, match="no longitude and latitude"):
        ingested(tmp_path, ds)
    places = {"longitude": (("lat", "lon"), np.broadcast_to(LONGITUDE, (4, 3)), {"units": "degrees_east"})}
    places["latitude"] = (("lat", "lon"), np.broadcast_to(LATITUDE[:, None], (4, 3)), {"units": "degrees_north"})
    turned = ds.assign_coords(lon=LONGITUDE + 60, lat=LATITUDE - 9).assign(places)
    for axis, name in zip(("lon", "lat"), names, strict=True):
        turned[axis].attrs = {"standard_name": name, "units": "degrees"}
    require_true(ingested(tmp_path, turned))


def test_units_of_what_is_no_channel_are_refused(tmp_path):
    with pytest.raises(UnitsError, match=r"'lon', which is none of adt, .*longitude, latitude"):
        ingested(tmp_path, axes(UNITS["plain"]), units={"lon": "degrees_west"})


def test_longitudes_beyond_two_turns_are_none(tmp_path):
    """Metres without units would be wrapped to anything."""
    ds = axes(UNITS["none"])
    with pytest.raises(SchemaError, match=r"longitude axis of 'a.nc' reaches 50000 degrees"):
        ingested(tmp_path, ds.assign_coords(lon=[10000.0, 30000.0, 50000.0]))
