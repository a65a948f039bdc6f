"""Exact entropy solutions of u_t + d_x(a u^2) = 0 on a periodic line, by the formula of Lax and Oleinik.

With v = 2 a u and V its integral, v(x, t) = (x - y) / t at the y that minimises V(y) + (x - y)^2 / (2 t). Such a y is
one of the roots of x = y + t v(y), of which there are several behind a shock.
"""

import numpy as np
from scipy import fft

NODES = 16  # of the initial state to a point of the grid
_NEWTON = 3


def entropy_solution(fields: np.ndarray, length: float, slope: np.ndarray, times: np.ndarray) -> np.ndarray:
    """States (n, time, size) of initial `fields` (n, size); slope: a (n,), of any sign."""
    size = fields.shape[1]
    speed = 2 * slope[:, None]
    spectrum = np.asarray(fft.rfft(fields))
    v, slopes, potential, mean = _at_nodes(spectrum * speed, size, length)
    solved = np.repeat(fields[:, None], len(times), axis=1)
    moving = np.abs(slope) > 0
    for frame, time in enumerate(times):
        if time > 0 and moving.any():
            roots = _roots(v[moving], slopes[moving], potential[moving], mean[moving], length, size, float(time))
            solved[moving, frame] = roots / speed[moving]
    return solved


def _at_nodes(spectrum: np.ndarray, size: int, length: float) -> tuple[np.ndarray, ...]:
    """v, its derivative and its integral at the nodes (n, nodes + 1), and the mean of v (n,)."""
    nodes = NODES * size
    wave = 2j * np.pi / length * np.arange(spectrum.shape[1])
    spectrum = spectrum.copy()
    if size % 2 == 0:
        spectrum[:, -1] *= 0.5  # the shortest wave, which two halves share on a finer grid
    over = np.divide(spectrum, wave, out=np.zeros_like(spectrum), where=wave != 0)
    fine = [np.asarray(fft.irfft(each, nodes)) * NODES for each in (spectrum, wave * spectrum, over)]
    v, slopes, potential = (np.concatenate([each, each[:, :1]], axis=1) for each in fine)
    mean = np.real(spectrum[:, 0]) / size
    place = length * np.arange(nodes + 1) / nodes
    return v, slopes, potential + mean[:, None] * place, mean


def _roots(
    v: np.ndarray, slopes: np.ndarray, potential: np.ndarray, mean: np.ndarray, length: float, size: int, time: float
) -> np.ndarray:
    """v (n, size) at one time: of all roots the one of least action."""
    count, nodes = len(v), v.shape[1] - 1
    width, spacing = length / nodes, length / size
    arrived = length * np.arange(nodes + 1) / nodes + time * v
    edge = np.ceil(arrived / spacing).astype(np.int64)
    edge[:, -1] = edge[:, 0] + size  # whatever rounding says: each point is passed
    number = np.maximum(np.diff(edge, axis=1), 0)  # grid points that a segment passes in its own direction
    row, segment = np.divmod(np.repeat(np.arange(count * nodes), number.ravel()), nodes)
    before = np.cumsum(number.ravel()) - number.ravel()
    point = np.arange(len(row)) - np.repeat(before, number.ravel()) + edge[row, segment]
    x = point * spacing
    ends = arrived[row, segment], arrived[row, segment + 1]
    part = np.clip((x - ends[0]) / (ends[1] - ends[0]), 0, 1)
    left, right = (
        (v[row, segment], slopes[row, segment] * width),
        (v[row, segment + 1], slopes[row, segment + 1] * width),
    )
    for _ in range(_NEWTON):
        value, change = _hermite(part, *left, *right)
        miss = (segment + part) * width + time * value - x
        rate = width + time * change
        part = np.clip(part - miss / np.where(rate > 0, rate, np.inf), 0, 1)
    y = (segment + part) * width
    ground, _ = _hermite(part, potential[row, segment], left[0] * width, potential[row, segment + 1], right[0] * width)
    wrapped = np.floor_divide(point, size)
    action = ground - mean[row] * wrapped * length + (x - y) ** 2 / (2 * time)
    key = row * size + point - wrapped * size
    order = np.lexsort((action, key))
    _, first = np.unique(key[order], return_index=True)
    return ((x - y) / time)[order[first]].reshape(count, size)


def _hermite(part: np.ndarray, left: np.ndarray, out: np.ndarray, right: np.ndarray, into: np.ndarray) -> tuple:
    """Cubics with given ends and slopes, and their derivatives, at a part in [0, 1] of their segments."""
    second = 3 * (right - left) - 2 * out - into
    third = 2 * (left - right) + out + into
    value = ((third * part + second) * part + out) * part + left
    return value, (3 * third * part + 2 * second) * part + out
