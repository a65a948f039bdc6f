import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from data_pipeline.errors import MissingFileError, SchemaError
from data_pipeline.layout.globe import EARTH_RADIUS_KM
from data_pipeline.observing.missions import MISSIONS, OrbitConfig
from data_pipeline.observing.orbits import (
    EphemerisOrbit,
    RepeatOrbit,
    ground_speed,
    longitude_latitude,
    swath_points,
    track_seconds,
    unit_vectors,
)

DATA = Path(os.environ.get("DINO_DATA", Path(__file__).parents[4] / "shared" / "data"))


def distance_km(a, b):
    return EARTH_RADIUS_KM * 2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2, 0, 1))


@pytest.fixture(params=["science_sept2015", "calval_june2015"])
def real_ephemeris(request):
    path = DATA / "orbits" / f"ephemeris_{request.param}_ell.txt"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {DATA}; set DINO_DATA to the folder of real data")
    return EphemerisOrbit(path=path)


def write_ephemeris(path, orbit, days, header=True, step=30):
    seconds = np.arange(0, days * 86400 + step, step)
    longitude, latitude = longitude_latitude(orbit.positions(seconds))
    rows = "\n".join(
        f"{t:g} {x % 360:.6f} {y:.6f} 890000" for t, x, y in zip(seconds, longitude, latitude, strict=True)
    )
    path.write_text((f"# cycle_duration = {days}\n# height = 890000\n" if header else "") + rows + "\n")
    return path


@pytest.mark.parametrize("name", MISSIONS)
def test_a_mission_repeats_after_its_cycle_and_not_before(name):
    orbit = MISSIONS[name].orbit
    seconds = np.linspace(0, 86400, 1000)
    here = orbit.positions(seconds)
    np.testing.assert_allclose(orbit.positions(seconds + orbit.cycle_seconds), here, atol=1e-9)
    np.testing.assert_allclose(orbit.positions(seconds - 3 * orbit.cycle_seconds), here, atol=1e-9)
    assert distance_km(orbit.positions(seconds + orbit.cycle_seconds / 2), here).max() > 100


@pytest.mark.parametrize("name", MISSIONS)
def test_latitude_reaches_but_never_exceeds_the_inclination(name):
    orbit = MISSIONS[name].orbit
    limit = min(orbit.inclination_degrees, 180 - orbit.inclination_degrees)
    _, latitude = longitude_latitude(orbit.positions(np.arange(0, 86400, 5.0)))
    assert limit - 0.1 < np.abs(latitude).max() <= limit + 1e-9


@pytest.mark.parametrize(
    ("orbit", "turns"),
    [
        (MISSIONS["swot"].orbit, 21),
        (MISSIONS["jason"].orbit, 10),
        (MISSIONS["sentinel-3a"].orbit, 27),
        (RepeatOrbit(inclination_degrees=92, cycle_days=368.2396, revolutions=5344), 369),  # CryoSat-2
    ],
)
def test_the_earth_turns_as_often_as_published(orbit, turns):
    assert orbit.nodal_days == turns


def test_the_track_crosses_the_equator_northward_at_the_node():
    orbit = RepeatOrbit(node_longitude=-40)
    longitude, latitude = longitude_latitude(orbit.positions(np.array([0.0, 10.0])))
    assert (longitude[0], latitude[0]) == pytest.approx((-40, 0), abs=1e-9)
    assert latitude[1] > 0.5


def test_an_ephemeris_follows_the_orbit_it_came_from(tmp_path):
    orbit = RepeatOrbit(cycle_days=1, revolutions=14)
    ephemeris = EphemerisOrbit(path=write_ephemeris(tmp_path / "track.txt", orbit, 1))
    seconds = np.arange(-86400, 2 * 86400, 7.3)
    assert distance_km(ephemeris.positions(seconds), orbit.positions(seconds)).max() < 0.1


def test_an_ephemeris_without_its_closing_row_still_closes(tmp_path):
    orbit = RepeatOrbit(cycle_days=1, revolutions=14)
    path = write_ephemeris(tmp_path / "track.txt", orbit, 1)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    seconds = np.arange(0, 86400, 7.3)
    assert distance_km(EphemerisOrbit(path=path).positions(seconds), orbit.positions(seconds)).max() < 0.2


def test_a_real_ephemeris_repeats_where_its_file_overlaps(real_ephemeris):
    table = np.loadtxt(real_ephemeris.path)
    late = table[table[:, 0] > real_ephemeris.cycle_seconds]
    assert len(late) > 10
    assert distance_km(real_ephemeris.positions(late[:, 0]), unit_vectors(late[:, 1], late[:, 2])).max() < 0.5
    seam = real_ephemeris.positions(real_ephemeris.cycle_seconds + np.array([-0.5, 0.5]))
    assert distance_km(*seam) == pytest.approx(ground_speed(real_ephemeris), abs=0.5)


def test_the_swot_orbit_moves_over_ground_like_the_real_one(real_ephemeris):
    assert ground_speed(MISSIONS["swot"].orbit) == pytest.approx(ground_speed(real_ephemeris), rel=0.01)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 1 2 3\n30 2 3 4\n60 3 4 5\n90 4 5 6\n", "cycle_duration"),
        ("# cycle_duration = 1\n0 1 2\n30 2 3\n60 3 4\n90 4 5\n", "ends after"),
        ("# cycle_duration = 1\nhello world again\n", "no ephemeris"),
        ("# cycle_duration = soon\n0 1 2\n30 2 3\n60 3 4\n90 4 5\n", "no ephemeris"),
        ("# cycle_duration = 0.001\n0 1 2\n60 2 3\n30 3 4\n90 4 5\n", "increasing"),
    ],
)
def test_a_file_that_is_no_ephemeris_is_refused(tmp_path, text, why):
    path = tmp_path / "track.txt"
    path.write_text(text)
    with pytest.raises(SchemaError, match=why):
        EphemerisOrbit(path=path).positions(np.zeros(1))


def test_a_missing_ephemeris_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.txt"):
        EphemerisOrbit(path=tmp_path / "none.txt").positions(np.zeros(1))


def test_swath_pixels_lie_at_their_cross_track_distances_on_their_side():
    orbit = MISSIONS["swot"].orbit
    seconds = np.linspace(0, 6000, 200)
    across = np.array([-60.0, -10.0, 0.0, 10.0, 60.0])
    points = swath_points(orbit, seconds, across)
    below = orbit.positions(seconds)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 1)
    np.testing.assert_allclose(
        distance_km(points, below[:, None]), np.broadcast_to(np.abs(across), (200, 5)), atol=1e-6
    )
    # Northbound over the equator, right is east.
    longitude, _ = longitude_latitude(swath_points(orbit, np.zeros(1), across))
    assert (np.diff(longitude[0]) > 0).all()
    # At right angles to the track: the nearest point of the track is the one below the satellite.
    near = orbit.positions(seconds[100] + np.linspace(-5, 5, 1001))
    assert np.argmin(distance_km(near, points[100, 4])) == pytest.approx(500, abs=2)


def test_track_seconds_finds_every_pass_over_a_place():
    orbit = MISSIONS["jason"].orbit
    centre = unit_vectors(np.array(-60.0), np.array(38.0))
    start, stop, interval = 123.4, 5 * 86400.0, 1.1
    found = track_seconds(orbit, start, stop, interval, centre, 500)
    every = np.arange(np.ceil(start / interval), np.ceil(stop / interval)) * interval
    wanted = every[distance_km(orbit.positions(every), centre) <= 500]
    assert len(wanted) > 100
    assert np.isin(wanted, found).all()
    assert len(found) < 2 * len(wanted)


def test_positions_survive_the_antimeridian():
    longitude, latitude = longitude_latitude(
        unit_vectors(np.array([179.9, -180, 180, 540]), np.array([10.0, 0, 0, -5]))
    )
    assert ((longitude >= -180) & (longitude < 180)).all()
    np.testing.assert_allclose(longitude % 360, [179.9, 180, 180, 180], atol=1e-9)
    np.testing.assert_allclose(latitude, [10, 0, 0, -5], atol=1e-9)


@pytest.mark.parametrize("name", MISSIONS)
def test_a_mission_flies_as_high_as_published(name):
    # Nominal heights, and mean heights above the ellipsoid, are more than those above the radius at the equator.
    tolerance = 20 if name in ("sentinel-3a", "sentinel-3b", "saral", "hy-2b") else 2
    assert MISSIONS[name].orbit.altitude_km == pytest.approx(MISSIONS[name].published_altitude_km, abs=tolerance)


def test_the_35_day_orbit_has_the_published_axis_of_ers_1():
    # Phase C: 501 revolutions in 35 days, semi-major axis 7159.496 km.
    assert MISSIONS["saral"].orbit.altitude_km + 6378.137 == pytest.approx(7159.496, abs=0.5)


def test_a_real_ephemeris_is_as_high_as_its_header_says(real_ephemeris):
    height = float(real_ephemeris.path.read_text().split("# height =")[1].split("\n")[0]) / 1000
    assert real_ephemeris.altitude_km == pytest.approx(height, abs=1)


def test_an_ephemeris_is_as_high_as_the_orbit_it_came_from(tmp_path):
    orbit = MISSIONS["swot-calval"].orbit
    path = write_ephemeris(tmp_path / "track.txt", orbit, orbit.cycle_days)
    assert EphemerisOrbit(path=path).altitude_km == pytest.approx(orbit.altitude_km, abs=1)


def test_a_track_that_goes_nowhere_has_no_height(tmp_path):
    path = tmp_path / "track.txt"
    path.write_text("# cycle_duration = 0.01\n" + "".join(f"{30 * k} {k} 10\n" for k in range(30)))
    with pytest.raises(SchemaError, match="northward 0 times"):
        EphemerisOrbit(path=path).altitude_km  # noqa: B018


def node_longitudes(orbit):
    """Longitudes of the northward crossings of a cycle, to a hundredth of a degree, ascending."""
    seconds = np.arange(0, orbit.cycle_seconds, 2.0)
    longitude, latitude = longitude_latitude(orbit.positions(seconds))
    return np.sort(longitude[1:][(latitude[1:] >= 0) & (latitude[:-1] < 0)] % 360)


@pytest.mark.parametrize(
    ("first", "second"), [("sentinel-3a", "sentinel-3b"), ("jason", "jason-interleaved")], ids=["sentinel-3", "jason"]
)
def test_two_satellites_of_one_orbit_share_the_gaps_between_their_tracks(first, second):
    a, b = (node_longitudes(MISSIONS[name].orbit) for name in (first, second))
    gap = 360 / MISSIONS[first].orbit.revolutions
    assert len(a) == pytest.approx(len(b), abs=1)
    between = np.mod(b[5:-5, None] - a[None, :], gap)
    np.testing.assert_allclose(np.median(between), gap / 2, atol=0.02 * gap + 0.01)


def test_a_mission_is_given_by_name():
    orbits = TypeAdapter(OrbitConfig)
    assert orbits.validate_python("jason") == MISSIONS["jason"].orbit
    assert orbits.validate_python({"type": "repeat", "revolutions": 10}) == RepeatOrbit(revolutions=10)
    with pytest.raises(ValidationError, match="swot, swot-calval, jason"):
        orbits.validate_python("topex")
