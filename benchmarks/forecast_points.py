"""Forecast ten leads at up to a million new points: rate, and peak memory beyond what the forecast itself takes.

Every case runs in a process of its own, so that its peak resident memory is its own. Before it is measured, the process
forecasts one block of points, which brings in libraries, weights and work space; `beyond_mb` is what the peak grew by
from there, less the bytes of forecast and target points: it must not grow with the number of points.
The run is a small one on a periodic box, simulated and trained here, unless `--run` names another.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds

from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import write_store
from dino.config import Config
from dino.data.observations import Observations, datetime_of
from dino.experiments.train import train
from dino.forecaster import Analysis, Forecaster
from dino.model.blending import BLOCK_POINTS

LEADS = np.arange(1.0, 11.0)
OBSERVED = 2000
MEGABYTE = 1e6


def toy_run(folder: Path, seed: int) -> Path:
    """A run of seconds on simulated turbulence in a periodic box of 1,000 km."""
    ocean = simulate(QuasiGeostrophicConfig(trajectories=2, days=24, grid=32, spin_up_days=20, seed=seed))
    store = write_store(ocean, folder / "ocean.zarr")
    config = Config.model_validate(
        {
            "seed": seed,
            "data": {"stores": [{"path": str(store)}], "channels": ["ssh"], "validation_days": 6},
            "field": {"steps": 30},
            "dynamics": {"lags": 3, "steps": 30, "horizons": [3]},
        }
    )
    train(config, folder / "run", lambda *told: None)
    return folder / "run"


def random_points(forecaster: Forecaster, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes (count,) drawn evenly from the sea that the run covers."""
    ocean, random = forecaster.ocean, np.random.default_rng(seed)
    sides = [(np.nanmin(axis), np.nanmax(axis)) for axis in (ocean.background.longitude, ocean.background.latitude)]
    places, found = np.empty((2, count)), 0
    while found < count:
        drawn = np.stack([random.uniform(low, high, BLOCK_POINTS) for low, high in sides])
        inside = ocean.background.is_ocean(*drawn) & ocean.cover.holds(*drawn)
        kept = drawn[:, inside][:, : count - found]
        places[:, found : found + kept.shape[1]] = kept
        found += kept.shape[1]
    return places[0], places[1]


def analysis_of(forecaster: Forecaster, start: str, seed: int) -> Analysis:
    """From made-up observations at one moment, or from made-up maps on the grid of the run's mean field."""
    latent, ocean, random = forecaster.latent, forecaster.ocean, np.random.default_rng(seed)
    names, spread = ocean.names, ocean.spread
    if start == "points":
        longitude, latitude = random_points(forecaster, OBSERVED, seed)
        values = ocean.background.at(longitude, latitude)
        values += random.normal(size=values.shape) * spread
        known = np.full(values.shape, np.nan)
        source = np.zeros(OBSERVED, np.int64)
        seen = Observations(np.full(OBSERVED, 20000.0), longitude, latitude, values, known, source, names)
        return forecaster.analyse_observations(seen, 20000.0, 0.0)
    days = 20000.0 + latent.spec.interval_days * np.arange(-latent.lags, 1)
    grid = ocean.background
    dims = ("latitude", "longitude") if grid.rectilinear else ("y", "x")
    axes = [("latitude",), ("longitude",)] if grid.rectilinear else [dims, dims]
    change = random.normal(size=(len(days), *grid.values.shape)) * spread[:, None, None]
    maps = {name: (("time", *dims), (grid.values + change)[:, i]) for i, name in enumerate(names)}
    coordinates = {"latitude": (axes[0], grid.latitude), "longitude": (axes[1], grid.longitude)}
    return forecaster.analyse(xr.Dataset(maps, {"time": datetime_of(days), **coordinates}))


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # Where there is this file it is the better source: getrusage starts a process at its parent's peak.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measure(run: Path, count: int, spread: bool, start: str, seed: int) -> dict[str, Any]:
    """One case, in this process."""
    forecaster = Forecaster.load(run)
    analysis = analysis_of(forecaster, start, seed)
    moments = datetime_of(analysis.time + LEADS)

    def forecast(number: int) -> tuple[float, int]:
        places = random_points(forecaster, number, seed + 1)
        at = xr.Dataset(dict(zip(("longitude", "latitude"), (("point", p) for p in places), strict=True)))
        made: list[xr.Dataset] = []
        taken = seconds(lambda: made.append(forecaster.forecast(analysis, moments, at, spread=spread)))
        return taken, made[0].nbytes + at.nbytes

    forecast(2 * BLOCK_POINTS)
    before = peak_bytes()
    taken, own = forecast(count)
    return {
        "seconds": taken,
        "points_per_second": count / taken,
        "values_per_second": count * len(LEADS) / taken,
        "own_mb": own / MEGABYTE,
        "peak_mb": peak_bytes() / MEGABYTE,
        "beyond_mb": (peak_bytes() - before - own) / MEGABYTE,
    }


def measure_apart(arguments: argparse.Namespace, run: Path, case: dict[str, Any]) -> dict[str, Any]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(arguments.threads), "--seed", str(arguments.seed)]
    command += ["--run", str(run), "--measure", json.dumps(case)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--run", type=Path, help="a run folder; a toy run when absent")
    options.add_argument("--points", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    options.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    prepare(arguments)
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.run, **json.loads(arguments.measure), seed=arguments.seed)))
        return
    results: dict[str, Any] = {"leads": len(LEADS)}
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or toy_run(Path(folder), arguments.seed)
        forecaster = Forecaster.load(run)
        results |= {"charts": forecaster.ocean.charts, "code": forecaster.latent.spec.decoder.code_size}
        for start in ("points", "maps"):
            for spread in (True, False):
                group = results.setdefault(f"from_{start}_{'with' if spread else 'without'}_spread", {})
                for count in arguments.points:
                    group[str(count)] = measure_apart(
                        arguments, run, {"count": count, "spread": spread, "start": start}
                    )
    report(arguments, results)


if __name__ == "__main__":
    main()
