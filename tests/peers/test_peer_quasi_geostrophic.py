"""The 4D-Var yardstick: its equations are the simulator's, and it finds the ocean of a twin from few observations."""

import numpy as np
import pytest
import torch
import xarray as xr

from benchmarks.peers.layer_equations import LayerEquations
from benchmarks.peers.quasi_geostrophic import climate, equations_of, forecasts
from benchmarks.peers.separate_descent import minimise
from benchmarks.peers.variational import VariationalConfig, spectral_factor
from data_pipeline.observing.interpolation import interpolator
from data_pipeline.simulators.layer_model import QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from data_pipeline.simulators.quasi_geostrophic import simulate
from data_pipeline.simulators.spectral import runge_kutta_step
from dino.data.observations import Observations, days_since_epoch
from dino.errors import ConfigError, EmptyDataError, SchemaError

SMALL = {"grid": 16, "length_km": 500.0}
LAYERS = {1: {"layers": 1, "drag_days": None}, 2: {"layers": 2}}


def state_of(config: QuasiGeostrophicConfig, runs: int = 3) -> np.ndarray:
    """Random eddies, spectra of q (run, layer, ky, kx)."""
    model = QuasiGeostrophicModel(config, np.float64)
    draws = [np.random.default_rng(seed) for seed in range(runs * config.layers)]
    psi = np.stack([model.grid.random_field(draw, 200.0) for draw in draws]).reshape(runs, config.layers, 16, -1)
    return model.potential_vorticity(2000.0 * psi)


@pytest.mark.parametrize("layers", [1, 2])
def test_tendency_step_and_sea_level_are_the_simulators(layers):
    config = QuasiGeostrophicConfig(**SMALL, **LAYERS[layers])
    model, equations = QuasiGeostrophicModel(config, np.float64), LayerEquations(config, steps_per_day=4)
    state = state_of(config)
    ours = torch.as_tensor(state)
    expected = model.tendency(state)
    np.testing.assert_allclose(equations.tendency(ours).numpy(), expected, atol=1e-12 * np.abs(expected).max())
    stepped = runge_kutta_step(state, model.tendency, np.exp(-0.125 * model.damping).astype(complex), np.float64(0.25))
    np.testing.assert_allclose(equations.step(ours).numpy(), stepped, atol=1e-12 * np.abs(stepped).max())
    np.testing.assert_allclose(equations.sea_level(ours).numpy(), model.sea_level(state), atol=1e-12)
    np.testing.assert_allclose(equations.potential_vorticity(equations.streamfunction(ours)).numpy(), state, atol=1e-12)


def test_a_rossby_wave_travels_at_its_speed():
    """One plane wave solves the equations: omega = k U - k (beta + U / Ld²) / (K² + 1 / Ld²)."""
    config = QuasiGeostrophicConfig(**SMALL, **LAYERS[1], hyperviscosity_hours=None, shear_m_s=0.1)
    equations = LayerEquations(config, steps_per_day=8)
    zonal, meridional = 2, 1
    psi = torch.zeros(1, 1, 16, equations.columns, dtype=torch.complex128)
    psi[0, 0, meridional, zonal] = 1000.0
    maps, last = equations.run(equations.potential_vorticity(psi), 5)
    k, m = (2 * np.pi / 500.0 * number for number in (zonal, meridional))
    flow, stretching = 0.1 * 86.4, 40.0**-2
    omega = k * flow - k * (config.beta + flow * stretching) / (k**2 + m**2 + stretching)
    turned = equations.streamfunction(last)[0, 0, meridional, zonal] / psi[0, 0, meridional, zonal]
    assert complex(turned) == pytest.approx(np.exp(-1j * omega * 5), abs=1e-5)
    assert maps.shape == (1, 6, 256)


def test_energy_and_enstrophy_are_kept_without_friction_and_flow():
    config = QuasiGeostrophicConfig(**SMALL, **LAYERS[1], hyperviscosity_hours=None, shear_m_s=0.0)
    model, equations = QuasiGeostrophicModel(config, np.float64), LayerEquations(config, steps_per_day=24)
    state = state_of(config)
    _, last = equations.run(torch.as_tensor(state), 5)
    assert not np.allclose(last.numpy(), state, atol=0.1 * np.abs(state).max())
    np.testing.assert_allclose(model.energy(last.numpy()), model.energy(state), rtol=1e-3)
    np.testing.assert_allclose(model.enstrophy(last.numpy()), model.enstrophy(state), rtol=1e-3)
    damped = LayerEquations(config.model_copy(update={"hyperviscosity_hours": 3.0}), steps_per_day=24)
    _, less = damped.run(torch.as_tensor(state), 5)
    assert (model.enstrophy(less.numpy()) < 0.99 * model.enstrophy(state)).all()


def test_coloured_noise_has_the_spectrum_of_the_climate():
    config = QuasiGeostrophicConfig(**SMALL, **LAYERS[2])
    equations = LayerEquations(config)
    psi = equations.streamfunction(torch.as_tensor(state_of(config, 400)))
    psi[:, 1] = 0.5 * psi[:, 0] + 0.3 * psi[:, 1]
    noise = torch.randn(400, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = torch.einsum("ijyx,bjyx->biyx", spectral_factor(equations, psi), equations.forward(noise))
    for one, other in ((0, 0), (0, 1), (1, 1)):
        products = [equations.inverse(part[:, one]) * equations.inverse(part[:, other]) for part in (psi, made)]
        assert float(products[1].mean()) == pytest.approx(float(products[0].mean()), rel=0.1)


def test_separate_descents_find_each_its_own_minimum():
    """Quadratics of very different curvature, Rosenbrock's valley, and one whose value is not finite far away."""
    scale = torch.logspace(0, 4, 6, dtype=torch.float64)

    def objective(at):
        at = at.detach().requires_grad_(True)
        bowl = 0.5 * (scale * (at[0] - 1.0) ** 2).sum()
        valley = (1.0 - at[1, 0]) ** 2 + 100.0 * (at[1, 1] - at[1, 0] ** 2) ** 2 + at[1, 2:].square().sum()
        wall = torch.where(at[2].abs() < 3.0, at[2].square(), torch.nan).sum()
        values = torch.stack([bowl, valley, wall])
        (gradient,) = torch.autograd.grad(values.sum(), at)
        return values.detach(), gradient

    start = torch.zeros(3, 6, dtype=torch.float64)
    start[2] = 2.5
    found = minimise(objective, start, 200, settled=1e-14)
    np.testing.assert_allclose(found.point[0], 1.0, atol=1e-4)
    np.testing.assert_allclose(found.point[1, :2], 1.0, atol=1e-3)
    np.testing.assert_allclose(found.point[2], 0.0, atol=1e-4)
    assert found.iterations < 200


@pytest.fixture(scope="module")
def model_ocean() -> xr.Dataset:
    """Twelve runs of twenty daily maps of a toy ocean of one layer."""
    return simulate(
        QuasiGeostrophicConfig(
            **SMALL, layers=1, drag_days=None, trajectories=12, days=20, spin_up_days=20, seed=1, initial_ssh_std_m=0.15
        )
    )


@pytest.fixture(scope="module")
def twin() -> xr.Dataset:
    """Another ocean of the same equations."""
    return simulate(
        QuasiGeostrophicConfig(
            **SMALL, layers=1, drag_days=None, trajectories=1, days=24, spin_up_days=20, seed=99, initial_ssh_std_m=0.15
        )
    ).isel(trajectory=0)


def observed(ocean: xr.Dataset, count: int = 900, error: float = 0.01) -> Observations:
    """Points at random of the daily maps of an ocean, linear between them."""
    random = np.random.default_rng(5)
    times = days_since_epoch(ocean["time"].values)
    time = np.sort(random.uniform(times[0], times[-1], count))
    axes = [ocean[name].values for name in ("longitude", "latitude")]
    longitude, latitude = (random.uniform(axis[0], axis[-1], count) for axis in axes)
    _, nodes, weights = interpolator(ocean).weights(longitude, latitude)
    day = np.minimum(np.floor(time - times[0]).astype(int), len(times) - 2)
    part = time - times[0] - day
    maps = ocean["ssh"].values.reshape(len(times), -1).astype(float)
    before, after = ((maps[at[:, None], nodes] * weights).sum(1) for at in (day, day + 1))
    values = (1 - part) * before + part * after + error * random.normal(size=count)
    return Observations(
        time, longitude, latitude, values[:, None], np.full((count, 1), error), np.zeros(count, int), ("ssh",)
    )


SETTINGS = VariationalConfig(window_days=8, stages_days=(3, 8), iterations=60, climate_every=4, single_precision=False)


def rmse(maps: np.ndarray, ocean: xr.Dataset, index: int, lead: int) -> float:
    truth = ocean["ssh"].values[index + lead].ravel()
    return float(np.sqrt(np.mean((maps - truth) ** 2)))


def test_a_twin_is_found_from_its_observations_and_forecast(model_ocean, twin):
    seen, times = observed(twin), days_since_epoch(twin["time"].values)
    starts = [12, 16]
    made = forecasts(seen, model_ocean, times[starts], [0, 1, 5], SETTINGS)
    assert made.shape == (2, 3, 256)
    amplitude = float(twin["ssh"].std())
    for row, start in enumerate(starts):
        for column, lead in enumerate((0, 1, 5)):
            assert rmse(made[row, column], twin, start, lead) < 0.1 * amplitude
    alone = forecasts(seen, model_ocean, times[starts[1:]], [0, 5], SETTINGS)
    np.testing.assert_allclose(alone[0], made[1, [0, 2]], atol=2e-3)


def test_nothing_after_a_start_is_used(model_ocean, twin):
    seen, times = observed(twin), days_since_epoch(twin["time"].values)
    short = SETTINGS.model_copy(update={"iterations": 5})
    whole = forecasts(seen, model_ocean, times[[12]], [0, 3], short)
    cut = forecasts(seen.select(seen.time <= times[12]), model_ocean, times[[12]], [0, 3], short)
    np.testing.assert_array_equal(whole, cut)


def test_a_tendency_error_makes_up_for_a_wrong_model(model_ocean, twin):
    """The stated mean flow is far from the twin's: 4D-Var with a strong constraint cannot follow the observations."""
    history = model_ocean.attrs["history"].replace('"shear_m_s":0.14', '"shear_m_s":0.05')
    assert history != model_ocean.attrs["history"]
    wrong = model_ocean.assign_attrs(history=history)
    seen, times = observed(twin), days_since_epoch(twin["time"].values)
    errors = []
    for tendency in (0.0, 0.1):
        settings = SETTINGS.model_copy(update={"tendency_per_day": tendency})
        errors.append(rmse(forecasts(seen, wrong, times[[14]], [0], settings)[0, 0], twin, 14, 0))
    assert errors[1] < 0.8 * errors[0]


def test_both_layers_can_be_known(model_ocean):
    config = QuasiGeostrophicConfig(**SMALL, trajectories=2, days=3, spin_up_days=5)
    store = simulate(config)
    assert equations_of(store).layers == 1
    assert equations_of(store).drag_days is None
    assert equations_of(store).deformation_radius_km == config.deformation_radius_km
    both = equations_of(store, "two-layer")
    assert (both.layers, both.drag_days) == (2, config.drag_days)
    settings = VariationalConfig(knows="two-layer", climate_runs=3)
    psi = climate(LayerEquations(both), store, settings)
    assert psi.shape == (18, 2, 16, 6)
    assert bool(torch.isfinite(psi.abs()).all())


def test_what_cannot_be_assimilated_is_refused(model_ocean, twin):
    seen, times = observed(twin, 50), days_since_epoch(twin["time"].values)
    with pytest.raises(ConfigError, match="whole days"):
        forecasts(seen, model_ocean, times[[12]], [0.5], SETTINGS)
    with pytest.raises(EmptyDataError):
        forecasts(seen, model_ocean, times[[12]] + 100.0, [1], SETTINGS)
    with pytest.raises(SchemaError, match="names no quasi-geostrophic simulation"):
        forecasts(seen, model_ocean.assign_attrs(history="drawn"), times[[12]], [1], SETTINGS)
    with pytest.raises(SchemaError, match="give it whole"):
        forecasts(seen, model_ocean.isel(latitude=slice(0, 8)), times[[12]], [1], SETTINGS)
    with pytest.raises(ValueError, match="must grow and end"):
        VariationalConfig(window_days=10)
