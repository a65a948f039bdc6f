"""u_t + d_x(a u^2 - b u_x + g u_xx) + d u_xxxx = F(x, t) on a periodic line, by the solver that each row wants.

Rows without a are exact in Fourier. Rows of a alone are exact by the formula of Lax and Oleinik. Others are spectral
with the two-thirds rule and exponential Runge-Kutta steps, on as many points as their fronts want. Where those are too
many, finite volumes on finer cells take over.
"""

from collections.abc import Mapping

import numpy as np
from scipy import fft

from data_pipeline.simulators.entropy import entropy_solution
from data_pipeline.simulators.exponential import ExponentialSteps, solve_controlled
from data_pipeline.simulators.shocks import FINER, Forcing, solve_with_shocks

CELL_PECLET = 0.6  # 2 a u dx / b, which leaves 2e-5 of a steady front's spectrum beyond the cutoff
SOLITON_CELLS = 0.17  # dx / sqrt(g / (a u)), which leaves 1e-8 of a soliton of thrice the amplitude
FEWEST, MOST = 2, 8  # spectral points to a point of the wanted grid, powers of two


def solve_conservation(
    fields: np.ndarray,
    length: float,
    coefficients: Mapping[str, np.ndarray],
    times: np.ndarray,
    forcing: Forcing | None = None,
    tolerance: float = 1e-8,
    finer: int = FINER,
) -> np.ndarray:
    """States (n, time, size) at `times` of initial `fields` (n, size) at time 0; coefficients: a, b, g, d (n,).

    forcing: F of some rows on any number of points. tolerance: of the spectral steps between two frames; finer: finite
    volumes to a point. Raises SimulationError where a row has no stable step.
    """
    solved = np.empty((len(fields), len(times), fields.shape[1]))
    wanted = refinement(fields, length, coefficients, forced=forcing is not None)
    for number in np.unique(wanted):
        rows = np.flatnonzero(wanted == number)
        own = {name: values[rows] for name, values in coefficients.items()}
        push = None if forcing is None else _of_rows(forcing, rows)
        if number == -1:
            solved[rows] = linear_solution(fields[rows], length, own, times)
        elif number == 0:
            solved[rows] = entropy_solution(fields[rows], length, own["a"], times)
        elif number > MOST:
            turned = np.where(own["a"] < 0, -1.0, 1.0)[:, None]  # -u has the opposite a
            mirrored = None if push is None else _turned(push, turned)
            problem = turned * fields[rows], length, np.abs(own["a"]), lambda k, c=own: symbol(c, k), times
            volumes = solve_with_shocks(*problem, mirrored, finer)
            solved[rows] = turned[:, :, None] * volumes
        else:
            solved[rows] = _spectral(fields[rows], length, own, times, push, int(number), tolerance)
    return solved


def refinement(
    fields: np.ndarray, length: float, coefficients: Mapping[str, np.ndarray], forced: bool = False
) -> np.ndarray:
    """Spectral points to a wanted point (n,): -1 for linear rows, 0 for those of a alone, more than MOST for shocks."""
    a, b, g, d = (np.abs(coefficients[name]) for name in "abgd")
    swing = 2 * np.abs(fields).max(1) if forced else np.abs(fields).max(1)
    spacing = length / fields.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = np.fmax(CELL_PECLET * b / (2 * a * swing), SOLITON_CELLS * np.sqrt(g / (a * swing)))
        wide = np.fmax(wide, SOLITON_CELLS * np.cbrt(d / (a * swing)))
        finer = 2 ** np.ceil(np.log2(np.clip(spacing / wide, FEWEST, 2 * MOST)))
    finer = np.where((a == 0) & (not forced), -1, finer)
    return np.where((a > 0) & (b + g + d == 0) & (not forced), 0, finer).astype(int)


def symbol(coefficients: Mapping[str, np.ndarray], wave: np.ndarray) -> np.ndarray:
    """What the linear terms multiply a wave by: -b k^2 + i g k^3 - d k^4 (n, wave)."""
    b, g, d = (coefficients[name][:, None] for name in "bgd")
    return -b * wave**2 + 1j * g * wave**3 - d * wave**4


def linear_solution(
    fields: np.ndarray, length: float, coefficients: Mapping[str, np.ndarray], times: np.ndarray
) -> np.ndarray:
    """Exact states (n, time, size) without a; an even grid's shortest wave takes the real part, which it can show."""
    size = fields.shape[1]
    grown = symbol(coefficients, 2 * np.pi / length * np.arange(size // 2 + 1))
    spectrum = np.asarray(fft.rfft(fields))
    return np.asarray(fft.irfft(np.exp(grown[:, None] * times[:, None]) * spectrum[:, None], size))


def _spectral(
    fields: np.ndarray,
    length: float,
    coefficients: Mapping[str, np.ndarray],
    times: np.ndarray,
    forcing: Forcing | None,
    finer: int,
    tolerance: float,
) -> np.ndarray:
    size = fields.shape[1]
    points = finer * size
    kept = (points - 1) // 3 + 1
    wave = 2 * np.pi / length * np.arange(kept)
    transport = -1j * wave * coefficients["a"][:, None]

    def tendency(states: np.ndarray, time: float, rows: np.ndarray) -> np.ndarray:
        field = np.asarray(fft.irfft(states, points))
        field *= field
        change = transport[rows] * np.asarray(fft.rfft(field))[:, :kept]
        if forcing is not None:
            change += np.asarray(fft.rfft(forcing(time, points, rows)))[:, :kept]
        return change

    start = np.zeros((len(fields), kept), complex)
    held = np.asarray(fft.rfft(fields)) * finer
    if size % 2 == 0:
        held[:, -1] *= 0.5
    start[:, : held.shape[1]] = held[:, :kept]
    steps = ExponentialSteps(symbol(coefficients, wave), tendency)
    solved = np.empty((len(fields), len(times), size))
    for frame, states in enumerate(solve_controlled(steps, start, times, tolerance)):
        solved[:, frame] = np.asarray(fft.irfft(states, points))[:, ::finer]
    return solved


def _of_rows(forcing: Forcing, rows: np.ndarray) -> Forcing:
    return lambda time, points, some: forcing(time, points, rows[some])


def _turned(forcing: Forcing, sign: np.ndarray) -> Forcing:
    return lambda time, points, some: sign[some] * forcing(time, points, some)
