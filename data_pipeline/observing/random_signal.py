"""Stationary Gaussian signals along a track with a given power spectrum, at any place and in any order.

The track is cut into blocks that overlap by half. Each block is drawn from a stream of random numbers of its own, and
neighbours are blended by windows whose squares add up to one, which keeps the variance and, for waves much shorter than
a block, the spectrum. So nothing need be held but two blocks, and no part of a signal depends on where one began.
"""

from functools import lru_cache

import numpy as np

# Blocks are at least this many times the longest wavelength: it is then resolved by the block's own frequencies.
BLOCK_WAVELENGTHS = 4


class RandomSignal:
    """A signal sampled every `step_km`, with a one-sided spectrum between two wavelengths.

    frequency : (n,) increasing [cycles/km]; density : (n,) variance per cycle/km. longest_km : waves longer than this
    are left out, as are those shorter than two steps. seed : entropy; key : tells signals of one seed apart.
    """

    def __init__(
        self,
        frequency: np.ndarray,
        density: np.ndarray,
        step_km: float,
        longest_km: float,
        seed: int,
        key: tuple[int, ...],
    ):
        self.step_km, self.seed, self.key = step_km, seed, key
        self.size = 2 ** int(np.ceil(np.log2(max(16.0, BLOCK_WAVELENGTHS * longest_km / step_km))))
        waves = np.fft.rfftfreq(self.size, step_km)
        # Each wave stands for the frequencies nearest to it, as far as they lie in the band.
        low, high = max(1 / longest_km, frequency[0]), min(waves[-1], frequency[-1])
        width = np.diff(np.clip(np.append(waves, 2 * waves[-1]) - 0.5 * waves[1], low, high))
        # Spectra are power laws in parts: between their rows they are straight in logarithms.
        tiny = np.finfo(np.float64).tiny
        level = np.interp(np.log(np.maximum(waves, low)), np.log(frequency), np.log(np.maximum(density, tiny)))
        self.variances = np.exp(level) * width
        angle = np.pi * (np.arange(self.size) + 0.5) / self.size
        self.window = np.sin(0.5 * np.pi * np.sin(angle) ** 2)
        self._block = lru_cache(maxsize=4)(self._draw)

    def __getstate__(self) -> dict[str, object]:
        # Blocks are drawn again where the signal is sent to: their cache cannot travel.
        return {name: value for name, value in vars(self).items() if name != "_block"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._block = lru_cache(maxsize=4)(self._draw)

    @property
    def std(self) -> float:
        """Standard deviation of the signal."""
        return float(np.sqrt(self.variances.sum()))

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Values (n,) at whole numbers of steps (n,) from the track's start, which may be negative."""
        half = self.size // 2
        values = np.empty(len(steps))
        later = np.floor_divide(steps, half)
        for block in np.unique(later):
            rows = np.flatnonzero(later == block)
            place = steps[rows] - block * half
            before, after = self._block(int(block) - 1), self._block(int(block))
            values[rows] = self.window[place] * after[place] + self.window[place + half] * before[place + half]
        return values

    def _draw(self, block: int) -> np.ndarray:
        """One realisation over a block, periodic in itself."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(*self.key, block % 2**32))
        real, imaginary = np.random.default_rng(sequence).normal(size=(2, len(self.variances)))
        return np.fft.irfft(0.5 * self.size * np.sqrt(self.variances) * (real + 1j * imaginary), self.size)
