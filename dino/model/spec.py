"""What describes a run beside its weights: the sizes of what was learned, and the place and units it is laid over."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..config import DecoderConfig, DynamicsConfig
from ..space.domain import Domain


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelSpec(_Spec):
    """One forecast variable; `spread` is the standard deviation of training anomalies in its units."""

    name: str
    units: str
    standard_name: str | None = None
    long_name: str | None = None
    spread: float


class LatentSpec(_Spec):
    """Everything about a `LatentModel` that is not a weight: enough to build it again.

    input_size, channels : sizes of coordinates and values; context : names of what places tell the dynamics, see
    `space.cover.CONTEXT`; interval_days : between the maps of training; noise_variance : of what a map's codes leave
    relaxing : transfer has put `RelaxingODE` in place of the dynamics and polynomials beside the modes of tiles
    coupled : of relaxing models, training from points has put `CoupledODE` in place of that
    credit : what forecasts pass on, as the licence of what the model was trained on asks
    """

    decoder: DecoderConfig
    dynamics: DynamicsConfig
    input_size: int
    channels: int
    context: tuple[str, ...] = ()
    interval_days: float
    noise_variance: float
    data_digest: str
    relaxing: bool = False
    coupled: bool = False
    credit: str = ""


class OceanSpec(_Spec):
    """Everything about an `Ocean` but its mean field and land mask."""

    channels: list[ChannelSpec]
    charts: list[Domain]
    amplitude: list[float]
    tiled: bool

    @property
    def spread(self) -> NDArray[np.float64]:
        """(channel,) standard deviation of training anomalies."""
        return np.array([channel.spread for channel in self.channels])

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in order."""
        return tuple(channel.name for channel in self.channels)
