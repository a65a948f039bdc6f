"""The page of a forecast: maps, spread and series, with observations, gaps and a place on land; what is refused."""

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import SchemaError
from dino.plotting import Seen, plot_outlook
from tests.pictures import assert_drawn

START = np.datetime64("2022-01-07T16:00", "ns")
DAYS = np.timedelta64(1, "D")


def forecast(dims, shape, days, coords) -> xr.Dataset:
    values = np.random.default_rng(0).normal(0.0, 0.1, shape)
    values.reshape(len(days), -1)[:, 0] = np.nan  # a cell, or the first place, without a value
    made = xr.Dataset(
        {"sla": (dims, values, {"units": "m"}), "sla_std": (dims, np.full(shape, 0.05) + 0.01 * np.abs(values))},
        coords={"time": START + (np.asarray(days) * 24).astype("timedelta64[h]"), **coords},
    )
    return made.assign_coords(forecast_reference_time=START)


def maps(west: float = 170.0) -> xr.Dataset:
    axes = {"latitude": np.arange(30.0, 38.0, 0.5), "longitude": np.arange(west, west + 20.0, 0.5)}
    shape = (3, len(axes["latitude"]), len(axes["longitude"]))
    return forecast(("time", "latitude", "longitude"), shape, [0.0, 5.0, 10.0], axes)


def series(places: int) -> xr.Dataset:
    coords = {"longitude": ("point", np.linspace(171.0, 189.0, places)), "latitude": ("point", np.full(places, 34.0))}
    return forecast(("time", "point"), (16, places), np.linspace(-5, 10, 16), coords)


def seen(count: int) -> Seen:
    chance = np.random.default_rng(1)
    time = START - (chance.random(count) * 5 * 86400).astype("timedelta64[s]")
    longitude = (chance.uniform(170.0, 190.0, count) + 180.0) % 360.0 - 180.0  # across 180 degrees
    return Seen(time, longitude, chance.uniform(30.0, 38.0, count), chance.normal(0.0, 0.1, count))


@pytest.mark.parametrize("places", [1, 5, 8])
def test_a_page_is_drawn(tmp_path, places):
    one = plot_outlook(maps(), series(places), tmp_path / "a.png", channel="sla", seen=seen(400), credit="somebody")
    two = plot_outlook(maps(), series(places) * 1.5, tmp_path / "b.png", channel="sla", title="more", credit="somebody")
    assert_drawn(one, other=two)


def test_another_channel_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="no 'adt'"):
        plot_outlook(maps(), series(2), tmp_path / "a.png", channel="adt")
    assert not (tmp_path / "a.png").exists()
