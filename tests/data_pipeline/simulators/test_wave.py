import numpy as np
import pytest
from pydantic import ValidationError

from data_pipeline.layout.datasets import check_fields
from data_pipeline.simulators.wave import WaveConfig, WaveModel, simulate
from dino.space.domain import PeriodicBox

SHORT = WaveConfig(grid=32, trajectories=2, frames=6, sequence_frames=3)


def change(**update):
    return WaveConfig.model_validate({**SHORT.model_dump(), **update})


def energy(config, displacement, rate):
    """Mean of (du/dt² + c² |grad u|²) / 2, the gradient from spectra of the fields themselves."""
    k = 2 * np.pi / config.length * np.fft.fftfreq(config.grid, 1 / config.grid)
    spectrum = np.fft.fft2(displacement)
    slopes = [np.fft.ifft2(1j * wave * spectrum).real for wave in (k[:, None], k[None, :])]
    return 0.5 * (rate**2 + config.speed**2 * (slopes[0] ** 2 + slopes[1] ** 2)).mean((-2, -1))


def test_a_leapfrog_of_differences_gives_the_same_waves():
    config = WaveConfig(grid=128)
    start, then = (fields[:2] for fields in WaveModel(config).at(WaveModel(config).bump(config.generator(0)), [0, 8]))
    cells, steps = 2 / 128, 320
    before, step = start[0], 8 / steps
    waves = (config.speed * step / cells) ** 2

    def curvature(u):
        """The laplacian in cells, by fourth-order differences."""
        near = sum(np.roll(u, shift, axis) for axis in (0, 1) for shift in (-1, 1))
        far = sum(np.roll(u, shift, axis) for axis in (0, 1) for shift in (-2, 2))
        return (16 * near - far - 60 * u) / 12

    now = before + 0.5 * waves * curvature(before)
    for _ in range(steps - 1):
        before, now = now, 2 * now - before + waves * curvature(now)
    exact = start[1]
    assert np.abs(exact - start[0]).max() > 0.5
    np.testing.assert_allclose(now, exact, atol=2e-3 * np.abs(exact).max())
    following = 2 * now - before + waves * curvature(now)
    np.testing.assert_allclose((following - before) / (2 * step), then[1], atol=5e-3 * np.abs(then[1]).max())


def test_energy_stays():
    displacement, rate = WaveModel(SHORT).at(WaveModel(SHORT).bump(SHORT.generator(0)), np.linspace(0, 40, 9))
    assert (rate[0] == 0).all()
    values = energy(SHORT, displacement, rate)
    np.testing.assert_allclose(values, values[0], rtol=1e-10)
    np.testing.assert_allclose(displacement.mean((1, 2)), displacement[0].mean())
    np.testing.assert_allclose(rate.mean((1, 2)), 0, atol=1e-14)


def test_a_wave_along_an_axis_comes_back():
    model = WaveModel(SHORT)
    x = np.arange(32) * 2 / 32
    spectrum = np.fft.rfft2(np.broadcast_to(np.cos(2 * np.pi * x), (32, 32)))  # length 1: once around in 16
    displacement, _ = model.at(spectrum, [0, 4, 8, 16])
    for turned, sign in zip(displacement, (1, 0, -1, 1), strict=True):
        np.testing.assert_allclose(turned[0], sign * np.cos(2 * np.pi * x), atol=1e-12)


def test_bumps_are_gaussian_and_periodic():
    config = change(grid=64, width=(0.25, 0.3))
    for number in range(8):
        field = np.fft.irfft2(WaveModel(config).bump(config.generator(number)), (64, 64))
        peak = np.unravel_index(field.argmax(), field.shape)
        centred = np.roll(field, (32 - peak[0], 32 - peak[1]), (0, 1))
        variance = (centred[32] * ((np.arange(64) - 32) / 32) ** 2).sum() / centred[32].sum()
        assert 0.24 < np.sqrt(variance) < 0.31
        assert 1.9 < field.max() < 4.05
        assert field.min() > -1e-12
        seam = max(np.abs(field[0] - field[-1]).max(), np.abs(field[:, 0] - field[:, -1]).max())
        assert seam <= max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) * 1.01


def test_other_grids_and_times_read_the_same_waves():
    coarse = simulate(SHORT)
    fine = simulate(change(grid=128, frame_interval=0.125, frames=12, sequence_frames=6))
    for name in ("displacement", "displacement_rate"):
        np.testing.assert_allclose(fine[name][:, ::2, ::4, ::4], coarse[name], atol=1e-6)
    np.testing.assert_array_equal(fine.time[::2], coarse.time)


def test_a_trajectory_depends_on_the_seed_and_its_number_only():
    config = change(trajectories=9)
    waves = simulate(config).displacement.values
    assert np.array_equal(waves, simulate(change(trajectories=9, workers=3)).displacement.values)
    assert np.array_equal(waves[:4], simulate(SHORT).displacement.values)
    for other in ({"seed": 1}, {"part": "test"}):
        assert not np.isclose(waves[:4], simulate(change(**other)).displacement.values).any((1, 2, 3)).all()


def test_simulate_gives_a_canonical_field_on_a_periodic_box():
    ds = simulate(SHORT)
    check_fields(ds)
    assert ds.displacement_rate.shape == (4, 3, 32, 32)
    assert ds.displacement_rate.attrs == {"long_name": "rate of change of displacement", "units": "1"}
    assert list(ds.attrs["periodic_length_km"]) == [200, 200]
    assert (ds.attrs["length_unit_km"], ds.attrs["time_unit_days"]) == (100, 1)
    assert np.diff(ds.time.values).tolist() == [6 * 3_600_000_000_000] * 2
    x, y, length = ds.attrs["reference_longitude"], ds.attrs["reference_latitude"], ds.attrs["periodic_length_km"]
    box = PeriodicBox(longitude=x, latitude=y, length_km=tuple(length))
    angle = np.pi * np.linspace(-1, 1, 32, endpoint=False)  # of x in [-1, 1)
    wanted = np.stack([np.cos(angle), np.sin(angle)], -1)
    middle = np.zeros(32)
    np.testing.assert_allclose(box.coordinates(ds.longitude.values, middle)[:, :2], wanted, atol=1e-13)
    np.testing.assert_allclose(box.coordinates(middle, ds.latitude.values)[:, 2:], wanted, atol=1e-13)


@pytest.mark.parametrize(
    "update", [{"width": (0.3, 0.2)}, {"width": (0.01, 0.2)}, {"amplitude": (4, 2)}, {"speed": 0}, {"frames": 7}]
)
def test_settings_that_make_no_sense_are_refused(update):
    with pytest.raises(ValidationError):
        change(**update)


@pytest.mark.parametrize(("part", "sequences"), [("train", 512), ("test", 32)])
def test_the_published_sizes(part, sequences):
    config = WaveConfig.preset("paper", part)
    assert config.trajectories * config.cuts == sequences
    assert (config.grid, config.sequence_frames, config.frame_interval, config.speed) == (64, 20, 0.25, 1 / 16)
