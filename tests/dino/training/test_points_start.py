"""Fields of a stationary covariance: as they are asked for, on every kind of chart."""

import numpy as np
import pytest

from dino.errors import ConfigError
from dino.space.cover import Cover
from dino.space.domain import PeriodicBox, Region, Sphere
from dino.training import points_start as module
from dino.training.points_start import stationary_maps

REGION = Region.from_bounds(-60, -54, 30, 34)
BOX = PeriodicBox(longitude=-60.0, latitude=38.0, length_km=(600.0, 600.0))


def smooth(km):
    return np.exp(-0.5 * (km / 90.0) ** 2)


def rough(km):
    return np.exp(-km / 60.0)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 9)
    monkeypatch.setattr(module, "MAPS", 6000)


@pytest.mark.parametrize(("chart", "tiled"), [(REGION, False), (REGION, True), (BOX, False)])
def test_the_covariance_of_the_fields_is_the_one_asked_for(chart, tiled):
    training, held = stationary_maps(Cover((chart,), np.ones(1), tiled), [smooth, rough], seed=0)
    values = training.values[:, 0].double().numpy()
    assert training.count == 6000
    assert held.count == module.HELD
    assert training.coordinates.shape == (81, chart.input_size)
    distance = module._grid(Cover((chart,), np.ones(1), tiled))[1]
    for channel, correlation in enumerate((smooth, rough)):
        found = values[..., channel].T @ values[..., channel] / len(values)
        np.testing.assert_allclose(found, correlation(distance), atol=0.09)
    across = values[..., 0].T @ values[..., 1] / len(values)
    assert np.abs(across).max() < 0.09


def test_distances_are_those_of_the_chart():
    coordinates, distance = module._grid(Cover((REGION,), np.ones(1), tiled=False))
    half = np.array(REGION.half_size_km)
    np.testing.assert_allclose(distance[3, 50], np.linalg.norm((coordinates[3] - coordinates[50]) * half), rtol=1e-9)
    assert np.abs(coordinates[:, 0]).max() == pytest.approx(8 / 9, rel=1e-3)  # the long side fills its unit
    assert np.abs(coordinates[:, 1]).max() < 0.75
    _, around = module._grid(Cover((BOX,), np.ones(1), tiled=False))
    assert around.max() <= 300 * np.sqrt(2)
    assert around[0, 8] == pytest.approx(600 / 9)  # the last cell of a row is a neighbour of the first


def test_the_sphere_is_refused():
    with pytest.raises(ConfigError, match="not sphere"):
        stationary_maps(Cover((Sphere(),), np.ones(1), tiled=False), [smooth], seed=0)
