"""What the systems of DINo's experiments share: settings, presets, random streams and sequences."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Part = Literal["train", "test"]
Preset = Literal["paper", "quick"]
Presets = Mapping[tuple[Preset, Part], Mapping[str, Any]]

# One generator of a system's symmetry group, as the attribute `symmetries` of its store holds it (in a JSON list):
# positions (x, y), in periods from the centre of the domain, go to shift + slide * s + flip * (x, y), x and y exchanged
# first where "swap", with any s in [0, 1); values of a channel are multiplied by its "sign".
Symmetry = Mapping[str, Any]

START = np.datetime64("2000-01-01", "us")
MICROSECONDS_PER_DAY = 86_400_000_000


class SequencesConfig(BaseModel):
    """Trajectories that are integrated independently and cut into sequences, which become those of the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    PRESETS: ClassVar[Presets] = {}

    trajectories: int = Field(default=1, ge=1, description="independent integrations")
    frames: int = Field(default=20, ge=1, description="of each integration")
    sequence_frames: int = Field(default=20, ge=1, description="integrations are cut into sequences of this length")
    seed: int = Field(default=0, ge=0)
    part: Part = Field(default="train", description="which of the seed's two random streams: they share no sample")
    workers: int = Field(default=1, ge=1, description="threads; the numbers do not depend on it")

    @model_validator(mode="after")
    def _whole_sequences(self) -> Self:
        if self.frames % self.sequence_frames:
            raise ValueError(
                f"frames={self.frames} cannot be cut into sequences of sequence_frames={self.sequence_frames}; "
                "give a multiple"
            )
        return self

    @classmethod
    def preset(cls, name: Preset = "paper", part: Part = "train") -> Self:
        """The settings of a published experiment ("paper") or of a small one that takes seconds ("quick")."""
        return cls.model_validate({**cls.PRESETS[name, part], "part": part})

    @property
    def cuts(self) -> int:
        """Sequences of each trajectory."""
        return self.frames // self.sequence_frames

    def generator(self, number: int) -> np.random.Generator:
        """The random numbers of trajectory `number`, whatever else is simulated."""
        stream = np.random.SeedSequence(self.seed, spawn_key=(get_args(Part).index(self.part), number))
        return np.random.default_rng(stream)

    def settings(self) -> str:
        """What determines the numbers, as JSON."""
        return self.model_dump_json(exclude={"workers"})

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Sequences (run * cuts, sequence_frames, ...) in order, as float32, from trajectories (run, frames, ...)."""
        shape = (len(values) * self.cuts, self.sequence_frames, *values.shape[2:])
        return np.ascontiguousarray(values, np.float32).reshape(shape)


def frame_times(frames: int, interval_days: float) -> np.ndarray:
    """Times (frame,) datetime64[us] of a sequence; simulated time begins with the year 2000."""
    return START + np.round(np.arange(frames) * interval_days * MICROSECONDS_PER_DAY).astype("timedelta64[us]")


def batches(trajectories: int, size: int) -> list[range]:
    """The trajectories' numbers in blocks of up to `size`."""
    return [range(start, min(start + size, trajectories)) for start in range(0, trajectories, size)]
