"""Advection and diffusion, heat and Burgers on a line."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from data_pipeline.simulators import advection_diffusion, burgers, heat
from data_pipeline.simulators.advection_diffusion import AdvectionDiffusionConfig
from data_pipeline.simulators.burgers import BurgersConfig
from data_pipeline.simulators.heat import HeatConfig


def forcing(ds, time):
    x = 2 * np.pi * np.arange(ds.sizes["x"]) / ds.sizes["x"]
    p = {name: float(ds[f"parameter_{name}"]) for name in (str(c)[10:] for c in ds.coords if "parameter" in str(c))}
    numbers = range(sum(name.startswith("phase") for name in p))
    return sum(
        p[f"amplitude_{n}"] * np.sin(p[f"frequency_{n}"] * time + p[f"wave_{n}"] * x + p[f"phase_{n}"]) for n in numbers
    )


def other_integrator(ds, slope):
    size, length = ds.sizes["x"], ds.attrs["lengths"][0]
    wave = 2 * np.pi / length * np.arange(size // 2 + 1)
    start = ds["u"].values[0]
    span = (0, float(ds["time"][-1]))
    solution = solve_ivp(lambda t, u: slope(t, u, wave), span, start, "LSODA", ds["time"].values, rtol=1e-9, atol=1e-10)
    return solution.y.T


def test_waves_travel_and_decay():
    config = AdvectionDiffusionConfig(size=32, length=4.0)
    x = 4.0 * np.arange(32) / 32
    k = 2 * np.pi / 4 * 3
    parameters = {"speed": np.array([0.7]), "diffusivity": np.array([0.05])}
    solved = config.solve(np.sin(k * x)[None, None], parameters, np.array([0.0, 2.0]))
    np.testing.assert_allclose(solved[0, 1, 0], np.exp(-0.05 * k**2 * 2) * np.sin(k * (x - 1.4)), atol=1e-12)


def test_fractaloid_states_have_mean_0_and_deviation_1_and_are_smooth():
    ds = advection_diffusion.simulate(AdvectionDiffusionConfig.preset("ttg-all", "test", draws=3))
    start = ds["u"].values[:, 0]
    np.testing.assert_allclose(start.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(start.std(1), 1)
    power = np.abs(np.fft.rfft(start)) ** 2
    assert (power[:, 20:].sum(1) < 1e-4 * power.sum(1)).all()


def test_zebra_advection_begins_at_the_frame_that_is_kept():
    ds = advection_diffusion.simulate(AdvectionDiffusionConfig.preset("zebra", "test", draws=1, trajectories=1))
    config = AdvectionDiffusionConfig.preset("zebra", "test", draws=1, trajectories=1, start=0)
    start = advection_diffusion.simulate(config)["u"].values[0, 0]
    shift = float(ds["parameter_speed"][0]) * 110 * 100 / 249
    wave = 2 * np.pi / 128 * np.arange(129)
    moved = np.fft.irfft(np.fft.rfft(start) * np.exp(-1j * wave * shift))
    np.testing.assert_allclose(ds["u"].values[0, 0], moved, atol=1e-10)


def test_heat_is_that_of_another_integrator():
    ds = heat.simulate(HeatConfig.preset("zebra", "test", size=32, draws=1, trajectories=1)).isel(trajectory=0)
    b = float(ds["parameter_b"])
    other = other_integrator(ds, lambda t, u, k: np.fft.irfft(-b * k**2 * np.fft.rfft(u)) + forcing(ds, t))
    np.testing.assert_allclose(ds["u"], other, atol=1e-7)


@pytest.mark.parametrize("b", [0.2, 1.5])
def test_burgers_is_that_of_another_integrator(b):
    config = BurgersConfig(environments={"b": b}, size=64, frames=4, interval=0.4)
    ds = burgers.simulate(config).isel(trajectory=0)
    fine = burgers.simulate(config.model_copy(update={"size": 256})).isel(trajectory=0)

    def slope(t, u, k):
        return np.fft.irfft(-b * k**2 * np.fft.rfft(u) - 0.5j * k * np.fft.rfft(u**2)) + forcing(fine, t)

    other = other_integrator(fine, slope)
    np.testing.assert_allclose(fine["u"], other, atol=1e-6)
    np.testing.assert_allclose(ds["u"], other[:, ::4], atol=1e-6)


def test_burgers_with_fronts_is_bounded_and_obeys_its_budget():
    ds = burgers.simulate(BurgersConfig(environments={"b": 1e-3}, size=64, frames=5, interval=0.5, trajectories=2))
    assert len(np.unique(ds["parameter_phase_0"])) == 1
    assert np.abs(ds["u"]).max() < 4
    np.testing.assert_allclose(ds["u"].mean("x"), 0, atol=0.05)  # flux and forcing have no mean


@pytest.mark.parametrize("part", ["train", "test"])
def test_presets_have_the_published_sizes(part):
    draws = {"train": 1200, "test": 12}[part]
    for config, frames in ((HeatConfig, 25), (BurgersConfig, 25), (AdvectionDiffusionConfig, 14)):
        fields = heat.parts(config.preset("zebra", part)).fields
        assert fields["u"].shape == (10 * draws, frames, 256)
        assert len(np.unique(fields["environment"])) == draws
    splits = ("ttg-all", "ttg-ood-speed", "ttg-ood-diffusivity", "ttg-ood-all")
    sizes = {
        advection_diffusion.parts(AdvectionDiffusionConfig.preset(name, "test")).fields["u"].shape for name in splits
    }
    assert sizes == {(512, 100, 256)}
