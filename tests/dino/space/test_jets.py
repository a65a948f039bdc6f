"""Derivatives in closed form beside finite differences, and beside automatic ones where those are at hand."""

import numpy as np
import pytest
import torch

from dino.errors import ConfigError
from dino.space.cover import Cover
from dino.space.decoders import FourierDecoder, SirenDecoder, TrendDecoder
from dino.space.domain import PeriodicBox, Region, Sphere
from dino.space.gridmap import GridMap
from dino.space.jets import coordinate_jets, map_jets, mode_jets, weight_jets

STEP = 1e-3  # degrees


def tiles() -> Cover:
    charts = [
        Region.from_bounds(west, west + 4, south, south + 4, isotropic=False)
        for west in (178.0, 180.0)
        for south in (-40.0, -38.0)
    ]
    return Cover(tuple(charts), np.array([0.5, 1.0, 2.0, 1.5]), tiled=True)


def points(count: int = 60, west: float = 178.5, south: float = -39.5, size: float = 5.0):
    rng = np.random.default_rng(0)
    return west + size * rng.random(count), south + size * rng.random(count)


def differences(function, longitude, latitude):
    """Jet (5, ...) of a function of longitude and latitude by central differences [per degree]."""
    here = function(longitude, latitude)
    east, west = function(longitude + STEP, latitude), function(longitude - STEP, latitude)
    north, south = function(longitude, latitude + STEP), function(longitude, latitude - STEP)
    slopes = (east - west) / (2 * STEP), (north - south) / (2 * STEP)
    return np.stack([here, *slopes, (east + west - 2 * here) / STEP**2, (north + south - 2 * here) / STEP**2])


COVERS = {
    "tiles": tiles(),
    "region": Cover((Region.from_bounds(176.0, 186.0, -42.0, -30.0),), np.ones(1), tiled=False),
    "box": Cover((PeriodicBox(longitude=181.0, latitude=-37.0, length_km=(900.0, 700.0)),), np.ones(1), tiled=False),
    "sphere": Cover((Sphere(),), np.ones(1), tiled=False),
}


@pytest.mark.parametrize("name", COVERS)
def test_coordinates(name):
    cover, (longitude, latitude) = COVERS[name], points()
    pairs = cover.pairs(longitude, latitude)

    def along(lon, lat):
        found = cover.pairs(lon, lat)
        assert np.array_equal(found.chart, pairs.chart)
        return found.coordinates

    expected = differences(along, longitude, latitude)
    made = coordinate_jets(cover, pairs, longitude, latitude)
    for part in range(4):
        assert made[..., part] == pytest.approx(expected[1 + part], abs=2e-7)


@pytest.mark.parametrize("name", ["tiles", "region"])
def test_weights_sum_to_one_and_their_derivatives_to_nothing(name):
    cover, (longitude, latitude) = COVERS[name], points()
    pairs = cover.pairs(longitude, latitude)

    def normalised(lon, lat):
        found = cover.pairs(lon, lat)
        return found.weight / np.bincount(found.point, found.weight)[found.point]

    made = weight_jets(cover, pairs, len(longitude))
    expected = differences(normalised, longitude, latitude)
    assert made == pytest.approx(expected.T, abs=2e-5)
    sums = np.stack([np.bincount(pairs.point, part) for part in made.T])
    assert sums[0] == pytest.approx(1.0)
    assert sums[1:] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", ["fourier", "trend"])
def test_modes_beside_automatic_derivatives(kind):
    torch.manual_seed(0)
    base = FourierDecoder(2, 7, 2, 16, 3).double()
    decoder = TrendDecoder(base) if kind == "trend" else base
    generator = torch.Generator().manual_seed(1)
    coordinates, paths = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3, 5, 2), (3, 5, 2, 4))
    )
    with torch.no_grad():
        offset, modes = mode_jets(decoder, coordinates, paths)
    for axis in (0, 1):

        def along(way, axis=axis):
            path = coordinates + way[..., None] * paths[..., axis] + 0.5 * way[..., None] ** 2 * paths[..., 2 + axis]
            return tuple(decoder.basis(path))

        way, one = torch.zeros(3, 5, dtype=torch.float64), torch.ones(3, 5, dtype=torch.float64)
        sloped = lambda w, along=along, one=one: torch.func.jvp(along, (w,), (one,))[1]  # noqa: E731
        slopes, bends = torch.func.jvp(sloped, (way,), (one,))
        for found, first, second in zip((offset, modes), slopes, bends, strict=True):
            torch.testing.assert_close(found[1 + axis], first)
            torch.testing.assert_close(found[3 + axis], second)
    torch.testing.assert_close((offset[0], modes[0]), tuple(decoder.basis(coordinates)))


def test_a_decoder_that_is_not_affine_is_refused():
    with pytest.raises(ConfigError, match="siren"):
        mode_jets(SirenDecoder(2, 4, 1, 8, 1), torch.zeros(1, 2), torch.zeros(1, 2, 4))


def test_maps_are_smooth_and_land_does_not_matter():
    longitude, latitude = np.arange(170.0, 190.0, 0.25), np.arange(-45.0, -30.0, 0.25)
    lon, lat = np.meshgrid(longitude, latitude)
    values = np.sin(lon) * np.cos(0.5 * lat)
    field = GridMap(longitude, latitude, np.stack([values, np.full_like(values, 3.0)]))
    x, y = points()
    x[0] -= 360.0
    made = map_jets(field, x, y)
    lon = np.where(x < 0, x + 360.0, x)  # the map's branch: its values here are no function of the place alone
    expected = np.sin(lon) * np.cos(0.5 * y), np.cos(lon) * np.cos(0.5 * y), -0.5 * np.sin(lon) * np.sin(0.5 * y)
    assert made[:3, :, 0] == pytest.approx(np.stack(expected), abs=2e-3)
    exact = differences(lambda a, b: map_jets(field, a, b)[0, :, 0], x, y)
    assert made[1:3, :, 0] == pytest.approx(exact[1:3], abs=1e-5)
    assert made[3:, :, 0] == pytest.approx(exact[3:], abs=1e-3)
    assert made[0, :, 1] == pytest.approx(3.0)
    assert not made[1:, :, 1].any()
    grid = np.meshgrid(longitude, latitude)
    gappy = np.where((grid[0] > 188) & (grid[1] > -31), np.nan, values)
    assert np.isfinite(map_jets(GridMap(longitude, latitude, gappy[None]), x, y)).all()
