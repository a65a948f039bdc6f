"""DINo's experiments: `dino reproduce` and its peers on the same stores, cells and wall time, in one run.

Every case is a share of kept cells and a seed. `dino` trains first; each peer is then given the seconds that it took,
or `--peer-seconds`. Mean squared errors in the squared units of the field; for peers also the mean over channels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from harness import parser, prepare, report
from peers import PEERS, Experiment, UnsuitableTaskError, experiment_from_stores, score
from peers.reference import CheckoutError, add_option, check_option, compare
from realdata import work_folder

from data_pipeline.stores.writing import open_store
from dino.commands.reproduce import PresetName, ProtocolName, SystemName, reproduce
from dino.evaluation.report import read_report
from dino.experiments.reproduce import PROTOCOLS, shipped_name, store_path
from dino.experiments.shipped import experiments
from dino.forecaster import Forecaster

CHUNK = 16  # sequences that a peer forecasts together


def run_dino(arguments: argparse.Namespace, folder: Path, keep: float, seed: int) -> dict[str, Any]:
    """One run of the command: its table by test and channel, error by frame, and seconds of training."""
    run = run_folder(arguments, folder, keep, seed)
    if not (run / "scores.json").exists():
        reproduce(
            SystemName(arguments.system),
            out=folder,
            keep=keep,
            protocol=ProtocolName(arguments.protocol),
            preset=PresetName(arguments.preset),
            config=shipped_name(experiments(), arguments.system, arguments.protocol, keep),
            seed=seed,
            overrides=arguments.set,
        )
    made = read_report(run / "scores.json")
    tests: dict[str, Any] = {}
    for row in made["scores"]:
        tests.setdefault(row.pop("test").replace(" ", "_"), {})[row.pop("channel")] = row
    first = made["by_frame"]["same points"]
    spent = {"seconds": made["training_seconds"], "cpu_seconds": made.get("training_cpu_seconds")}
    return {**spent, "tests": tests, "by_frame": first}


def run_peer(name: str, experiment: Experiment, frames: int, trained: int) -> dict[str, Any]:
    """Fit and score one peer; a peer that cannot do the task says so."""
    peer = PEERS[name]()
    try:
        peer.fit(experiment.task)
    except UnsuitableTaskError as error:
        return {"refused": str(error)}
    parts = [peer.forecast(first, frames) for first in experiment.first.split(CHUNK)]
    forecast = experiment.physical(torch.cat(parts))
    return score(forecast, experiment.truth, experiment.task.kept, experiment.task.interval, trained)


def case_folder(arguments: argparse.Namespace, folder: Path, seed: int) -> Path:
    """Where the stores and runs of a seed lie."""
    return store_path(folder, arguments.preset, arguments.protocol, seed, "train").parent


def run_folder(arguments: argparse.Namespace, folder: Path, keep: float, seed: int) -> Path:
    """Where the run of a share of cells lies."""
    return case_folder(arguments, folder, seed) / f"run-{100 * keep:g}"


def run_case(arguments: argparse.Namespace, folder: Path, keep: float, seed: int) -> dict[str, Any]:
    """`dino` and the peers on one share of cells and one seed."""
    made: dict[str, Any] = {"dino": run_dino(arguments, folder, keep, seed)}
    protocol = PROTOCOLS[arguments.protocol]
    stores = case_folder(arguments, folder, seed)
    seconds = arguments.peer_seconds or made["dino"]["seconds"]
    if seed not in arguments.peer_seeds:
        return made
    experiment = experiment_from_stores(
        open_store(stores / "train.zarr"),
        open_store(stores / "test.zarr"),
        keep=keep,
        mask_seed=seed,
        seed=seed,
        seconds=seconds,
        training_frames=protocol.trained,
        test_frames=protocol.frames,
    )
    for name in arguments.peers:
        torch.manual_seed(seed)
        made[name] = {"seconds": seconds, **run_peer(name, experiment, protocol.frames, protocol.trained)}
    if arguments.reference is not None:
        latent = Forecaster.load(run_folder(arguments, folder, keep, seed)).latent
        made["reference"] = beside_reference(arguments.reference, latent.decoder, experiment)
    return made


def beside_reference(folder: Path, decoder: torch.nn.Module, experiment: Experiment) -> dict[str, Any]:
    """The authors' code with a trained decoder's weights, on the points that were kept; or why it cannot be run."""
    task = experiment.task
    kept = None if task.is_full else task.kept
    frames, training = experiment.first[:CHUNK], task.seen[:8].flatten(0, 1)
    try:
        return compare(folder, decoder, task.coordinates, task.shape, frames, training, kept=kept)
    except CheckoutError as error:  # what was trained and scored is reported all the same
        return {"refused": str(error)}


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("system", choices=[name.value for name in SystemName])
    options.add_argument("--preset", choices=["paper", "quick"], default="paper")
    options.add_argument("--protocol", choices=list(PROTOCOLS), default="dino")
    options.add_argument("--keep", type=float, nargs="+", default=[1.0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    options.add_argument("--peer-seeds", type=int, nargs="*", default=[0], help="seeds of peers and --reference")
    options.add_argument("--peer-seconds", type=float, help="their training time; dino's own when absent")
    add_option(options)
    options.add_argument("--work", type=Path, help="folder for stores and runs; a temporary one when absent")
    options.add_argument("--set", nargs="*", default=[], help="settings for a trial, e.g. field.steps=20")
    arguments = options.parse_args(given)
    check_option(options, arguments)
    if arguments.reference is not None and not set(arguments.seeds) & set(arguments.peer_seeds):
        options.error("--reference runs at the seeds of --peer-seeds, and none of them is among --seeds")
    prepare(arguments)
    with work_folder(arguments.work) as work:
        results = {
            f"keep_{100 * keep:g}": {
                f"seed_{seed}": run_case(arguments, work / arguments.system, keep, seed) for seed in arguments.seeds
            }
            for keep in arguments.keep
        }
    report(arguments, {"system": arguments.system, "protocol": arguments.protocol, **results})


if __name__ == "__main__":
    main()
