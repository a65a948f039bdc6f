"""Do simulated oceans resemble maps of real ones? Spectrum, amplitude, decorrelation, change in seven days.

Boxes of the size of the simulated ones are cut from global sea level anomaly, away from the seas that models are tested
on; both lose the mean of every map. Spectra are zonal, of rows with a Hann window. Printed are medians and the tenth
and ninetieth percentile over boxes or oceans; `--figure` draws them.
"""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from matplotlib.figure import Figure
from numpy.typing import NDArray
from realdata import ROOT, add_options, make_stores, skip_without, work_folder
from seas import STORE, TEST

from data_pipeline.figures.style import LABEL_SIZE, PALETTE, dress_curves, save
from data_pipeline.stores.writing import open_store
from dino.config import Box
from dino.errors import MissingFileError
from dino.space.boxes import points_in, widened

Array = NDArray[np.float64]
CELL_KM, CELLS = 20.0, 64  # of the rows that are transformed
DEGREE_KM = 111.2
MARGIN = 10.0  # degrees around the test seas that no box may touch
STRIDE = 6.0  # degrees between boxes
LATITUDES = (15.0, 50.0)
CORRELATED = 0.8
WAVE_NUMBERS = np.fft.rfftfreq(CELLS, CELL_KM)[1:]  # cycles a kilometre


def real_boxes(maps: xr.DataArray) -> Iterator[Array]:
    """Daily maps (time, row, column) on rows of CELL_KM, of boxes that are all ocean and away from the test seas."""
    latitude, longitude = maps["latitude"].values, maps["longitude"].values
    left_out = [widened(box, MARGIN) for box in TEST.values()]
    values = maps.values.astype(np.float64)
    half = CELLS * CELL_KM / DEGREE_KM / 2
    for middle in np.concatenate([np.arange(*side, STRIDE) for side in (LATITUDES, (-LATITUDES[1], -LATITUDES[0]))]):
        rows = np.flatnonzero(np.abs(latitude - middle) < half)
        wide = half / np.cos(np.deg2rad(middle))
        for east in np.arange(-180 + wide, 180 - wide, STRIDE):
            columns = np.flatnonzero(np.abs(longitude - east) < wide + 0.25)
            box: Box = (east - wide, east + wide, middle - half, middle + half)
            if _overlap(box, left_out):
                continue
            inside = values[:, rows][:, :, columns]
            if not np.isfinite(inside).all():
                continue
            at = east + (np.arange(CELLS) - (CELLS - 1) / 2) * CELL_KM / DEGREE_KM / np.cos(np.deg2rad(middle))
            yield _rows_at(inside, longitude[columns], at)


def _overlap(box: Box, others: list[Box]) -> bool:
    corners = np.meshgrid(np.linspace(box[0], box[1], 9), np.linspace(box[2], box[3], 9))
    return bool(points_in(corners[0], corners[1], others).any())


def _rows_at(values: Array, longitude: Array, at: Array) -> Array:
    """Linear interpolation (time, row, at) of rows (time, row, column)."""
    place = np.clip(np.searchsorted(longitude, at) - 1, 0, len(longitude) - 2)
    part = (at - longitude[place]) / (longitude[place + 1] - longitude[place])
    return values[..., place] * (1 - part) + values[..., place + 1] * part


def simulated_boxes(pattern: str) -> Iterator[Array]:
    """Daily maps (time, row, column) of the trajectories of all stores that match, on rows of CELL_KM."""
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise MissingFileError(f"no store matches {pattern!r}; make them with dino-data simulate ... --oceans")
    for path in paths:
        store = open_store(path)
        length = float(store.attrs["periodic_length_km"][0])
        place = np.arange(store.sizes["longitude"]) * length / store.sizes["longitude"]
        for run in store["ssh"].values.astype(np.float64):
            yield _rows_at(run, place, np.minimum(np.arange(CELLS) * CELL_KM, place[-1]))


def statistics_of(box: Array) -> tuple[dict[str, float], Array]:
    """Numbers of one box (time, row, column) [m] and its spectrum (wave number,), of sum one."""
    departure = box - box.mean((1, 2), keepdims=True)
    std = float(departure.std())
    window = np.hanning(CELLS)
    power = np.square(np.abs(np.fft.rfft(departure * window, axis=-1))).mean((0, 1))[1:]
    spectrum = power / power.sum()
    numbers = {
        "std_cm": 100 * std,
        "change_1d_over_std": _change(departure, 1) / std,
        "change_7d_over_std": _change(departure, 7) / std,
        "days_to_correlation_0.8": _days_to(departure, CORRELATED),
        "mean_wavelength_km": float(1 / (spectrum * WAVE_NUMBERS).sum()),
        "slope_100_to_300_km": _slope(spectrum),
    }
    return numbers, spectrum


def _change(departure: Array, days: int) -> float:
    return float(np.sqrt(np.square(departure[days:] - departure[:-days]).mean()))


def _days_to(departure: Array, level: float) -> float:
    """Days until a map's correlation with itself falls to a level; not a number where the record is too short."""
    square = np.square(departure).mean()
    lags = range(1, len(departure) - 5)
    correlations = np.array([1.0, *((departure[lag:] * departure[:-lag]).mean() / square for lag in lags)])
    below = np.flatnonzero(correlations < level)
    if not len(below):
        return float("nan")
    last = below[0]
    return float(last - 1 + (correlations[last - 1] - level) / (correlations[last - 1] - correlations[last]))


def _slope(spectrum: Array) -> float:
    """Power law of the spectrum between wavelengths of 300 and 100 km."""
    inside = (WAVE_NUMBERS > 1 / 300) & (WAVE_NUMBERS < 1 / 100)
    return float(np.polyfit(np.log(WAVE_NUMBERS[inside]), np.log(spectrum[inside]), 1)[0])


def summary(numbers: list[dict[str, float]]) -> dict[str, Any]:
    """Median and percentiles of every number; `unknown` counts what a short record leaves open."""
    made: dict[str, Any] = {"count": len(numbers)}
    for name in numbers[0]:
        values = np.array([each[name] for each in numbers])
        known = values[np.isfinite(values)]
        low, middle, high = np.percentile(known, [10, 50, 90]) if len(known) else (None, None, None)
        made[name] = {"p10": low, "median": middle, "p90": high, "unknown": int((~np.isfinite(values)).sum())}
    return made


def draw(groups: dict[str, tuple[list[dict[str, float]], list[Array]]], path: Path) -> None:
    """Spectra with their spread, and the change in seven days against the amplitude."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, (numbers, spectra)), colour in zip(groups.items(), PALETTE, strict=False):
        low, middle, high = np.percentile(spectra, [10, 50, 90], axis=0)
        left.fill_between(1 / WAVE_NUMBERS, low, high, color=colour, alpha=0.2, linewidth=0)
        left.plot(1 / WAVE_NUMBERS, middle, color=colour, label=name)
        pairs = [(each["std_cm"], each["change_7d_over_std"]) for each in numbers]
        right.plot(*zip(*pairs, strict=True), ".", color=colour, markersize=4, label=name)
    left.set(xscale="log", yscale="log", xlim=(700, 50), ylim=(1e-6, 1))
    left.set_xticks([500, 300, 200, 100, 60], labels=["500", "300", "200", "100", "60"])
    left.minorticks_off()
    right.set(xscale="log")
    right.set_xticks([2, 5, 10, 20, 50], labels=["2", "5", "10", "20", "50"])
    right.minorticks_off()
    dress_curves(left, "wavelength [km]", "share of variance")
    dress_curves(right, "standard deviation [cm]", "change in 7 days over it")
    left.legend(frameon=False, fontsize=LABEL_SIZE)
    save(figure, path)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--oceans", required=True, help="pattern of simulated stores")
    options.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "oceans.png")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, STORE)
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, STORE)
        maps = open_store(work / "stores" / "global.zarr")["sla"].load()
        groups = {}
        for name, boxes in (("maps", real_boxes(maps)), ("simulated", simulated_boxes(arguments.oceans))):
            numbers, spectra = zip(*map(statistics_of, boxes), strict=True)
            groups[name] = (list(numbers), list(spectra))
    draw(groups, arguments.figure)
    report(arguments, {name: summary(numbers) for name, (numbers, _) in groups.items()})


if __name__ == "__main__":
    main()
