import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.errors import SimulationError
from data_pipeline.layout.datasets import check_fields
from data_pipeline.simulators import navier_stokes
from data_pipeline.simulators.navier_stokes import NavierStokesConfig, NavierStokesModel, simulate
from data_pipeline.simulators.spectral import SpectralGrid

SHORT = NavierStokesConfig(grid=16, trajectories=2, frames=4, sequence_frames=2, spin_up=3)


VIGOROUS = SHORT.model_copy(update={"grid": 24, "forcing": 1.5, "trajectories": 9})  # runs want different steps


def change(config, **update):
    return type(config).model_validate({**config.model_dump(), **update})


def model_of(**settings):
    return NavierStokesModel(NavierStokesConfig(**{"grid": 32, **settings}), np.float64)


def axes(size):
    axis = np.arange(size) / size
    return axis[None, :], axis[:, None]


def test_an_eddy_of_one_wave_number_decays_as_viscosity_wants():
    model = model_of(forcing=0)
    x, y = axes(32)
    eddies = np.cos(2 * np.pi * (2 * x + y)) + 0.5 * np.sin(2 * np.pi * (x - 2 * y))  # both of |k|² = 5
    end = model.grid.inverse(model.advance(model.grid.forward(eddies[None]), 5.0, 40))[0]
    np.testing.assert_allclose(end, eddies * np.exp(-1e-3 * 5 * 4 * np.pi**2 * 5), atol=1e-12)


def test_forcing_spins_up_the_flow_that_viscosity_balances():
    model = model_of()
    x, y = axes(32)
    rate = 1e-3 * 8 * np.pi**2
    shape = 0.1 / rate * (np.sin(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x + y)))
    end = model.grid.inverse(model.advance(np.zeros((1, *model.grid.squared.shape), complex), 10.0, 100))[0]
    np.testing.assert_allclose(end, shape * (1 - np.exp(-10 * rate)), rtol=1e-7, atol=1e-7)


def test_advection_is_that_of_differences_on_a_fine_grid():
    model = model_of(forcing=0, grid=64)
    smooth = np.sqrt(model.grid.squared) < 2 * np.pi * 3
    state = (smooth * model.initial(NavierStokesConfig().generator(1)))[None]
    u, v = model.grid.on_grid(model.grid.forward(model.velocity(state)), 512)[:, 0]
    w = model.grid.on_grid(state, 512)[0]
    gradient = [(np.roll(f, -1, axis) - np.roll(f, 1, axis)) * 256 for f, axis in ((w, 1), (w, 0))]
    spin = (np.roll(v, -1, 1) - np.roll(v, 1, 1) - np.roll(u, -1, 0) + np.roll(u, 1, 0)) * 256
    np.testing.assert_allclose(spin, w, atol=2e-3 * np.abs(w).max())
    expected = -(u * gradient[0] + v * gradient[1])
    tendency = model.grid.on_grid(model.tendency(state), 512)[0]
    np.testing.assert_allclose(tendency, expected, atol=2e-3 * np.abs(expected).max())


def test_energy_and_enstrophy_change_by_viscosity_and_forcing_only():
    model = model_of(viscosity=1e-12, forcing=0)
    state = 20 * model.initial(NavierStokesConfig().generator(0))[None]

    def moments(state):
        return model.grid.mean_square(state / np.sqrt(np.maximum(model.grid.squared, 1))), model.grid.mean_square(state)

    end = model.advance(state, 1.0, 200)
    assert np.abs(end - state).max() > 0.1 * np.abs(state).max()
    for before, after in zip(moments(state), moments(end), strict=True):
        assert after == pytest.approx(before, rel=1e-6)
    forced = model_of()
    w, push = forced.grid.inverse(state), forced.grid.inverse(forced.push[None])
    expected = 2 * (w * push).mean() - 2e-3 * forced.grid.mean_square(np.sqrt(forced.grid.squared) * state)
    ahead, behind = forced.advance(state, 1e-4, 1), forced.advance(state, -1e-4, 1)
    change = (forced.grid.mean_square(ahead) - forced.grid.mean_square(behind)) / 2e-4
    assert change == pytest.approx(expected, rel=1e-5)


def test_finer_grids_and_steps_change_little():
    settings = {"grid": 32, "trajectories": 1, "frames": 1, "sequence_frames": 1, "spin_up": 10}
    stored = simulate(NavierStokesConfig(**settings)).vorticity.values[0, 0]
    coarse, fine = model_of(), model_of(grid=64)
    start = coarse.initial(NavierStokesConfig().generator(0))
    padded = np.zeros((1, *fine.grid.squared.shape), complex)
    rows = np.arange(-coarse.grid.cutoff, coarse.grid.cutoff + 1)
    padded[:, rows, : coarse.grid.cutoff + 1] = 4 * start[rows]
    half = coarse.grid.inverse(coarse.advance(start[None], 10.0, 320))[0]
    finer = fine.grid.inverse(fine.advance(padded, 10.0, 320))[0, ::2, ::2]
    assert np.sqrt(np.mean((stored - half) ** 2)) < 1e-4 * stored.std()
    assert np.sqrt(np.mean((stored - finer) ** 2)) < 0.01 * stored.std()


def test_initial_states_have_the_published_spectrum():
    model = model_of()
    draws = np.stack([model.initial(SHORT.generator(number)) for number in range(400)])
    expected = 7.0**3 * (model.grid.squared + 49) ** -2.5
    for row, column in ((0, 1), (2, 3), (-4, 2)):
        power = np.mean(np.abs(draws[:, row, column] / 32**2) ** 2)
        assert power == pytest.approx(expected[row, column], rel=0.2)
    assert (draws[:, 0, 0] == 0).all()


def test_a_finer_output_reads_the_same_trajectories():
    coarse = simulate(SHORT)
    fine = simulate(change(SHORT, output_grid=64))
    assert fine.vorticity.shape == (4, 2, 64, 64)
    np.testing.assert_allclose(fine.vorticity[..., ::4, ::4], coarse.vorticity, atol=1e-6)
    np.testing.assert_allclose(fine.longitude[::4], coarse.longitude, atol=1e-12)


def test_more_frames_are_those_of_the_same_trajectories():
    whole = simulate(VIGOROUS)
    often = simulate(change(VIGOROUS, frame_interval=0.25, frames=16, sequence_frames=8))
    np.testing.assert_array_equal(often.vorticity[:, ::4], whole.vorticity)
    np.testing.assert_array_equal(often.time[::4], whole.time)
    odd = simulate(change(SHORT, frame_interval=0.3, frames=11, sequence_frames=11))
    np.testing.assert_allclose(odd.vorticity[:, 10], simulate(SHORT).vorticity[1::2, 1], atol=1e-4)


def test_more_grid_than_the_spectrum_keeps_changes_nothing():
    grid = SpectralGrid(32, 1.0)
    spectrum = grid.random_field(np.random.default_rng(0), 0.2)
    np.testing.assert_allclose(grid.on_grid(spectrum, 48)[::3, ::3], grid.inverse(spectrum)[::2, ::2], atol=1e-12)


def test_a_trajectory_depends_on_the_seed_and_its_number_only(monkeypatch):
    config, rates = VIGOROUS, []
    choose = NavierStokesModel.steps_per_unit
    with monkeypatch.context() as watched:
        watched.setattr(NavierStokesModel, "steps_per_unit", lambda *given: rates.append(choose(*given)) or rates[-1])
        all_of_them = simulate(config).vorticity.values
    assert any(len(set(of_batch)) > 1 for of_batch in rates)
    assert np.array_equal(all_of_them, simulate(change(config, workers=2)).vorticity.values)
    assert np.array_equal(all_of_them[:6], simulate(change(config, trajectories=3)).vorticity.values)
    monkeypatch.setattr(navier_stokes, "BATCH", 3)
    assert np.array_equal(all_of_them, simulate(config).vorticity.values)
    for other in ({"seed": 1}, {"part": "test"}):
        assert not np.isclose(all_of_them, simulate(change(config, **other)).vorticity.values).any((1, 2, 3)).all()


def test_runs_of_different_speed_keep_their_own_steps():
    model = NavierStokesModel(NavierStokesConfig(grid=32))
    states = np.stack([scale * model.initial(SHORT.generator(0)) for scale in (1, 40)])
    rates = model.steps_per_unit(states, range(2), 0.0)
    assert rates[0] == 8 < rates[1]
    assert (rates % 8 == 0).all()


def test_simulate_gives_a_canonical_field():
    ds = simulate(SHORT)
    check_fields(ds)
    assert ds.vorticity.dims == ("trajectory", "time", "latitude", "longitude")
    assert ds.vorticity.shape == (4, 2, 16, 16)
    assert ds.vorticity.attrs == {"long_name": "vorticity", "units": "1"}
    whole = simulate(change(SHORT, sequence_frames=4)).vorticity.values
    np.testing.assert_array_equal(ds.vorticity.values.reshape(whole.shape), whole)
    assert '"workers"' not in ds.attrs["history"]


def test_a_blow_up_names_the_sample_and_the_time():
    with pytest.raises(SimulationError, match=r"sample 0 blew up at time \d+"):
        simulate(change(SHORT, forcing=1e4, spin_up=0, frames=6))


@pytest.mark.parametrize(
    "update", [{"output_grid": 8}, {"frames": 5}, {"viscosity": 0}, {"part": "validation"}, {"days": 3}]
)
def test_settings_that_make_no_sense_are_refused(update):
    with pytest.raises(ValidationError):
        change(SHORT, **update)


@pytest.mark.parametrize(("part", "sequences"), [("train", 512), ("test", 32)])
def test_the_published_sizes(part, sequences):
    config = NavierStokesConfig.preset("paper", part)
    assert config.trajectories * config.cuts == sequences
    assert (config.grid, config.sequence_frames, config.frame_interval, config.spin_up) == (64, 20, 1, 30)
