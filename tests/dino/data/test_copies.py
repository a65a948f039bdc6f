"""Symmetric copies against the equations themselves: a moved initial state must evolve into the moved trajectory."""

import json

import numpy as np
import pytest
import torch

from data_pipeline.simulators.navier_stokes import SYMMETRIES as VORTICES
from data_pipeline.simulators.navier_stokes import NavierStokesConfig, NavierStokesModel
from data_pipeline.simulators.wave import SYMMETRIES as WAVES
from dino.data.copies import Symmetry, symmetric_copies, symmetries_of
from dino.data.series import Series
from dino.errors import ConfigError, SchemaError
from dino.space.domain import PeriodicBox, Region, Sphere

GRID = 16


def moved_field(field, symmetry, along):
    """The field (y, x) whose value at g(p) is sign * field(p), for moves that take cells to cells."""
    axis = np.arange(GRID) / GRID - 0.5
    y, x = np.meshgrid(axis, axis, indexing="ij")
    places = symmetry.move(np.stack([x.ravel(), y.ravel()], -1), along)
    cells = np.round((places + 0.5) * GRID).astype(int) % GRID
    out = np.empty_like(field)
    out[cells[:, 1], cells[:, 0]] = field.ravel() * symmetry.sign.get("vorticity", 1.0)
    return out


@pytest.mark.parametrize("generator", VORTICES)
def test_moved_vortices_solve_the_same_equation(generator):
    symmetry = Symmetry.model_validate(generator)
    model = NavierStokesModel(NavierStokesConfig(trajectories=1, grid=GRID), dtype=np.float64)
    state = 5 * model.initial(np.random.default_rng(0))[None]
    start = model.grid.inverse(state)[0]
    end = model.grid.inverse(model.advance(state, 2.0, 40))[0]
    other = model.grid.forward(moved_field(start, symmetry, 3 / GRID)[None])
    reached = model.grid.inverse(model.advance(other, 2.0, 40))[0]
    assert np.abs(end - start).max() > 0.1
    np.testing.assert_allclose(reached, moved_field(end, symmetry, 3 / GRID), atol=1e-9)


def a_series(domain, longitude, latitude, channels=1):
    values = torch.randn(3, 4, len(longitude), channels, generator=torch.Generator().manual_seed(0))
    coordinates = torch.as_tensor(domain.coordinates(longitude, latitude), dtype=torch.float32)
    ones = torch.ones(3, len(longitude), channels)
    return Series(coordinates, ones, values, np.arange(4.0), torch.zeros(3, 0))


def test_copies_are_other_places_with_the_same_values():
    box = PeriodicBox(length_km=(100.0, 100.0))
    degrees = (np.arange(8) / 8 - 0.5) * box.period_degrees[0]
    longitude, latitude = (axis.ravel() for axis in np.meshgrid(degrees, degrees))
    series = a_series(box, longitude, latitude, channels=2)
    symmetries = [Symmetry.model_validate(g) for g in WAVES]
    names = ["displacement", "displacement_rate"]
    made = symmetric_copies(series, (longitude, latitude), box, names, symmetries, 20, seed=1)
    assert len(made) == 20
    signs = {float((copy.values / series.values).median()) for copy in made}
    assert signs == {1.0, -1.0}
    for copy in made:
        torch.testing.assert_close(copy.values.abs(), series.values.abs())
        # On a torus any of these moves keeps distances between places.
        near, original = ((c[:, None] - c[None]).norm(dim=-1) for c in (copy.coordinates, series.coordinates))
        torch.testing.assert_close(near, original)
        assert not torch.allclose(copy.coordinates, series.coordinates, atol=1e-3)
    again = symmetric_copies(series, (longitude, latitude), box, names, symmetries, 20, seed=1)
    assert all(torch.equal(a.coordinates, b.coordinates) for a, b in zip(made, again, strict=True))


def test_a_turn_of_the_sphere_keeps_latitude_and_a_mirror_changes_its_sign():
    longitude, latitude = np.array([0.0, 100.0, -170.0]), np.array([10.0, -60.0, 80.0])
    series = a_series(Sphere(), longitude, latitude)
    turn, mirror = Symmetry(slide=(1, 0)), Symmetry(flip=(False, True), sign={"vorticity": -1})
    for symmetries, sign in (([turn], 1.0), ([turn, mirror], -1.0)):
        made = symmetric_copies(series, (longitude, latitude), Sphere(), ["vorticity"], symmetries, 8, seed=0)
        heights = {round(float(copy.coordinates[2, 2] / series.coordinates[2, 2])) for copy in made}
        assert heights == ({1} if sign == 1 else {1, -1})
        torch.testing.assert_close(made[0].coordinates.norm(dim=-1), torch.ones(3))


def test_what_has_no_symmetries_is_told():
    with pytest.raises(ConfigError, match=r"data\.symmetries"):
        symmetries_of({})
    with pytest.raises(SchemaError, match="symmetries"):
        symmetries_of({"symmetries": json.dumps([{"turn": 1}])})
    assert symmetries_of({"symmetries": json.dumps(VORTICES)})[0].slide == (1, -1)
    region = Region.from_bounds(0, 10, 40, 50)
    place = np.array([5.0]), np.array([45.0])
    with pytest.raises(ConfigError, match="periodic boxes"):
        symmetric_copies(a_series(region, *place), place, region, ["a"], [Symmetry(swap=True)], 1, seed=0)
