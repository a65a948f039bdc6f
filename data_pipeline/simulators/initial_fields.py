"""Random initial fields on a periodic line, as published protocols draw them."""

import numpy as np

from data_pipeline.simulators.environments import Random


def random_waves(random: Random, size: int, count: int, highest: int, amplitude: float) -> np.ndarray:
    """(size,): the sum of `count` sines of random amplitude (at most `amplitude`), whole wave number and phase."""
    height = random.uniform(-amplitude, amplitude, count)
    number = np.floor(random.uniform(1, highest + 1, count))
    phase = random.uniform(0, 2 * np.pi, count)
    theta = 2 * np.pi * np.arange(size)[:, None] / size
    return (height * np.sin(number * theta + phase)).sum(1)


def fractaloid(random: Random, size: int, waves: int = 256, power: float = 3.0) -> np.ndarray:
    """(size,): waves of random phase and normal amplitude that fall with a power, of mean 0 and deviation 1."""
    number = np.arange(1, waves + 1)
    height = random.normal(size=waves) * number**-power
    phase = random.uniform(0, 2 * np.pi, waves)
    theta = 2 * np.pi * np.arange(size)[:, None] / size
    field = (height * np.sin(number * theta + phase)).sum(1)
    return (field - field.mean()) / field.std()
