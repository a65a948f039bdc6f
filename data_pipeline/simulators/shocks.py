"""Fronts thinner than a grid can hold: finite volumes for u_t + d_x(a u^2) = F, the rest exactly in Fourier.

Reconstruction is WENO5 (Jiang & Shu, 1996, weights of Borges et al., 2008), the flux Godunov's, time SSP Runge-Kutta of
third order; linear terms are Strang-split. Cells are centred on the points, `FINER` to a point of the wanted grid.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft

Forcing = Callable[[float, int, np.ndarray], np.ndarray]  # time, points, rows (m,) -> (m, points)
FINER = 8
COURANT = 0.8
TOGETHER = 8  # rows that fit a cache
_HALF_OCTAVES = 2


def solve_with_shocks(
    fields: np.ndarray,
    length: float,
    slope: np.ndarray,
    symbol: Callable[[np.ndarray], np.ndarray],
    times: np.ndarray,
    forcing: Forcing | None = None,
    finer: int = FINER,
) -> np.ndarray:
    """States (n, time, size) at `times` of initial `fields` (n, size) at time 0.

    slope: a >= 0 (n,); symbol: wave numbers -> (n, wave) of the linear terms; forcing: time, points, rows (m,) ->
    (m, points).
    """
    size = fields.shape[1]
    cells = finer * size
    state = np.asarray(fft.irfft(np.asarray(fft.rfft(fields)), cells)) * finer
    linear = symbol(2 * np.pi / length * np.arange(cells // 2 + 1))
    spacing, now = length / cells, 0.0
    solved = np.empty((len(fields), len(times), size))
    for frame, time in enumerate(times):
        interval = float(time) - now
        if interval > 0:
            speed = 2 * slope * np.abs(state).max(1) * 1.3 + 1e-9
            steps = _rounded(interval * speed / (COURANT * spacing))
            for number in np.unique(steps):
                alike = np.flatnonzero(steps == number)
                for rows in np.array_split(alike, -(-len(alike) // TOGETHER)):
                    state[rows] = _advance(state[rows], rows, spacing, slope, linear, now, interval, number, forcing)
            now = float(time)
        solved[:, frame] = state[:, ::finer]
    return solved


def _rounded(steps: np.ndarray) -> np.ndarray:
    """Whole steps, of few different numbers, so that rows go together and yet do not depend on company."""
    octave = np.ceil(_HALF_OCTAVES * np.log2(np.maximum(steps, 1)))
    return np.ceil(2 ** (octave / _HALF_OCTAVES)).astype(int)


def _advance(
    state: np.ndarray,
    rows: np.ndarray,
    spacing: float,
    slope: np.ndarray,
    linear: np.ndarray,
    time: float,
    interval: float,
    steps: int,
    forcing: Forcing | None,
) -> np.ndarray:
    cells, step = state.shape[1], interval / steps
    a = slope[rows, None]
    half, whole = np.exp(linear[rows] * step / 2), np.exp(linear[rows] * step)

    def linearly(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
        return np.asarray(fft.irfft(factor * np.asarray(fft.rfft(values)), cells))

    def tendency(values: np.ndarray, moment: float) -> np.ndarray:
        flux = godunov(values, a)
        change = np.roll(flux, 1, 1)
        change -= flux
        change /= spacing
        return change if forcing is None else change + forcing(moment, cells, rows)

    state = linearly(state, half)
    for number in range(steps):
        now = time + number * step
        first = state + step * tendency(state, now)
        second = 0.75 * state + 0.25 * (first + step * tendency(first, now + step))
        state = state / 3 + 2 / 3 * (second + step * tendency(second, now + step / 2))
        state = linearly(state, half if number == steps - 1 else whole)
    return state


def godunov(values: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Fluxes of a u^2 (a >= 0) through the right side of each cell (n, cell)."""
    right, left = sides(values)
    into = np.roll(left, -1, 1)  # of the next cell
    np.maximum(right, 0, out=right)
    np.minimum(into, 0, out=into)
    right *= right
    into *= into
    return slope * np.maximum(right, into)


def sides(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values on the right and on the left side of each cell of averages (n, cell): WENO5 by differences.

    Both sides weigh the same three parabolas by the same roughness, with mirrored preferences.
    """
    wide = np.concatenate([values[:, -2:], values, values[:, :2]], axis=1)
    first = np.diff(wide, axis=1)  # (n, cell + 3)
    second = np.diff(first, axis=1)  # (n, cell + 2)
    before, after = first[:, 1:-2], first[:, 2:-1]
    bent = second[:, :-2], second[:, 1:-1], second[:, 2:]
    tilted = bent[0] + 2 * before, before + after, bent[2] - 2 * after
    rough = [13 / 12 * bend * bend + 0.25 * tilt * tilt for bend, tilt in zip(bent, tilted, strict=True)]
    whole = np.abs(rough[0] - rough[2])
    trust = []
    for each in rough:
        each += 1e-40
        ratio = np.divide(whole, each, out=each)
        ratio *= ratio
        ratio += 1
        trust.append(ratio)
    rising = 2 * bent[0] + 3 * before, before + 2 * after, 3 * after - bent[2]
    falling = -3 * before - bent[0], -after - 2 * before, 2 * bent[2] - 3 * after
    return values + _weighed(rising, trust, (0.1, 0.6, 0.3)), values + _weighed(falling, trust, (0.3, 0.6, 0.1))


def _weighed(steps: tuple[np.ndarray, ...], trust: list[np.ndarray], liking: tuple[float, ...]) -> np.ndarray:
    weights = [liked * trusted for liked, trusted in zip(liking, trust, strict=True)]
    total = weights[0] + weights[1]
    total += weights[2]
    total *= 6
    moved = weights[0] * steps[0]
    for weight, step in zip(weights[1:], steps[1:], strict=True):
        weight *= step
        moved += weight
    moved /= total
    return moved
