"""The reduced-gravity ocean moves Rossby waves as theory says, and its assimilation without motion is interpolation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from peers.reduced_gravity import Box, ReducedGravity
from peers.track_variational import Sampler, TrackAnalysis, colour, divided

from dino.data.observations import Observations
from dino.errors import ConfigError, NonFiniteError
from dino.evaluation.covariance import Component, Covariance
from dino.evaluation.optimal_interpolation import OptimalInterpolation

BOX = Box(west=0.0, south=34.0, latitude=38.0, rows=36, columns=48, cell_km=25.0)
TWO_SCALES = Covariance((Component(0.004, 120.0, 40.0), Component(5e-4, 40.0, 1.0)), 1e-4)


def fields(model: ReducedGravity) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y [km] of the grid (row, column)."""
    axes = (torch.arange(n, dtype=torch.float64) * model.box.cell_km for n in (model.box.rows, model.box.columns))
    y, x = torch.meshgrid(*axes, indexing="ij")
    return x, y


def tracks(count: int, days: float = 6.0) -> Observations:
    """Points of a smooth travelling field with noise, in the middle of the box."""
    chance = np.random.default_rng(3)
    time = np.sort(chance.uniform(0.0, days, count))
    longitude, latitude = chance.uniform(3.0, 10.0, count), chance.uniform(35.5, 40.5, count)
    value = 0.06 * np.sin(longitude - 0.05 * time) * np.cos(latitude) + 0.01 * chance.standard_normal(count)
    return Observations(
        time=time, longitude=longitude, latitude=latitude, values=value[:, None], error=np.full((count, 1), 0.02),
        source=np.zeros(count, np.int64), channels=("adt",), sources=("alpha",),
    )  # fmt: skip


def test_a_rossby_wave_travels_at_its_own_speed():
    model = ReducedGravity(BOX, 40.0, steps_per_day=4, damping=0.0, dtype=torch.float64)
    x, y = fields(model)
    k, m = 2 * np.pi * 2 / (48 * 25.0), 2 * np.pi * 3 / (36 * 25.0)
    # A single wave is carried by itself nowhere: J(psi, q) = 0 whatever its amplitude.
    frequency = -model.beta * k / (k**2 + m**2 + 40.0**-2)
    psi = model.forward(500.0 * torch.cos(k * x + m * y))
    for _ in range(30):
        psi = model.day(psi)
    truth = 500.0 * torch.cos(k * x + m * y - 30 * frequency)
    assert model.inverse(psi).numpy() == pytest.approx(truth.numpy(), abs=1e-4)
    assert abs(30 * frequency) > 0.4


def test_over_land_nothing_moves_and_energy_is_kept_at_sea():
    sea = np.ones((36, 48))
    model = ReducedGravity(BOX, 40.0, sea, steps_per_day=6, damping=0.0, dtype=torch.float64)
    x, y = fields(model)
    psi = model.forward(900.0 * (torch.cos(x / 191.0) * torch.sin(y / 143.2) + torch.sin(x / 95.5)))
    later = psi
    for _ in range(5):
        later = model.day(later)

    def energy(at: torch.Tensor) -> float:
        field, zeta = model.inverse(at), model.inverse(model._laplacian * at)
        return float((field * (field / 40.0**2 - zeta)).mean())

    assert energy(later) == pytest.approx(energy(psi), rel=1e-4)
    assert not np.allclose(model.inverse(later), model.inverse(psi), atol=20.0)
    land = ReducedGravity(BOX, 40.0, 0.0 * sea, damping=0.0, dtype=torch.float64)
    assert torch.equal(land.tendency(psi).abs().max(), torch.zeros((), dtype=torch.float64))
    with pytest.raises(ConfigError, match="positive one"):
        ReducedGravity(BOX, 0.0)


def test_the_box_holds_the_basin_with_its_margin_and_knows_its_land():
    box = Box.around(np.array([-5.0, 35.0]), np.array([31.0, 45.0]), 20.0, 300.0)
    x, y = box.km(np.array([-5.0, 35.0]), np.array([31.0, 45.0]))
    assert x[0] >= 150 - 1e-6
    assert box.columns * 20.0 - x[1] >= 150 - 1e-6
    assert y[0] >= 150 - 1e-6
    assert box.rows * 20.0 - y[1] >= 150 - 1e-6
    sea = box.sea()
    places = [(18.0, 35.5, 1.0), (-4.0, 40.0, 0.0)]  # the Ionian Sea, Castile
    for longitude, latitude, share in places:
        east, north = box.km(np.array(longitude), np.array(latitude))
        assert sea[round(float(north) / 20.0), round(float(east) / 20.0)] == share


def test_samples_of_smooth_maps_are_exact():
    model = ReducedGravity(BOX, None, dtype=torch.float64)
    x, y = fields(model)
    maps = torch.stack([(1 + 2 * day) * (1e-3 * x + (1e-3 * y) ** 2) for day in range(7)])
    seen = tracks(40)
    east, north = BOX.km(seen.longitude, seen.latitude)
    truth = (1 + 2 * seen.time) * (1e-3 * east + (1e-3 * north) ** 2)
    assert Sampler.of(model, 0.0, 6, seen)(maps).numpy() == pytest.approx(truth, abs=1e-9)


def test_colour_has_the_variance_of_the_slow_scale():
    model = ReducedGravity(BOX, None, dtype=torch.float64)
    slow, fast, noise = divided(TWO_SCALES)
    assert (slow.length_km, len(fast.components), fast.noise_variance, noise) == (120.0, 1, 0.0, 1e-4)
    factor, carried = colour(model, TWO_SCALES, slow)
    white = torch.randn(400, 36, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field = model.inverse(factor * model.forward(white)) / model.per_metre
    assert float(field.var()) == pytest.approx(carried, rel=0.05)
    assert 0.9 * slow.variance < carried <= slow.variance + 1e-9


def test_the_gradient_is_that_of_finite_differences():
    model = ReducedGravity(BOX, 40.0, dtype=torch.float64)
    made = TrackAnalysis(model, TWO_SCALES, tracks(60, 3.0), 0.0, 3, 2)
    chance = torch.Generator().manual_seed(1)
    size = 4 * 36 * 48
    at, way = (torch.randn(1, size, generator=chance, dtype=torch.float64) for _ in range(2))
    _, gradient = made.cost(at)
    step = 1e-4
    ahead, behind = (made.cost(at + sign * step * way)[0] for sign in (1, -1))
    assert float((ahead - behind) / (2 * step)) == pytest.approx(float((gradient * way).sum()), rel=1e-6)


def test_without_motion_it_is_optimal_interpolation():
    seen, points = tracks(300), tracks(80, 8.0)
    exact = OptimalInterpolation(
        TWO_SCALES, seen.time, seen.longitude, seen.latitude, seen.values[:, 0], error=seen.error[:, 0]
    ).predict(points.time, points.longitude, points.latitude)[0]
    fine = replace(BOX, rows=72, columns=96, cell_km=14.0)
    made = TrackAnalysis(ReducedGravity(fine, None, dtype=torch.float64), TWO_SCALES, seen, 0.0, 6, 2, settled=1e-8)
    made.run()
    left = made.predict(points) - exact
    assert np.sqrt(np.mean(left**2)) < 0.05 * exact.std()


def test_a_model_that_blows_up_is_refused():
    model = ReducedGravity(BOX, 300.0, steps_per_day=1)
    loud = tracks(60, 3.0)
    made = TrackAnalysis(model, TWO_SCALES, loud, 0.0, 3, 20, iterations=1)
    with pytest.raises(NonFiniteError, match="steps a day"):
        made.run(1e4 * torch.randn(1, 4 * 36 * 48, dtype=torch.float64))
