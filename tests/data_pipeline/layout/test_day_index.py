"""A day index that is not that of its rows is never used, however they were chosen."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import EmptyDataError
from data_pipeline.layout.datasets import index_by_day, observations_dataset
from data_pipeline.layout.day_index import day_index_fits
from data_pipeline.stores.stream import read_window

START = np.datetime64("2014-05-15", "us")
HOUR = np.timedelta64(1, "h")


def observed(hours):
    count = len(hours)
    return observations_dataset(
        START + np.array(hours) * HOUR, np.zeros(count), np.zeros(count), {"adt": np.arange(count)}
    )


def chosen(ds, how, rng):
    count = ds.sizes["obs"]
    order = {
        "slice": np.arange(count)[count // 4 : 3 * count // 4 + 1],
        "mask": np.flatnonzero(rng.random(count) < 0.5),
        "shuffled": rng.permutation(count),
        "reversed": np.arange(count)[::-1],
        "drawn": np.sort(rng.integers(0, count, count)),
        "drawn unsorted": rng.integers(0, count, count),
        "strided": np.arange(0, count, 3),
    }[how]
    return ds.isel(obs=order)


HOWS = ["slice", "mask", "shuffled", "reversed", "drawn", "drawn unsorted", "strided"]


@settings(max_examples=150, deadline=None)
@given(
    hours=st.lists(st.integers(0, 240), min_size=2, max_size=40),
    how=st.sampled_from(HOWS),
    seed=st.integers(0, 1000),
    first=st.integers(-10, 250),
    length=st.integers(1, 120),
    lazy=st.booleans(),
)
def test_a_window_of_a_selection_is_that_of_its_rows(hours, how, seed, first, length, lazy):
    part = chosen(observed(hours), how, np.random.default_rng(seed))
    if not part.sizes["obs"]:
        return
    start, stop = START + first * HOUR, START + (first + length) * HOUR
    time = part["time"].values
    wanted = np.sort(part["adt"].values[(time >= start) & (time < stop)])
    part = part.chunk(obs=7) if lazy else part
    if not wanted.size:
        with pytest.raises(EmptyDataError):
            read_window(part, start, stop)
        return
    window = read_window(part, start, stop)
    assert day_index_fits(window)
    np.testing.assert_array_equal(np.sort(window["adt"].values), wanted)
    assert (np.diff(window["time"].values) >= np.timedelta64(0)).all()


def test_an_index_fits_the_rows_that_it_was_made_of():
    ds = observed([0, 5, 30, 31, 100])
    assert day_index_fits(ds)
    assert day_index_fits(ds.chunk(obs=2))
    part = ds.isel(obs=slice(1, 4))
    assert not day_index_fits(part)
    assert day_index_fits(index_by_day(part))


def test_a_selection_of_as_many_rows_is_found_out():
    ds = observed([0, 5, 30, 31, 100])
    assert not day_index_fits(ds.isel(obs=[0, 0, 0, 3, 4]))
    assert not day_index_fits(ds.isel(obs=[4, 1, 2, 3, 0]))
    assert not day_index_fits(ds.assign_coords(time=ds["time"] + np.timedelta64(1, "D")))


def test_what_has_no_index_has_none_that_fits():
    ds = observed([0, 5, 30])
    assert not day_index_fits(ds.drop_vars("day_offset"))
    assert not day_index_fits(ds.isel(obs=slice(0, 0)))
    assert not day_index_fits(xr.Dataset({"adt": ("point", [1.0])}))
