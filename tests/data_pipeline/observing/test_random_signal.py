"""Random signals along a track: spectrum, variance, and independence of where one begins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from data_pipeline.observing.random_signal import RandomSignal

FREQUENCY = np.geomspace(1e-6, 1, 400)


def red(frequency):
    """A spectrum like that of roll: flat, then falling steeply over seven decades, then flat."""
    return 1e-4 + 100 / (1 + (frequency * 1000) ** 3)


def signal(seed=0, key=(0,), step=2.0, longest=2000.0):
    return RandomSignal(FREQUENCY, red(FREQUENCY), step, longest, seed, key)


def test_the_spectrum_is_that_of_the_table_from_the_longest_wave_to_two_steps():
    values = signal().at(np.arange(2**19))
    waves, density = welch(values, 0.5, nperseg=2**13, window=("kaiser", 14))
    for longest, shortest in ((1800, 900), (900, 300), (300, 100), (100, 30), (30, 10), (10, 4.2)):
        band = (waves >= 1 / longest) & (waves < 1 / shortest)
        assert density[band].sum() == pytest.approx(red(waves[band]).sum(), rel=0.12), (longest, shortest)
    # Twice the longest wave is beyond the band; what the blocks' edges leak there is small.
    beyond = (waves > 0) & (waves < 1 / 4500)
    assert density[beyond].mean() < 0.05 * red(waves[beyond]).mean()


def test_the_standard_deviation_is_the_declared_one_everywhere_in_a_block():
    draws = np.stack([signal(seed, longest=50).at(np.arange(500)) for seed in range(800)])
    std = signal(longest=50).std
    assert draws.std() == pytest.approx(std, rel=0.01)
    np.testing.assert_allclose(draws.std(0), std, rtol=0.16)
    assert abs(draws.mean()) < 0.02 * std


def test_the_declared_variance_is_the_integral_of_the_spectrum():
    waves = np.linspace(1 / 2000, 1 / 4, 100_000)
    assert signal().std ** 2 == pytest.approx(np.trapezoid(red(waves), waves), rel=0.02)


@settings(max_examples=50, deadline=None)
@given(st.integers(-(10**7), 10**7), st.integers(1, 500), st.randoms(use_true_random=False))
def test_a_part_in_any_order_is_the_part_of_the_whole(start, count, random):
    steps = np.arange(start, start + count)
    whole = signal(longest=50).at(steps)
    order = random.sample(range(count), count)
    np.testing.assert_array_equal(signal(longest=50).at(steps[order]), whole[order])


def test_signals_of_other_seeds_and_keys_are_independent():
    steps = np.arange(20_000)
    one = signal(longest=50).at(steps)
    for other in (signal(1, longest=50), signal(0, (1,), longest=50), signal(0, (0, 0), longest=50)):
        assert abs(np.corrcoef(one, other.at(steps))[0, 1]) < 0.1
    # Blocks far apart differ too: nothing repeats after a revolution.
    assert abs(np.corrcoef(one, signal(longest=50).at(steps + 20_000))[0, 1]) < 0.1
