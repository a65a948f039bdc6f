"""What many physics tell of themselves: a missing term, a quiet prompt, a front, the spread under noise."""

import numpy as np
import pytest

import dino
from data_pipeline.simulators.lotka_volterra import LotkaVolterraConfig, simulate

BOX = [2 * np.pi]
DRIFT = dino.PhysicsConfig(candidates=["u: dx(u)", "u: dxx(u)"])


def drifting(seed, *, environments=6, trajectories=4, frames=10, interval=0.1, size=32, scale=1.0):
    """Values (trajectory, time, 1, x) of three waves that drift and decay, in closed form; their environments."""
    chance, times = np.random.default_rng(seed), interval * np.arange(frames)
    nu, speed = chance.uniform(0.02, 0.1, environments), chance.uniform(-1, 1, environments)
    numbers, k = np.repeat(np.arange(environments), trajectories), np.arange(1, 4)[:, None, None]
    made = []
    for number in numbers:
        shift = chance.uniform(0, 7, k.shape)
        phase = k * (2 * np.pi * np.arange(size) / size - speed[number] * times[:, None]) + shift
        made.append(scale * (np.exp(-nu[number] * k**2 * times[:, None]) * np.cos(phase) / k).sum(0))
    return np.array(made)[:, :, None], times, numbers


def noisy(noise, seed, **settings):
    values, times, numbers = drifting(seed, **settings)
    chance = np.random.default_rng(seed + 100)
    return dino.from_array(values + noise * chance.normal(size=values.shape), times, BOX, environments=numbers)


@pytest.fixture(scope="module")
def physics():
    return dino.fit(noisy(0.02, 0), DRIFT)


def test_an_ensemble_has_the_spread_of_its_errors_under_noise(physics):
    """Errors of observation start it and are not added again at every interval."""
    assert float(physics.family.observed.sqrt()) == pytest.approx(0.02, rel=0.15)
    values, times, numbers = drifting(7, trajectories=1, environments=8, frames=30)
    seen = values[:, :10] + 0.02 * np.random.default_rng(8).normal(size=values[:, :10].shape)
    new = dino.from_array(seen, times[:10], BOX, environments=numbers)
    made = physics.adapt(new).forecast(new, times[[10, 15, 29]], members=20)
    error = np.sqrt(((made["u"].values - values[:, [10, 15, 29], 0]) ** 2).mean((0, 2)))
    spread = np.sqrt((made["u_std"].values ** 2).mean((0, 2)))
    assert (spread > 0.6 * error).all()
    assert (spread < 1.7 * error).all()


def test_a_quiet_prompt_is_known_and_another_physics_is_not(physics):
    quiet = noisy(0.02, 9, environments=2, trajectories=1, scale=0.05)
    adapted = physics.adapt(quiet)
    assert float(adapted.unexplained.min()) > physics.limit
    assert adapted.known.all()
    values, times, _ = drifting(10, environments=1, trajectories=1)
    other = dino.from_array(values * (1 + 3 * times[:, None, None] ** 2), times, BOX)
    assert not physics.adapt(other).known.any()


def test_a_prompt_at_rest_is_known():
    """Rounding is more than the change between its frames; it leaves less than training environments do."""
    exact = dino.fit(noisy(0.0, 0), DRIFT)
    rest = noisy(1e-12, 11, environments=1, trajectories=1, scale=0.0)
    adapted = exact.adapt(rest)
    assert float(adapted.unexplained) > exact.limit
    assert adapted.known.all()


def test_training_that_lacks_a_term_is_told(tmp_path):
    """Prey and predators without what they do to each other: no prompt is known."""
    linear = [f"{target}: {term}" for target in ("prey", "predators") for term in ("prey", "predators")]
    train = simulate(LotkaVolterraConfig.preset("coda", "train", trajectories=2))
    new = simulate(LotkaVolterraConfig.preset("coda", "adaptation"))
    lacking = dino.fit(train, dino.PhysicsConfig(candidates=linear))
    assert lacking.lacking > 3e-3
    assert not lacking.adapt(new).known.any()
    lacking.save(tmp_path)
    assert dino.load_physics(tmp_path).lacking == lacking.lacking
    whole = dino.fit(train, dino.PhysicsConfig(candidates=[*linear, *(f"{c}: prey*predators" for c in new.data_vars)]))
    assert whole.lacking < 1e-6
    assert whole.adapt(new).known.all()


def waves_that_break(size, times, shift=0.0, amplitude=1.0):
    """Inviscid Burgers from a sine, along characteristics; it breaks at time 1 / amplitude."""
    x = 2 * np.pi * np.arange(size) / size
    made = []
    for time in times:
        start = x.copy()
        for _ in range(60):
            value, slope = amplitude * np.sin(start + shift), amplitude * np.cos(start + shift)
            start -= (start + time * value - x) / (1 + time * slope)
        made.append(amplitude * np.sin(start + shift))
    return np.array(made)[:, None]


def test_a_front_that_the_waves_do_not_hold_is_not_trusted():
    times = 0.05 * np.arange(8)
    train = np.array([waves_that_break(64, times, shift, size) for shift, size in ((0, 0.4), (1, 0.6), (2, 0.8))])
    physics = dino.fit(dino.from_array(train, times, BOX), dino.PhysicsConfig(candidates=["u: dx(u*u)", "u: dxx(u)"]))
    new = dino.from_array(waves_that_break(64, times, 3.0)[None], times, BOX)
    later = np.array([0.5, 1.6])
    made = physics.adapt(new).forecast(new, later)
    np.testing.assert_allclose(made["u"].values[0, 0], waves_that_break(64, later[:1], 3.0)[0, 0], atol=1e-3)
    assert made["trusted"].values[0].tolist() == [True, False]
