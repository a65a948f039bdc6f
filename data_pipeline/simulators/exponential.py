"""Stiff linear and other terms advanced together: exponential Runge-Kutta steps, as many as the error wants.

The scheme is ETDRK4 (Cox & Matthews, 2002; Kassam & Trefethen, 2005): the linear part, diagonal in Fourier, is exact.
"""

from collections.abc import Callable, Iterator
from math import factorial

import numpy as np

from data_pipeline.errors import SimulationError

Tendency = Callable[[np.ndarray, float, np.ndarray], np.ndarray]  # states (m, ...), time, their rows (m,)
Advance = Callable[[np.ndarray, np.ndarray, float, float, int], np.ndarray]  # states, rows, time, interval, steps
MOST_STEPS = 2**17  # between frames
_TERMS = 18


class ExponentialSteps:
    """Steps of d(states)/dt = linear * states + tendency(states, time, rows).

    linear : (n, ...) complex or real, of all rows; a call advances some of them.
    """

    def __init__(self, linear: np.ndarray, tendency: Tendency) -> None:
        self.linear, self.tendency = linear, tendency
        self._weights: dict[float, tuple[np.ndarray, ...]] = {}

    def __call__(self, states: np.ndarray, rows: np.ndarray, time: float, interval: float, steps: int) -> np.ndarray:
        """The states `interval` after `time`, in equal steps."""
        step = interval / steps
        whole, half, quarter, first, middle, last = (part[rows] for part in self._of_step(step))
        for number in range(steps):
            now = time + number * step
            start = self.tendency(states, now, rows)
            decayed = half * states
            once = decayed + quarter * start
            at_once = self.tendency(once, now + step / 2, rows)
            twice = decayed + quarter * at_once
            at_twice = self.tendency(twice, now + step / 2, rows)
            end = half * once + quarter * (2 * at_twice - start)
            at_end = self.tendency(end, now + step, rows)
            states = whole * states + first * start + middle * (at_once + at_twice) + last * at_end
        return states

    def _of_step(self, step: float) -> tuple[np.ndarray, ...]:
        """exp(hL), exp(hL / 2) and the weights of the scheme, each like `linear`."""
        key = round(step, 15)
        if key not in self._weights:
            if len(self._weights) > 8:
                self._weights.clear()
            z = step * self.linear
            one, two, three = phi(z)
            weights = (
                np.exp(z),
                np.exp(z / 2),
                step / 2 * phi(z / 2)[0],
                step * (one - 3 * two + 4 * three),
                step * (2 * two - 4 * three),
                step * (4 * three - two),
            )
            self._weights[key] = weights
        return self._weights[key]


def phi(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi_1, phi_2, phi_3: (e^z - 1) / z, (phi_1 - 1) / z, (phi_2 - 1/2) / z, by their series where |z| < 1."""
    small = np.abs(z) < 1
    near, far = np.where(small, z, 0), np.where(small, 1, z)
    series = np.zeros_like(near)
    for term in range(_TERMS, -1, -1):
        series = series * near + 1 / factorial(term + 3)
    one = (np.exp(far) - 1) / far
    two = (one - 1) / far
    three = np.where(small, series, (two - 0.5) / far)
    two = np.where(small, near * series + 0.5, two)
    return np.where(small, near * two + 1, one), two, three


def solve_controlled(
    advance: Advance, states: np.ndarray, times: np.ndarray, tolerance: float = 1e-8
) -> Iterator[np.ndarray]:
    """Yield states (n, ...) at each of `times`, from `states` at time 0.

    Every row takes steps of its own: twice as many until twice as many change the state by less than `tolerance` of
    its norm between two frames. A row is the same in any company. Raises SimulationError where no step is small enough.
    """
    rows, steps, now = np.arange(len(states)), np.ones(len(states), int), 0.0
    wanted = set(map(float, times))
    for time in _with_stops(times):
        if time > now:
            states, before = states.copy(), steps.copy()
            for number in np.unique(before):
                members = rows[before == number]
                own = states[members], members, now, float(time) - now, int(number), tolerance
                with np.errstate(over="ignore", invalid="ignore"):  # too long a step is one that is halved
                    states[members], steps[members] = _controlled(advance, *own)
            now = float(time)
        if time in wanted:
            yield states


def _with_stops(times: np.ndarray) -> list[float]:
    """The times, and others before the first of them, so that no interval is much longer than that of two frames."""
    first = float(times[0])
    usual = float(np.diff(times).min()) if len(times) > 1 else first
    stops = np.linspace(0, first, int(np.ceil(first / usual)) + 1)[1:-1] if first > usual else []
    return [*map(float, stops), *map(float, times)]


def _controlled(
    advance: Advance, states: np.ndarray, rows: np.ndarray, time: float, interval: float, steps: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """States of some rows an interval later and the steps that each of them may start with next time."""
    result, following = np.empty_like(states), np.empty(len(rows), int)
    left = np.arange(len(rows))
    coarse = advance(states, rows, time, interval, steps)
    while len(left):
        if steps > MOST_STEPS:
            raise SimulationError(
                f"no step is small enough after time {time:g}; narrow the parameters or lower the amplitudes"
            )
        fine = advance(states[left], rows[left], time, interval, 2 * steps)
        size, change = _norm(fine), _norm(fine - coarse)
        sound = np.isfinite(size) & (change <= tolerance * np.maximum(size, np.finfo(float).tiny))
        easy = change <= tolerance / 64 * size
        result[left[sound]] = fine[sound]
        following[left[sound]] = np.where(easy[sound], max(1, steps // 2), steps)
        left, coarse, steps = left[~sound], fine[~sound], 2 * steps
    return result, following


def _norm(states: np.ndarray) -> np.ndarray:
    return np.linalg.norm(states.reshape(len(states), -1), axis=1)
