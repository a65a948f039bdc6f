"""Motion, advection and linear forecasts of temperature on fields whose answer is known."""

import numpy as np
import pytest
from peers.temperature.motion import Motion, MotionSettings
from peers.temperature.stationary import StationaryOcean

CELLS, LENGTH = 24, 480.0


def waves(generator: np.random.Generator, most: int = 3) -> np.ndarray:
    """A smooth random field on the box, of standard deviation one."""
    spectrum = np.fft.fft2(generator.standard_normal((CELLS, CELLS)))
    kept = abs(np.fft.fftfreq(CELLS, 1 / CELLS)) <= most
    field = np.fft.ifft2(spectrum * kept * kept[:, None]).real
    return field / field.std()


@pytest.fixture(scope="module")
def travelling() -> np.ndarray:
    """(trajectory, day, row, column) random patterns that move eastward by a cell a day and fade."""
    generator = np.random.default_rng(0)
    first = np.stack([waves(generator) for _ in range(24)])
    return np.stack([0.95**day * np.roll(first, day, axis=-1) for day in range(12)], axis=1)


class TestMotion:
    def test_a_uniform_flow_moves_a_field_by_its_way(self):
        field = waves(np.random.default_rng(1))
        motion = Motion(CELLS, LENGTH, 0.0, MotionSettings())
        flow = np.stack([np.full_like(field, 20.0), np.zeros_like(field)])
        assert motion.carried(field, flow) == pytest.approx(np.roll(field, 1, axis=1), abs=1e-3)

    def test_a_northward_flow_brings_the_warm_south(self):
        motion = Motion(CELLS, LENGTH, -0.01, MotionSettings())
        flow = np.stack([np.zeros((CELLS, CELLS)), np.full((CELLS, CELLS), 10.0)])
        assert motion.carried(np.zeros((CELLS, CELLS)), flow) == pytest.approx(0.1)

    def test_the_motion_of_maps_is_found_and_carries_them_on(self):
        generator = np.random.default_rng(2)
        settings = MotionSettings(smoothness=1e-3, mixing=0.0, source=0.0)
        motion = Motion(CELLS, LENGTH, -0.01, settings)
        psi = 60.0 * waves(generator, 2)
        eastward, northward = motion.slopes(psi)
        flow = np.stack([5.0 - northward, eastward])
        maps = [2.0 * waves(generator)]
        for _ in range(6):
            maps.append(motion.carried(maps[-1], flow))
        found = motion.estimated(np.stack(maps[:4]))
        assert np.sqrt(np.mean((found - flow) ** 2)) < 0.2 * np.sqrt(np.mean(flow**2))
        ahead = motion.forecast(maps[3], found, 3)
        assert np.abs(ahead[-1] - maps[6]).mean() < 0.2 * np.abs(maps[3] - maps[6]).mean()

    def test_cells_that_were_not_seen_hardly_count(self):
        generator = np.random.default_rng(3)
        motion = Motion(CELLS, LENGTH, 0.0, MotionSettings(smoothness=1e-3, hidden=1e-6, coarse=(0.0,)))
        field, flow = waves(generator), np.stack([np.full((CELLS, CELLS), 8.0), np.zeros((CELLS, CELLS))])
        maps = [field]
        for _ in range(3):
            maps.append(motion.carried(maps[-1], flow))
        spoilt, seen = np.stack(maps), np.ones((4, CELLS, CELLS), bool)
        seen[2, :10, :10] = False
        spoilt[2, :10, :10] += 1.0
        found = motion.estimated(spoilt, seen)
        assert found[0].mean() == pytest.approx(8.0, abs=1.0)


class TestLinear:
    def test_waves_that_travel_are_forecast_from_maps(self, travelling):
        ocean = StationaryOcean(travelling, 7)
        ahead = ocean.forecast(travelling[0, :4], 3, 1e-3)
        assert ahead == pytest.approx(travelling[0, 4:7], abs=0.05)

    def test_what_clouds_leave_is_filled_and_carried_on(self, travelling):
        ocean, generator = StationaryOcean(travelling, 7), np.random.default_rng(4)
        values, seen = travelling[1, :4], generator.random((4, CELLS, CELLS)) < 0.6
        noisy = np.where(seen, values + 0.05 * generator.standard_normal(values.shape), np.nan)
        made = ocean.interpolated(noisy, seen, 0.05, 3)
        assert np.sqrt(np.mean((made - travelling[1, :7]) ** 2)) < 0.1 * values.std()
