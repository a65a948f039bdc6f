import numpy as np
import pytest
from scipy.integrate import solve_ivp

from data_pipeline.simulators.gray_scott import GrayScottConfig, nine_points, of_series, simulate


def test_trajectories_are_those_of_another_integrator_and_of_the_stencil_written_out():
    ds = simulate(GrayScottConfig.preset("coda", "adaptation", size=12, frames=4)).isel(trajectory=2)
    feed, kill = float(ds["parameter_feed"]), float(ds["parameter_kill"])

    def laplacian(a):
        near = sum(np.roll(a, s, axis) for axis in (0, 1) for s in (1, -1))
        far = sum(np.roll(a, (s, t), (0, 1)) for s in (1, -1) for t in (1, -1))
        return -3 * a + 0.5 * near + 0.25 * far

    def slope(_, s):
        u, v = s.reshape(2, 12, 12)
        du = 0.2097 * laplacian(u) - u * v**2 + feed * (1 - u)
        return np.stack([du, 0.105 * laplacian(v) + u * v**2 - (feed + kill) * v]).ravel()

    values = np.stack([ds["u"], ds["v"]], axis=1)
    other = solve_ivp(slope, (0, 120), values[0].ravel(), "RK45", ds["time"].values, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(values, other.y.T.reshape(values.shape), atol=1e-6)


@pytest.mark.parametrize("laplacian", [nine_points(0.05), of_series(64, 0.05)])
def test_laplacians_are_those_of_a_wave(laplacian):
    axis = np.arange(64) * 0.05
    unit = 2 * np.pi / 3.2
    wave = np.cos(unit * axis[:, None]) * np.sin(2 * unit * axis)
    np.testing.assert_allclose(laplacian(wave), -5 * unit**2 * wave, rtol=0.01, atol=0.2)


def test_without_reaction_a_wave_decays_as_diffusion_wants():
    config = GrayScottConfig(laplacian="spectral", environments={"feed": 0, "kill": 0}, size=16)
    axis = 2 * np.pi * np.arange(16) / 16
    states = np.stack([1 + 0.5 * np.cos(axis)[None] + 0 * axis[:, None], np.zeros((16, 16))])[None]
    parameters = {name: values[:1] for name, values in config.table().items()}
    end = config.solve(states, parameters, np.array([0.0, 30.0]))[0, 1, 0]
    decay = np.exp(-0.2097 * (2 * np.pi / 16) ** 2 * 30)
    np.testing.assert_allclose(end, 1 + decay * (states[0, 0] - 1), atol=1e-7)


def test_trajectories_start_as_published_and_presets_have_the_published_sizes():
    config = GrayScottConfig.preset("coda", "test")
    start = config.states([(0, 3), (1, 3)])
    np.testing.assert_array_equal(start[0], start[1])
    random = np.random.RandomState(2**31 - 4)
    u = np.full((32, 32), 0.95)
    for _ in range(3):
        y, x = random.randint(low=0, high=29, size=2)
        u[y : y + 3, x : x + 3] = 0
    np.testing.assert_array_equal(start[0, 0], u)
    assert config.times[-1] == 360
    counts = {key: len(GrayScottConfig.preset(*key).table()["feed"]) for key in GrayScottConfig.PRESETS}
    assert counts["coda", "train"] == counts["coda", "adaptation"] == 4
    assert counts["ttg", "train"] == 40
    assert counts["ttg", "test"] == 100
    assert counts["enma", "train"] == 1200
