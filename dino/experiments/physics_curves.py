"""How much of a new environment is enough: errors over the number of its trajectories, and over frames of one.

Learning is that of a task of `physics_protocols`; the context has more trajectories than its one, or fewer frames.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from data_pipeline.system.progress import Progress, silent

from ..errors import ConfigError, DinoError
from ..physics import Physics
from .physics_protocols import CONVERGED, Library, Task
from .physics_scores import Row, error, stored, together

TRAJECTORIES, FRAMES = (1, 2, 5, 10), (3, 5, 10)


def score_curves(
    task: Task,
    library: Library,
    stores: Path,
    seed: int,
    trajectories: Sequence[int] = TRAJECTORIES,
    frames: Sequence[int] = FRAMES,
    report: Progress = silent,
) -> Iterator[Row]:
    """One row per number of trajectories, of all their frames, and per number of first frames of one trajectory.

    The split is the task's last, of environments with a context of their own; ConfigError where it has none.
    """
    split = task.splits[-1]
    if split.context is None:
        raise ConfigError(f"{task.name} adapts to what it forecasts; curves want a context of its own")
    train = together([stored(data, stores, seed, False, report) for data in task.train])
    test = stored(split.data, stores, None, False, report)
    more = replace(split.context, few={**split.context.few, "trajectories": max(trajectories)})
    context = stored(more, stores, seed, False, report)
    about = {"task": task.name, "library": library.name, "knows": library.knows, "seed": seed, "metric": task.metric}
    physics = Physics.fit(train, library.config(seed))
    whole = context.sizes["time"]
    asked = [("trajectories", count, whole) for count in trajectories]
    asked += [("frames", 1, count) for count in frames if count <= whole]
    for along, count, number in asked:
        given = {"along": along, "trajectories": count, "frames": number, "iterations": CONVERGED}
        prompt = first_of_each(context, count).isel(time=slice(number))
        yield about | given | _scored(physics, prompt, test, task)


def first_of_each(trajectories: xr.Dataset, count: int) -> xr.Dataset:
    """The first `count` trajectories of every environment."""
    numbers = trajectories["environment"].values
    kept = [np.flatnonzero(numbers == number)[:count] for number in np.unique(numbers)]
    return trajectories.isel(trajectory=np.concatenate(kept))


def _scored(physics: Physics, prompt: xr.Dataset, test: xr.Dataset, task: Task) -> Row:
    began = time.perf_counter()
    try:
        adapted = physics.adapt(prompt, CONVERGED)
    except DinoError as refused:
        return {"failed": str(refused)}
    spent = (time.perf_counter() - began) / len(adapted.numbers)
    made = adapted.forecast(test.isel(time=[0]), test["time"].values)
    errors = error(made, test, task.metric)
    finite = bool(np.isfinite(errors).all())
    return {
        "value": float(errors.mean()) if finite else None,
        "median": float(np.median(errors)) if finite else None,
        "untrusted": float(1 - made["trusted"].all("time").mean()),
        "adapt_seconds": spent,
    }
