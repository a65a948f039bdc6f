"""How skill grows: with the number of environments that were learned from, of trajectories in a prompt, of waves."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from physics_together_data import ERROR, candidates, errors, stored, with_errors

import dino
from data_pipeline.simulators.torus import seen
from dino.many_physics import ManyPhysics, restricted

ENVIRONMENTS, TRAJECTORIES, WAVES = (1, 2, 4, 8, 25, 100), (1, 3, 10, 30, 100), (1, 2, 4, 7, 15)
NEW, LARGE_ERROR, FEW_FRAMES = 8, 0.1, 3
USUAL_WAVES = 6


def learned(name: str, train: xr.Dataset, waves: int) -> ManyPhysics:
    """One system, without candidates of a forcing, of which it has none."""
    texts = [text for text in restricted(candidates(), ("u",)) if "cos" not in text and "sin" not in text]
    config = dino.PhysicsConfig(candidates=texts, waves=waves, rounds=3, neglect=1e-4, step_error=1e-4)
    made = dino.fit({name: train}, config)
    assert isinstance(made, ManyPhysics)
    return made


def of_environments(folder: Path, seed: int) -> dict[str, Any]:
    """Errors of short prompts with large errors, for which the prior matters, over the environments it came from."""
    name, made = "drift", {}
    train = stored(seen(name, draws=100, trajectories=1, seed=seed), folder, f"{name}_{seed}_100")
    new = stored(seen(name, draws=12, trajectories=2, seed=seed, part="test"), folder, f"{name}_{seed}_12_test")
    prompt = with_errors(new.isel(trajectory=slice(0, None, 2), time=slice(FEW_FRAMES)), LARGE_ERROR, seed)
    truth = new.isel(trajectory=slice(1, None, 2))
    for count in ENVIRONMENTS:
        many = learned(name, train.isel(trajectory=slice(count)), USUAL_WAVES)
        made[str(count)] = float(np.median(errors(many.adapt(prompt, compose=False), truth)))
        print(seed, "environments", count, made[str(count)], flush=True)
    return made


def of_trajectories(folder: Path, seed: int) -> dict[str, Any]:
    """Errors over the number of trajectories of a prompt."""
    made: dict[str, Any] = {}
    for name in ("drift", "eddies"):
        train = stored(seen(name, draws=4, trajectories=1, seed=seed), folder, f"{name}_{seed}_4_one")
        config = seen(name, draws=1, trajectories=max(TRAJECTORIES) + NEW, seed=seed, part="test")
        new = stored(config, folder, f"{name}_{seed}_many_test")
        many, truth = learned(name, train, 10), new.isel(trajectory=slice(max(TRAJECTORIES), None))
        noisy = with_errors(new, ERROR, seed)
        for count in TRAJECTORIES:
            adapted = many.adapt(noisy.isel(trajectory=slice(count)), compose=False)
            made.setdefault(name, {})[str(count)] = float(errors(adapted, truth).mean())
            print(seed, name, "trajectories", count, made[name][str(count)], flush=True)
    return made


def of_waves(folder: Path, seed: int) -> dict[str, Any]:
    """Errors and floors over the numbers of a code: of waves up to an index along each axis."""
    name, made = "eddies", {}
    train = stored(seen(name, draws=4, trajectories=1, seed=seed), folder, f"{name}_{seed}_4_one")
    new = stored(seen(name, draws=4, trajectories=3, seed=seed, part="test"), folder, f"{name}_{seed}_4_test")
    first = np.arange(0, new.sizes["trajectory"], 3)
    prompt = with_errors(new.isel(trajectory=first), ERROR, seed)
    truth = new.isel(trajectory=np.setdiff1d(np.arange(new.sizes["trajectory"]), first))
    for waves in WAVES:
        many = learned(name, train, waves)
        adapted = many.adapt(prompt, compose=False)
        numbers = (2 * waves + 1) ** 2
        made[str(numbers)] = {"error": float(errors(adapted, truth).mean()), "floor": many.members[name].floor(truth)}
        print(seed, "numbers", numbers, made[str(numbers)], flush=True)
    return made


def scaling(folder: Path, seed: int) -> dict[str, Any]:
    """All three, with the order of the trajectories' curve: the power by least squares of its logarithms."""
    made: dict[str, Any] = {"environments": of_environments(folder, seed), "waves": of_waves(folder, seed)}
    made["trajectories"] = of_trajectories(folder, seed)
    made["orders"] = {name: order(values) for name, values in made["trajectories"].items()}
    return made


def order(values: dict[str, float]) -> float:
    """The power with which values fall with their numbers."""
    logs = np.log([[float(number), value] for number, value in values.items()])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
