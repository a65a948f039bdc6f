"""The membrane, Fisher, Allen-Cahn and FitzHugh-Nagumo on a square."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from data_pipeline.simulators import fitzhugh_nagumo, membrane, reactions
from data_pipeline.simulators.fitzhugh_nagumo import FitzHughNagumoConfig, closed_laplacian
from data_pipeline.simulators.membrane import MembraneConfig
from data_pipeline.simulators.reactions import AllenCahnConfig, FisherConfig


@pytest.mark.parametrize("damping", [0.0, 3.0, 40.0])
def test_a_mode_of_the_membrane_is_a_damped_oscillator(damping):
    config = MembraneConfig(size=17)
    axis = np.linspace(0, 1, 17)
    mode = np.sin(2 * np.pi * axis) * np.sin(np.pi * axis[:, None])
    parameters = {"speed": np.array([0.8]), "damping": np.array([damping])}
    times = np.linspace(0, 2, 5)
    solved = config.solve(np.stack([mode, 0.5 * mode])[None], parameters, times)[0]
    square = 0.8**2 * 5 * np.pi**2
    other = solve_ivp(
        lambda _, q: [q[1], -square * q[0] - damping * q[1]], (0, 2), [1, 0.5], "Radau", times, rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(solved, other.y.T[:, :, None, None] * mode, atol=1e-6)


def test_the_membrane_is_held_and_begins_at_rest():
    ds = membrane.simulate(MembraneConfig.preset("zebra", "test", draws=2, trajectories=1, size=32))
    assert ds.attrs["periodic"] == [0, 0]
    assert ds["x"].values[-1] == 1
    for edge in ({"x": 0}, {"x": -1}, {"y": 0}, {"y": -1}):
        np.testing.assert_array_equal(ds["displacement"].isel(edge), 0)
    assert np.abs(ds["displacement_rate"][:, 0]).max() < 1e-9
    start = MembraneConfig.preset("zebra", "test", draws=2, trajectories=1, size=32).states([(0, 0)])
    np.testing.assert_allclose(ds["displacement"][0, 0], start[0, 0], atol=1e-12)


def test_without_diffusion_fisher_and_allen_cahn_are_logistic():
    times = np.array([0.0, 1.5])
    parameters = {"diffusion": np.array([0.0]), "rate": np.array([1.2])}
    flat = np.full((1, 1, 8, 8), 0.3)
    grown = np.exp(1.2 * 1.5)
    fisher = FisherConfig(size=8).solve(flat, parameters, times)[0, 1]
    np.testing.assert_allclose(fisher, 0.3 * grown / (1 + 0.3 * (grown - 1)), rtol=1e-7)
    allen = AllenCahnConfig(size=8).solve(flat, parameters, times)[0, 1]
    np.testing.assert_allclose(allen, 0.3 * grown / np.sqrt(1 + 0.09 * (grown**2 - 1)), rtol=1e-7)


@pytest.mark.parametrize("config", [FisherConfig, AllenCahnConfig])
def test_reactions_are_those_of_another_integrator(config):
    settings = config(size=32, frames=3, smoothness=3, environments={"diffusion": 4e-3, "rate": 1.0})
    ds = reactions.simulate(settings).isel(trajectory=0)
    k = 2 * np.pi * np.fft.fftfreq(32, 1 / 32)
    square = k**2 + k[:, None] ** 2

    def slope(_, state):
        u = state.reshape(32, 32)
        reaction = u * (1 - u) if config is FisherConfig else u - u**3
        return (np.fft.ifft2(-4e-3 * square * np.fft.fft2(u)).real + reaction).ravel()

    start = ds["u"].values[0].ravel()
    other = solve_ivp(slope, (0, 1), start, "RK45", ds["time"].values, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ds["u"], other.y.T.reshape(ds["u"].shape), atol=2e-5)


def test_fitzhugh_nagumo_is_that_of_another_integrator():
    config = FitzHughNagumoConfig.preset("imooe", "test", draws=1, trajectories=1, size=12, frames=4)
    ds = fitzhugh_nagumo.simulate(config).isel(trajectory=0)
    p = {name: float(ds[f"parameter_{name}"]) for name in FitzHughNagumoConfig.DEFAULTS}

    def laplacian(a):
        wide = np.pad(a, 1, mode="edge")
        around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
        return (around - 4 * a) * 36

    def slope(_, state):
        u, v = state.reshape(2, 12, 12)
        change = u - u**3 - p["k"] - v + p["diffusion_u"] * laplacian(u)
        return np.stack([change, u - v + p["diffusion_v"] * laplacian(v)]).ravel()

    values = np.stack([ds["u"], ds["v"]], axis=1)
    other = solve_ivp(slope, (0, 3), values[0].ravel(), "RK45", ds["time"].values, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(values, other.y.T.reshape(values.shape), atol=1e-6)
    assert 1e-3 <= p["diffusion_u"] <= 2e-3


def test_nothing_passes_the_edge():
    field = np.random.default_rng(0).normal(size=(2, 5, 6))
    np.testing.assert_allclose(closed_laplacian(field).sum((1, 2)), 0, atol=1e-12)
