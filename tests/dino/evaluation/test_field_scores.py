"""mu, sigma and the effective resolution beside computations that share nothing with them but numpy and pandas."""

import numpy as np
import pandas as pd
import pytest

from dino.evaluation.field_scores import (
    FEWEST_OF_A_DAY,
    Segments,
    cut_segments,
    effective_resolution,
    mu_sigma,
    spectra,
)

STEP_KM, LINES, SAMPLES = 7.0, 400, 160
LEVEL, KNEE_KM = 2e-3, 200.0


def with_spectrum(density, rng) -> np.ndarray:
    """(line, sample) Gaussian records of a one-sided spectral density of wavenumber [cycles per km]."""
    long = 4 * SAMPLES  # of which a part is taken, so that no line is periodic
    wavenumber = np.fft.rfftfreq(long, STEP_KM)
    amplitude = np.sqrt(density(np.maximum(wavenumber, wavenumber[1])) * long / STEP_KM / 4.0)
    noise = rng.normal(size=(2, LINES, len(wavenumber)))
    coefficients = amplitude * (noise[0] + 1j * noise[1])
    coefficients[:, 0] = 0.0
    return np.fft.irfft(coefficients, long)[:, :SAMPLES]


def signal_density(wavenumber):
    return 4.0 * LEVEL / (1.0 + (wavenumber * KNEE_KM) ** 2) ** 2


@pytest.fixture(scope="module")
def record():
    """Values of a red spectrum, and predictions with a white error whose spectrum is LEVEL."""
    rng = np.random.default_rng(0)
    truth = with_spectrum(signal_density, rng)
    error = with_spectrum(lambda k: np.full_like(k, LEVEL), rng)
    line = np.repeat(np.arange(LINES), SAMPLES)
    way = np.tile(np.arange(SAMPLES) * STEP_KM, LINES)
    return line, way, truth.ravel(), (truth + error).ravel()


def test_resolution_of_a_known_spectrum(record):
    """4 / (1 + (k K)^2)^2 = 2 gives k K = sqrt(sqrt(2) - 1)."""
    line, way, truth, made = record
    found = effective_resolution(cut_segments(line, way), truth, made)
    expected = KNEE_KM / np.sqrt(np.sqrt(2.0) - 1.0)
    assert found.verdict == "found"
    assert found.length == pytest.approx(1000.0, rel=0.01)
    assert found.wavelength == pytest.approx(expected, rel=0.05)


def test_resolution_beside_periodograms_by_hand(record):
    line, way, truth, made = record
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(len(way))
    segments = cut_segments(line[shuffled], way[shuffled])
    found = effective_resolution(segments, truth[shuffled], made[shuffled])
    points = int(1000.0 / STEP_KM)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(points) / points)
    power = []
    for values in (truth.reshape(LINES, SAMPLES), (made - truth).reshape(LINES, SAMPLES)):
        part = values[:, :points]  # 160 samples hold one segment and a quarter of the next
        part = (part - part.mean(1, keepdims=True)) * window
        power.append((np.abs(np.fft.rfft(part)) ** 2).mean(0)[1:])
    wavenumber = np.fft.rfftfreq(points, STEP_KM)[1:]
    ratio = power[1] / power[0]
    at = int(np.argmax(ratio >= 0.5))
    crossing = np.interp(0.5, ratio[at - 1 : at + 1], wavenumber[at - 1 : at + 1])
    assert found.segments == LINES
    assert found.wavelength == pytest.approx(1 / crossing, rel=1e-9)


def test_spectra_hold_the_variance(record):
    line, way, truth, made = record
    segments = cut_segments(line, way)
    wavenumber, signal, error = spectra(segments, truth, made)
    assert error.mean() == pytest.approx(LEVEL, rel=0.03)
    inner = (wavenumber > 3e-3) & (wavenumber < 2e-2)
    assert signal[inner] == pytest.approx(signal_density(wavenumber[inner]), rel=0.3)


def test_what_is_not_found_is_said(record):
    line, way, truth, made = record
    segments = cut_segments(line, way)
    exact = effective_resolution(segments, truth, truth + 1e-6 * (made - truth))
    assert (exact.verdict, np.isnan(exact.wavelength)) == ("all resolved", True)
    nothing = effective_resolution(segments, truth, np.zeros_like(truth))
    assert (nothing.verdict, nothing.wavelength) == ("nothing resolved", np.inf)
    few = effective_resolution(cut_segments(line[:100], way[:100]), truth[:100], made[:100])
    assert (few.verdict, few.segments) == ("too few segments", 0)
    assert cut_segments(np.arange(5), np.zeros(5)) is None


def test_segments_end_at_gaps_and_are_shorter_where_lines_are():
    line, way = np.repeat(np.arange(20), 100), np.tile(np.arange(100) * 7.0, 20)
    kept = way != 7.0 * 60  # a gap after 60 samples
    segments = cut_segments(line[kept], way[kept])
    assert isinstance(segments, Segments)
    assert segments.length == pytest.approx(350.0, abs=7.0)
    assert len(segments.rows) == 20
    assert (np.diff(way[kept][segments.rows], axis=1) == 7.0).all()
    assert (np.ptp(line[kept][segments.rows], axis=1) == 0).all()


def test_mu_and_sigma_beside_pandas():
    rng = np.random.default_rng(2)
    day = np.sort(rng.uniform(26000, 26012, 900))
    truth = rng.normal(0, 0.1, 900)
    made = truth + rng.normal(0, 0.02, 900) * (1 + np.floor(day - 26000))
    made[5] = np.nan
    few = (day >= 26003) & (day < 26004)
    drop = np.flatnonzero(few)[FEWEST_OF_A_DAY - 1 :]
    day, truth, made = (np.delete(part, drop) for part in (day, truth, made))
    found = mu_sigma(day, truth, made)
    index = pd.to_datetime("1950-01-01") + pd.to_timedelta(day, unit="D")
    table = pd.DataFrame({"truth": truth**2, "error": (made - truth) ** 2}, index=index).dropna()
    daily = table.resample("1D")
    score = (1 - (daily["error"].mean() / daily["truth"].mean()) ** 0.5)[daily["truth"].count() >= FEWEST_OF_A_DAY]
    assert found.days == len(score) == 11
    assert found.mu == pytest.approx(score.mean(), rel=1e-12)
    assert found.sigma == pytest.approx(score.std(ddof=0), rel=1e-12)
    assert mu_sigma(day[:3], truth[:3], made[:3]).days == 0
    assert mu_sigma(day, truth, np.full_like(truth, np.nan)).days == 0
