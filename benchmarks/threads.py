"""What threads do to a training, alone and beside a busy process: as torch has them, and as dino chooses them.

Every measurement is a process of its own: how threads wait is settled when torch is loaded. A competitor does nothing
but keep one processor busy. What else runs on the machine is a competitor too: `others` says how many processors that
took before the measurements.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import parser, report

from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores.writing import write_store
from dino.numerics.threads import CHOSEN_BY_USER, WAITING, Moment, allowed_threads

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo-sea-level.yaml"
CHILD = """
import json, sys, time
from pathlib import Path
config, out, mode, *overrides = sys.argv[1:]
from dino.numerics.threads import choose_threads, let_waiting_threads_sleep
if mode != "default":
    let_waiting_threads_sleep()
import torch
from dino.config import load_config
from dino.experiments.train import train
if mode == "chosen":
    choose_threads()
began, busy = time.perf_counter(), time.process_time()
train(load_config(config, overrides), Path(out), lambda *told: None)
print(json.dumps([time.perf_counter() - began, time.process_time() - busy, torch.get_num_threads()]))
"""
# As torch is by default; the same threads asleep while they wait; and what `dino` does.
MODES = ("default", "sleeping", "chosen")
LENGTH_KM = 640.0


def make_store(path: Path, seed: int) -> Path:
    """Sixteen trajectories of smooth noise on a periodic box, large enough for the demo's settings."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fftfreq(40, 1 / 40)
    smooth = np.exp(-0.05 * (spectrum[:, None] ** 2 + spectrum**2))
    fields = np.fft.ifft2(smooth * np.fft.fft2(rng.normal(size=(16, 30, 40, 40)))).real
    degrees = np.rad2deg((np.arange(40) / 40 - 0.5) * LENGTH_KM / 6371.0)
    times = np.datetime64("2000-01-01", "ns") + np.arange(30) * np.timedelta64(1, "D")
    attributes = {
        "product": "noise",
        "periodic_length_km": [LENGTH_KM, LENGTH_KM],
        "reference_longitude": 0.0,
        "reference_latitude": 0.0,
    }
    return write_store(fields_dataset(times, degrees, degrees, {"ssh": fields}, attrs=attributes), path)


def measure(mode: str, store: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Wall-clock and processor seconds of one training, and its threads."""
    environment = {k: v for k, v in os.environ.items() if k not in (*CHOSEN_BY_USER, *WAITING)}
    steps = [f"field.steps={arguments.steps}", f"dynamics.steps={arguments.steps}"]
    overrides = [f"data.stores.0.path={store}", "data.translations=1", "dynamics.patience=99", *steps]
    command = [sys.executable, "-c", CHILD, str(CONFIG), str(folder / mode), mode, *overrides]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, processor, threads = json.loads(done.stdout)
    return {"seconds": seconds, "processor_seconds": processor, "threads": threads}


def beside(competitors: int, store: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of all modes beside so many busy processes; modes take turns."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(competitors)]
    try:
        rounds = [{mode: measure(mode, store, folder, arguments) for mode in MODES} for _ in range(arguments.repeats)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return {
        mode: {name: statistics.median(found[mode][name] for found in rounds) for name in rounds[0][mode]}
        for mode in MODES
    }


def main() -> None:
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--steps", type=int, default=60, help="steps of each stage of training")
    options.add_argument("--repeats", type=int, default=1)
    arguments = options.parse_args()
    before = Moment.now()
    time.sleep(5.0)
    results: dict = {"processors": allowed_threads(), "others": round(before.others(Moment.now()), 2)}
    with tempfile.TemporaryDirectory() as name:
        store = make_store(Path(name) / "noise.zarr", arguments.seed)
        for label, competitors in (("alone", 0), ("beside_one", 1)):
            results[label] = beside(competitors, store, Path(name), arguments)
            results[label]["default_over_chosen"] = (
                results[label]["default"]["seconds"] / results[label]["chosen"]["seconds"]
            )
    for mode in MODES:
        results[f"{mode}_beside_one_over_alone"] = (
            results["beside_one"][mode]["seconds"] / results["alone"][mode]["seconds"]
        )
    report(arguments, results)


if __name__ == "__main__":
    main()
