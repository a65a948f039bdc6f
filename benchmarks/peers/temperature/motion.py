"""Advection and diffusion of temperature by a motion that is estimated from its last maps: no learning.

The motion is a streamfunction and a mean flow, steady for the days of the maps. It minimises

    sum of weights (next map - map carried a day)² + smoothness sum of (wave number / scale)^slope |psi|²,

by Gauss and Newton's method on maps that are smoothed less and less (Lucas & Kanade 1981; Horn & Schunck 1981).
What is carried is the whole temperature, so that a known large-scale gradient counts; maps are departures from it on a
square periodic box.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MotionSettings:
    """What is tuned on validation oceans.

    waves : highest harmonic of the streamfunction; smoothness, slope : of the penalty, at speeds of 10 km/day
    fading : weight of a pair of maps over that of the pair a day later
    hidden : weight of a cell that was not seen over that of one that was
    coarse : widths [cells] of the smoothing, one after the other; rounds : Gauss-Newton steps at each
    mixing : diffusivity [km²/day] and damping : rate [1/day] of the forecast
    source : share of what the motion leaves of the last day's change, smoothed over `source_cells`, that goes on, and
    memory : days in which it fades
    """

    waves: int = 9
    smoothness: float = 0.1
    slope: float = 4.0
    fading: float = 0.8
    hidden: float = 0.1
    coarse: tuple[float, ...] = (2.0, 1.0, 0.0)
    rounds: int = 3
    mixing: float = 20.0
    damping: float = 0.0
    source: float = 0.5
    source_cells: float = 2.0
    memory: float = 3.0

    def changed(self, **values: float) -> "MotionSettings":
        """The same with some settings changed."""
        return replace(self, **values)  # type: ignore[arg-type]


class Motion:
    """What estimates and carries on a box of `length_km` with `cells` a side over a `gradient` [K/km], northward."""

    def __init__(self, cells: int, length_km: float, gradient: float, settings: MotionSettings) -> None:
        self.cells, self.step_km, self.gradient, self.settings = cells, length_km / cells, gradient, settings
        unit, most = 2 * np.pi / length_km, settings.waves
        waves = [
            (a, b) for a in range(most + 1) for b in range(-most, most + 1) if (a or b > 0) and a * a + b * b <= most**2
        ]
        east, north = unit * np.array(waves, float).T
        y, x = np.meshgrid(*[self.step_km * np.arange(cells)] * 2, indexing="ij")
        phase = east[:, None] * x.ravel() + north[:, None] * y.ravel()
        size = np.hypot(east, north)[:, None]
        # Waves of the streamfunction whose speed is one; velocities (part, wave, cell) are their derivatives.
        cosine, sine = np.cos(phase) / size, np.sin(phase) / size
        self.velocity = np.stack(
            [np.concatenate([north[:, None] * sine, -north[:, None] * cosine]),
             np.concatenate([-east[:, None] * sine, east[:, None] * cosine])]
        )  # fmt: skip
        uniform = np.stack([np.eye(2)[part][:, None] * np.ones(cells**2) for part in range(2)])
        self.velocity = np.concatenate([self.velocity, uniform], axis=1)
        roughness = (np.concatenate([size[:, 0], size[:, 0]]) / (4 * unit)) ** settings.slope
        self.penalty = settings.smoothness * cells**2 * np.concatenate([roughness, [1e-3, 1e-3]]) / 100.0

    def estimated(self, maps: Array, seen: NDArray[np.bool_] | None = None) -> Array:
        """Velocity (2, row, column) [km/day] that best carries maps (day, row, column) into one another.

        seen : which cells of the maps were observed; all when absent
        """
        trust = np.ones(maps.shape) if seen is None else np.where(seen, 1.0, self.settings.hidden)
        weights = [first * second for first, second in pairwise(trust)]
        ages = np.arange(len(weights) - 1, -1, -1)
        weights = [w * self.settings.fading**age for w, age in zip(weights, ages, strict=True)]
        found = np.zeros(len(self.penalty))
        for width in self.settings.coarse:
            smooth = [gaussian_filter(m, width, mode="wrap") for m in maps] if width else list(maps)
            for _ in range(self.settings.rounds):
                found = found + self._correction(found, smooth, weights)
        return self._flow(found)

    def source(self, maps: Array, flow: Array) -> Array:
        """(row, column) what goes on of the change [K/day] of the last of the maps that the flow does not make."""
        left = maps[-1] - self._mixed(self.carried(maps[-2], flow))
        return self.settings.source * gaussian_filter(left, self.settings.source_cells, mode="wrap")

    def forecast(self, last: Array, flow: Array | list[Array], days: int, source: Array | float = 0.0) -> Array:
        """The last map carried on: (day, row, column) 1..days ahead, by one flow or by one of every day."""
        kept = []
        for day in range(days):
            fading = np.exp(-(day + 1) / self.settings.memory)
            last = self._mixed(self.carried(last, flow[day] if isinstance(flow, list) else flow)) + fading * source
            kept.append(last)
        return np.stack(kept)

    def carried(self, field: Array, flow: Array) -> Array:
        """A field (row, column) a day later: its values where the flow (2, row, column) comes from."""
        rows, columns = np.meshgrid(*[np.arange(self.cells, dtype=float)] * 2, indexing="ij")
        share = flow / self.step_km / 4
        place = np.stack([rows, columns])
        for _ in range(4):  # four backward steps of a day, each by its middle
            half = place - 0.5 * self._at(share, place)[::-1]
            place = place - self._at(share, half)[::-1]
        moved = map_coordinates(field, place, order=5, mode="grid-wrap")
        return moved + self.gradient * self.step_km * (place[0] - rows)

    def _at(self, pair: Array, place: Array) -> Array:
        return np.stack([map_coordinates(part, place, order=3, mode="grid-wrap") for part in pair])

    def _flow(self, found: Array) -> Array:
        return np.einsum("pwc,w->pc", self.velocity, found).reshape(2, self.cells, self.cells)

    def _correction(self, found: Array, maps: list[Array], weights: list[Array]) -> Array:
        normal, right = np.diag(self.penalty), -self.penalty * found
        flow = self._flow(found)
        for before, after, weight in zip(maps[:-1], maps[1:], weights, strict=True):
            moved = self.carried(before, flow)
            eastward, northward = self.slopes(moved)
            jacobian = -(self.velocity[0] * eastward.ravel() + self.velocity[1] * (northward + self.gradient).ravel())
            normal = normal + (jacobian * weight.ravel()) @ jacobian.T
            right = right + (jacobian * weight.ravel()) @ (after - moved).ravel()
        return np.asarray(np.linalg.solve(normal, right), np.float64)

    def slopes(self, field: Array) -> tuple[Array, Array]:
        """Eastward and northward derivative [1/km]."""
        waves = 2j * np.pi * np.fft.fftfreq(self.cells, self.step_km)
        spectrum = np.fft.fft2(field)
        return np.fft.ifft2(spectrum * waves[None]).real, np.fft.ifft2(spectrum * waves[:, None]).real

    def _mixed(self, field: Array) -> Array:
        squared = np.add.outer(*[(2 * np.pi * np.fft.fftfreq(self.cells, self.step_km)) ** 2] * 2)
        loss = np.exp(-(self.settings.mixing * squared + self.settings.damping))
        return np.fft.ifft2(np.fft.fft2(field) * loss).real
