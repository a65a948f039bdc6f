import numpy as np
import pytest
from typer.testing import CliRunner

from data_pipeline.commands.app import app
from data_pipeline.layout.datasets import check_fields
from data_pipeline.simulators.layer_model import QuasiGeostrophicModel
from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig, TracerConfig
from data_pipeline.simulators.quasi_geostrophic import simulate
from data_pipeline.simulators.spectral import runge_kutta_step
from data_pipeline.simulators.tracer import KM2_PER_DAY, TracerModel
from data_pipeline.stores.writing import open_store

STILL = {"grid": 32, "shear_m_s": 0, "drag_days": None, "hyperviscosity_hours": None, "layers": 1}
SHORT = QuasiGeostrophicConfig(grid=16, trajectories=2, days=4, spin_up_days=2, tracer=TracerConfig())


def made(tracer, **changes):
    config = QuasiGeostrophicConfig(**{**STILL, **changes}, tracer=tracer)
    return TracerModel(QuasiGeostrophicModel(config, np.float64), tracer)


def integrate(model, state, days, steps=100):
    half_decay = np.exp(-0.5 * days / steps * model.damping)
    for _ in range(steps):
        state = runge_kutta_step(state, model.tendency, half_decay, days / steps)
    return state


def blank(model, layers=1):
    return np.zeros((1, layers + 1, *model.grid.squared.shape), complex)


def test_a_wave_of_temperature_relaxes_and_mixes_at_its_rate_and_drifts_with_the_mean_flow():
    tracer = TracerConfig(relaxation_days=40, mixing_m2_s=300, gradient_k_per_km=0)
    model = made(tracer, shear_m_s=0.2, layers=2)
    state = blank(model, 2)
    state[0, -1, 0, 3] = 100.0
    end = integrate(model, state, 10.0)[0, -1, 0, 3]
    rate = 1 / 40 + 300 * KM2_PER_DAY * model.grid.squared[0, 3]
    assert abs(end) == pytest.approx(100 * np.exp(-10 * rate), rel=1e-6)
    moved = -model.grid.kx[0, 3] * 0.2 * 86.4 * 10
    assert np.angle(end) == pytest.approx((moved + np.pi) % (2 * np.pi) - np.pi, rel=1e-6)


def test_a_rossby_wave_makes_the_tracer_that_gradient_and_relaxation_balance():
    """Of psi exp(i f t) with the frequency f of the wave, theta (1 / relaxation + i f) = -G v."""
    tracer = TracerConfig(relaxation_days=0.5, mixing_m2_s=0, gradient_k_per_km=-0.01)
    model = made(tracer, reference_latitude=60.0)
    state = blank(model)
    psi = np.zeros_like(state[:, :1])
    psi[0, 0, 0, 2] = 50 * model.grid.size**2  # one wave along x: it does not carry itself
    state[:, :1] = model.ocean.potential_vorticity(psi)
    end = integrate(model, state, 8.0, 320)
    now = model.ocean.streamfunction(end[:, :1])[0, 0, 0, 2]
    frequency = model.config.beta * model.grid.kx[0, 2] / (model.grid.squared[0, 2] + 40.0**-2)
    expected = 0.01 * 1j * model.grid.kx[0, 2] * now / (1 / 0.5 + 1j * frequency)
    assert end[0, -1, 0, 2] == pytest.approx(expected, rel=1e-5)


def test_stirring_keeps_the_mean_square_and_the_mean():
    tracer = TracerConfig(relaxation_days=1e9, mixing_m2_s=0, gradient_k_per_km=0)
    model = made(tracer)
    generator = np.random.default_rng(0)
    state = blank(model)
    state[:, :1] = model.ocean.potential_vorticity(3000 * model.grid.random_field(generator, 400)[None, None])
    state[0, 1] = model.grid.random_field(generator, 500)
    end = integrate(model, state, 2.0, 400)
    assert np.abs(end[0, 1] - state[0, 1]).max() > 0.1 * np.abs(state[0, 1]).max()
    assert model.grid.mean_square(end[:, 1]) == pytest.approx(model.grid.mean_square(state[:, 1]), rel=1e-5)
    assert abs(end[0, 1, 0, 0]) < 1e-9


def test_the_flow_knows_nothing_of_the_tracer():
    config = SHORT.model_copy(update={"forcing_m_per_day": 0.01, "lower_layer": True})
    ds = simulate(config)
    check_fields(ds)
    assert set(ds.data_vars) == {"ssh", "lower_layer", "sst"}
    assert ds["sst"].attrs["units"] == "degC"
    alone = simulate(config.model_copy(update={"tracer": None}))
    for name in alone.data_vars:
        np.testing.assert_array_equal(ds[name], alone[name])


def test_weather_has_the_variance_of_its_balance_with_relaxation():
    """An Ornstein-Uhlenbeck rate of memory m, relaxed at 1 / r, has the variance s^2 r^2 m / (r + m)."""
    tracer = TracerConfig(gradient_k_per_km=0, mixing_m2_s=0, relaxation_days=4, weather_k_per_day=0.5)
    config = QuasiGeostrophicConfig(
        grid=16, trajectories=48, days=1, spin_up_days=25, initial_ssh_std_m=1e-6, shear_m_s=0, tracer=tracer
    )
    values = simulate(config)["sst"].values - 18
    assert values.std() == pytest.approx(0.5 * np.sqrt(4**2 * 3 / (4 + 3)), rel=0.06)
    assert not np.array_equal(values[0], values[1])


def test_the_command_adds_a_tracer(tmp_path):
    out = tmp_path / "front.zarr"
    sets = ["grid=16", "trajectories=1", "days=2", "spin_up_days=1", "tracer.gradient_k_per_km=-0.02"]
    arguments = ["simulate", "quasi-geostrophic", "--tracer", "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, *(part for s in sets for part in ("--set", s))])
    assert result.exit_code == 0, result.output
    assert set(open_store(out).data_vars) == {"ssh", "sst"}
    assert "-0.02" in open_store(out).attrs["history"]
    refused = CliRunner().invoke(app, ["simulate", "wave", "--tracer", "--out", str(tmp_path / "no.zarr")])
    assert refused.exit_code != 0
