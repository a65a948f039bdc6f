"""Kolmogorov's flow, which nobody has seen: from k trajectories with six systems known, and from scratch."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from physics_together_data import ERROR, errors, stored, trained, with_errors

from data_pipeline.simulators.environments import Choice
from data_pipeline.simulators.torus import EddiesConfig
from dino.data.trajectories import frames_of
from dino.inference.composition import Vocabulary, calmed, of_integrals
from dino.inference.family import Prior
from dino.inference.recognition import Option, composition, estimated
from dino.inference.transitions import Frames
from dino.many_physics import ITERATIONS, AdaptedMany, ManyPhysics

COUNTS, FROM_SCRATCH, TESTED = (1, 2, 5, 10, 20), (1, 2, 5, 10, 20, 50), 10
FLOW: dict[str, Choice] = {"viscosity": 0.06, "drag": 0.1, "force": 1.0, "wave": 2.0}
WIDE = 10.0  # times the size with which a term alone would move the fields: the prior before anything is known
CHANNELS = ("u",)


def flow(folder: Path, seed: int) -> xr.Dataset:
    """Trajectories of the flow: those to learn from, and those that are scored."""
    config = EddiesConfig(
        environments=(FLOW,), trajectories=max(FROM_SCRATCH) + TESTED, frames=12, start=1.0, seed=seed, part="test"
    )
    return stored(config, folder, f"kolmogorov_{seed}")


def kolmogorov(folder: Path, seed: int) -> dict[str, Any]:
    """Errors over the number of trajectories: together, from scratch, and from scratch told that terms are few."""
    many, whole = trained(folder), flow(folder, seed)
    truth = whole.isel(trajectory=slice(max(FROM_SCRATCH), None))
    noisy = with_errors(whole, ERROR, seed)
    made: dict[str, Any] = {"zero": _of_nothing(truth)}
    for count in FROM_SCRATCH:
        prompt, row = noisy.isel(trajectory=slice(count)), {}
        if count in COUNTS:
            began = time.process_time()
            adapted = many.adapt(prompt)
            row["together_seconds"] = time.process_time() - began
            row["together"] = float(errors(adapted, truth).mean())
            row["found"] = adapted.systems()["system"].values.tolist()
            found = adapted.coefficients().isel(environment=0)
            mean = found["mean"].values
            row["terms"] = {t: float(m) for t, m in zip(found["term"].values, mean, strict=True) if abs(m) > 1e-4}
            few = alone(many, prompt, few=True)
            row["few_terms_from_scratch"] = _score(many, few, truth)
        row["from_scratch"] = _score(many, alone(many, prompt, few=False), truth)
        made[str(count)] = row
        print(seed, count, row, flush=True)
    return made


def alone(many: ManyPhysics, prompt: xr.Dataset, few: bool) -> Option:
    """The flow from its own trajectories alone, with the same terms, waves and estimate of errors.

    few : terms are chosen by the evidence, each of any size; otherwise all have a wide prior
    """
    families = {name: member.family for name, member in many.components(CHANNELS).items()}
    family = next(iter(families.values()))
    _, states, times = frames_of(prompt, family.primitives.modes)
    frames, none = Frames(states, times), torch.zeros(len(family.primitives.terms), dtype=torch.float64)
    if few:
        nothing = Vocabulary(none, none, none)
        return composition(family, families, frames, nothing, ITERATIONS)
    thin = frames.thinned(48)
    _, _, noise = of_integrals(family.primitives, thin)
    _, size, noise = of_integrals(family.primitives, calmed(family.primitives, thin, noise))
    prior = Prior(none, torch.diag(WIDE * size), none)
    steps = {"steps": 4, "rough": 0, "begins_at_mean": False, "leaves": 0.0}
    return estimated(replace(family, prior=prior, **steps), frames, noise, ITERATIONS)


def _score(many: ManyPhysics, option: Option, truth: xr.Dataset) -> float:
    made = many._environment(0, "scratch", option, True, {"scratch": 1.0})  # pyright: ignore[reportPrivateUsage]
    return float(errors(AdaptedMany((made,)), truth).mean())


def _of_nothing(truth: xr.Dataset) -> float:
    """The error of the first frame as a forecast."""
    values = truth["u"].values
    missed, whole = ((values[:, 1:] - values[:, :1]) ** 2).sum((1, 2, 3)), (values[:, 1:] ** 2).sum((1, 2, 3))
    return float(np.sqrt(missed / whole).mean())
