import numpy as np
import pytest
from pydantic import ValidationError
from scipy.integrate import solve_ivp

from data_pipeline.simulators import vorticity
from data_pipeline.simulators.vorticity import VorticityConfig, simulate

TINY = {"size": 16, "frames": 3, "spin_up": 0.5}


def parameters(**given):
    return {name: np.array([given.get(name, value)]) for name, value in VorticityConfig.DEFAULTS.items()}


def wave(size=16, x=2, y=1):
    axis = 2 * np.pi * np.arange(size) / size
    return np.sin(x * axis + y * axis[:, None])


def test_a_wave_decays_by_viscosity_and_drag_on_any_side():
    config = VorticityConfig(size=16, length=3.0)
    own = parameters(sine=0, cosine=0, viscosity=0.02, drag=0.1)
    end = config.solve(wave()[None, None], own, np.array([2.0]))[0, 0, 0]
    rate = 0.02 * 5 * (2 * np.pi / 3) ** 2 + 0.1
    np.testing.assert_allclose(end, np.exp(-2 * rate) * wave(), atol=1e-9)


def test_forcing_is_along_its_waves():
    config = VorticityConfig(size=16)
    own = parameters(inertia=0, viscosity=0, sine=0.5, sine_x=2, sine_y=1, cosine=0)
    end = config.solve(np.zeros((1, 1, 16, 16)), own, np.array([3.0]))[0, 0, 0]
    np.testing.assert_allclose(end, 1.5 * wave(), atol=1e-12)


def test_flow_is_that_of_another_integrator():
    config = VorticityConfig(size=16, length=2 * np.pi)
    random = np.random.default_rng(0)
    start = config.states([(0, 0)]) * 3 + 0 * random.normal()
    own = parameters(viscosity=0.01, drag=0.05, cosine_y=2)
    k = np.fft.fftfreq(16, 1 / 16)
    kx, ky = k[None, :], k[:, None]
    kept = (np.abs(kx) <= 5) & (np.abs(ky) <= 5)
    square = kx**2 + ky**2
    inverse = np.where(square > 0, -1 / np.maximum(square, 1), 0)
    axis = 2 * np.pi * np.arange(16) / 16
    push = 0.1 * (np.sin(axis + axis[:, None]) + np.cos(axis + 2 * axis[:, None]))

    def slope(_, state):
        w = np.fft.fft2(state.reshape(16, 16)) * kept

        def field(spectrum):
            return np.fft.ifft2(spectrum).real

        u, v = field(-1j * ky * inverse * w), field(1j * kx * inverse * w)
        advected = np.fft.fft2(u * field(1j * kx * w) + v * field(1j * ky * w)) * kept
        return (field(-advected - 0.01 * square * w - 0.05 * w) + push).ravel()

    times = np.array([0.0, 2.0, 5.0])
    solved = config.solve(start, own, times)[0, :, 0]
    other = solve_ivp(slope, (0, 5), solved[0].ravel(), "DOP853", times, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(solved, other.y.T.reshape(solved.shape), atol=1e-5 * np.abs(solved).max())
    assert np.abs(solved[-1] - solved[0]).max() > 0.1 * np.abs(solved).max()


def test_spin_up_is_common_to_all_environments():
    ds = simulate(VorticityConfig.preset("coda", "train", trajectories=2, **TINY))
    start = ds["vorticity"].values[:, 0]
    assert ds.sizes["trajectory"] == 10
    np.testing.assert_array_equal(start[:2], start[8:])
    assert (np.abs(ds["vorticity"].values[0, -1] - ds["vorticity"].values[8, -1]) > 0).any()


def test_decaying_fields_have_unit_velocity_and_the_peak_of_their_spectrum():
    config = VorticityConfig.preset("zebra", "test", draws=1, trajectories=1, frames=2)
    start = config.initial(config.random(0, 0))
    model = config.model()
    speed = 2 * np.pi * model.velocity(model.grid.forward(start))
    assert (speed**2).sum(0).mean() == pytest.approx(1)
    wave_number = np.sqrt(model.grid.squared) / (2 * np.pi)
    power = np.abs(model.grid.forward(start)[0]) ** 2
    rings = [power[(wave_number >= k) & (wave_number < k + 2)].sum() for k in range(2, 40, 2)]
    assert 10 <= 2 + 2 * int(np.argmax(rings)) <= 20


def test_a_coarse_store_shows_points_of_a_fine_simulation():
    fine = simulate(VorticityConfig(size=32, frames=2))
    coarse = simulate(VorticityConfig(size=16, grid=32, frames=2))
    np.testing.assert_array_equal(coarse["vorticity"], fine["vorticity"][:, :, ::2, ::2])
    with pytest.raises(ValidationError, match="no multiple of size"):
        VorticityConfig(size=32, grid=48)


@pytest.mark.parametrize(
    ("preset", "environments", "trajectories"),
    [
        (("coda", "train"), 5, 80),
        (("coda", "test"), 5, 160),
        (("coda", "adaptation"), 4, 4),
        (("leads", "train"), 4, 32),
        (("heterns", "test"), 15, 300),
        (("imooe", "train"), 16, 1024),
        (("zebra", "test"), 12, 120),
    ],
)
def test_presets_have_the_published_sizes(preset, environments, trajectories):
    fields = vorticity.parts(VorticityConfig.preset(*preset)).fields
    assert fields.sizes["trajectory"] == trajectories
    assert len(np.unique(fields["environment"])) == environments
