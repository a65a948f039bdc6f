import sys

import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.errors import MissingPackageError, SimulationError
from data_pipeline.layout.datasets import check_fields
from data_pipeline.simulators.shallow_water import (
    EARTH_ROTATION_PER_S,
    GRAVITY_M_PER_S2,
    MEAN_DEPTH_M,
    PLANET_RADIUS_M,
    ShallowWaterConfig,
    ShallowWaterModel,
    bump,
    jet,
    simulate,
)
from data_pipeline.simulators.sphere import SphericalGrid

SIZES = {"latitudes": 24, "output_latitudes": 12, "trajectories": 2, "frames": 4, "sequence_frames": 2}
SHORT = ShallowWaterConfig(hyperdiffusion_m4_s=5e16, spin_up_hours=2, **SIZES)


def change(**update):
    return ShallowWaterConfig.model_validate({**SHORT.model_dump(), **update})


def model_of(latitudes=32, hyperdiffusion=0.0):
    return ShallowWaterModel(ShallowWaterConfig(latitudes=latitudes, hyperdiffusion_m4_s=hyperdiffusion))


def galewsky(model, speed=80.0, perturbation=120.0):
    grid = model.grid
    state = model.balanced(speed * jet(grid.latitude) + 0 * grid.longitude)
    state[2] += grid.forward(perturbation * bump(grid.longitude, grid.latitude, np.pi, np.pi / 4))
    return state


def advance(model, state, hours):
    for hour in range(hours):
        state = model.advance(state, 3600.0, model.steps(state, 3600.0, 0, hour))
    return state


def eddies(model, state):
    """Root mean square of the vorticity that is not zonal [1/s]."""
    vorticity = model.grid.inverse(np.where(model.grid.order > 0, state[0], 0))
    return np.sqrt(model.grid.mean(vorticity**2))


def energy(model, state):
    east, north = model.grid.wind(state[0], state[1])
    height = model.grid.inverse(state[2])
    return model.grid.mean(0.5 * height * (east**2 + north**2) + 0.5 * GRAVITY_M_PER_S2 * height**2)


def test_winds_have_the_curl_and_divergence_they_were_made_of():
    grid = SphericalGrid(24, PLANET_RADIUS_M)
    generator = np.random.default_rng(0)
    vorticity, divergence = (1e-5 * grid.forward(generator.standard_normal((24, 48))) for _ in range(2))
    vorticity[0] = divergence[0] = 0
    east, north = grid.wind(vorticity, divergence)
    for made, wanted in zip(grid.curl_and_divergence(east, north), (vorticity, divergence), strict=True):
        np.testing.assert_allclose(made, wanted, atol=1e-18)
    rotation = grid.forward(2e-6 * np.sin(grid.latitude) + 0 * grid.longitude)
    east, north = grid.wind(rotation, 0 * rotation)
    np.testing.assert_allclose(east, 1e-6 * PLANET_RADIUS_M * np.cos(grid.latitude) + 0 * grid.longitude, atol=1e-12)
    np.testing.assert_allclose(north, 0, atol=1e-12)
    upward = grid.forward(np.cos(grid.latitude) * np.cos(grid.longitude))
    east, north = grid.wind(0 * upward, grid.laplacian * upward)  # the gradient of the field
    np.testing.assert_allclose(east * PLANET_RADIUS_M, -np.sin(grid.longitude) + 0 * grid.latitude, atol=1e-12)
    north_of_it = -np.sin(grid.latitude) * np.cos(grid.longitude)
    np.testing.assert_allclose(north * PLANET_RADIUS_M, north_of_it, atol=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_solid_rotation_stays(tilt):
    """Case 2 of Williamson et al. (1992), with the planet's axis tilted against the poles of the grid."""
    model = model_of()
    latitude, longitude = model.grid.latitude, model.grid.longitude
    upward = np.sin(latitude) * np.cos(tilt) - np.cos(longitude) * np.cos(latitude) * np.sin(tilt)
    model.coriolis = 2 * EARTH_ROTATION_PER_S * upward
    speed = 2 * np.pi * PLANET_RADIUS_M / (12 * 86400)
    shape = -(PLANET_RADIUS_M * EARTH_ROTATION_PER_S * speed + speed**2 / 2) / GRAVITY_M_PER_S2
    height = shape * upward**2
    height += MEAN_DEPTH_M - model.grid.mean(height)
    vorticity = model.grid.forward(2 * speed / PLANET_RADIUS_M * upward)
    start = np.stack([vorticity, 0 * vorticity, model.grid.forward(height)])
    end = advance(model, start, 5 * 24)
    np.testing.assert_allclose(model.grid.inverse(end[2]), height, atol=1e-7)
    np.testing.assert_allclose(model.grid.inverse(end[0]), model.grid.inverse(start[0]), atol=1e-16)
    np.testing.assert_allclose(model.grid.inverse(end[1]), 0, atol=1e-16)
    if tilt == 0:
        balanced = model.balanced(speed * np.cos(latitude) + 0 * longitude)
        np.testing.assert_allclose(model.grid.inverse(balanced[2]), height, atol=1e-8)


def test_the_jet_is_in_the_balance_of_galewsky_et_al():
    model = model_of(96)
    start = galewsky(model, perturbation=0)
    wide = np.linspace(-np.pi / 2, np.pi / 2, 20001)
    wind = 80 * jet(wide)
    slope = PLANET_RADIUS_M * wind * (2 * EARTH_ROTATION_PER_S * np.sin(wide) + np.tan(wide) / PLANET_RADIUS_M * wind)
    drop = np.cumsum(slope) * (wide[1] - wide[0]) / GRAVITY_M_PER_S2
    height = model.grid.inverse(start[2])[:, 0]
    expected = -np.interp(model.grid.latitude[:, 0], wide, drop)
    np.testing.assert_allclose(height - height[-1], expected, atol=1.0)
    assert drop[-1] > 900
    assert model.grid.mean(model.grid.inverse(start[2])) == pytest.approx(MEAN_DEPTH_M)


def test_gravity_waves_have_the_analytic_frequency():
    """A height anomaly of degree 6 at rest oscillates at sqrt(g H l (l + 1)) / a when the Earth does not turn."""
    model = model_of(24)
    model.coriolis = 0 * model.coriolis
    start = np.zeros((3, model.grid.degree.size), complex)
    start[2, 0] = MEAN_DEPTH_M * np.sqrt(4 * np.pi)
    mode = np.flatnonzero((model.grid.degree == 6) & (model.grid.order == 3))[0]
    start[2, mode] = 1e-3
    frequency = np.sqrt(GRAVITY_M_PER_S2 * MEAN_DEPTH_M * 42) / PLANET_RADIUS_M
    for turn, factor in ((0.5, -1), (1, 1), (0.25, 0)):
        end = model.advance(start, turn * 2 * np.pi / frequency, 100)
        assert end[2, mode].real == pytest.approx(factor * 1e-3, abs=1e-8)


def test_mass_stays_and_energy_nearly():
    model = model_of(32)
    generator = np.random.default_rng(0)
    large = (model.grid.degree > 0) & (model.grid.degree < 8)
    start = model.balanced(30 * np.cos(model.grid.latitude) + 0 * model.grid.longitude)
    for index, size in ((0, 3e-5), (1, 3e-6), (2, 100.0)):
        start[index] += np.where(large, model.grid.forward(size * generator.standard_normal((32, 64))), 0)
    end = advance(model, start, 12)
    assert (np.abs(end - start).max(1) > 0.1 * np.abs(start[:, 1:]).max(1)).all()
    assert end[2, 0] == start[2, 0]
    available = energy(model, start) - 0.5 * GRAVITY_M_PER_S2 * MEAN_DEPTH_M**2
    assert energy(model, end) - energy(model, start) == pytest.approx(0, abs=1e-4 * available)


def test_a_step_half_as_long_changes_little():
    model = model_of(24, 5e16)
    start = galewsky(model)
    once, twice = model.advance(start, 3600.0, 4), model.advance(start, 3600.0, 8)
    fine = model.advance(start, 3600.0, 64)
    ratio = np.abs(once - fine).max(1) / np.abs(twice - fine).max(1)
    assert (ratio > 8).all()


def test_the_jet_breaks_up_as_in_the_literature():
    """Galewsky et al.: waves grow exponentially from day 2, the jet has rolled up on day 6."""
    model = model_of(64, 4e15)
    state, growth = galewsky(model), []
    for _ in range(6):
        state = advance(model, state, 24)
        growth.append(eddies(model, state))
    assert 2.5 < growth[2] / growth[1] < 5
    assert 2.5 < growth[3] / growth[2] < 5
    assert growth[2] < 2.5e-6
    assert 1.4e-5 < growth[5] < 2.5e-5
    assert model.grid.inverse(state[0]).max() < 1.5e-4
    calm = galewsky(model, perturbation=0)
    assert eddies(model, advance(model, calm, 48)) < 1e-15


@pytest.mark.slow
def test_a_finer_sphere_gives_the_same_break_up():
    models = model_of(96, 4e15), model_of(128, 4e15)
    fields = [model.grid.on_cells(advance(model, galewsky(model), 24 * 5)[0], 32) for model in models]
    assert np.sqrt(np.mean((fields[0] - fields[1]) ** 2)) < 0.1 * fields[1].std()


def test_a_trajectory_depends_on_the_seed_and_its_number_only():
    ds = simulate(change(trajectories=3, workers=2))
    few = simulate(SHORT)
    assert np.array_equal(ds.height[:4], few.height)
    assert np.array_equal(ds.vorticity[:4], few.vorticity)
    assert not np.isclose(few.vorticity[0], few.vorticity[2]).all()
    for other in ({"seed": 1}, {"part": "test"}):
        assert not np.isclose(few.vorticity, simulate(change(**other)).vorticity).any((1, 2, 3)).all()


def test_finer_outputs_read_the_same_trajectories():
    coarse = simulate(SHORT)
    often = simulate(change(frame_interval_hours=0.5, frames=8, sequence_frames=4))
    np.testing.assert_allclose(often.height[:, ::2], coarse.height, atol=0.1)
    model = ShallowWaterModel(SHORT)
    spectrum = model.initial(SHORT.generator(0))[0]
    third = model.grid.on_cells(spectrum, 36)
    np.testing.assert_allclose(third[1::3, ::3], model.grid.on_cells(spectrum, 12), atol=1e-15)


def test_simulate_gives_a_canonical_field_without_poles():
    ds = simulate(SHORT)
    check_fields(ds)
    assert ds.height.shape == (4, 2, 12, 24)
    assert ds.height.attrs == {"long_name": "height of the free surface", "units": "m"}
    assert ds.vorticity.attrs == {"long_name": "relative vorticity", "units": "s-1"}
    np.testing.assert_allclose(ds.latitude, np.arange(-82.5, 90, 15))
    np.testing.assert_allclose(ds.longitude, np.arange(-180, 180, 15))
    assert np.diff(ds.time.values).tolist() == [3_600_000_000_000]
    area = np.cos(np.deg2rad(ds.latitude))
    assert float((ds.height * area).mean() / area.mean()) == pytest.approx(MEAN_DEPTH_M, rel=5e-3)


def test_cells_are_where_the_axes_say():
    grid = SphericalGrid(24, 1.0)
    field = np.cos(grid.latitude) * np.sin(grid.longitude - 0.3) + np.sin(grid.latitude)
    cells = grid.on_cells(grid.forward(field), 12)
    latitude, longitude = np.deg2rad(np.arange(-82.5, 90, 15))[:, None], np.deg2rad(np.arange(-180, 180, 15))
    np.testing.assert_allclose(cells, np.cos(latitude) * np.sin(longitude - 0.3) + np.sin(latitude), atol=1e-12)


def test_jets_and_bumps_lie_in_both_hemispheres():
    model = model_of(48)
    state = model.initial(np.random.default_rng(3))
    east, north = model.grid.wind(state[0], state[1])
    for half in (slice(0, 24), slice(24, 48)):
        assert 55 < east[half].max() < 82
    np.testing.assert_allclose(north, 0, atol=1e-9)
    anomaly = model.grid.inverse(np.where(model.grid.order > 0, state[2], 0))
    assert (anomaly[:24].max() > 30) & (anomaly[24:].max() > 30)


def test_a_blow_up_names_the_sample_and_the_hour():
    with pytest.raises(SimulationError, match=r"sample 0 blew up in hour \d+"):
        simulate(change(jet_m_s=(800, 900)))


def test_without_ducc0_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ducc0", None)
    with pytest.raises(MissingPackageError, match=r"dino-ocean\[spherical\]"):
        simulate(SHORT)


@pytest.mark.parametrize("update", [{"jet_m_s": (80, 60)}, {"bump_latitude": (-40, 50)}, {"latitudes": 4}])
def test_settings_that_make_no_sense_are_refused(update):
    with pytest.raises(ValidationError):
        change(**update)


@pytest.mark.parametrize(("part", "sequences"), [("train", 64), ("test", 16)])
def test_the_published_sizes(part, sequences):
    config = ShallowWaterConfig.preset("paper", part)
    assert config.trajectories * config.cuts == sequences
    assert (config.latitudes, config.output_latitudes, config.frame_interval_hours) == (128, 64, 1)
