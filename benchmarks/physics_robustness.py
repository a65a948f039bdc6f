"""Does every seed of many physics come out well? Fit, adaptation and forecast of quick presets over many seeds.

A seed is good when every number it gives is finite. Beside it stand the relative error of the forecasts of new
environments, the shares that are trusted and known, and the shares of prompts that are taken for known although their
frames are shuffled, or are of another system on the same box. The JSON is written after every seed; seeds that it holds
are not run again with `--add`.
"""

import argparse
import contextlib
import json
import statistics
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds

import dino
from data_pipeline.simulators.environments import simulate
from data_pipeline.simulators.integration import integrate
from data_pipeline.simulators.systems import SYSTEMS
from dino.errors import DinoError

PREY = "lotka-volterra"
OTHERS = {  # what is another physics to each
    "kuramoto-sivashinsky": "korteweg-de-vries",
    "korteweg-de-vries": "kuramoto-sivashinsky",
    "fisher": "allen-cahn",
    "allen-cahn": "fisher",
}
QUICK = (*OTHERS, PREY)
SETTINGS: dict[str, dict[str, Any]] = {"fisher": {"degree": 2, "order": 2}, "allen-cahn": {"degree": 3, "order": 2}}
SCORES = (
    "nrmse",
    "nrmse_median",
    "trusted",
    "known",
    "shuffled_known",
    "other_known",
    "most_unexplained",
    "least_unexplained_of_others",
)
SATURATION = 0.5  # of predators by prey


def run_seed(system: str, seed: int, trajectories: int | None = None) -> dict[str, Any]:
    """Whether everything is finite, errors, and the seconds it took."""
    made: dict[str, Any] = {"seed": seed}

    def run() -> None:
        try:
            made.update(_scores(system, seed, trajectories))
        except DinoError as error:
            made.update(finite=False, error=f"{type(error).__name__}: {error}")

    made["seconds"] = round(seconds(run), 2)
    return made


def _scores(system: str, seed: int, trajectories: int | None) -> dict[str, Any]:
    train, prompt, truth = (simulated(system, part, seed, trajectories) for part in _PARTS)
    physics = dino.fit(train, dino.PhysicsConfig(**SETTINGS.get(system, {}), seed=seed))
    adapted = physics.adapt(prompt)
    made = adapted.forecast(truth.isel(time=[0]), truth["time"].values[1:], members=4, seed=seed)
    names = list(truth.data_vars)
    values = np.stack([made[name].values for name in names])
    wanted = np.stack([truth[name].values[:, 1:] for name in names])
    axes = (0, *range(2, values.ndim))
    error = np.sqrt(((values - wanted) ** 2).sum(axes) / (wanted**2).sum(axes))
    chance = np.random.default_rng(seed)
    noise = prompt.assign({name: prompt[name].copy(data=chance.permutation(prompt[name].values, 1)) for name in names})
    other = physics.adapt(another(system, prompt, seed))
    spreads = np.stack([made[f"{name}_std"].values for name in names])
    return {
        "finite": bool(np.isfinite(values).all() and np.isfinite(spreads).all()),
        "nrmse": float(error.mean()),
        "nrmse_median": float(np.median(error)),
        "trusted": float(made["trusted"].values.mean()),
        "known": float(adapted.known.mean()),
        "shuffled_known": float(physics.adapt(noise).known.mean()),
        "other_known": float(other.known.mean()),
        "limit": physics.limit,
        "most_unexplained": float(adapted.unexplained.max()),
        "least_unexplained_of_others": float(other.unexplained.min()),
    }


_PARTS = ("train", "adaptation", "adaptation-test")


def simulated(system: str, part: Any, seed: int, trajectories: int | None) -> xr.Dataset:
    """A part of a system's preset, with other than the preset's trajectories where they are given."""
    if system == PREY:
        return simulate(SYSTEMS[system].preset("coda", part, seed=seed, seeding="streams", shared_initial=False))
    given = {} if trajectories is None or part == "adaptation" else {"trajectories": trajectories}
    return simulate(SYSTEMS[system].preset("quick", part, seed=seed, **given))


def another(system: str, prompt: xr.Dataset, seed: int) -> xr.Dataset:
    """A prompt of another physics on the same box at the same times."""
    if system == PREY:
        return _saturated(prompt)
    own = SYSTEMS[system].preset("quick", "adaptation", seed=seed)
    same = {name: getattr(own, name) for name in ("length", "size", "interval", "frames", "seed")}
    return simulate(SYSTEMS[OTHERS[system]].preset("quick", "adaptation", **same))


def _saturated(prompt: xr.Dataset) -> xr.Dataset:
    """Predators that cannot eat more than so much (Holling's second type), from the prompt's first states."""

    def tendency(_: float, state: np.ndarray) -> np.ndarray:
        x, y = state.T
        met = x * y / (1 + SATURATION * x)
        return np.stack([0.5 * x - met, met - 0.5 * y], axis=-1)

    names = list(prompt.data_vars)
    first = np.stack([prompt[name].values[:, 0] for name in names], -1)
    times = prompt["time"].values
    states = integrate(tendency, first, times - times[0], 1e-11, 1e-12)
    return prompt.assign({name: prompt[name].copy(data=states[..., n]) for n, name in enumerate(names)})


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and the worst over seeds."""
    sound = [row for row in rows if row["finite"]]
    made: dict[str, Any] = {"seeds": len(rows), "finite": len(sound)}
    for name in SCORES:
        values = [row[name] for row in sound]
        made[name] = (
            {"median": statistics.median(values), "worst": max(values), "least": min(values)} if values else None
        )
    return made


def main() -> None:
    """Run seeds that are not in the JSON yet, one system after the other."""
    options = parser(__doc__ or "")
    options.add_argument("--systems", nargs="+", choices=QUICK, default=list(QUICK))
    options.add_argument("--count", type=int, default=20, help="seeds")
    options.add_argument("--trajectories", type=int, help="of each environment, other than the presets' (with space)")
    options.add_argument("--add", action="store_true", help="keep what the JSON holds")
    arguments: argparse.Namespace = options.parse_args()
    prepare(arguments)
    arguments.seeds = list(range(arguments.count))
    results: dict[str, Any] = {}
    if arguments.add and arguments.json.exists():
        results = json.loads(arguments.json.read_text())["results"]
    for system in arguments.systems:
        rows = results.get(system, {}).get("rows", [])
        for seed in sorted(set(arguments.seeds) - {row["seed"] for row in rows}):
            rows.append(run_seed(system, seed, arguments.trajectories))
            print(system, json.dumps(rows[-1]), flush=True)
            results[system] = {"summary": summary(rows), "rows": rows}
            with contextlib.redirect_stdout(None):
                report(arguments, results)
    report(arguments, results)


if __name__ == "__main__":
    main()
