"""The best linear forecast of a homogeneous ocean: from maps, or from cells that clouds leave, by its own covariance.

Statistics of the model ocean are alike everywhere, so that waves are its principal components and those of other wave
numbers tell nothing of one another. Their lagged covariances are all that a linear method can know: from complete maps
they give a regression wave by wave, from scattered cells optimal interpolation in space and time (drift of eddies and
westward waves included).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ENOUGH, MOST_ROUNDS = 1e-4, 400


class StationaryOcean:
    """Covariance in time of every wave, from training maps (trajectory, day, row, column) of departures.

    covariance : (row, column, day, day) over `length` days in a row; of a sample, so that it is never negative
    """

    def __init__(self, maps: NDArray[np.floating], length: int) -> None:
        starts = range(maps.shape[1] - length + 1)
        cells = maps.shape[-1]
        self.covariance = np.zeros((cells, cells, length, length), complex)
        for trajectory in maps:
            waves = np.moveaxis(np.fft.fft2(trajectory.astype(np.float64), norm="ortho"), 0, -1)
            # (row, column, start, day)
            windows = np.lib.stride_tricks.sliding_window_view(waves, length, axis=-1)
            self.covariance += np.swapaxes(windows, -1, -2) @ windows.conj()
        self.covariance /= len(maps) * len(starts)

    def forecast(self, maps: Array, days: int, noise: float) -> Array:
        """(day, row, column) 1..days after the last of the maps (day, row, column).

        noise : standard deviation [K] that every value is taken to be off by, the ridge of the regression
        """
        past = len(maps)
        waves = np.moveaxis(np.fft.fft2(maps, norm="ortho"), 0, -1)[..., None]
        known = self.covariance[..., :past, :past] + noise**2 * np.eye(past)
        ahead = self.covariance[..., past : past + days, :past] @ np.linalg.solve(known, waves)
        return np.fft.ifft2(np.moveaxis(ahead[..., 0], -1, 0), norm="ortho").real

    def interpolated(self, values: Array, seen: NDArray[np.bool_], noise: float, days: int) -> Array:
        """(day, row, column) on the days of `values` (day, row, column) and `days` more, from the cells that were seen.

        noise : standard deviation [K] of a value. Conjugate gradients on (covariance + noise²) of the seen cells.
        """
        past, length = len(values), len(values) + days
        backwards = self.covariance[..., :length, :past]

        def spread(weights: Array) -> Array:
            waves = np.moveaxis(np.fft.fft2(weights, norm="ortho"), 0, -1)[..., None]
            return np.fft.ifft2(np.moveaxis((backwards @ waves)[..., 0], -1, 0), norm="ortho").real

        right = np.where(seen, values, 0.0)
        weights, rest = np.zeros_like(right), right
        along, now = rest, float((rest * rest).sum())
        least = ENOUGH**2 * now
        for _ in range(MOST_ROUNDS):
            image = np.where(seen, spread(along)[:past] + noise**2 * along, 0.0)
            step = now / float((along * image).sum())
            weights, rest = weights + step * along, rest - step * image
            before, now = now, float((rest * rest).sum())
            if now < least:
                break
            along = rest + now / before * along
        return spread(weights)
