"""Systems of the torus against closed forms, and against each other."""

import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.errors import ConfigError
from data_pipeline.simulators.torus import TORUS, EddiesConfig, WavesConfig, seen, simulate

SMALL = {"draws": 2, "trajectories": 1, "frames": 3, "size": 16}


def spectra(fields):
    return np.fft.rfft2(fields)


@pytest.mark.parametrize("name", TORUS)
def test_every_system_is_finite_and_changes_and_its_channels_are_roles(name):
    made = simulate(seen(name, **SMALL))
    assert list(made.data_vars) in (["u"], ["u", "v"])
    for values in made.data_vars.values():
        assert values.shape == (2, 3, 16, 16)
        assert np.isfinite(values).all()
        assert (values[:, 1] != values[:, 0]).any()


@pytest.mark.parametrize("name", ["drift", "growth"])
def test_a_grid_reads_every_other_point_of_a_finer_one(name):
    coarse, fine = (simulate(seen(name, **SMALL | {"size": size})) for size in (16, 32))
    np.testing.assert_array_equal(coarse["u"], fine["u"][..., ::2, ::2])


def test_heat_decays_wave_by_wave():
    made = simulate(seen("warmth", **SMALL | {"size": 32}))
    first, last = spectra(made["u"].values[:, 0]), spectra(made["u"].values[:, 2])
    rate = made["parameter_diffusion"].values
    np.testing.assert_allclose(last[:, 1, 2], first[:, 1, 2] * np.exp(-rate * 5 * 0.4), rtol=1e-6)


def test_drift_turns_the_phase():
    made = simulate(seen("drift", **SMALL | {"size": 32}))
    first, last = spectra(made["u"].values[:, 0]), spectra(made["u"].values[:, 2])
    speed, rate = made["parameter_speed_x"].values, made["parameter_diffusion"].values
    np.testing.assert_allclose(last[:, 0, 1], first[:, 0, 1] * np.exp((-1j * speed - rate) * 0.4), rtol=1e-6)


def test_waves_without_damping_keep_their_energy_and_the_rate_is_the_rate():
    config = WavesConfig(environments=[{"speed": 0.7, "damping": 0.0}], frames=41, interval=0.01, size=32)
    made = simulate(config)
    u, v = (spectra(made[name].values[0]) for name in "uv")
    wave = np.fft.fftfreq(32, 1 / 32)[:, None] ** 2 + np.arange(17) ** 2
    energy = (np.abs(v) ** 2 + 0.49 * wave * np.abs(u) ** 2).sum((1, 2))
    np.testing.assert_allclose(energy, energy[0], rtol=1e-3)
    rate = (made["u"].values[0, 2:] - made["u"].values[0, :-2]) / 0.02
    assert np.abs(rate - made["v"].values[0, 1:-1]).max() < 1e-2


def test_eddies_at_rest_are_pushed_by_kolmogorovs_force():
    environment = {"viscosity": 0.1, "drag": 0.2, "force": 0.1, "wave": 2.0}
    made = simulate(EddiesConfig(environments=[environment], strength=1e-6, interval=1.0, frames=3))
    y, rate = made["y"].values[:, None], 0.6
    wanted = -0.2 * np.cos(2 * y) * (1 - np.exp(-rate * 2.0)) / rate * np.ones(32)
    np.testing.assert_allclose(made["u"].values[0, 2], wanted, atol=1e-4)


def test_unknown_systems_and_odd_grids_are_refused():
    with pytest.raises(ConfigError, match="growth"):
        seen("fire")
    with pytest.raises(ValidationError, match="divisor"):
        seen("drift", size=24)
