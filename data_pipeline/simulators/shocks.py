"""Fronts thinner than a grid can hold: finite volumes for u_t + d_x(a u^2) = F, the rest exactly in Fourier.

Reconstruction is WENO5 (Jiang & Shu, 1996, weights of Borges et al., 2008), the flux Godunov's, time SSP Runge-Kutta of
third order; linear terms are Strang-split. Cells are centred on the points, `FINER` to a point of the wanted grid.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft

Forcing = Callable[[float, int, np.ndarray], np.ndarray]  # time, points, rows (m,) -> (m, points)
FINER = 8
COURANT = 0.5
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
                rows = np.flatnonzero(steps == number)
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
        change = (np.roll(flux, 1, 1) - flux) / spacing
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
    left = reconstructed(*(np.roll(values, shift, 1) for shift in (2, 1, 0, -1, -2)))
    right = reconstructed(*(np.roll(values, shift, 1) for shift in (-3, -2, -1, 0, 1)))
    return slope * np.maximum(np.maximum(left, 0) ** 2, np.minimum(right, 0) ** 2)


def reconstructed(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The value on the side of d of the middle cell of five, from their averages."""
    rough = (
        13 / 12 * (a - 2 * b + c) ** 2 + 0.25 * (a - 4 * b + 3 * c) ** 2,
        13 / 12 * (b - 2 * c + d) ** 2 + 0.25 * (b - d) ** 2,
        13 / 12 * (c - 2 * d + e) ** 2 + 0.25 * (3 * c - 4 * d + e) ** 2,
    )
    whole = np.abs(rough[0] - rough[2])
    weights = [w * (1 + (whole / (r + 1e-40)) ** 2) for w, r in zip((0.1, 0.6, 0.3), rough, strict=True)]
    values = (2 * a - 7 * b + 11 * c) / 6, (-b + 5 * c + 2 * d) / 6, (2 * c + 5 * d - e) / 6
    total = sum(w * v for w, v in zip(weights, values, strict=True))
    return np.asarray(total / (weights[0] + weights[1] + weights[2]))
