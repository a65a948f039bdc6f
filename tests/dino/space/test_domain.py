"""Coordinates: seams, poles and periods, in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from data_pipeline.layout import globe
from dino.errors import DomainError
from dino.space.decoders import FourierDecoder
from dino.space.domain import EARTH_RADIUS_KM, Domain, PeriodicBox, Region, Sphere, wrap_longitude

longitudes = st.floats(-720.0, 720.0)
latitudes = st.floats(-90.0, 90.0)


def decode(domain, longitude, latitude):
    torch.manual_seed(0)
    decoder = FourierDecoder(domain.input_size, 5, channels=2, hidden=16, layers=2).double()
    coordinates = torch.as_tensor(domain.coordinates(np.array(longitude, float), np.array(latitude, float)))
    return decoder(coordinates, torch.ones(5, dtype=torch.float64)).detach().numpy()


@given(longitudes, latitudes)
def test_sphere_gives_unit_vectors_at_the_right_place(longitude, latitude):
    x, y, z = Sphere().coordinates(np.array([longitude]), np.array([latitude]))[0]
    assert x * x + y * y + z * z == pytest.approx(1.0, abs=1e-12)
    assert np.rad2deg(np.arcsin(np.clip(z, -1, 1))) == pytest.approx(latitude, abs=1e-5)
    if abs(latitude) < 89:
        difference = wrap_longitude(np.array(np.rad2deg(np.arctan2(y, x)) - longitude))
        assert abs(difference) < 1e-8


@given(latitudes)
def test_sphere_has_no_seam_at_180_degrees(latitude):
    values = decode(Sphere(), [180.0, -180.0, 540.0, 90.0], [latitude] * 3 + [0.0])
    np.testing.assert_allclose(values[1:3], values[[0, 0]], atol=1e-12)
    assert not np.allclose(values[0], values[3])  # the decoder does vary


@pytest.mark.parametrize("pole", [-90.0, 90.0])
def test_sphere_has_one_value_at_a_pole(pole):
    values = decode(Sphere(), np.linspace(-180, 180, 9), [pole] * 9)
    np.testing.assert_allclose(values, values[:1].repeat(9, axis=0), atol=1e-12)


def test_region_is_the_tangent_plane():
    region = Region.from_bounds(10.0, 20.0, 30.0, 40.0)
    assert region.longitude == 15.0
    assert region.latitude == 35.0
    north = region.coordinates(np.array([15.0, 15.0]), np.array([35.0, 40.0]))
    np.testing.assert_allclose(north[0], [0.0, 0.0], atol=1e-15)
    half = np.deg2rad(5.0) * EARTH_RADIUS_KM
    np.testing.assert_allclose(north[1], [0.0, half / region.half_size_km[1]])
    east = region.coordinates(np.array([20.0]), np.array([35.0]))[0]
    assert east[0] * region.half_size_km[0] == pytest.approx(half * np.cos(np.deg2rad(35.0)))
    assert region.half_size_km[0] == region.half_size_km[1]
    stretched = Region.from_bounds(10.0, 20.0, 30.0, 40.0, isotropic=False)
    np.testing.assert_allclose(stretched.coordinates(np.array([20.0]), np.array([40.0])), [[1.0, 1.0]])


@pytest.mark.parametrize(("west", "east"), [(170.0, -170.0), (170.0, 190.0), (-190.0, -170.0)])
def test_region_crosses_180_degrees(west, east):
    region = Region.from_bounds(west, east, -10.0, 10.0)
    assert abs(region.longitude) == 180.0
    places = np.array([175.0, 179.999, 180.0, -180.0, -179.999, -175.0, 185.0])
    x = region.coordinates(places, np.zeros(7))[:, 0]
    np.testing.assert_allclose(x, [-0.5, -1e-4, 0, 0, 1e-4, 0.5, 0.5], atol=1e-12)
    assert region.contains(places, np.zeros(7)).all()
    assert not region.contains(np.array([165.0, -165.0, 0.0]), np.zeros(3)).any()


@given(
    st.floats(-180, 180), st.floats(0.5, 300), st.floats(-80, 70), st.floats(0.5, 10), st.floats(0, 1), st.floats(0, 1)
)
def test_region_contains_what_lies_between_its_bounds(west, width, south, height, across, up):
    region = Region.from_bounds(west, west + width, south, south + height, isotropic=False)
    longitude, latitude = np.array([west + across * width]), np.array([south + up * height])
    assert region.contains(longitude, latitude).all()
    assert (np.abs(region.coordinates(longitude, latitude)) <= 1 + 1e-6).all()
    assert not region.contains(longitude, np.array([south + height + 0.01])).any()


@pytest.mark.parametrize(("south", "north"), [(10.0, 10.0), (20.0, 10.0), (-91.0, 0.0), (0.0, 91.0)])
def test_region_refuses_latitudes_that_are_no_range(south, north):
    with pytest.raises(DomainError, match="no range"):
        Region.from_bounds(0.0, 1.0, south, north)


def test_region_knows_missing_points_are_not_inside():
    region = Region.from_bounds(0.0, 10.0, 0.0, 10.0)
    assert region.contains(np.array([np.nan, 5.0, 5.0]), np.array([5.0, np.nan, 5.0])).tolist() == [False, False, True]
    with pytest.raises(DomainError, match="none of the 2 points"):
        region.check(np.array([20.0, 30.0]), np.array([5.0, 5.0]))
    region.check(np.array([20.0, 5.0]), np.array([5.0, 5.0]))


@pytest.mark.parametrize("centre", [0.0, -60.0, 179.0])
def test_periodic_box_has_no_seam(centre):
    box = PeriodicBox(longitude=centre, latitude=38.0, length_km=(1000.0, 700.0))
    half_x = np.rad2deg(500.0 / EARTH_RADIUS_KM) / np.cos(np.deg2rad(38.0))
    half_y = np.rad2deg(350.0 / EARTH_RADIUS_KM)
    longitude = centre + np.array([-half_x, half_x, 0.0, 0.0, 0.0])
    latitude = 38.0 + np.array([0.0, 0.0, -half_y, half_y, 0.0])
    values = decode(box, wrap_longitude(longitude), latitude)
    np.testing.assert_allclose(values[0], values[1], atol=1e-9)
    np.testing.assert_allclose(values[2], values[3], atol=1e-9)
    assert not np.allclose(values[0], values[4])


def test_periodic_box_lying_across_180_degrees_is_the_box_elsewhere():
    offsets, latitude = np.linspace(-4.0, 4.0, 9), np.full(9, 38.0)
    here = PeriodicBox(longitude=0.0, latitude=38.0, length_km=(1000.0, 1000.0)).coordinates(offsets, latitude)
    there = PeriodicBox(longitude=179.0, latitude=38.0, length_km=(1000.0, 1000.0))
    np.testing.assert_allclose(there.coordinates(wrap_longitude(179.0 + offsets), latitude), here, atol=1e-9)


def test_periodic_box_wants_a_size():
    with pytest.raises(ValidationError, match="positive"):
        PeriodicBox(length_km=(0.0, 10.0))


@pytest.mark.parametrize(
    "domain",
    [Sphere(), Region.from_bounds(170, -170, -10, 10), PeriodicBox(longitude=5, latitude=38, length_km=(1000, 500))],
)
def test_domains_survive_json(domain):
    adapter = TypeAdapter(Domain)
    assert adapter.validate_json(adapter.dump_json(domain)) == domain


def test_float32_degrees_are_not_used():
    """A metre at 179 degrees east must not be lost: coordinates are float64 until the caller casts."""
    coordinates = Sphere().coordinates(np.array([179.0, 179.0 + 1e-5]), np.zeros(2))
    assert coordinates.dtype == np.float64
    distance = np.linalg.norm(coordinates[1] - coordinates[0]) * EARTH_RADIUS_KM
    assert distance == pytest.approx(np.deg2rad(1e-5) * EARTH_RADIUS_KM, rel=1e-4)


def test_longitudes_are_wrapped_by_one_function():
    assert wrap_longitude is globe.wrap_longitude
    assert float(wrap_longitude(-180.00000000000003)) < 180.0
