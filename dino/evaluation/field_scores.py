"""Scores of a mapped field as the mapping challenges define them: mu, sigma and the effective resolution.

mu and sigma are mean and standard deviation over days of 1 - RMSE / RMS, the error of a day over the root mean square
of what was observed on it (Ballarotta et al., SSH mapping data challenge 2021a, ocean-data-challenges). The effective
resolution is the wavelength at which the spectrum of the error is half of that of the observations (Ballarotta et al.
2019, Ocean Science 15, 1091-1109): longer waves are resolved, shorter ones are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

Array = NDArray[np.float64]
Verdict = Literal["found", "nothing resolved", "all resolved", "too few segments"]

FEWEST_OF_A_DAY = 10  # values of a day that is counted, as in the challenges
LENGTHS_KM = (1000.0, 700.0, 500.0, 350.0, 250.0)  # of segments, the longest of which there are enough
FEWEST_SEGMENTS = 16  # whose mean spectra are known to about a third
OVERLAP = 0.25  # of neighbouring segments
HALF = 0.5  # of the signal's spectrum that the error's may have
UNEVEN = 0.5  # share of a step by which it may differ from the usual one and belong to the same segment


class MuSigma(NamedTuple):
    """Mean and standard deviation of daily scores 1 - RMSE / RMS, and from how many days; NaN from none."""

    mu: float
    sigma: float
    days: int


def mu_sigma(time: Array, truth: Array, prediction: Array) -> MuSigma:
    """Scores of predictions (n,) of values (n,) at times (n,) [days]; pairs that lack one of both do not count.

    The root mean square is that of the values as they are: of absolute heights it holds their mean, which makes
    scores of anomalies and of absolute heights two different numbers.
    """
    known = np.isfinite(truth) & np.isfinite(prediction)
    if not known.any():
        return MuSigma(np.nan, np.nan, 0)
    _, day = np.unique(np.floor(time[known]), return_inverse=True)
    count = np.bincount(day)
    error = np.bincount(day, (prediction - truth)[known] ** 2)
    power = np.bincount(day, truth[known] ** 2)
    enough = (count >= FEWEST_OF_A_DAY) & (power > 0)
    if not enough.any():
        return MuSigma(np.nan, np.nan, 0)
    score = 1.0 - np.sqrt(error[enough] / power[enough])
    return MuSigma(float(score.mean()), float(score.std()), int(enough.sum()))


@dataclass(frozen=True)
class Resolution:
    """Where the error's spectrum reaches half of the signal's.

    wavelength : in the units of the sampling; infinite where nothing is resolved, NaN where nothing was found
    length : of the segments; segments : how many; verdict : "all resolved" where the error stays below half
    """

    wavelength: float
    length: float
    segments: int
    verdict: Verdict


@dataclass(frozen=True)
class Segments:
    """Rows (segment, point) of evenly sampled values, `step` apart: the same for all methods that are compared."""

    rows: NDArray[np.int64]
    step: float

    @property
    def length(self) -> float:
        """Of a segment, in the units of its step."""
        return self.step * self.rows.shape[1]


def cut_segments(
    group: NDArray[np.int64], position: Array, lengths: Sequence[float] = LENGTHS_KM, fewest: int = FEWEST_SEGMENTS
) -> Segments | None:
    """Segments of samples (n,) at positions along the lines that they belong to; None where no length gives enough.

    group : (n,) the line of a sample (an overflight, a mooring); position : (n,) along it, in any order
    A segment ends where a line does and where a step is not about the usual one. `lengths` are tried in turn.
    """
    order = np.lexsort((position, group))
    step = np.diff(position[order])
    same = np.diff(group[order]) == 0
    if not (same & (step > 0)).any():
        return None
    usual = float(np.median(step[same & (step > 0)]))
    ends = ~same | (np.abs(step - usual) > UNEVEN * usual)
    first = np.concatenate([[0], np.flatnonzero(ends) + 1])
    size = np.diff(np.append(first, len(order)))
    for length in lengths:
        points = int(length / usual)
        if points < 8:
            continue
        every = max(1, round((1.0 - OVERLAP) * points))
        starts = [np.arange(a, a + n - points + 1, every) for a, n in zip(first, size, strict=True) if n >= points]
        count = sum(map(len, starts))
        if count >= fewest:
            return Segments(order[np.concatenate(starts)[:, None] + np.arange(points)], usual)
    return None


def spectra(segments: Segments, truth: Array, prediction: Array) -> tuple[Array, Array, Array]:
    """Wavenumber [cycles per unit of the step], spectrum of the values and of the error, without that of the mean."""
    points = segments.rows.shape[1]
    made = [
        welch(part[segments.rows], 1.0 / segments.step, nperseg=points, noverlap=0, scaling="density", axis=-1)
        for part in (truth, prediction - truth)
    ]
    signal, error = (spectrum.mean(0)[1:] for _, spectrum in made)
    return made[0][0][1:], signal, error


def effective_resolution(segments: Segments | None, truth: Array, prediction: Array) -> Resolution:
    """The longest wave of which the error's spectrum is half of the signal's, linear between wavenumbers.

    truth, prediction : (n,) in the order that the segments were cut from, finite where they are used
    """
    if segments is None:
        return Resolution(np.nan, np.nan, 0, "too few segments")
    wavenumber, signal, error = spectra(segments, truth, prediction)
    ratio = np.divide(error, signal, out=np.full(len(signal), np.inf), where=signal > 0)
    count, beyond = len(segments.rows), np.flatnonzero(ratio >= HALF)
    if not len(beyond):
        return Resolution(np.nan, segments.length, count, "all resolved")
    at = int(beyond[0])
    if at == 0:
        return Resolution(np.inf, segments.length, count, "nothing resolved")
    rise = (HALF - ratio[at - 1]) / (ratio[at] - ratio[at - 1]) if np.isfinite(ratio[at]) else 1.0
    crossing = wavenumber[at - 1] + rise * (wavenumber[at] - wavenumber[at - 1])
    return Resolution(float(1.0 / crossing), segments.length, count, "found")
