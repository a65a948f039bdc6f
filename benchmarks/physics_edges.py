"""Many physics between edges that nothing passes: FitzHugh and Nagumo's reaction on a square, as iMOOE has it.

Learned from a few environments, adapted to new ones from one trajectory each, inside and outside of the range of
training, and scored by the relative L2 error of forecasts from the first frame of others, all frames. Seconds are of
this process's own processor time.
"""

import time
from typing import Any

import numpy as np
import torch
from harness import parser, prepare, report

import dino
from data_pipeline.simulators.environments import simulate
from data_pipeline.simulators.fitzhugh_nagumo import FitzHughNagumoConfig
from dino.experiments.physics_scores import error, one_trajectory, others

TRUE = ["u: lap5(u)", "u: u", "u: u*u*u", "u: 1", "u: v", "v: lap5(v)", "v: u", "v: v"]
GRID = {"products": "grid", "most_trajectories": 2}
LIBRARIES: dict[str, dict[str, Any]] = {
    "true terms": {"candidates": TRUE, **GRID},
    "library": {"degree": 3, "order": 2, **GRID},
    "truth left out": {"candidates": [term for term in TRUE if term != "u: v"], **GRID},
}
PRESETS = {"in the range": "imooe", "beyond it": "imooe-ood"}


def scored(library: str, environments: int, size: int, seed: int) -> list[dict[str, Any]]:
    """A row for each preset that is tested on, and for one solve and as many as training chose."""
    given = {"draws": environments, "trajectories": 2, "size": size, "seed": seed}
    train = simulate(FitzHughNagumoConfig.preset("imooe", "train", **given))
    began = time.process_time()
    physics = dino.fit(train, dino.PhysicsConfig(**LIBRARIES[library], seed=seed))
    about = {"library": library, "seed": seed, "environments": environments, "size": size, "terms": len(physics.terms)}
    about["fit_seconds"] = round(time.process_time() - began, 1)
    rows = []
    for split, preset in PRESETS.items():
        test = simulate(FitzHughNagumoConfig.preset(preset, "test", draws=4, trajectories=3, size=size))
        rest = others(test)
        for iterations in (1, None):
            began = time.process_time()
            adapted = physics.adapt(one_trajectory(test), iterations)
            spent = (time.process_time() - began) / len(adapted.numbers)
            made = adapted.forecast(rest.isel(time=[0]), rest["time"].values[1:])
            errors = error(made, rest.isel(time=slice(1, None)), "nrmse")
            rows.append(
                about
                | {"split": split, "iterations": adapted.posterior.iterations, "chosen": iterations is None}
                | {"nrmse": float(errors.mean()), "largest": float(errors.max()), "adapt_seconds": round(spent, 3)}
                | {"known": float(adapted.known.mean()), "trusted": float(made["trusted"].values.mean())}
                | {"finite": bool(np.isfinite(errors).all())}
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Learn, adapt, score and report."""
    options = parser(__doc__ or "")
    options.add_argument("--libraries", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES))
    options.add_argument("--environments", type=int, default=6)
    options.add_argument("--size", type=int, default=64, help="cells along each side")
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = options.parse_args()
    prepare(arguments)
    with torch.no_grad():
        rows = [
            row
            for library in arguments.libraries
            for seed in arguments.seeds
            for row in scored(library, arguments.environments, arguments.size, seed)
        ]
    report(arguments, {"rows": rows})


if __name__ == "__main__":
    main()
