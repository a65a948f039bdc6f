"""Observing system experiments: are drawn errors those of the tables, how much is seen, and at what cost.

Reads the orbits, the tables of errors and the Mediterranean maps from --data; skips, saying so, where they are absent.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from realdata import add_options
from scipy.signal import welch

from data_pipeline.inspection.coverage import coverage
from data_pipeline.layout.datasets import index_by_day
from data_pipeline.observing.karin import KarinDraw, KarinErrors, sensitivity
from data_pipeline.observing.missions import MISSIONS
from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.products import ingest

PIXEL_KM, ALTITUDE_KM, LINES = 2.0, 890.6, 2**20
BANDS_KM = ((15_000, 1000), (1000, 100), (100, 20), (20, 4.4))
NADIRS = ("sentinel-6", "sentinel-3a", "sentinel-3b", "saral", "cryosat-2", "hy-2b")


def drawn_errors(karin: KarinErrors, seed: int) -> dict[str, object]:
    """Drawn over wanted: power in bands of wavelength by component, and standard deviations over all pixels."""
    power = {}
    frequency, densities = karin.spectra
    for component, density in densities.items():
        one = KarinErrors(spectrum=karin.spectrum, components=(component,))
        draw = KarinDraw(one, ALTITUDE_KM, PIXEL_KM, seed, 0)
        lines = np.arange(LINES)
        error = draw.draw(lines, np.full(LINES, 40.0), np.random.default_rng(seed)).error
        scale = sensitivity(component, np.array([40.0]), ALTITUDE_KM)[0]
        waves, found = welch(error / scale, 1 / PIXEL_KM, nperseg=2**15, window=("kaiser", 14))  # pyright: ignore[reportArgumentType]
        wanted = np.exp(np.interp(np.log(np.maximum(waves, 1e-9)), np.log(frequency), np.log(density)))
        for longest, shortest in BANDS_KM:
            band = (waves >= 1 / longest) & (waves < 1 / shortest)
            power[f"{component} {longest:g}-{shortest:g} km"] = float(found[band].sum() / wanted[band].sum())
    pixels = np.concatenate([-np.arange(60.0, 9, -2), np.arange(10.0, 61, 2)])
    count = LINES // 8
    draw = KarinDraw(KarinErrors(noise=karin.noise), ALTITUDE_KM, PIXEL_KM, seed, 0)
    lines, across = np.repeat(np.arange(count), len(pixels)), np.tile(pixels, count)
    noise = draw.draw(lines, across, np.random.default_rng(seed))
    ratio = noise.error.reshape(count, -1).std(0) / noise.std.reshape(count, -1)[0]
    spread = {"noise_over_table_min": float(ratio.min()), "noise_over_table_max": float(ratio.max())}
    return {"power_over_table": power, **spread}


def observed(fields: xr.Dataset, instruments: list[dict], days: int, seed: int) -> dict[str, float]:
    """Observations and cells of a quarter of a degree seen a day, errors over declared ones, and seconds."""
    first = fields["time"].values[0].astype("datetime64[D]")
    settings = {"start": str(first), "stop": str(first + days), "seed": seed, "instruments": instruments}
    begun = time.perf_counter()
    ds = sample(fields, SampleConfig.model_validate(settings))
    seconds = time.perf_counter() - begun
    error = (ds["adt"] - ds["adt_truth"]) / ds["adt_error"]
    cells = coverage(ds, 0.25)
    sea = int((cells["per_day"] > 0).sum())
    daily = [
        int((coverage(index_by_day(ds.isel(obs=slice(int(a), int(b)))), 0.25)["per_day"] > 0).sum())
        for a, b in zip(ds["day_offset"].values[:-1], ds["day_offset"].values[1:], strict=True)
    ]
    return {
        "observations_a_day": ds.sizes["obs"] / days,
        "cells_a_day_over_all_seen": float(np.mean(daily)) / sea,
        "error_over_declared": float(error.std()),
        "seconds_a_day": seconds / days,
        "observations_a_second": ds.sizes["obs"] / seconds,
    }


def main() -> None:
    options = parser(__doc__ or "")
    add_options(options)
    arguments = options.parse_args()
    prepare(arguments)
    data = Path(arguments.data)
    maps = data / "grids" / "duacs_l4_med_adt_2005-04-01_2005-06-09.nc"
    if not maps.is_file():
        print(f"no real data in {data}: give --data or DINO_DATA; skipped")
        sys.exit(0)
    orbits = data / "orbits"
    karin = {"noise": orbits / "karin_noise_v2.nc", "spectrum": orbits / "error_spectrum.nc"}
    fields = ingest([maps]).load()
    swath = {"kind": "swath", "spacing_km": PIXEL_KM, "karin": karin}
    science = {"type": "ephemeris", "path": orbits / "ephemeris_science_sept2015_ell.txt"}
    calval = {"type": "ephemeris", "path": orbits / "ephemeris_calval_june2015_ell.txt"}
    nadirs = [{"name": name, "kind": "nadir", "orbit": name} for name in NADIRS]
    heights = {n: m.orbit.altitude_km - m.published_altitude_km for n, m in MISSIONS.items()}
    results = {
        "errors": drawn_errors(KarinErrors.model_validate(karin), arguments.seed),
        "science_21_days": observed(fields, [{"name": "s", "orbit": science, **swath}], 21, arguments.seed),
        "calval_7_days": observed(fields, [{"name": "c", "orbit": calval, **swath}], 7, arguments.seed),
        "six_nadirs_21_days": observed(fields, nadirs, 21, arguments.seed),
        "altitude_less_published_km": heights,
        "peak_resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    report(arguments, results)


if __name__ == "__main__":
    main()
