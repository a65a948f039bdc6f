"""Published protocols of many physics as data: what is simulated, learned, prompted, forecast and scored.

A task has training environments, splits to test on, and libraries of candidate terms, which differ in what they know of
the equations. Numbers of others stand beside, with a tag: P read in the paper, C in its authors' code or logs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from data_pipeline.simulators.environments import EnvironmentsConfig
from data_pipeline.simulators.systems import SYSTEMS

from ..config import PhysicsConfig
from ..inference.prompts import MOST_ITERATIONS

Kind = Literal["prompt", "adaptation", "one-shot"]
Metric = Literal["mse", "nrmse", "relative mse"]
ONE_SOLVE, CONVERGED = 1, MOST_ITERATIONS  # iterations of adaptation


@dataclass(frozen=True)
class Data:
    """A preset of a simulator; `few` are the changes that make its counts those of minutes."""

    system: str
    preset: str
    part: str = "test"
    few: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None  # trajectories that are scored, evenly spread, unless all counts are wanted

    def config(self, seed: int | None = None, full: bool = False) -> EnvironmentsConfig:
        """Settings of the simulation; a seed but 0 takes other initial states than those that were published."""
        changes = {} if full else dict(self.few)
        made = SYSTEMS[self.system].preset(self.preset, self.part, **changes)
        if not seed:
            return made
        return type(made).model_validate(made.model_dump() | {"seed": seed, "seeding": "streams"})

    def name(self, seed: int | None, full: bool) -> str:
        """Of its store; other counts have another name, so that no earlier store is taken for theirs."""
        few = hashlib.blake2s(json.dumps(dict(self.few), sort_keys=True).encode(), digest_size=4).hexdigest()
        counts = "full" if full else f"few-{few}" if self.few else "few"
        return "-".join((self.system, self.preset, self.part, f"seed{seed or 0}", counts))


@dataclass(frozen=True)
class Library:
    """Candidate terms, and in words what they know of the equations."""

    name: str
    knows: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(self, seed: int) -> PhysicsConfig:
        """Settings of `dino.fit`."""
        return PhysicsConfig(**self.settings, seed=seed)


@dataclass(frozen=True)
class Published:
    """A number of somebody else's: whose, where it was read (P, C), and for which number of frames or iterations."""

    value: float
    who: str
    tag: Literal["P", "C"]
    note: str = ""


@dataclass(frozen=True)
class Split:
    """Trajectories that are forecast, and those that environments are adapted to where they are others."""

    name: str
    data: Data
    context: Data | None = None
    published: tuple[Published, ...] = ()


@dataclass(frozen=True)
class Task:
    """One system of a protocol.

    kind : prompt, the first frames of each trajectory are what is known of its environment; adaptation, other
    trajectories are, and forecasts begin with the first frame; one-shot, the same with the first trajectory of each
    horizons : frames that are scored, to the end when 0
    truth : term -> parameter of the simulation and its factor, of coefficients whose intervals are checked
    """

    name: str
    kind: Kind
    metric: Metric
    train: tuple[Data, ...]
    splits: tuple[Split, ...]
    libraries: tuple[Library, ...]
    prompt: int = 1
    horizons: tuple[int, ...] = (0,)
    iterations: tuple[int, ...] = (ONE_SOLVE, CONVERGED)
    truth: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    members: int = 0


@dataclass(frozen=True)
class Protocol:
    """A paper's tasks, and what of its settings is assumed or reduced."""

    name: str
    source: str
    tasks: tuple[Task, ...]
    declared: str

    @cached_property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [task.name for task in self.tasks]


def without(candidates: list[str], *left_out: str) -> list[str]:
    """Candidates that contain none of the given texts."""
    return [text for text in candidates if not any(each in text for each in left_out)]
