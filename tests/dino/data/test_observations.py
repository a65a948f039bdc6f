"""Observations: what both layouts become, and what is refused."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from dino.data.observations import Observations, datetime_of, day_of, days_since_epoch
from dino.errors import DinoError, EmptyDataError, ObservationError, TimeError


def made(count: int = 4) -> Observations:
    return Observations(
        time=np.arange(count, dtype=float),
        longitude=np.linspace(-180, 170, count),
        latitude=np.linspace(-90, 90, count),
        values=np.ones((count, 1)),
        error=np.full((count, 1), np.nan),
        source=np.zeros(count, np.int64),
        channels=("adt",),
    )


@given(st.integers(-(10**9), 10**10))
def test_time_is_exact_to_the_millisecond(milliseconds):
    moment = np.datetime64("1950-01-01", "ns") + np.timedelta64(milliseconds, "ms")
    assert datetime_of(days_since_epoch(moment)) == moment


@pytest.mark.parametrize(
    "value",
    [
        *("2000-03-10", "20000310", 20000310, dt.date(2000, 3, 10), dt.datetime(2000, 3, 10), "2000-03-10T02:00+02:00"),
        *(np.datetime64("2000-03-10"), np.datetime64("2000-03-10", "s"), np.array(["2000-03-10"], "M8[us]")),
        *(pd.Timestamp("2000-03-10"), xr.DataArray(np.datetime64("2000-03-10", "ns"))),
    ],
)
def test_every_spelling_is_the_same_day(value):
    assert day_of(value) == 18331.0


@pytest.mark.parametrize("value", [5, 18331.0, None, "soon", np.datetime64("NaT"), "0001-01-01", "2300-01-01"])
def test_what_is_no_day_is_refused(value):
    with pytest.raises(TimeError):
        day_of(value)


def test_days_of_many_times():
    for times in (["20000310", "2000-03-11"], np.array(["2000-03-10", "2000-03-11"], "M8[D]")):
        np.testing.assert_array_equal(days_since_epoch(times), [18331.0, 18332.0])
    with pytest.raises(TimeError, match="2300"):
        days_since_epoch(np.array(["2300-01-01"], "M8[s]"))
    with pytest.raises(TimeError, match="without a reference"):
        days_since_epoch(np.array([18331.0]))


@pytest.mark.parametrize("days", [4e5, -3e5, 1e300, np.inf, -np.inf])
def test_days_beyond_a_store_do_not_wrap(days):
    with pytest.raises(TimeError, match="the years 1678 to 2261"):
        datetime_of(np.array([0.0, days]))
    assert np.isnat(datetime_of(np.nan))


def test_observation_layout(toy_observations):
    observations = Observations.from_dataset(toy_observations, ("adt", "sst"))
    assert len(observations) == 500
    np.testing.assert_array_equal(observations.values[:, 0], toy_observations["adt"])
    assert np.isnan(observations.values[:, 1]).all()
    np.testing.assert_allclose(observations.error[:, 0], 0.02)
    np.testing.assert_array_equal(observations.source, toy_observations["source"])
    assert (np.diff(observations.time) >= 0).all()


def test_the_truth_beside_the_values_is_never_looked_at(toy_observations):
    told = toy_observations.assign(
        adt_truth=toy_observations["adt"] * np.nan, adt_correlated_error=toy_observations["adt_error"] / 2
    )
    plain, seen = (Observations.from_dataset(ds, ("adt",)) for ds in (toy_observations, told))
    for name in ("time", "values", "error"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(plain, name))


def test_field_layout(toy_fields):
    observations = Observations.from_dataset(toy_fields, ("sst", "adt"))
    assert len(observations) == 5 * (24 - 1)
    adt = 0.1 * (observations.time - observations.time[0]) + 0.01 * observations.latitude
    adt += 0.02 * observations.longitude
    np.testing.assert_allclose(observations.values[:, 1], adt, atol=1e-6)
    np.testing.assert_allclose(observations.values[:, 0], 20 + adt, atol=1e-5)
    single = Observations.from_dataset(toy_fields.isel(time=2), ("adt",))
    assert len(single) == 23
    assert len(np.unique(single.time)) == 1


def test_field_layout_with_channels_in_another_order_of_dimensions(toy_fields):
    turned = toy_fields.transpose("longitude", "time", "latitude")
    ours, theirs = (Observations.from_dataset(ds, ("adt",)) for ds in (toy_fields, turned))
    order = np.lexsort((theirs.longitude, theirs.latitude, theirs.time))
    np.testing.assert_array_equal(ours.values, theirs.values[order])


def test_curvilinear_layout_without_coordinates_over_land():
    x, y = np.meshgrid(np.linspace(178.0, 182.0, 4), np.linspace(0.0, 2.0, 3))
    values = (x + y)[None].copy()
    values[0, 0, 0] = np.nan
    ds = fields_dataset(np.array(["2014-05-15"], "datetime64[ns]"), x, y, {"adt": values})
    ds["longitude"][0, 0] = np.nan
    ds["latitude"][0, 0] = np.nan
    observations = Observations.from_dataset(ds, ("adt",))
    assert len(observations) == 11
    np.testing.assert_allclose(observations.values[:, 0], observations.longitude % 360 + observations.latitude, 1e-6)


def test_unsorted_table_comes_out_in_time_order(toy_observations):
    shuffled = toy_observations.isel(obs=np.random.default_rng(0).permutation(500)).drop_vars(["day", "day_offset"])
    ours, theirs = (Observations.from_dataset(ds, ("adt",)) for ds in (toy_observations, shuffled))
    np.testing.assert_array_equal(ours.time, theirs.time)
    np.testing.assert_array_equal(ours.values, theirs.values)


@given(st.floats(-1, 11), st.floats(0, 5))
def test_window_holds_what_lies_between(start, width):
    observations = made(10)
    inside = (observations.time >= start) & (observations.time <= start + width)
    if inside.any():
        window = observations.window(start, start + width)
        np.testing.assert_array_equal(window.time, observations.time[inside])
        np.testing.assert_array_equal(window.longitude, observations.longitude[inside])
    else:
        with pytest.raises(EmptyDataError, match=r"observations run from 1950-01-01T00:00 to 1950-01-10T00:00"):
            observations.window(start, start + width)


def test_window_includes_both_ends():
    assert len(made(4).window(1.0, 2.0)) == 2


def test_select_by_mask_and_index():
    observations = made(4)
    assert observations.select(np.array([True, False, False, True])).time.tolist() == [0.0, 3.0]
    assert observations.select(np.array([2])).longitude.tolist() == [observations.longitude[2]]


def test_wrong_channel_is_named_beside_what_is_there(toy_observations):
    with pytest.raises(ObservationError, match=r"holds .*adt.* wants salinity"):
        Observations.from_dataset(toy_observations, ("salinity",))


def test_nothing_but_missing_values(toy_fields):
    with pytest.raises(EmptyDataError, match="all 120 values of adt are missing"):
        Observations.from_dataset(toy_fields.where(False), ("adt",))


def test_several_trajectories_are_refused(toy_fields):
    with pytest.raises(ObservationError, match="several trajectories"):
        Observations.from_dataset(toy_fields.expand_dims("trajectory"), ("adt",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latitude": np.array([0.0, 0.0, 0.0, 90.1])}, "latitudes reach 90.1"),
        ({"latitude": np.array([-91.0, 0.0, 0.0, 0.0])}, "latitudes reach 91"),
        ({"latitude": np.array([np.nan, 0.0, 0.0, 0.0])}, "no longitude or latitude"),
        ({"longitude": np.array([np.nan, 0.0, 0.0, 0.0])}, "no longitude or latitude"),
        ({"time": np.array([0.0, 1.0, 2.0, np.nan])}, "times are missing"),
        ({"error": np.full((4, 1), -0.1)}, "cannot be negative"),
        ({"values": np.ones((4, 2))}, r"must be \(observation, channel\) = \(4, 1\)"),
        ({"error": np.ones((3, 1))}, r"must be \(observation, channel\)"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ObservationError, match=message):
        replace(made(4), **change)
    assert issubclass(ObservationError, DinoError)


def test_bad_latitude_in_a_table_is_found():
    table = xr.Dataset(
        {"adt": ("obs", [0.1])},
        coords={
            "time": ("obs", np.array(["2014-05-15"], "datetime64[ns]")),
            "longitude": ("obs", [38.0]),
            "latitude": ("obs", [150.0]),
        },
    )
    with pytest.raises(ObservationError, match="swapped"):
        Observations.from_dataset(table, ("adt",))


def test_longitudes_are_wrapped():
    ds = observations_dataset(np.array(["2014-05-15"] * 2, "datetime64[ns]"), [0, 0], [0, 0], {"adt": [1, 2]})
    ds["longitude"] = ("obs", [359.0, 180.0])
    assert Observations.from_dataset(ds, ("adt",)).longitude.tolist() == [-1.0, -180.0]
