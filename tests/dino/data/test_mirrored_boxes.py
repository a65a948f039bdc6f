"""Boxes with edges that nothing passes: heat in closed form, one axis or two, and terms that have no mirror image."""

import numpy as np
import pytest

import dino
from dino.errors import ConfigError, SchemaError

LENGTH, SIZE, TIMES = 2.0, 24, 0.1 * np.arange(8)
HEAT = dino.PhysicsConfig(candidates=["u: lap(u)"])


def heat(nu, seed, axes=1, size=SIZE):
    """Cosines that decay, at middles of cells (trajectory, time, 1, [y,] x), and how far the last is from the first."""
    chance, middle = np.random.default_rng(seed), (np.arange(size) + 0.5) / size
    made = 0.0
    for k in np.ndindex(*(4,) * axes):
        waves = [np.cos(np.pi * index * middle) for index in k]
        shape = waves[0] if axes == 1 else waves[0][:, None] * waves[1]
        rate = nu * sum((np.pi * index / LENGTH) ** 2 for index in k)
        made = made + chance.normal() * np.exp(-rate * TIMES)[(...,) + (None,) * axes] * shape
    return made[None, :, None], [LENGTH * (size - 1) / size] * axes


def dataset(viscosities, axes=1):
    parts = [heat(nu, seed, axes) for seed, nu in enumerate(viscosities)]
    values = np.concatenate([values for values, _ in parts])
    return dino.from_array(values, TIMES, parts[0][1], environments=np.arange(len(values)), periodic=False)


@pytest.mark.parametrize("axes", [1, 2])
def test_heat_between_edges_is_found_and_forecast_exactly(axes, tmp_path):
    physics = dino.fit(dataset([0.05, 0.1, 0.15], axes), HEAT)
    whole, lengths = heat(0.12, 9, axes)
    new = dino.from_array(whole[:, :4], TIMES[:4], lengths, periodic=False)
    adapted = physics.adapt(new, iterations=12)
    assert float(adapted.coefficients()["mean"][0, 0]) == pytest.approx(0.12, rel=1e-6)
    made = adapted.forecast(new, TIMES[4:])
    np.testing.assert_allclose(made["u"].values, whole[:, 4:, 0], atol=1e-6)
    np.testing.assert_array_equal(made["x"], new["x"])
    assert list(made.attrs["periodic"]) == [0] * axes
    assert physics.floor(new) < 1e-12
    finer, apart = heat(0.12, 9, axes, 2 * SIZE - 1)  # the same box, in cells of another size
    other = dino.from_array(finer[:, :4], TIMES[:4], apart, periodic=False)
    assert float(physics.adapt(other, iterations=12).coefficients()["mean"][0, 0]) == pytest.approx(0.12, rel=1e-6)
    physics.save(tmp_path)
    again = dino.load_physics(tmp_path).adapt(new, iterations=12)
    np.testing.assert_array_equal(again.coefficients()["mean"], adapted.coefficients()["mean"])
    with pytest.raises(SchemaError, match="no axis came"):
        physics.adapt(new.assign_attrs(periodic=[1] * axes))


def test_the_library_has_even_terms_and_odd_ones_are_refused():
    terms = dino.fit(dataset([0.05, 0.1, 0.15]), dino.PhysicsConfig(order=2, degree=1)).terms
    assert terms == ["u: 1", "u: u", "u: dxx(u)"]
    for odd in ("u: dx(u)", "u: u*dx(u)", "u: dx(u*u)", "u: cos(1)"):
        with pytest.raises(ConfigError, match="is not even in x"):
            dino.fit(dataset([0.05, 0.1]), dino.PhysicsConfig(candidates=["u: dxx(u)", odd]))
    even = dino.fit(dataset([0.05, 0.1]), dino.PhysicsConfig(candidates=["u: dxx(u)", "u: dx(u)*dx(u)"]))
    assert len(even.terms) == 2
