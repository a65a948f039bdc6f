"""Observations of a period, from a store with its day index or from any dataset, and what was left out."""

import numpy as np
import pytest

from data_pipeline.stores.writing import open_store, write_store
from dino.data.inputs import last_time, read_period, read_window_of
from dino.data.observations import Observations, days_since_epoch
from dino.errors import EmptyDataError

ADT = ("adt",)


@pytest.fixture
def stored(toy_observations, tmp_path):
    """The same observations in a store, with its day index."""
    return open_store(write_store(toy_observations, tmp_path / "observations.zarr"))


@pytest.fixture
def plain(toy_observations):
    """As any program may make them: in no order, without an index."""
    shuffled = toy_observations.isel(obs=np.random.default_rng(0).permutation(500))
    return shuffled.drop_vars(["day", "day_offset"])


@pytest.fixture
def whole(toy_observations) -> Observations:
    return Observations.from_dataset(toy_observations, ADT)


def test_a_window_of_a_store_is_that_of_any_table(stored, plain, whole):
    start, end = whole.time[0] + 2.3, whole.time[0] + 6.1
    expected = whole.window(start, end)
    outside = len(whole) - len(expected)
    for dataset in (stored, plain):
        made = read_window_of(dataset, ADT, start, end)
        for name in ("time", "longitude", "latitude", "values", "error", "source"):
            np.testing.assert_array_equal(getattr(made.observations, name), getattr(expected, name))
        assert (made.missing, made.outside) == (0, outside)


def test_both_ends_belong_to_the_period(stored, plain, whole):
    start, end = whole.time[100], whole.time[103]
    for dataset in (stored, plain):
        assert read_window_of(dataset, ADT, start, end).observations.time.tolist() == whole.time[100:104].tolist()


def test_only_the_days_of_a_period_are_read_of_a_store(stored, whole, monkeypatch):
    looked_at = []
    made = Observations.from_dataset
    monkeypatch.setattr(Observations, "from_dataset", lambda ds, names: looked_at.append(ds) or made(ds, names))
    read = read_period(stored, ADT, whole.time[0] + 4.0, whole.time[0] + 5.0)
    assert looked_at[0].sizes["obs"] == len(read.observations) == 500 - read.outside
    assert 0 < len(read.observations) < 100


def test_a_table_is_read_whole_and_its_late_points_stay(plain, whole):
    read = read_period(plain, ADT, whole.time[0] + 4.0, whole.time[0] + 5.0)
    assert len(read.observations) == 500  # the caller counts what is late
    assert read.outside == 0


def test_points_without_a_value_are_counted_and_land_is_not(stored, plain, toy_fields):
    for dataset in (stored, plain):
        gaps = dataset.load().copy(deep=True)
        gaps["adt"][:7] = np.nan
        first, last = days_since_epoch(gaps["time"].values).min(), days_since_epoch(gaps["time"].values).max()
        assert read_window_of(gaps, ADT, first, last).missing == 7
    days = days_since_epoch(toy_fields["time"].values)
    maps = read_window_of(toy_fields, ADT, days[1], days[2])
    assert (len(maps.observations), maps.missing, maps.outside) == (2 * 23, 0, 3 * 23)


def test_the_last_time(stored, plain, whole, toy_fields):
    assert last_time(plain, ADT) == whole.time[-1]
    assert last_time(stored, ADT) == whole.time[-1]
    assert last_time(toy_fields, ADT) == days_since_epoch(toy_fields["time"].values)[-1]


def test_an_empty_window_is_told_with_the_span(stored, plain, whole):
    start = whole.time[-1] + 3.0
    for dataset in (stored, plain):
        with pytest.raises(EmptyDataError, match="2014-05-"):
            read_window_of(dataset, ADT, start, start + 1.0)
