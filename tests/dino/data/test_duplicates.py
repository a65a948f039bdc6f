"""Observations that come twice: known by what they say of the ocean, whoever says it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.data.duplicates import fingerprints, without_duplicates
from dino.data.observations import Observations

COUNT = 400


def points(time, values, channels: tuple[str, ...] = ("adt",)) -> Observations:
    """Observations at one place."""
    count = len(time)
    shaped = np.asarray(values, np.float64).reshape(count, len(channels))
    place = np.full(count, 12.5), np.full(count, 40.0)
    return Observations(
        np.asarray(time, np.float64), *place, shaped, shaped * np.nan, np.zeros(count, np.int64), channels
    )


@pytest.fixture
def plain() -> Observations:
    """Points that differ in time, place and value."""
    rng = np.random.default_rng(0)
    place = rng.uniform(-180, 180, COUNT), rng.uniform(-60, 60, COUNT)
    values, source = rng.normal(size=(COUNT, 1)), rng.integers(0, 3, COUNT)
    return Observations(np.sort(rng.uniform(0, 30, COUNT)), *place, values, np.full((COUNT, 1), 0.02), source, ("adt",))


def test_different_observations_have_different_digests(plain):
    digests = fingerprints(plain)
    assert digests.shape == (COUNT,)
    assert digests.dtype == np.uint64
    assert len(np.unique(digests)) == COUNT
    for name in ("time", "longitude", "latitude", "values"):
        moved = replace(plain, **{name: np.nextafter(getattr(plain, name), np.inf)})
        assert not np.isin(fingerprints(moved), digests).any(), name


def test_numbers_of_a_regular_grid_do_not_collide():
    """Digests that merely added columns would: many whole numbers have the same sums."""
    axis = np.arange(-20.0, 20.0)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    count = len(x)
    grid = Observations(
        np.zeros(count), x, y, (x + y)[:, None], np.zeros((count, 1)), np.zeros(count, np.int64), ("adt",)
    )
    assert len(np.unique(fingerprints(grid))) == count


def test_source_and_error_are_not_looked_at(plain):
    other = replace(plain, source=plain.source + 1, error=2 * plain.error)
    np.testing.assert_array_equal(fingerprints(other), fingerprints(plain))


def test_every_missing_value_is_the_same_and_so_is_every_zero():
    other = np.array([0x7FF8000000000001], np.uint64).view(np.float64)[0]  # another NaN than numpy's
    pairs = [(1.0, np.nan), (1.0, other), (np.nan, 1.0), (0.0, 1.0), (-0.0, 1.0)]
    digests = fingerprints(points(np.zeros(5), pairs, ("u", "v")))
    assert digests[0] == digests[1]
    assert digests[3] == digests[4]
    assert len(set(digests.tolist())) == 3


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_the_first_of_equal_ones_stays_in_time_order(days):
    seen = points(np.sort(days), np.square(np.sort(days)))
    seen = replace(seen, source=np.arange(len(days)))
    kept, digests = without_duplicates(seen)
    assert kept.time.tolist() == sorted(set(days))
    assert kept.source.tolist() == [sorted(days).index(day) for day in sorted(set(days))]
    np.testing.assert_array_equal(digests, fingerprints(kept))


def test_without_any_the_observations_are_the_same_object(plain):
    assert without_duplicates(plain)[0] is plain
    none = plain.select(np.zeros(0, int))
    assert len(without_duplicates(none)[0]) == 0
