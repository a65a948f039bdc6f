"""A forecast of the whole globe from maps: what it adds to the peak of memory in chunks, and in one piece.

A run of tiles (`--run`) is laid over global sea level anomaly; five leads with standard deviations are forecast at each
cell of the maps. Each way runs in a process of its own, which loads the relocated run; `added_mb` is by how much the
peak grew from there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds
from realdata import add_options, make_stores, skip_without, work_folder
from seas import LEADS, STORE

from data_pipeline.stores.writing import open_store
from dino.config import StoreConfig
from dino.data.observations import datetime_of
from dino.forecaster import Forecaster
from dino.forecasts.wide import forecast_chunks, last_map, write_chunks
from dino.model.checkpoint import load_model, load_run_config, save_model
from dino.transfer.relocate import relocated

WAYS = ("chunks", "whole")


def measure(way: str, run: Path, store: Path, rows: int) -> dict[str, Any]:
    """Seconds and megabytes of a forecast of the first `rows` rows of the maps."""
    maps, forecaster = open_store(store), Forecaster(load_model(run))
    target = maps[["latitude", "longitude"]].isel(latitude=slice(0, rows))
    times = datetime_of(last_map(maps, None) + LEADS)
    before = _peak_mb()

    def forecast(folder: str) -> None:
        if way == "chunks":
            write_chunks(Path(folder) / "globe.zarr", forecast_chunks(forecaster, maps, times, target), target)
        else:
            made: xr.Dataset = forecaster.forecast(maps, times, target)
            made.to_zarr(Path(folder) / "globe.zarr", consolidated=False, zarr_format=3)

    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(lambda: forecast(folder))
        made = xr.open_zarr(Path(folder) / "globe.zarr", consolidated=False)
        forecast_cells = int(np.isfinite(made["sla"].isel(time=0)).sum())
    return {
        "seconds": taken,
        "added_mb": _peak_mb() - before,
        "output_mb": 2 * 4 * len(LEADS) * target.sizes["latitude"] * target.sizes["longitude"] / 1e6,
        "tiles": len(forecaster.model.cover.charts),
        "cells": forecast_cells,
    }


def _peak_mb() -> float:
    """Peak resident memory of this program; `getrusage` would hand down that of the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1e3
    raise RuntimeError("peak memory is read from /proc/self/status, which tells none here")


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--run", type=Path, required=True, help="run folder of tiles")
    options.add_argument("--rows", type=int, nargs="+", default=[720], help="rows of the grid to forecast")
    options.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, STORE)
    if arguments.measure:
        way, store, rows = arguments.measure
        print(json.dumps(measure(way, arguments.run, Path(store), int(rows))))
        return
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, STORE)
        store, results = work / "stores" / "global.zarr", {}
        config, laid = load_run_config(arguments.run), work / "runs" / "globe"
        moved = relocated(load_model(arguments.run), open_store(store), StoreConfig(path=store), config.domain)
        save_model(moved, laid)
        for rows in arguments.rows:
            for way in arguments.ways:
                command = [sys.executable, __file__, "--run", laid, "--data", arguments.data]
                command += ["--threads", arguments.threads, "--measure", way, store, rows]
                done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
                results.setdefault(f"rows_{rows}", {})[way] = json.loads(done.stdout.splitlines()[-1])
    report(arguments, results)


if __name__ == "__main__":
    main()
