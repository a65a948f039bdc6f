"""Many physics at once: one decoder and one prior over six systems of the torus, against one model each.

Parts, each added to the JSON when it is done:

systems     six systems, half with 32 x 32 cells, half with 64 x 64; prompts with errors, on the other grid
points      the same from a tenth of the cells at irregular times
kolmogorov  a flow that nobody has seen, from k trajectories, against models from scratch
snapshots   a decoder that learned from single frames against one that learned from sequences
scaling     skill over the number of environments, of trajectories, and of waves

Training data are simulations, without errors; prompts have errors. Scores are relative L2 errors of forecasts of other
trajectories of the environment from their first frames, over all later frames.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from harness import parser, prepare, report
from physics_together_data import ERROR, POINTS_TESTED, errors, of_new, scattered, trained, with_errors
from physics_together_figure import draw
from physics_together_flow import kolmogorov
from physics_together_more import scaling
from physics_together_snapshots import snapshots

from data_pipeline.simulators.torus import TORUS
from dino.inference.family import Prior
from dino.many_physics import AdaptedMany, ManyPhysics


def compared(
    many: ManyPhysics, name: str, adapt: Callable[[ManyPhysics], AdaptedMany], truth: xr.Dataset, blunt: bool = False
) -> dict[str, Any]:
    """Errors of the shared model and of the system's own, after the same solves, and which system was found.

    blunt : whether a single Gaussian is scored as well
    """
    alone = ManyPhysics({name: many.members[name]}, {name: many.has[name]})
    made: dict[str, Any] = {}
    models = {"together": many, "alone": alone} | ({"one_gaussian": one_gaussian(many, name)} if blunt else {})
    for key, model in models.items():
        began = time.process_time()
        adapted = adapt(model)
        made[f"{key}_seconds"] = (time.process_time() - began) / len(adapted.numbers)
        own = errors(adapted, truth)
        made[key], made[f"{key}_median"] = float(own.mean()), float(np.median(own))
        if model is many:
            made["found"] = adapted.systems()["system"].values.tolist()
            made["right"] = float(np.mean([found == name for found in made["found"]]))
            made["known"] = float(adapted.known.mean())
    made["loss_percent"] = 100 * (made["together"] / made["alone"] - 1)
    return made


def one_gaussian(many: ManyPhysics, name: str) -> ManyPhysics:
    """A single Gaussian over all systems with the channels of one, in place of the mixture."""
    members = many.components(many.members[name].family.primitives.modes.channels)
    priors = [member.family.prior for member in members.values()]
    central = torch.stack([prior.central for prior in priors])
    within = [prior.changes(prior.root.new_zeros(1, prior.directions))[0] for prior in priors]
    root = torch.cat([*within, (central - central.mean(0)).T], 1) / len(priors) ** 0.5
    pooled = Prior(central.mean(0), root, torch.zeros_like(central[0]))
    finest = max(members.values(), key=lambda member: member.family.steps)
    family = replace(finest.family, prior=pooled, begins_at_mean=False)
    return ManyPhysics({"all": replace(finest, family=family)}, {"all": many.has[name]})


def systems(folder: Path, seed: int) -> dict[str, Any]:
    """Prompts of frames."""
    many, made = trained(folder), {}
    for name in TORUS:
        prompt, truth = of_new(folder, name, seed)
        noisy = with_errors(prompt, ERROR, seed)
        made[name] = compared(many, name, lambda model, noisy=noisy: model.adapt(noisy), truth, blunt=True)
        made[name]["floor"] = many.members[name].floor(truth)
        print(seed, name, made[name], flush=True)
    return made


def points(folder: Path, seed: int) -> dict[str, Any]:
    """Prompts of scattered points."""
    many, made = trained(folder), {}
    for name in POINT_SYSTEMS:
        prompt, truth = of_new(folder, name, seed, POINTS_TESTED)
        seen_points = scattered(prompt, seed)
        made[name] = compared(many, name, lambda model, given=seen_points: model.adapt_points(given), truth)
        print(seed, name, made[name], flush=True)
    return made


POINT_SYSTEMS = ("drift", "warmth", "growth")  # a window of the others takes minutes
PARTS: dict[str, Callable[[Path, int], Any]] = {
    "systems": systems,
    "points": points,
    "kolmogorov": kolmogorov,
    "snapshots": snapshots,
    "scaling": scaling,
}


def main() -> None:
    """Run the parts that are asked for, seed by seed."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--work", type=Path, required=True, help="folder of simulations and fits, kept for next time")
    options.add_argument("--add", action="store_true", help="keep what the JSON holds; seeds that it has are not rerun")
    options.add_argument("--figure", type=Path, help="draw it here")
    arguments: argparse.Namespace = options.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    if arguments.add and arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())["results"]
    for part in arguments.only:
        for seed in arguments.seeds:
            if str(seed) in results.get(part, {}):
                continue
            results.setdefault(part, {})[str(seed)] = PARTS[part](arguments.work, seed)
            with contextlib.redirect_stdout(None):
                report(arguments, results)
    report(arguments, results)
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
