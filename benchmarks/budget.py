"""Error against training time: an experiment of DINo at growing sizes, and peers given the same seconds.

Reads the stores of `reproduce.py` (--store, a test store beside it). In-t and Out-t are mean squared errors over the
whole field, all channels, from the first frame alone; `--figure` draws them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser, prepare, report
from matplotlib.figure import Figure
from peers import PEERS, experiment_from_stores, score

from data_pipeline.figures.style import PALETTE, dress_curves, save
from data_pipeline.stores.writing import open_store
from dino.config import load_config
from dino.data.charts import kept_cells
from dino.data.observations import days_since_epoch
from dino.evaluation.report import method_label
from dino.experiments.reproduce import PROTOCOLS, filled
from dino.experiments.sequences import score_sequences
from dino.experiments.train import train

# From seconds to as long as it pays: the code, the products and the steps grow together.
SIZES = {
    "tiny": ["decoder.code_size=48", "dynamics.products=1176", "field.steps=60", "dynamics.rounds=2"],
    "small": ["decoder.code_size=72", "dynamics.products=2000", "field.steps=120", "dynamics.rounds=3"],
    "medium": ["decoder.code_size=112", "dynamics.products=3000", "field.steps=250", "dynamics.rounds=3"],
    "shipped": [],
    "large": ["decoder.code_size=224", "dynamics.products=6000", "field.steps=1200", "dynamics.rounds=5"],
}
FRAMES, TRAINED = PROTOCOLS["dino"].frames, PROTOCOLS["dino"].trained


def run_dino(arguments: argparse.Namespace, folder: Path, name: str) -> dict[str, float]:
    """Seconds of training and errors of one size."""
    store = open_store(arguments.store)
    config = load_config(arguments.config, [*SIZES[name], *arguments.set])
    config = filled(config, arguments.store, store, "dino", arguments.seed, 1.0)
    began = time.perf_counter()
    forecaster = train(config, folder / name, lambda *told: None)
    seconds = time.perf_counter() - began
    test = open_store(arguments.store.parent / "test.zarr")
    days = days_since_epoch(test["time"].values)
    seen = kept_cells((test.sizes["latitude"], test.sizes["longitude"]), 1.0, 0)
    table = score_sequences(forecaster, test, seen, float(days[TRAINED - 1] - days[0])).table()
    return {"seconds": seconds} | {span: float(np.mean(table[span])) for span in ("in_t", "out_t")}


def run_peer(arguments: argparse.Namespace, name: str, seconds: float) -> dict[str, float]:
    """The same of a peer given so many seconds."""
    stores = (open_store(arguments.store), open_store(arguments.store.parent / "test.zarr"))
    experiment = experiment_from_stores(*stores, seed=arguments.seed, seconds=seconds)
    torch.manual_seed(arguments.seed)
    peer = PEERS[name]()
    peer.fit(experiment.task)
    forecast = torch.cat([peer.forecast(first, FRAMES) for first in experiment.first.split(16)])
    made = score(experiment.physical(forecast), experiment.truth, experiment.task.kept, experiment.task.interval)
    return {"seconds": seconds, "in_t": made["in_t"]["all"], "out_t": made["out_t"]["all"]}


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """In-t and Out-t against seconds, a curve per method."""
    figure = Figure(figsize=(9.6, 3.7), layout="constrained")
    for axis, span in zip(figure.subplots(1, 2), ("in_t", "out_t"), strict=True):
        for number, (name, points) in enumerate(curves.items()):
            seconds, errors = [p["seconds"] for p in points], [p[span] for p in points]
            axis.plot(seconds, errors, marker="o", color=PALETTE[number % len(PALETTE)], label=method_label(name))
        axis.set_xscale("log")
        axis.set_yscale("log")
        dress_curves(axis, "seconds of training", {"in_t": "In-t", "out_t": "Out-t"}[span] + ": mean squared error")
        axis.legend(frameon=False, fontsize=8)
    save(figure, path)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--store", type=Path, required=True, help="train.zarr of an experiment")
    options.add_argument("--config", type=Path, required=True, help="its experiment file")
    options.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    options.add_argument("--peers", nargs="*", choices=list(PEERS), default=["fno", "pod_ode"])
    options.add_argument("--work", type=Path, required=True, help="folder for runs")
    options.add_argument("--figure", type=Path, help="where to draw the curves")
    options.add_argument("--set", nargs="*", default=[], help="settings for a trial")
    arguments = options.parse_args()
    prepare(arguments)
    curves = {"dino": [run_dino(arguments, arguments.work, name) for name in arguments.sizes]}
    for name in arguments.peers:
        curves[name] = [run_peer(arguments, name, made["seconds"]) for made in curves["dino"]]
    if arguments.figure is not None:
        draw(curves, arguments.figure)
    results: dict[str, Any] = {name: dict(zip(arguments.sizes, points, strict=True)) for name, points in curves.items()}
    report(arguments, results)


if __name__ == "__main__":
    main()
