"""Points of stores, a day at a time: the same whatever was read before, thinned alike, maps and tracks as one."""

import numpy as np
import pytest

from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from dino.data import points as module
from dino.data.points import Points, PointStore, joined
from dino.errors import ConfigError, SchemaError

START = np.datetime64("2010-01-01", "ns")
FIRST = 21915.0  # 2010-01-01 in days since 1950-01-01


def track(days=6, each=40, seed=0, name="a"):
    chance = np.random.default_rng(seed)
    time = np.sort(chance.random(days * each) * days)
    moments = START + (time * 86_400_000).astype("timedelta64[ms]")
    place = -40 + chance.random(time.size), 30 + chance.random(time.size)
    return observations_dataset(moments, *place, {"sla": chance.normal(size=time.size)}, source_name=[name])


def store_of(dataset, **settings):
    return PointStore("here", dataset, ("sla",), **settings)


def maps(days=4, cells=5):
    values = np.random.default_rng(1).normal(size=(days, cells, cells))
    values[:, 0, 0] = np.nan
    values[2] = np.nan
    axis = np.arange(cells) * 0.2
    return fields_dataset(START + np.arange(days) * np.timedelta64(1, "D"), -40 + axis, 30 + axis, {"sla": values})


def test_days_are_those_that_hold_points_of_the_period():
    assert store_of(track()).days.tolist() == [21915 + day for day in range(6)]
    assert store_of(track(), start=FIRST + 2.5, end=FIRST + 4.0).days.tolist() == [21917, 21918, 21919]
    assert store_of(maps(), end=FIRST + 1.0).days.tolist() == [21915, 21916]


def test_a_window_holds_all_points_between_its_ends_in_order():
    seen = track()
    found = Points((store_of(seen),), ("sla",)).between(FIRST + 1.25, FIRST + 3.5)
    time = (seen["time"].values - START) / np.timedelta64(1, "D") + FIRST
    inside = (time >= FIRST + 1.25) & (time <= FIRST + 3.5)
    assert found is not None
    np.testing.assert_allclose(found.time, time[inside], atol=1e-8)
    np.testing.assert_allclose(found.values[:, 0], seen["sla"].values[inside])
    assert Points((store_of(seen),), ("sla",)).between(FIRST + 50, FIRST + 60) is None


def test_a_day_is_thinned_alike_whatever_was_read_before(monkeypatch):
    monkeypatch.setattr(module, "DAY_POINTS", 7)
    one, other = store_of(track(), room=1), store_of(track(), room=64)
    backwards = [one.of_day(day) for day in one.days[::-1].tolist()][::-1]
    forwards = [other.of_day(day) for day in other.days.tolist()]
    for a, b in zip(backwards, forwards, strict=True):
        assert a is not None
        assert b is not None
        assert len(a) == 7
        np.testing.assert_array_equal(a.time, b.time)
    kept = store_of(track(), seed=1).of_day(21915)
    assert kept is not None
    assert backwards[0] is not None
    assert not np.array_equal(kept.time, backwards[0].time)


def test_no_more_days_are_kept_than_there_is_room_for():
    store = store_of(track(), room=2)
    for day in store.days.tolist():
        store.of_day(day)
    assert store._kept.cache_info().currsize == 2


def test_maps_give_their_cells_with_values_and_clouded_ones_nothing():
    found = Points((store_of(maps()),), ("sla",)).between(FIRST, FIRST + 10)
    assert found is not None
    assert len(found) == 3 * 24
    assert Points((store_of(maps()),), ("sla",)).between(FIRST + 2, FIRST + 2.5) is None


def test_stores_are_joined_in_time_with_their_sources_told_apart():
    both = Points((store_of(track(name="a")), store_of(maps()), store_of(track(seed=3, name="b"))), ("sla",))
    found = both.between(FIRST, FIRST + 10)
    assert found is not None
    assert len(found) == 240 + 72 + 240
    assert (np.diff(found.time) >= 0).all()
    names = np.array([found.source_of(int(source)) for source in found.source])
    assert {name: int((names == name).sum()) for name in ("a", "b")} == {"a": 240, "b": 240}
    assert len(joined([found])) == len(found)


def test_what_is_no_record_is_refused():
    with pytest.raises(ConfigError, match="sst"):
        PointStore("here", track(), ("sst",))
    many = maps().expand_dims(trajectory=2, axis=0)
    with pytest.raises(SchemaError, match="2 trajectories beside points"):
        store_of(many)
