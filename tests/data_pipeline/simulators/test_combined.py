import numpy as np
import pytest
from scipy.integrate import solve_ivp

from data_pipeline.errors import SimulationError
from data_pipeline.simulators import combined, exponential, korteweg_de_vries, kuramoto_sivashinsky
from data_pipeline.simulators.combined import CombinedConfig
from data_pipeline.simulators.conservation import MOST, refinement, solve_conservation
from data_pipeline.simulators.entropy import entropy_solution
from data_pipeline.simulators.exponential import ExponentialSteps, phi, solve_controlled
from data_pipeline.simulators.initial_fields import random_waves
from data_pipeline.simulators.shocks import solve_with_shocks


def waves(count, size=64):
    return np.stack([random_waves(np.random.default_rng(seed), size, 5, 3, 0.5) for seed in range(count)])


def coefficients(count=1, **given):
    return {name: np.broadcast_to(np.asarray(given.get(name, 0.0), float), (count,)) for name in "abgd"}


def relative(values, truth):
    return np.linalg.norm(values - truth) / np.linalg.norm(truth)


def test_weights_of_the_scheme_are_their_integrals():
    z = np.array([0, 1e-6, -0.5, 0.999j, 1.001j, -30, 2 - 3j])
    nodes, weight = np.polynomial.legendre.leggauss(60)
    s = (nodes + 1) / 2
    for number, value in enumerate(phi(z), start=1):
        power = s ** (number - 1) / max(1, number - 1)
        exact = (np.exp((1 - s) * z[:, None]) * power * weight / 2).sum(1)
        np.testing.assert_allclose(value, exact, rtol=1e-12)


def test_a_soliton_keeps_its_shape():
    speed, length, size = 4.0, 40.0, 256
    x = length * np.arange(size) / size

    def soliton(time):
        away = (x - 10 - speed * time + length / 2) % length - length / 2
        return speed / 2 / np.cosh(np.sqrt(speed) / 2 * away) ** 2

    times = np.array([0.0, 1.0, 3.0])
    end = solve_conservation(soliton(0)[None], length, coefficients(a=3, g=1), times)[0, -1]
    assert relative(end, soliton(3.0)) < 1e-6


def test_burgers_is_that_of_cole_and_hopf():
    length, b, a = 2 * np.pi, 0.1, 0.5
    x = length * np.arange(64) / 64
    y = length * np.arange(4096) / 4096
    # theta = exp(cos(x) / (2 b)) of u = sin(x) obeys the heat equation
    spectrum = np.fft.rfft(np.exp(np.cos(y) / (2 * b)))
    wave = np.arange(len(spectrum))
    heat = spectrum * np.exp(-b * wave**2 * 2.0)
    exact = -2 * b * np.fft.irfft(1j * wave * heat) / np.fft.irfft(heat)
    solved = solve_conservation(np.sin(x)[None], length, coefficients(a=a, b=b), np.array([0.0, 2.0]))
    assert relative(solved[0, -1], exact[::64]) < 1e-6


def test_entropy_solutions_are_those_of_characteristics_and_of_equal_areas():
    length, size = 2 * np.pi, 128
    x = length * np.arange(size) / size
    before = entropy_solution(0.3 + np.sin(x)[None], length, np.array([0.5]), np.array([0.8]))[0, 0]
    np.testing.assert_allclose(before, 0.3 + np.sin(x - 0.8 * before), atol=1e-9)  # no shock yet
    # A sine's shock stands where its node moves: u(x) = sin(y) with x = y + t sin(y), nearest branch.
    after = entropy_solution(np.sin(x)[None], length, np.array([0.5]), np.array([3.0]))[0, 0]
    np.testing.assert_allclose(after[1:64], np.sin(x[1:64] - 3 * after[1:64]), atol=1e-9)
    assert (after[1:64] > 0).all()
    np.testing.assert_allclose(after[65:], -after[63:0:-1], atol=1e-9)


def test_finite_volumes_go_to_entropy_solutions_and_keep_the_mean():
    fields, slope, times = waves(3), np.array([0.3, 0.6, 1.0]), np.array([0.0, 1.0, 3.0])
    exact = entropy_solution(fields, 16.0, slope, times)
    volumes = solve_with_shocks(fields, 16.0, slope, lambda k: np.zeros((3, len(k))), times)
    assert np.abs(volumes - exact).mean() < 5e-3 * np.abs(exact).mean()
    np.testing.assert_allclose(exact[:, -1].mean(1), fields.mean(1), atol=0.01)


def test_solvers_agree_where_two_of_them_can():
    times = np.array([0.0, 1.0, 2.0])
    c = coefficients(2, a=0.5, b=(0.1, 0.2))
    spectral = solve_conservation(waves(2), 16.0, c, times)
    volumes = solve_with_shocks(waves(2), 16.0, c["a"], lambda k: -c["b"][:, None] * k**2 + 0j, times)
    assert relative(volumes, spectral) < 1e-4


def test_the_solver_is_chosen_by_fronts():
    fields = np.full((6, 64), 0.5)
    c = coefficients(6, a=(0, 1, 1, 1, 1, -1), b=(1, 0, 1e-3, 0.5, 0, 0.5), g=(0, 0, 0, 0, 0.5, 0))
    chosen = refinement(fields, 16.0, c)
    assert chosen[0] == -1
    assert chosen[1] == 0
    assert chosen[2] > MOST
    assert chosen[3] == chosen[4] == chosen[5] == 2


def test_the_other_sign_of_a_mirrors():
    times, fields = np.array([0.0, 1.0]), waves(1)
    for b in (0.0, 1e-3, 0.2):
        one = solve_conservation(fields, 16.0, coefficients(a=0.5, b=b), times)
        other = solve_conservation(-fields, 16.0, coefficients(a=-0.5, b=b), times)
        np.testing.assert_allclose(other, -one, atol=1e-8)


def test_without_a_waves_decay_and_travel_exactly():
    x = 16.0 * np.arange(64) / 64
    k = 2 * np.pi / 16 * 3
    solved = solve_conservation(np.sin(k * x)[None], 16.0, coefficients(b=0.3, g=0.2, d=0.1), np.array([2.0]))
    exact = np.exp(-(0.3 * k**2 + 0.1 * k**4) * 2) * np.sin(k * x + 0.2 * k**3 * 2)
    np.testing.assert_allclose(solved[0, 0], exact, atol=1e-12)


def test_kuramoto_sivashinsky_is_that_of_another_integrator():
    config = kuramoto_sivashinsky.KuramotoSivashinskyConfig(
        size=32, start=0, frames=5, interval=5, environments={"d": 1}
    )
    ds = kuramoto_sivashinsky.simulate(config)
    points, wave = 64, 2 * np.pi / 32 * np.arange(33)
    kept = np.arange(33) <= 21

    def slope(_, u):
        s = np.fft.rfft(u) * kept
        square = np.fft.rfft(np.fft.irfft(s) ** 2) * kept
        return np.fft.irfft((wave**2 - wave**4) * s - 0.5j * wave * square)

    start = np.fft.irfft(np.fft.rfft(ds["u"].values[0, 0]) * 2, points)
    other = solve_ivp(slope, (0, 20), start, "LSODA", ds["time"].values, rtol=1e-10, atol=1e-11)
    assert relative(ds["u"].values[0], other.y.T[:, ::2]) < 1e-5
    assert np.abs(ds["u"]).max() > 1


def test_korteweg_de_vries_keeps_momentum_and_a_row_is_the_same_in_any_company():
    config = korteweg_de_vries.KortewegDeVriesConfig.preset("quick", "test", size=64, frames=6)
    ds = korteweg_de_vries.simulate(config)
    momentum = (ds["u"] ** 2).mean("x")
    np.testing.assert_allclose(momentum, momentum[:, :1].values.repeat(6, 1), rtol=1e-5)
    alone = korteweg_de_vries.simulate(config.model_copy(update={"trajectories": 1}))
    np.testing.assert_array_equal(alone["u"], ds["u"][::4])


def test_what_has_no_stable_step_is_told(monkeypatch):
    monkeypatch.setattr(exponential, "MOST_STEPS", 2**8)
    steps = ExponentialSteps(np.zeros((1, 1)), lambda states, time, rows: states**2)
    with pytest.raises(SimulationError, match="no step is small enough"):
        list(solve_controlled(steps, np.ones((1, 1)), np.array([0.0, 2.0])))


@pytest.mark.parametrize(
    ("preset", "environments", "shape"),
    [
        (("ttg", "train"), 36, (576, 250, 256)),
        (("ttg-he", "test"), 160, (480, 116, 256)),
        (("ttg-ed", "test"), 64, (512, 116, 256)),
        (("ttg-bg", "test"), 160, (480, 116, 256)),
        (("ttg-all", "test"), 640, (640, 116, 256)),
        (("zebra", "train"), 1200, (12000, 14, 256)),
        (("enma", "test"), 120, (1200, 20, 128)),
        (("enma-ood", "test"), 12, (120, 20, 128)),
    ],
)
def test_presets_have_their_sizes(preset, environments, shape):
    config = CombinedConfig.preset(*preset)
    ds = combined.parts(config).fields
    assert ds["u"].shape == shape
    assert len(np.unique(ds["environment"])) == environments
