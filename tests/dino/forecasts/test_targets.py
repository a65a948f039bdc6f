"""Where to forecast, in every layout that users have, and what comes back in it."""

import numpy as np
import pytest
import xarray as xr

from dino.data.observations import datetime_of
from dino.errors import EmptyDataError, ObservationError
from dino.forecasts.output import as_dataset, target_points
from dino.model import ChannelSpec

ROW, COLUMN = np.array([36.0, 37.0]), np.array([2.0, 3.0, 4.0])
MESH = np.meshgrid(COLUMN, ROW)
LAYOUTS = {
    "points": xr.Dataset({"longitude": ("point", COLUMN), "latitude": ("point", [36.0, 37.0, 36.5])}),
    "coordinates": xr.Dataset(coords={"longitude": ("mooring", COLUMN), "latitude": ("mooring", COLUMN + 34.0)}),
    "grid": xr.Dataset(coords={"latitude": ROW, "longitude": COLUMN}),
    "grid with longitude first": xr.Dataset(coords={"longitude": COLUMN, "latitude": ROW}),
    "swath": xr.Dataset(
        {name: (("line", "pixel"), part) for name, part in zip(("longitude", "latitude"), MESH, strict=True)}
    ),
    "place": xr.Dataset({"longitude": 2.0, "latitude": 36.0}),
    "track": xr.Dataset({"longitude": ("time", COLUMN), "latitude": ("time", COLUMN + 34.0)}),
}
DIMS = {
    "points": ("point",),
    "coordinates": ("mooring",),
    "grid": ("latitude", "longitude"),
    "grid with longitude first": ("latitude", "longitude"),
    "swath": ("line", "pixel"),
    "place": ("point",),
    "track": ("point",),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_come_back_in_the_layout_of_the_target(layout):
    """A field that says where it was asked for: 100 latitude + longitude, with the lead behind."""
    at = LAYOUTS[layout]
    points = target_points(at)
    assert points.dims == DIMS[layout]
    days, channels = np.array([20000.0, 20001.5]), [ChannelSpec(name="adt", units="m", spread=1.0)]
    told = (100 * points.latitude + points.longitude)[None, :, None] + 1000 * np.arange(2.0)[:, None, None]
    made = as_dataset(channels, points, days, 19999.0, told, 0.5 + 0 * told)
    assert made["adt"].dims == made["adt_std"].dims == ("time", *DIMS[layout])
    expected = 100 * made["latitude"] + made["longitude"] + xr.DataArray([0.0, 1000.0], dims="time")
    np.testing.assert_allclose(made["adt"], expected.transpose(*made["adt"].dims))
    np.testing.assert_array_equal(made["time"], datetime_of(days))
    assert made["forecast_reference_time"] == datetime_of(19999.0)
    assert (made["adt_std"] == 0.5).all()


def test_a_standard_deviation_is_left_out_and_named():
    points, days = target_points(LAYOUTS["grid"]), np.array([20000.0])
    channels = [
        ChannelSpec(name="u", units="m s-1", standard_name="eastward_sea_water_velocity", spread=1.0),
        ChannelSpec(name="x", units="1", spread=1.0),
    ]
    values = np.arange(12.0).reshape(1, 6, 2)
    made = as_dataset(channels, points, days, 20000.0, values, values)
    assert made["u_std"].attrs["standard_name"] == "eastward_sea_water_velocity standard_error"
    assert "standard_name" not in made["x_std"].attrs
    np.testing.assert_array_equal(made["x"].values.ravel(), values[0, :, 1])
    assert set(as_dataset(channels, points, days, 20000.0, values, None).data_vars) == {"u", "x"}


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        (xr.Dataset(), ObservationError, "holds nothing; it needs longitude and latitude"),
        (xr.Dataset({"lon": ("x", [1.0])}), ObservationError, "holds lon"),
        (LAYOUTS["grid"].isel(latitude=[]), EmptyDataError, "no point"),
        (LAYOUTS["points"] * np.nan, EmptyDataError, "no point"),
        (LAYOUTS["grid"].assign_coords(latitude=[38.0, 120.0]), ObservationError, "swapped"),
    ],
)
def test_targets_that_are_none_are_refused(at, error, message):
    with pytest.raises(error, match=message):
        target_points(at)
