"""What looks at a field: nadir altimeters, swath altimeters and random points, as configuration."""

from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator

from data_pipeline.errors import ConfigError
from data_pipeline.layout.moments import MomentSetting
from data_pipeline.observing.clouds import CloudConfig
from data_pipeline.observing.karin import KarinErrors
from data_pipeline.observing.missions import MISSIONS, OrbitConfig


class _Instrument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    error_std: NonNegativeFloat | dict[str, NonNegativeFloat] = Field(
        default=0.02,
        description="standard deviation of the white error, for all channels or by channel, in their units",
    )
    channels: tuple[str, ...] | None = Field(default=None, description="those it sees; default: all that are sampled")
    clouds: CloudConfig | None = Field(default=None, description="where it sees nothing, after a real product")

    def sees(self, channel: str) -> bool:
        """Whether the instrument observes a channel."""
        return self.channels is None or channel in self.channels

    def error_of(self, channel: str) -> float:
        """Standard deviation of the error of a channel; ConfigError when it is not given."""
        if not isinstance(self.error_std, dict):
            return self.error_std
        if channel not in self.error_std:
            given = ", ".join(self.error_std) or "none"
            raise ConfigError(f"instrument {self.name!r} has error_std for {given}; give it for {channel!r} too")
        return self.error_std[channel]


class TrackInstrument(_Instrument):
    """A satellite that sees the line below it (nadir) or a swath on both sides."""

    kind: Literal["nadir", "swath"]
    orbit: OrbitConfig = Field(
        default=MISSIONS["swot"].orbit, description="a mission, a repeat orbit or an ephemeris file"
    )
    epoch: MomentSetting = Field(default=datetime(2000, 1, 1), description="time at which the orbit's cycle starts")
    spacing_km: float = Field(default=7, gt=0, description="distance between pixels, along the track and across it")
    inner_km: float = Field(default=10, ge=0, description="nearest pixel of a swath, from nadir on each side")
    outer_km: float = Field(default=60, gt=0, description="farthest pixel of a swath, from nadir on each side")
    karin: KarinErrors | None = Field(
        default=None, description="errors of sea level of a radar interferometer, instead of error_std"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "TrackInstrument":
        if self.karin is not None and self.kind == "nadir":
            raise ValueError("karin came for a nadir instrument; it describes the errors of a swath")
        if self.outer_km < self.inner_km:
            raise ValueError(f"outer_km={self.outer_km:g} is less than inner_km={self.inner_km:g}")
        return self

    @property
    def across_km(self) -> np.ndarray:
        """Cross-track distances of the pixels [km], positive right of the flight direction."""
        if self.kind == "nadir":
            return np.zeros(1)
        side = np.arange(self.inner_km, self.outer_km + 1e-6 * self.spacing_km, self.spacing_km)
        return np.concatenate([-side[::-1], side[side > 0] if self.inner_km == 0 else side])


class RandomPoints(_Instrument):
    """Points scattered evenly over the field's rectangle and over each day."""

    kind: Literal["random"]
    points_per_day: int = Field(default=500, ge=1, description="before those on land or outside the grid are dropped")


Instrument = Annotated[TrackInstrument | RandomPoints, Field(discriminator="kind")]
