"""Does every seed of many physics come out well? Fit, adaptation and forecast of quick presets over many seeds.

A seed is good when every number it gives is finite. Beside it stand the relative error of the forecasts of new
environments, the shares that are trusted and known, and what is known when the frames of another system come.
"""

import argparse
import statistics
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds

import dino
from data_pipeline.simulators.environments import simulate
from data_pipeline.simulators.systems import SYSTEMS
from dino.errors import DinoError

QUICK = ("kuramoto-sivashinsky", "korteweg-de-vries", "fisher", "allen-cahn", "lotka-volterra")
PRESETS = {"lotka-volterra": "coda"}
SETTINGS: dict[str, dict[str, Any]] = {"fisher": {"degree": 2, "order": 2}, "allen-cahn": {"degree": 3, "order": 2}}


def run_seed(system: str, seed: int) -> dict[str, Any]:
    """Whether everything is finite, errors, and the seconds it took."""
    made: dict[str, Any] = {"seed": seed}

    def run() -> None:
        try:
            made.update(_scores(system, seed))
        except DinoError as error:
            made.update(finite=False, error=str(error))

    made["seconds"] = seconds(run)
    return made


def _scores(system: str, seed: int) -> dict[str, Any]:
    def data(part: str) -> xr.Dataset:
        given = {"seed": seed, "seeding": "streams", "shared_initial": False} if system in PRESETS else {"seed": seed}
        return simulate(SYSTEMS[system].preset(PRESETS.get(system, "quick"), part, **given))

    physics = dino.fit(data("train"), dino.PhysicsConfig(**SETTINGS.get(system, {}), seed=seed))
    prompt, truth = data("adaptation"), data("adaptation-test")
    adapted = physics.adapt(prompt)
    made = adapted.forecast(truth.isel(time=[0]), truth["time"].values[1:], members=4, seed=seed)
    names = list(truth.data_vars)
    values = np.stack([made[name].values for name in names])
    wanted = np.stack([truth[name].values[:, 1:] for name in names])
    axes = (0, *range(2, values.ndim))
    error = np.sqrt(((values - wanted) ** 2).sum(axes) / (wanted**2).sum(axes))
    chance = np.random.default_rng(seed)
    noise = prompt.assign({name: prompt[name].copy(data=chance.permutation(prompt[name].values, 1)) for name in names})
    spreads = np.stack([made[f"{name}_std"].values for name in names])
    return {
        "finite": bool(np.isfinite(values).all() and np.isfinite(spreads).all()),
        "nrmse": float(error.mean()),
        "nrmse_median": float(np.median(error)),
        "trusted": float(made["trusted"].values.mean()),
        "known": float(adapted.known.mean()),
        "shuffled_frames_known": float(physics.adapt(noise).known.mean()),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and the worst over seeds."""
    sound = [row for row in rows if row["finite"]]
    made: dict[str, Any] = {"seeds": len(rows), "finite": len(sound)}
    for name in ("nrmse", "nrmse_median", "trusted", "known", "shuffled_frames_known"):
        values = [row[name] for row in sound]
        made[name] = (
            {"median": statistics.median(values), "worst": max(values), "least": min(values)} if values else None
        )
    return made


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--systems", nargs="+", choices=QUICK, default=list(QUICK))
    made.add_argument("--count", type=int, default=20, help="seeds")
    arguments: argparse.Namespace = made.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    for system in arguments.systems:
        rows = [run_seed(system, seed) for seed in range(arguments.count)]
        results[system] = {"summary": summary(rows), "rows": rows}
    arguments.seeds = list(range(arguments.count))
    report(arguments, results)


if __name__ == "__main__":
    main()
