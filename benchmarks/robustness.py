"""Does every seed come out well? `dino reproduce` of the quick preset over many seeds of data, cells and training.

A case is good when every number it gives is finite. Errors are relative to the variance of the field, the mean over
channels; beside them is what the first frame held fast (persistence) would have got.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds

from dino.config import load_config
from dino.errors import DinoError
from dino.experiments.reproduce import (
    EXPERIMENTS,
    PROTOCOLS,
    QUICK_SETTINGS,
    System,
    filled,
    score,
    simulate,
    store_path,
)
from dino.experiments.sequences import SequenceScores
from dino.experiments.train import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def run_seed(arguments: argparse.Namespace, system: System, seed: int) -> dict[str, Any]:
    """One experiment in a temporary folder: whether it is finite, its errors, and the seconds it took."""
    made: dict[str, Any] = {"seed": seed}

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                made.update(_scores(arguments, system, seed, Path(folder)))
            except DinoError as error:
                made.update(finite=False, error=str(error))

    made["seconds"] = seconds(run)
    return made


def _scores(arguments: argparse.Namespace, system: System, seed: int, folder: Path) -> dict[str, Any]:
    def store(name: str) -> xr.Dataset:
        return simulate(system, folder, "quick", arguments.protocol, seed, name, lambda *told: None)

    config = load_config(CONFIGS / f"{system}.yaml", [*QUICK_SETTINGS, *arguments.set])
    training, where = store("train"), store_path(folder, "quick", arguments.protocol, seed, "train")
    config = filled(config, where, training, arguments.protocol, seed, arguments.keep)
    forecaster = train(config, folder / "run", lambda *told: None)
    scores = score(forecaster, config, store, arguments.protocol)
    trained = PROTOCOLS[arguments.protocol].trained
    made = {test.replace(" ", "_"): _relative(result) for test, result in scores.items()}
    numbers = [value for result in scores.values() for row in result.table().values() for value in row]
    made["persistence"] = _persistence(store("test"), list(forecaster.ocean.names), trained)
    return {"finite": bool(np.isfinite(numbers).all()), **made}


def _relative(result: SequenceScores) -> dict[str, float]:
    table = result.table()
    return {span: float(np.mean(np.array(table[span]) / result.variance)) for span in ("in_t", "out_t")}


def _persistence(test: xr.Dataset, names: list[str], trained: int) -> dict[str, float]:
    errors = []
    for name in names:
        values = test[name].transpose("trajectory", "time", ...).values.astype(float)
        errors.append(np.square(values - values[:, :1]).mean(axis=(0, 2, 3)) / values.var())
    by_frame = np.mean(errors, axis=0)
    return {"in_t": float(by_frame[:trained].mean()), "out_t": float(by_frame[trained:].mean())}


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """How many cases were good, and the median and the worst of the errors on the training's own points."""
    good = [case for case in cases if case["finite"]]
    made: dict[str, Any] = {"cases": len(cases), "finite": len(good)}
    for span in ("in_t", "out_t") if good else ():
        ours, theirs = ([case[name][span] for case in good] for name in ("same_points", "persistence"))
        made[span] = {
            "median": statistics.median(ours),
            "worst": max(ours),
            "persistence_median": statistics.median(theirs),
            "worst_over_persistence": max(a / b for a, b in zip(ours, theirs, strict=True)),
        }
    if good:
        made["seconds"] = {"median": statistics.median(case["seconds"] for case in good)}
    return made


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("systems", nargs="*", default=list(EXPERIMENTS), help="those of `dino reproduce`")
    options.add_argument("--protocol", choices=list(PROTOCOLS), default="dino")
    options.add_argument("--keep", type=float, help="share of kept cells; the protocol's when absent")
    options.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    options.add_argument("--set", nargs="*", default=[], help="settings for a trial, e.g. dynamics.ridge=1e-4")
    arguments = options.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    for system in arguments.systems:
        cases = []
        for seed in arguments.seeds:
            cases.append(run_seed(arguments, system, seed))
            print(system, _line(cases[-1]), flush=True)
        results[system] = {**summary(cases), "by_seed": cases}
    report(arguments, results)


def _line(case: dict[str, Any]) -> str:
    if "error" in case:
        return f"seed {case['seed']}: {case['error']}"
    parts = [f"{test} {v['in_t']:.2e}/{v['out_t']:.2e}" for test, v in case.items() if isinstance(v, dict)]
    return f"seed {case['seed']} ({case['seconds']:.0f} s): " + ", ".join(parts)


if __name__ == "__main__":
    main()
