import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.layout.datasets import check_fields
from data_pipeline.simulators.layer_model import KM_PER_DAY, QuasiGeostrophicModel
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, SimulationError, simulate
from data_pipeline.simulators.spectral import SpectralGrid, runge_kutta_step

FREE = {"grid": 32, "shear_m_s": 0, "drag_days": None, "hyperviscosity_hours": None}
SHORT = QuasiGeostrophicConfig(grid=16, trajectories=2, days=4, spin_up_days=2)


def integrate(model, state, days, steps):
    half_decay = np.exp(-0.5 * days / steps * model.damping)
    for _ in range(steps):
        state = runge_kutta_step(state, model.tendency, half_decay, days / steps)
    return state


def plane_wave(model, amplitudes, zonal=2, meridional=1):
    psi = np.zeros((1, model.config.layers, *model.grid.squared.shape), complex)
    psi[0, :, meridional, zonal] = np.asarray(amplitudes) * model.grid.size**2
    return psi


def random_state(model, seed=0):
    generator = np.random.default_rng(seed)
    draws = [model.grid.random_field(generator, 300) for _ in range(model.config.layers)]
    return model.potential_vorticity(1000 * np.stack(draws)[None])


@pytest.mark.parametrize(
    ("layers", "amplitudes", "baroclinic"),
    [(1, [300], 1), (2, [300, 300], 0), (2, [300, -75], 1)],
    ids=["reduced gravity", "barotropic", "baroclinic"],
)
def test_rossby_waves_have_the_analytic_phase_speed(layers, amplitudes, baroclinic):
    config = QuasiGeostrophicConfig(layers=layers, layer_depth_ratio=0.25, **FREE)
    model = QuasiGeostrophicModel(config, np.float64)
    start = model.potential_vorticity(plane_wave(model, amplitudes))
    end = integrate(model, start, 20.0, 80)
    kx = model.grid.kx[0, 2]
    squared = model.grid.squared[1, 2] + baroclinic / config.deformation_radius_km**2
    turned = np.angle(end[0, 0, 1, 2] / start[0, 0, 1, 2])
    assert turned == pytest.approx(kx * config.beta / squared * 20.0, rel=1e-4)
    assert np.abs(end[0, :, 1, 2]) == pytest.approx(np.abs(start[0, :, 1, 2]), rel=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_an_inviscid_unforced_flow_conserves_energy_and_enstrophy(layers):
    model = QuasiGeostrophicModel(QuasiGeostrophicConfig(layers=layers, **FREE), np.float64)
    start = random_state(model)
    end = integrate(model, start, 10.0, 400)
    assert np.abs(end - start).max() > 0.1 * np.abs(start).max()
    assert model.energy(end) == pytest.approx(model.energy(start), rel=1e-6)
    assert model.enstrophy(end) == pytest.approx(model.enstrophy(start), rel=1e-6)


def test_drag_and_hyperviscosity_take_energy_away():
    config = QuasiGeostrophicConfig(grid=32, shear_m_s=0)
    model = QuasiGeostrophicModel(config, np.float64)
    start = random_state(model)
    assert model.energy(integrate(model, start, 10.0, 400)) < 0.9 * model.energy(start)


@pytest.mark.parametrize("zonal", [2, 3])
def test_a_sheared_flow_grows_at_the_rate_of_phillips(zonal):
    config = QuasiGeostrophicConfig(layer_depth_ratio=1, **{**FREE, "shear_m_s": 0.3})
    model = QuasiGeostrophicModel(config, np.float64)
    # Equal layers at +U and -U, seen from the middle; Vallis, section 6.6.
    half_shear = 0.15 * KM_PER_DAY
    wave, deformation, planetary = (
        model.grid.squared[0, zonal],
        config.deformation_radius_km**-2,
        config.beta / half_shear,
    )
    root = np.sqrt(complex(1 + 4 * wave**2 * (wave**2 - deformation**2) / (planetary**2 * deformation**2)))
    speed = -config.beta / (wave + deformation) * (1 + deformation / (2 * wave) * (1 - root))
    expected = model.grid.kx[0, zonal] * abs(speed.imag)
    assert expected > 0.02
    state = integrate(model, model.potential_vorticity(plane_wave(model, [1e-6, 5e-7j], zonal, 0)), 150.0, 600)
    later = integrate(model, state, 20.0, 80)
    assert np.log(np.abs(later[0, 0, 0, zonal] / state[0, 0, 0, zonal])) / 20 == pytest.approx(expected, rel=1e-3)


def test_a_finer_grid_gives_the_same_flow():
    coarse, fine = (QuasiGeostrophicModel(QuasiGeostrophicConfig(grid=n), np.float64) for n in (48, 96))
    start = random_state(coarse)
    finer = np.zeros((1, 2, *fine.grid.squared.shape), complex)
    rows = np.fft.fftfreq(48, 1 / 48).astype(int)
    finer[:, :, rows, : start.shape[-1]] = 4 * start
    a = coarse.sea_level(integrate(coarse, start, 5.0, 100))
    b = fine.sea_level(integrate(fine, finer, 5.0, 100))[:, ::2, ::2]
    assert np.sqrt(np.mean((a - b) ** 2)) < 0.02 * a.std()


def test_the_step_is_of_fourth_order():
    model = QuasiGeostrophicModel(QuasiGeostrophicConfig(**FREE), np.float64)
    start = random_state(model)
    exact = integrate(model, start, 1.0, 160)
    errors = [np.abs(integrate(model, start, 1.0, steps) - exact).max() for steps in (10, 20)]
    assert 12 < errors[0] / errors[1] < 20


def test_transforms_keep_what_the_two_thirds_rule_keeps():
    grid = SpectralGrid(32, 1000.0)
    spectrum = grid.random_field(np.random.default_rng(0), 250)
    field = grid.inverse(spectrum)
    assert np.var(field) == pytest.approx(1)
    np.testing.assert_allclose(grid.forward(field), spectrum, atol=1e-9)


def test_simulate_gives_a_canonical_field():
    ds = simulate(SHORT)
    check_fields(ds)
    assert ds.ssh.dims == ("trajectory", "time", "latitude", "longitude")
    assert ds.ssh.shape == (2, 4, 16, 16)
    assert ds.time.values[0] == np.datetime64("2000-01-01")
    assert np.diff(ds.time.values).tolist() == [86_400_000_000_000] * 3
    assert list(ds.attrs["periodic_length_km"]) == [1000, 1000]
    spacing = np.deg2rad(np.diff(ds.longitude)) * 6371 * np.cos(np.deg2rad(38))
    np.testing.assert_allclose(spacing, 1000 / 16)
    np.testing.assert_allclose(ds.ssh.mean(("latitude", "longitude")), 0, atol=1e-6)


def test_the_same_seed_gives_the_same_numbers():
    config = SHORT.model_copy(update={"trajectories": 6, "forcing_m_per_day": 0.01})
    ssh = simulate(config).ssh.values
    assert np.array_equal(ssh, simulate(config.model_copy(update={"workers": 2})).ssh.values)
    assert not np.array_equal(ssh, simulate(config.model_copy(update={"seed": 1})).ssh.values)
    assert not np.array_equal(ssh[0], ssh[1])


def test_one_run_is_cut_into_trajectories_that_follow_each_other():
    long = simulate(SHORT.model_copy(update={"trajectories": 1, "days": 10})).ssh.values[0]
    cut = simulate(SHORT.model_copy(update={"runs": 1, "gap_days": 3})).ssh.values
    np.testing.assert_array_equal(cut[0], long[:4])
    np.testing.assert_array_equal(cut[1], long[6:])  # the last map of the first is on day 3


def test_the_lower_layer_is_stored_beside_the_same_sea_level():
    """Both layers are those of one state: from two maps a day apart the equations give the change between them."""
    config = SHORT.model_copy(update={"lower_layer": True, "output_interval_days": 0.1, "days": 0.3, "grid": 16})
    both = simulate(config)
    assert both["lower_layer"].attrs["units"] == "m"
    check_fields(both)
    alone = simulate(config.model_copy(update={"lower_layer": False}))
    np.testing.assert_array_equal(both.ssh, alone.ssh)
    assert set(alone.data_vars) == {"ssh"}
    model = QuasiGeostrophicModel(config, np.float64)
    levels = np.stack([both.ssh.values, both.lower_layer.values], 2)[0] / model.metres
    start, end = (model.potential_vorticity(model.grid.forward(part)[None]) for part in (levels[0], levels[2]))
    ahead = integrate(model, start, 0.2, 8)
    assert np.abs(ahead - end).max() < 0.02 * np.abs(end - start).max()


def test_forcing_has_the_amplitude_asked_for():
    config = SHORT.model_copy(update={"layers": 1, "shear_m_s": 0, "trajectories": 4, "initial_ssh_std_m": 1e-4})
    force = {"forcing_m_per_day": 0.01, "forcing_wavelength_km": 500, "spin_up_days": 0, "days": 2}
    forced = simulate(config.model_copy(update=force))
    assert float(forced.ssh[:, 1].std()) == pytest.approx(0.01, rel=0.3)


def test_a_blow_up_names_the_sample_and_the_day():
    with pytest.raises(SimulationError, match=r"sample 0 blew up on day 0 .* m/s"):
        simulate(SHORT.model_copy(update={"initial_ssh_std_m": 50}))


@pytest.mark.parametrize(
    "change",
    [
        {"reference_latitude": 2},
        {"runs": 3},
        {"length_km": 20000},
        {"output_interval_days": 5},
        {"layers": 3},
        {"layers": 1, "lower_layer": True},
        {"viscosity": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ValidationError):
        QuasiGeostrophicConfig.model_validate({**SHORT.model_dump(), **change})
