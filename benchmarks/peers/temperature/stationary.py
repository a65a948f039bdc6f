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
    """Lagged covariances of the waves of training maps (trajectory, day, row, column), departures from climatology."""

    def __init__(self, maps: NDArray[np.floating], lags: int) -> None:
        self.cells, self.lags = maps.shape[-1], lags
        count = maps.shape[1]
        self.covariance = np.zeros((lags + 1, self.cells, self.cells), complex)
        for trajectory in maps:
            waves = np.fft.fft2(trajectory.astype(np.float64), norm="ortho")
            for lag in range(lags + 1):
                self.covariance[lag] += (waves[lag:] * waves[: count - lag].conj()).mean(0)
        self.covariance /= len(maps)

    def forecast(self, maps: Array, days: int, noise: float = 0.03) -> Array:
        """(day, row, column) 1..days after the last of the maps (day, row, column).

        noise : standard deviation [K] that every value is taken to be off by, the ridge of the regression
        """
        waves, past = np.fft.fft2(maps, norm="ortho"), len(maps)
        lag = np.subtract.outer(np.arange(past), np.arange(past))
        known = self._at(lag) + noise**2 * np.eye(past)
        ahead = self._at(np.add.outer(np.arange(1, days + 1), past - 1 - np.arange(past)))
        weights = np.linalg.solve(known, np.moveaxis(waves, 0, -1)[..., None])
        return np.fft.ifft2(np.moveaxis((ahead @ weights)[..., 0], -1, 0), norm="ortho").real

    def _at(self, lag: NDArray[np.int64]) -> NDArray[np.complex128]:
        """(row, column, *lag) covariance of waves at lags of any sign."""
        found = np.where((lag >= 0)[..., None, None], self.covariance[abs(lag)], self.covariance[abs(lag)].conj())
        return np.moveaxis(found, (-2, -1), (0, 1))

    def interpolated(self, values: Array, seen: NDArray[np.bool_], noise: float, days: int) -> Array:
        """(day, row, column) on the days of `values` (day, row, column) and `days` more, from the cells that were seen.

        noise : standard deviation [K] of a value. Conjugate gradients on (covariance + noise²) of the seen cells.
        """
        length = len(values) + days
        kernel = self._kernel(length)

        def spread(weights: Array) -> Array:
            whole = np.zeros((2 * length, self.cells, self.cells))
            whole[: len(values)] = weights
            return np.fft.irfftn(kernel * np.fft.rfftn(whole), s=whole.shape)[:length]

        def operator(weights: Array) -> Array:
            return np.where(seen, spread(weights)[: len(values)] + noise**2 * weights, 0.0)

        right = np.where(seen, values, 0.0)
        weights, rest = np.zeros_like(right), right
        along, now = rest, float((rest * rest).sum())
        least = ENOUGH**2 * now
        for _ in range(MOST_ROUNDS):
            image = operator(along)
            step = now / float((along * image).sum())
            weights, rest = weights + step * along, rest - step * image
            before, now = now, float((rest * rest).sum())
            if now < least:
                break
            along = rest + now / before * along
        return spread(weights)

    def _kernel(self, length: int) -> NDArray[np.complex128]:
        """Transform in space and time of the covariance, laid out for lags up to `length`; never negative."""
        lags = np.zeros((2 * length, self.cells, self.cells), complex)
        lags[:length] = self.covariance[:length]
        lags[length + 1 :] = self.covariance[1:length][::-1].conj()
        spectrum = np.fft.fft(lags, axis=0).real.clip(0.0)  # a sample's covariance at long lags may not be one
        return spectrum[..., : self.cells // 2 + 1]


class PrincipalRegression:
    """Ridge regression from principal components of several days to those of the days after."""

    def __init__(self, maps: NDArray[np.floating], rank: int, lags: int, days: int, ridge: float) -> None:
        flat = maps.reshape(-1, maps.shape[-1] ** 2).astype(np.float64)
        self.mean = flat.mean(0)
        vectors = np.linalg.eigh((flat - self.mean).T @ (flat - self.mean))[1]
        self.basis, self.lags, self.shape = vectors[:, ::-1][:, :rank], lags, maps.shape[-2:]
        codes = ((flat - self.mean) @ self.basis).reshape(*maps.shape[:2], rank)
        starts = range(lags - 1, maps.shape[1] - days)
        past = np.concatenate([self._past(codes, start) for start in starts])
        gram = past.T @ past
        gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
        ahead = [np.concatenate([codes[:, start + lead] for start in starts]) for lead in range(1, days + 1)]
        self.weights = np.linalg.solve(gram, past.T @ np.concatenate(ahead, axis=1)).reshape(-1, days, rank)

    def _past(self, codes: Array, start: int) -> Array:
        return codes[:, start - self.lags + 1 : start + 1].reshape(len(codes), -1)

    def forecast(self, maps: Array) -> Array:
        """(day, row, column) after the last of the maps (day, row, column); the last `lags` are used."""
        codes = (maps.reshape(len(maps), -1) - self.mean) @ self.basis
        ahead = np.einsum("i,idr->dr", self._past(codes[None], len(maps) - 1)[0], self.weights)
        return (self.mean + ahead @ self.basis.T).reshape(-1, *self.shape)
