"""The globe on tiles: an analysis of a week of real along-track sea level, and a forecast on the quarter-degree grid.

A run of tiles (`--run`, as `configs/ocean-tiles.yaml` trains it) takes seven days of Jason-3 (some 400,000 points) in
all its tiles, and forecasts ten leads with standard deviations at every cell of a global map. Every part runs in a
process of its own, which tells its seconds, its processor seconds and its peak memory, all imports included. A second
pass counts the operations of matrix products; over the measured rate of such products they are the least that it takes.

With `--former DIR` (a checkout before weights were told apart from place) and `--former-run RUN` (the same run in its
format) both codes work in the same call: on the analysis of the tiles of a small box, since all of them take the former
one hours, and on the whole forecast from the same states.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from harness import matmul_rate, parser, prepare, report
from realdata import add_options, make_stores, skip_without, work_folder
from seas import STORE

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig
from dino.data.observations import datetime_of
from dino.inference.analysis import Analysis
from dino.model import Ocean

TRACKS = {"jason.zarr": [f"alongtrack/GSFC-alt_ssh2022010{day}.nc" for day in range(1, 8)]}
LEADS = np.arange(1.0, 11.0)
SETTINGS = {"method": "filter", "window_days": 7.0, "node_days": 1.0}
SMALL = (60.0, 68.0, -42.0, -36.0)  # what the former code analyses too

FORMER = """
import json, sys, time
import numpy as np, torch, xarray as xr
from data_pipeline.stores import open_store
from dino.checkpoint import load_model
from dino.chunks import restricted
from dino.config import AssimilationConfig
from dino.forecaster import Analysis, Forecaster
from dino.memory import keep_freed_memory
from dino.observations import datetime_of
keep_freed_memory()
run, tracks, maps, states, threads, settings, small, leads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
model, found = load_model(run), {}
part = Forecaster(restricted(model, tuple(small)), AssimilationConfig(**settings))
began, busy = time.perf_counter(), time.process_time()
part.analyse(open_store(tracks))
found["small_analysis"] = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - busy}
found["small_analysis"]["tiles"] = len(part.model.cover.charts)
kept = torch.load(states)
grid = open_store(maps)[["latitude", "longitude"]]
analysis = Analysis(kept["time"], kept["mean"], kept["covariance"])
began, busy = time.perf_counter(), time.process_time()
made = Forecaster(model).forecast(analysis, datetime_of(kept["time"] + np.array(leads)), grid)
found["forecast"] = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - busy}
found["forecast"]["peak_mb"] = float(
    next(l for l in open("/proc/self/status") if l.startswith("VmHWM:")).split()[1]) / 1e3
found["forecast"] |= {"sum_of_means": float(made["sla"].sum()), "sum_of_deviations": float(made["sla_std"].sum())}
print(json.dumps(found))
"""


def analysis(run: Path, tracks: Path, states: Path, small: bool, device: str) -> dict[str, Any]:
    """Analyse all tiles, or those of a small box; the states of all go into a file for the forecast."""
    forecaster = dino.load(run, device)
    forecaster.assimilation = AssimilationConfig.model_validate(SETTINGS)
    if small:
        forecaster = forecaster.over(_within(forecaster.ocean, SMALL))
    observations = open_store(tracks)
    row = _measured(lambda: forecaster.analyse(observations), device)
    made: Analysis = row.pop("made")
    row |= {"tiles": forecaster.ocean.charts, "observations_used": made.quality.used}
    if not small:
        torch.save({"time": made.time, "mean": made.mean.cpu(), "covariance": made.covariance.cpu()}, states)
        row |= _products(lambda: forecaster.analyse(observations), row["seconds"])
    return row


def forecast(run: Path, maps: Path, states: Path, device: str) -> dict[str, Any]:
    """Forecast all cells of the maps from the states of the analysis."""
    forecaster, kept = dino.load(run, device), torch.load(states)
    grid: xr.Dataset = open_store(maps)[["latitude", "longitude"]]
    made = Analysis(kept["time"], kept["mean"].to(device), kept["covariance"].to(device))
    times = datetime_of(made.time + LEADS)
    row = _measured(lambda: forecaster.forecast(made, times, grid), device)
    field: xr.Dataset = row.pop("made")
    row |= {"cells": int(np.isfinite(field["sla"].isel(time=0)).sum()), "leads": len(LEADS)}
    row |= {"sum_of_means": float(field["sla"].sum()), "sum_of_deviations": float(field["sla_std"].sum())}
    return row | _products(lambda: forecaster.forecast(made, times, grid), row["seconds"])


def _within(ocean: Ocean, box: tuple[float, float, float, float]) -> Ocean:
    part = ocean.within(box)
    assert part is not None
    return part


def _measured(call: Any, device: str) -> dict[str, Any]:
    """One call's result and what it took; on a GPU also what a second one takes, when all kernels are loaded."""
    row: dict[str, Any] = {}
    for ending in ("", "_again") if device != "cpu" else ("",):
        began, busy = time.perf_counter(), time.process_time()
        row["made"] = call()
        if device != "cpu":
            torch.cuda.synchronize()
        row[f"seconds{ending}"] = time.perf_counter() - began
        row[f"cpu_seconds{ending}"] = time.process_time() - busy
    if device != "cpu":
        row |= {"device": torch.cuda.get_device_name(), "device_peak_mb": torch.cuda.max_memory_allocated() / 1e6}
    return row | {"peak_mb": _peak_mb()}


def _products(call: Any, seconds: float) -> dict[str, Any]:
    """Operations in matrix products, and how many of them a second the whole call made."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    flop = float(counter.get_total_flops())
    return {"product_tflop": flop / 1e12, "gflop_per_second": flop / 1e9 / seconds}


def _peak_mb() -> float:
    """Peak resident memory of this program; `getrusage` would hand down that of the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1e3
    raise RuntimeError("peak memory is read from /proc/self/status, which tells none here")


def _former(arguments: argparse.Namespace, tracks: Path, maps: Path, states: Path) -> dict[str, Any]:
    """What the former code takes."""
    given = [arguments.former_run, tracks, maps, states, arguments.threads, SETTINGS, SMALL, LEADS.tolist()]
    given = [str(Path(part).resolve()) if isinstance(part, Path) else part for part in given]
    command = [sys.executable, "-c", FORMER, json.dumps(given)]
    environment = {**os.environ, "PYTHONPATH": str(arguments.former.resolve())}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=arguments.former)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--run", type=Path, required=True, help="run folder of tiles")
    options.add_argument("--former", type=Path, help="checkout of the former code, to be timed beside")
    options.add_argument("--former-run", type=Path, help="the same run in its format")
    options.add_argument("--device", dest="where", default="cpu", help="where the model computes, e.g. cuda")
    options.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    prepare(arguments)
    if arguments.measure:
        part, *paths = arguments.measure
        tracks, maps, states = map(Path, paths)
        if part.endswith("forecast"):
            made = forecast(arguments.run, maps, states, arguments.where)
        else:
            made = analysis(arguments.run, tracks, states, part.startswith("small"), arguments.where)
        print(json.dumps(made))
        return
    skip_without(arguments.data, STORE | TRACKS)
    with work_folder(arguments.work) as work, tempfile.TemporaryDirectory() as folder:
        make_stores(work, arguments.data, STORE | TRACKS)
        tracks, maps = work / "stores" / "jason.zarr", work / "stores" / "global.zarr"
        states = Path(folder) / "states.pt"
        results: dict[str, Any] = {"matmul_gflop_per_second": matmul_rate()}
        for part in ("analysis", "forecast", "small_analysis"):
            command = [sys.executable, __file__, "--run", arguments.run, "--threads", arguments.threads]
            command += ["--device", arguments.where]
            command += ["--measure", part, tracks, maps, states]
            done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
            results[part] = json.loads(done.stdout.splitlines()[-1])
            if "gflop_per_second" in results[part]:
                share = results[part]["gflop_per_second"] / results["matmul_gflop_per_second"]
                results[part]["share_at_the_rate_of_products"] = share
        if arguments.former:
            former = _former(arguments, tracks, maps, states)
            results["former"] = former
            for part in ("small_analysis", "forecast"):
                ratio = former[part]["cpu_seconds"] / results[part]["cpu_seconds"]
                results[f"former_over_now_{part}_cpu"] = ratio
                results[f"former_over_now_{part}"] = former[part]["seconds"] / results[part]["seconds"]
        report(arguments, results)


if __name__ == "__main__":
    main()
