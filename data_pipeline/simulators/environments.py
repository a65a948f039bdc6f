"""What simulators of many environments share: settings, presets, random streams, and a dataset made of them.

An environment is one set of numbers of a system's equations. Several trajectories, from initial states of their own,
obey the same environment. A system is a subclass of `EnvironmentsConfig` with `initial` and `solve`.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar, Literal, Self, get_args

import dask.array
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data_pipeline.errors import ConfigError, SimulationError
from data_pipeline.layout.trajectories import trajectories_dataset
from data_pipeline.simulators.sequences import batches
from data_pipeline.stores.parts import FieldParts, Report, gather
from data_pipeline.system.progress import Progress

Part = Literal["train", "test", "adaptation", "adaptation-test"]
Random = np.random.Generator | np.random.RandomState
Parameters = dict[str, np.ndarray]
LARGEST_SEED = int(np.iinfo(np.int32).max)


class Range(BaseModel):
    """Numbers drawn between `low` and `high`, evenly or evenly in their logarithms."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low or (self.log and self.low <= 0):
            raise ValueError(f"[{self.low:g}, {self.high:g}] is no range; give the smaller first, positive for log")
        return self

    def draw(self, random: Random) -> float:
        """One number."""
        if self.log:
            return float(np.exp(random.uniform(np.log(self.low), np.log(self.high))))
        return float(random.uniform(self.low, self.high))


Choice = float | tuple[float, ...] | Range


class EnvironmentsConfig(BaseModel):
    """Trajectories of several environments of one system.

    `environments` lists families: parameter name -> a number, several numbers or a range. A family stands for the
    product of its numbers, in order, and for `draws` environments of each where it has a range. A parameter that is not
    named has the default of the system.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {}
    NAME: ClassVar[str] = ""
    CHANNELS: ClassVar[tuple[str, ...]] = ()
    DEFAULTS: ClassVar[Mapping[str, float]] = {}
    BATCH: ClassVar[int] = 256

    environments: tuple[dict[str, Choice], ...] = Field(default=({},), description="families of parameters")
    draws: int = Field(default=1, ge=1, description="environments of each family that has a range")
    trajectories: int = Field(default=1, ge=1, description="of each environment")
    frames: int = Field(default=20, ge=2, description="of each trajectory")
    interval: float = Field(default=1.0, gt=0, description="time between frames")
    start: float = Field(default=0.0, ge=0, description="time that is solved and left out before the first frame")
    seed: int = Field(default=0, ge=0)
    part: Part = Field(default="train", description="which of the seed's random streams: they share no sample")
    shared_initial: bool = Field(default=False, description="the same initial states in each environment")
    seeding: Literal["streams", "index"] = Field(
        default="streams",
        description="index: numpy's legacy seed i for trajectory i, 2^31 - 1 - i in test parts, as CoDA and LEADS draw",
    )
    workers: int = Field(default=1, ge=1, description="threads; the numbers do not depend on it")

    @field_validator("environments", mode="before")
    @classmethod
    def _families(cls, value: Any) -> Any:
        return (value,) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted({name for family in self.environments for name in family} - set(self.DEFAULTS))
        if unknown:
            raise ValueError(f"environments name {', '.join(unknown)}; {self.NAME} has {', '.join(self.DEFAULTS)}")
        if self.seeding == "index" and not self.shared_initial:
            raise ValueError("seeding by index gives each environment the same initial states; set shared_initial")
        return self

    @classmethod
    def preset(cls, name: str, part: str = "train", **changes: Any) -> Self:
        """The settings of a published protocol, with `changes`; ConfigError where there is none of that name."""
        if (name, part) not in cls.PRESETS:
            known = ", ".join(f"{protocol} {of}" for protocol, of in cls.PRESETS)
            raise ConfigError(f"{cls.NAME} has no preset {name} {part}; it has {known or 'none'}")
        return cls.model_validate({**cls.PRESETS[name, part], "part": part, **changes})

    @property
    def lengths(self) -> tuple[float, ...]:
        """Lengths of the box along x, then y; none for a system of no dimension."""
        return ()

    @property
    def periodic(self) -> bool:
        """Whether the box closes upon itself."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along y, then x."""
        return ()

    @property
    def batch(self) -> int:
        """Trajectories that are solved together; the numbers depend on it within the tolerance of a solver only."""
        return self.BATCH

    @property
    def times(self) -> np.ndarray:
        """Times (frame,) from the first frame."""
        return np.arange(self.frames) * self.interval

    def settings(self) -> str:
        """What determines the numbers, as JSON."""
        return self.model_dump_json(exclude={"workers"})

    def of_environment(self, random: Random) -> dict[str, float]:
        """Further parameters that are drawn once for each environment, e.g. a forcing."""
        return {}

    def initial(self, random: Random) -> np.ndarray:
        """One initial state (channel, [y, x])."""
        raise NotImplementedError

    def prepared(self, states: np.ndarray) -> np.ndarray:
        """Initial states (n, channel, [y, x]) after what precedes every environment, e.g. a spin-up."""
        return states

    def solve(self, states: np.ndarray, parameters: Parameters, times: np.ndarray) -> np.ndarray:
        """States (n, frame, channel, [y, x]) at `times` after `states`; parameters: name -> (n,)."""
        raise NotImplementedError

    def table(self) -> Parameters:
        """Parameters, name -> (environment,), in the order of the families."""
        rows: list[dict[str, float]] = []
        for family in self.environments:
            whole = {**self.DEFAULTS, **family}
            grid = {name: c if isinstance(c, tuple) else (c,) for name, c in whole.items()}
            for point in product(*grid.values()):
                named = dict(zip(grid, point, strict=True))
                drawn = any(isinstance(value, Range) for value in point)
                for _ in range(self.draws if drawn or self._draws_more else 1):
                    random = self._stream(1, len(rows))
                    row = {name: v.draw(random) if isinstance(v, Range) else v for name, v in named.items()}
                    rows.append({**row, **self.of_environment(random)})
        return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}

    @property
    def _draws_more(self) -> bool:
        return type(self).of_environment is not EnvironmentsConfig.of_environment

    def _stream(self, kind: int, *numbers: int) -> np.random.Generator:
        """Random numbers of an initial state (kind 0) or of an environment (kind 1); adaptation-test has the
        environments of adaptation."""
        part = "adaptation" if kind == 1 and self.part == "adaptation-test" else self.part
        return np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(get_args(Part).index(part), kind, *numbers))
        )

    def random(self, environment: int, trajectory: int) -> Random:
        """The random numbers of one trajectory's initial state, whatever else is simulated."""
        if self.seeding == "index":
            return np.random.RandomState(LARGEST_SEED - trajectory if self.part.endswith("test") else trajectory)
        return self._stream(0, 0 if self.shared_initial else 1 + environment, trajectory)

    def states(self, rows: list[tuple[int, int]]) -> np.ndarray:
        """Initial states (n, channel, [y, x]) of (environment, trajectory) `rows`."""
        keys = [(0, trajectory) if self.shared_initial else (number, trajectory) for number, trajectory in rows]
        unique = sorted(set(keys))
        made = self.prepared(np.stack([self.initial(self.random(*key)) for key in unique]))
        place = {key: index for index, key in enumerate(unique)}
        return made[[place[key] for key in keys]]


class LineConfig(EnvironmentsConfig):
    """Environments of fields on a periodic line."""

    length: float = Field(default=16.0, gt=0, description="of the line")
    size: int = Field(default=256, ge=8, description="points of the line")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of the line."""
        return (self.length,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of the line."""
        return (self.size,)


def parts(config: EnvironmentsConfig) -> FieldParts:
    """The trajectories store of `config`, in parts of some trajectories, environment after environment."""
    table = config.table()
    count = len(next(iter(table.values())))
    rows = [(number, trajectory) for number in range(count) for trajectory in range(config.trajectories)]
    blocks = batches(len(rows), config.batch)
    environment = np.repeat(np.arange(count), config.trajectories)

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        chosen = environment[blocks[part]]
        states = config.states([rows[number] for number in blocks[part]])
        of_rows = {name: values[chosen] for name, values in table.items()}
        with np.errstate(over="ignore", invalid="ignore"):  # a blow-up is reported with its place
            solved = config.solve(states, of_rows, config.start + config.times)
        refuse_blow_up(solved, config.times, blocks[part])
        return {name: np.ascontiguousarray(solved[:, :, c]) for c, name in enumerate(config.CHANNELS)}

    sizes = (len(rows), config.frames, *config.shape)
    empty = dask.array.zeros(sizes, dtype=np.float64, chunks=(1, *sizes[1:]))
    fields = trajectories_dataset(
        dict.fromkeys(config.CHANNELS, empty),
        config.times,
        lengths=config.lengths,
        periodic=config.periodic,
        environment=environment,
        parameters={name: values[environment] for name, values in table.items()},
        attrs={
            "product": f"{config.NAME} simulation",
            "system": config.NAME,
            "history": f"simulated with {config.settings()}",
        },
    )
    for name in config.CHANNELS:
        fields[name].attrs |= {"units": "1", "long_name": name.replace("_", " ")}
    return FieldParts(fields, tuple(len(block) for block in blocks), make, config.settings(), config.workers)


def simulate(config: EnvironmentsConfig, *, progress: Progress | None = None) -> xr.Dataset:
    """Solve `config` in memory: float64 channels, dims (trajectory, time[, y][, x]).

    progress: called with (frames done, frames in all). Raises SimulationError when a state blows up.
    """
    return gather(parts(config), progress)


def refuse_blow_up(solved: np.ndarray, times: np.ndarray, numbers: range) -> None:
    """Raise SimulationError that names the first trajectory and time that are not finite."""
    bad = ~np.isfinite(solved).all(tuple(range(2, solved.ndim)))
    if bad.any():
        row, frame = np.argwhere(bad)[0]
        raise SimulationError(
            f"trajectory {numbers[row]} blew up before time {times[frame]:g}; narrow its parameters or shorten frames"
        )
