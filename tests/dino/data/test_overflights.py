"""Overflights found again from observations whose passes are known."""

from dataclasses import replace

import numpy as np
import pytest

from data_pipeline.observing.orbits import RepeatOrbit, longitude_latitude, swath_points
from dino.data.observations import Observations
from dino.data.overflights import PASS_SECONDS, View, overflights

ORBIT = RepeatOrbit()  # SWOT's
START = 20000.0
SIDE = np.arange(12.0, 61.0, 6.0)
SWATH = np.concatenate([-SIDE[::-1], SIDE])


def table(seconds, longitude, latitude, source=0) -> Observations:
    """Observations without values to speak of, in the order given."""
    count = len(seconds)
    source = np.broadcast_to(np.asarray(source, np.int64), (count,)).copy()
    nothing = np.full((count, 1), np.nan)
    return Observations(START + seconds / 86400.0, longitude, latitude, 0 * nothing, nothing, source, ("adt",))


def flown(seconds, across_km=(0.0,), kept=None) -> tuple[Observations, np.ndarray, np.ndarray]:
    """What an instrument on the orbit sees at `seconds` (n,), with seconds and distances across the track of points.

    kept : of which (second, distance) points are kept
    """
    longitude, latitude = longitude_latitude(swath_points(ORBIT, seconds, np.asarray(across_km)).reshape(-1, 3))
    second, across = np.repeat(seconds, len(across_km)), np.tile(across_km, len(seconds))
    which = np.ones(len(second), bool) if kept is None else kept(second, across)
    return table(second[which], longitude[which], latitude[which]), second[which], across[which]


def together(*parts: Observations) -> Observations:
    """Several sources in one table, in order of time."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "longitude", "latitude")
    }
    source = np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)])
    order = np.argsort(columns["time"], kind="stable")
    return table(
        86400 * (columns["time"] - START)[order], columns["longitude"][order], columns["latitude"][order], source[order]
    )


def test_nadir_passes():
    """Three passes, one with a gap of land of half a minute; 20 points a second as well as one."""
    for step in (0.05, 1.0):
        seconds = np.concatenate(
            [np.arange(0, 60, step), np.arange(90, 120, step), 6000 + np.arange(0, 90, step), [20000, 20000 + step]]
        )
        found = overflights(flown(seconds)[0])
        assert found.number.tolist() == np.searchsorted([6000, 20000], seconds, side="right").tolist()
        assert set(found.view) == {View.NADIR}
        assert len(found) == 3
        assert not found.across_km.any()
        first = np.array([0, 6000, 20000])[found.number]
        below, start = ORBIT.positions(seconds), ORBIT.positions(first)
        way = 6371.0 * np.arccos(np.clip((below * start).sum(-1), -1, 1))
        np.testing.assert_allclose(found.along_km, way, rtol=0.1, atol=1e-3)


@pytest.mark.parametrize("begins", [0.0, 700.0, 1400.0])  # at the equator, on the way, near the northernmost point
@pytest.mark.parametrize("length", [3.0, 30.0, 150.0, 600.0, 2900.0])
@pytest.mark.parametrize("sides", ["two", "one", "thinned", "half of the left gone", "cut by the edge of an area"])
def test_swaths(begins, length, sides):
    if length < 10 and sides in ("half of the left gone", "cut by the edge of an area"):
        return  # too little is left to tell where the middle is
    chance = np.random.default_rng(0)
    kept = {
        "thinned": lambda second, across: chance.random(len(second)) < 0.3,
        "half of the left gone": lambda second, across: (second > begins + 0.4 * length) | (across > 0),
        "cut by the edge of an area": lambda second, across: 6.5 * (second - begins) > across + 60,
    }
    seconds = begins + np.arange(0.0, length, 0.31 if length < 100 else 0.9)
    if length > 1000 and sides == "half of the left gone":
        kept[sides] = lambda second, across: (np.sin(second / 150) > -0.5) | (across > 0)  # land here and there
    seen, second, across = flown(seconds, SIDE if sides == "one" else SWATH, kept.get(sides))
    found = overflights(seen)
    assert set(found.number) == {0}
    assert set(found.view) == {View.SWATH}
    truth = across - SIDE.mean() if sides == "one" else across
    assert np.abs(found.across_km - truth).max() < 6.0
    way = 6371.0 * np.arccos(np.clip((ORBIT.positions(second) * ORBIT.positions(second[:1])).sum(-1), -1, 1))
    near = way < 15000  # beyond, the shorter way is another one
    np.testing.assert_allclose(found.along_km[near], way[near], rtol=0.1, atol=0.1)


def test_a_flight_without_end_is_cut_and_a_crossing_of_an_area_is_not():
    found = overflights(flown(np.arange(0.0, 5 * PASS_SECONDS, 1.0))[0])
    assert np.bincount(found.number).tolist() == [PASS_SECONDS] * 5
    assert found.along_km.max() < 7.0 * PASS_SECONDS


def test_moorings_ships_and_drifters_are_points_of_no_track():
    seconds = np.arange(0.0, 3600.0, 10.0)
    still = table(seconds, np.full(360, 5.0), np.full(360, 40.0))
    ship = table(seconds, 5.0 + seconds / 3600.0 * 0.3, np.full(360, 40.0))
    for seen in (still, ship, together(still, ship)):
        found = overflights(seen)
        assert set(found.view) == {View.POINT}
        # Every moment for itself: nobody takes the mean of an hour for the time of a point.
        assert np.bincount(found.number).max() == 1


def test_scenes_lie_at_one_moment_with_places_to_the_north_and_east():
    chance = np.random.default_rng(1)
    longitude, latitude = np.tile(chance.uniform(-5, 5, 50), 3), np.tile(chance.uniform(35, 45, 50), 3)
    found = overflights(table(np.repeat([0.0, 20.0, 86400.0], 50), longitude, latitude))
    assert found.number.tolist() == np.repeat([0, 1, 2], 50).tolist()
    assert set(found.view) == {View.POINT}
    lon, lat = np.deg2rad(longitude[:50]), np.deg2rad(latitude[:50])
    way = np.hypot(
        np.subtract.outer(found.along_km, found.along_km), np.subtract.outer(found.across_km, found.across_km)
    )
    cosine = np.outer(np.sin(lat), np.sin(lat)) + np.outer(np.cos(lat), np.cos(lat)) * np.cos(
        np.subtract.outer(lon, lon)
    )
    truth = 6371.0 * np.arccos(np.clip(cosine, -1, 1))
    np.testing.assert_allclose(way[:50, :50], truth, rtol=0.1, atol=2.0)


def test_random_points_are_of_no_track():
    chance = np.random.default_rng(2)
    seconds = np.sort(chance.uniform(0, 15 * 86400.0, 3000))
    found = overflights(table(seconds, chance.uniform(0, 10, 3000), chance.uniform(30, 40, 3000)))
    assert (found.view == View.POINT).mean() > 0.95
    assert np.bincount(found.number).max() <= 3


def test_two_missions_side_by_side_are_told_apart_by_source():
    nadir, swath = flown(np.arange(0.0, 60.0, 1.0))[0], flown(np.arange(5.0, 50.0, 0.31), SWATH)[0]
    both = overflights(together(nadir, swath))
    alone = overflights(nadir), overflights(swath)
    source = together(nadir, swath).source
    assert len(both) == 2
    for number, single in enumerate(alone):
        mine = source == number
        assert (both.number[mine] == number).all()
        assert (both.view[mine] == single.view[0]).all()
        np.testing.assert_allclose(both.along_km[mine], single.along_km, atol=1e-3)


def test_the_order_of_observations_is_nothing_to_the_result():
    """The moments of a scene too, whose points are at one moment."""
    parts = flown(np.arange(0.0, 60.0, 1.0))[0], flown(np.arange(5.0, 50.0, 0.31), SWATH)[0]
    chance = np.random.default_rng(3)
    scene = table(np.repeat([7.0, 900.0], 40), chance.uniform(0, 10, 80), chance.uniform(30, 40, 80))
    seen = together(*parts, scene)
    order = chance.permutation(len(seen))
    straight, mixed = overflights(seen), overflights(seen.select(order))
    for name in ("number", "view", "along_km", "across_km"):
        np.testing.assert_allclose(getattr(mixed, name), getattr(straight, name)[order], atol=1e-6)


def test_none_and_one():
    none = table(np.zeros(0), np.zeros(0), np.zeros(0))
    assert len(overflights(none)) == 0
    one = overflights(table(np.zeros(1), np.ones(1), np.ones(1)))
    assert (one.number.tolist(), one.view.tolist(), one.along_km.tolist(), one.across_km.tolist()) == (
        [0],
        [2],
        [0],
        [0],
    )
    pole = replace(
        none,
        **{
            n: getattr(table(np.zeros(2), np.zeros(2), np.full(2, 90.0)), n)
            for n in ("time", "longitude", "latitude", "values", "error", "source")
        },
    )
    assert np.isfinite(overflights(pole).along_km).all()
