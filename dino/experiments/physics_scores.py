"""Scores of `dino.fit` on a task of a protocol: simulate, learn, adapt, forecast, compare."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import xarray as xr

from data_pipeline.simulators.environments import parts
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import Progress, silent

from ..errors import DinoError
from ..physics import Adapted, Physics
from .physics_calibration import coefficients_covered, forecasts_calibrated
from .physics_protocols import Data, Library, Metric, Split, Task

Row = dict[str, Any]


def stored(data: Data, folder: Path, seed: int | None, full: bool, report: Progress = silent) -> xr.Dataset:
    """The trajectories of a preset, simulated into a store under `folder` when they are not there yet."""
    path = folder / f"{data.name(seed, full)}.zarr"
    if not path.exists():
        grow_store(parts(data.config(seed, full)), path, progress=report)
    made = open_store(path).load()
    if full or data.most is None or data.most >= made.sizes["trajectory"]:
        return made
    return made.isel(trajectory=np.linspace(0, made.sizes["trajectory"] - 1, data.most).round().astype(int))


def together(datasets: list[xr.Dataset]) -> xr.Dataset:
    """Trajectories of several presets, environments numbered on."""
    if len(datasets) == 1:
        return datasets[0]
    numbered, first = [], 0
    for each in datasets:
        numbers = each["environment"].values + first
        numbered.append(each.assign_coords(environment=("trajectory", numbers)))
        first = int(numbers.max()) + 1
    return cast(xr.Dataset, xr.concat(numbered, "trajectory", combine_attrs="override"))


def one_trajectory(trajectories: xr.Dataset) -> xr.Dataset:
    """The first trajectory of every environment."""
    return trajectories.isel(trajectory=np.unique(trajectories["environment"].values, return_index=True)[1])


def others(trajectories: xr.Dataset) -> xr.Dataset:
    """All trajectories but the first of every environment."""
    first = np.unique(trajectories["environment"].values, return_index=True)[1]
    return trajectories.isel(trajectory=np.setdiff1d(np.arange(trajectories.sizes["trajectory"]), first))


def asked(task: Task, test: xr.Dataset, context: xr.Dataset | None) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """What a split's environments are adapted to, what forecasts begin with, and what is to come.

    A prompt makes an environment of every trajectory. In an adaptation the first frame is among those that are scored,
    as published.
    """
    if task.kind == "prompt":
        numbers = np.arange(test.sizes["trajectory"], dtype=np.int32)
        each = test.assign_coords(environment=("trajectory", numbers))
        known = each.isel(time=slice(0, task.prompt))
        return known, known, each.isel(time=slice(task.prompt, None))
    if task.kind == "one-shot":
        rest = others(test)
        return one_trajectory(test), rest.isel(time=[0]), rest.isel(time=slice(1, None))
    return one_trajectory(test if context is None else context), test.isel(time=[0]), test


def error(made: xr.Dataset, truth: xr.Dataset, metric: Metric, frames: int = 0) -> np.ndarray:
    """(trajectory,) errors over the first `frames`, all when 0: mean square, or L2 of the norm of the truth."""
    part = slice(0, frames or None)
    dims = [dim for dim in truth.dims if dim != "trajectory"]
    miss, size = np.zeros(truth.sizes["trajectory"]), np.zeros(truth.sizes["trajectory"])
    for name in truth.data_vars:
        true = truth[name].isel(time=part)
        miss += ((made[name].isel(time=part) - true.values) ** 2).mean(dims).values
        size += (true**2).mean(dims).values
    if metric == "mse":
        return miss / len(truth.data_vars)
    return np.sqrt(miss / size) if metric == "nrmse" else miss / size


def score_task(task: Task, stores: Path, seed: int, full: bool = False, report: Progress = silent) -> Iterator[Row]:
    """One row per library, split, iterations and horizon; where nothing was learned the row says why."""
    train = together([stored(data, stores, seed, full, report) for data in task.train])
    tests = [(split, *_data(task, split, stores, seed, full)) for split in task.splits]
    for library in task.libraries:
        about = {"task": task.name, "library": library.name, "knows": library.knows, "seed": seed}
        about["trained"] = f"{len(np.unique(train['environment'].values))} x {_each(train, library)}"
        began = time.perf_counter()
        try:
            physics = Physics.fit(train, library.config(seed))
        except DinoError as refused:
            yield about | {"failed": str(refused)}
            continue
        about |= {"terms": len(physics.terms), "fit_seconds": round(time.perf_counter() - began, 1)}
        about["directions"] = int(physics.family.prior.root.shape[1])
        for split, *data in tests:
            for row in _rows(task, physics, *data):
                yield about | {"split": split.name} | row


def _data(task: Task, split: Split, stores: Path, seed: int, full: bool) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Tests are those of seed 0, whatever was trained and adapted on."""
    test = stored(split.data, stores, None, full)
    return asked(task, test, None if split.context is None else stored(split.context, stores, seed, full))


def _each(train: xr.Dataset, library: Library) -> int:
    """Trajectories of an environment that are learned from."""
    fewest = int(np.unique(train["environment"].values, return_counts=True)[1].min())
    return min(fewest, library.config(0).most_trajectories)


def _rows(task: Task, physics: Physics, context: xr.Dataset, initial: xr.Dataset, truth: xr.Dataset) -> Iterator[Row]:
    times = truth["time"].values
    exact = physics.reconstructed(truth)
    for iterations in task.iterations:
        began = time.perf_counter()
        adapted = physics.adapt(context, iterations)
        spent = (time.perf_counter() - began) / len(adapted.numbers)
        made = adapted.forecast(initial, times, task.members)
        further = _calibration(task, adapted, context, made, truth) if task.members else {}
        for frames in task.horizons:
            if frames > len(times):
                continue
            yield {
                "iterations": iterations,
                "made": adapted.posterior.iterations,
                "frames": frames or len(times),
                "metric": task.metric,
                **_summary(error(made, truth, task.metric, frames), truth["environment"].values, task),
                "floor": float(error(exact, truth, task.metric, frames).mean()),
                "trajectories": truth.sizes["trajectory"],
                "untrusted": float(1 - made["trusted"].all("time").mean()),
                "adapt_seconds": spent,
                **further,
            }


def _summary(errors: np.ndarray, environment: np.ndarray, task: Task) -> Row:
    """Mean and median over trajectories, and the mean of each environment where they are few."""
    row: Row = {"value": float(errors.mean()), "median": float(np.median(errors)), "largest": float(errors.max())}
    if task.kind != "prompt":
        row["by_environment"] = [float(errors[environment == number].mean()) for number in np.unique(environment)]
    return {name: _finite(value) for name, value in row.items()}


def _finite(value: float | list[float]) -> float | list[float | None] | None:
    """JSON has no number for what is none."""
    if isinstance(value, list):
        return [each if np.isfinite(each) else None for each in value]
    return value if np.isfinite(value) else None


def _calibration(task: Task, adapted: Adapted, context: xr.Dataset, made: xr.Dataset, truth: xr.Dataset) -> Row:
    with torch.no_grad():
        row = forecasts_calibrated(made, truth)
        return row | coefficients_covered(adapted.coefficients(), context, task.truth)
