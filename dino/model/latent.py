"""The model of one run: decoder, latent dynamics and the statistics that inference needs, as one torch module."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ..config import DecoderConfig, DynamicsConfig
from ..dynamics import AdaptedODE, HistoryInitialiser, LatentODE, QuadraticODE
from ..numerics.gaussian import Gaussian
from ..space.cover import Cover
from ..space.decoders import FourierDecoder, SirenDecoder
from ..space.domain import Domain
from ..space.gridmap import GridMap

LEADS = 32
# What a forecast starts from: rows of `OceanModel.spread_factor`.
FROM_MAPS, FROM_POINTS = 0, 1


class ChannelSpec(BaseModel):
    """One forecast variable; `spread` is the standard deviation of training anomalies in its units."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    units: str
    standard_name: str | None = None
    long_name: str | None = None
    spread: float


class ResidualSpec(BaseModel):
    """What a transfer added to the dynamics, see `AdaptedODE`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    hidden: int
    drifts: bool


class ModelSpec(BaseModel):
    """Everything about a model that is not a weight: enough to build it again and to know where it applies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    channels: list[ChannelSpec]
    decoder: DecoderConfig
    dynamics: DynamicsConfig
    charts: list[Domain]
    amplitude: list[float]
    tiled: bool
    interval_days: float
    noise_variance: float
    data_digest: str
    residuals: list[ResidualSpec] = []

    @property
    def cover(self) -> Cover:
        """The charts of the run's own ocean."""
        return Cover(tuple(self.charts), np.array(self.amplitude), self.tiled)

    @property
    def spread(self) -> NDArray[np.float64]:
        """(channel,) standard deviation of training anomalies."""
        return np.array([channel.spread for channel in self.channels])

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in order."""
        return tuple(channel.name for channel in self.channels)


def build_decoder(config: DecoderConfig, input_size: int, channels: int) -> FourierDecoder | SirenDecoder:
    """An untrained decoder of the configured kind."""
    sizes = (input_size, config.code_size, channels, config.hidden, config.layers)
    if config.kind == "siren":
        return SirenDecoder(*sizes, config.w0_first, config.w0_hidden)
    return FourierDecoder(*sizes, config.scale)


class OceanModel(nn.Module):
    """Decoder and dynamics with the statistics learned beside them.

    Buffers, all in the units of the latent state:
    code_variance (code,) of the population, its mean being zero; state_covariance (state, state) of the population;
    lead_error (lead, code) and unresolved_error (lead, channel): mean squared forecast error of a perfectly known
    start after 0, 1, 2 ... intervals, measured on validation data; unresolved_variance (channel,) of what the basis
    leaves out; process_noise (state, state) error covariance that a state gains in a day;
    spread_factor (start, lead, channel, part) factors of forecasts' standard deviations after 0, 1, ... intervals, for
    starts from maps and from points, of the part that codes explain and of the part the basis leaves out: 1 until
    `dino.uncertainty` fits them.
    """

    code_variance: Tensor
    state_covariance: Tensor
    lead_error: Tensor
    unresolved_error: Tensor
    unresolved_variance: Tensor
    process_noise: Tensor
    spread_factor: Tensor
    dynamics: LatentODE | QuadraticODE | AdaptedODE

    def __init__(self, spec: ModelSpec, background: GridMap) -> None:
        super().__init__()
        self.spec, self.background, self.cover = spec, background, spec.cover
        channels, code = len(spec.channels), spec.decoder.code_size
        self.decoder = build_decoder(spec.decoder, self.cover.input_size, channels)
        d = spec.dynamics
        context = 4 if spec.tiled else 0
        if d.form == "quadratic":
            self.dynamics = QuadraticODE(code, d.products)
        else:
            self.dynamics = LatentODE(code, d.order, context, d.hidden, d.depth, scaled_push=d.scaled_push)
        for residual in spec.residuals:
            self.dynamics = AdaptedODE(self.dynamics, residual.hidden, residual.drifts)
        self.initialiser = HistoryInitialiser(code, d.order, d.lags, spec.interval_days)
        # What the basis leaves out is carried cell by cell with the same kind of dynamics, linear and one for all.
        self.unresolved_dynamics = LatentODE(1, d.order, depth=0)
        self.unresolved_initialiser = HistoryInitialiser(1, d.order, d.lags, spec.interval_days)
        self.register_buffer("code_variance", torch.ones(code))
        self.register_buffer("state_covariance", torch.eye(d.order * code))
        self.register_buffer("lead_error", torch.zeros(LEADS, code))
        self.register_buffer("unresolved_error", torch.zeros(LEADS, channels))
        self.register_buffer("unresolved_variance", torch.zeros(channels))
        self.register_buffer("process_noise", torch.zeros(d.order * code, d.order * code))
        self.register_buffer("spread_factor", torch.ones(2, LEADS, channels, 2))
        self.register_load_state_dict_pre_hook(_without_factors)

    @property
    def code_prior(self) -> Gaussian:
        """The population of codes."""
        return Gaussian(torch.zeros_like(self.code_variance), torch.diag(self.code_variance))

    @property
    def state_prior(self) -> Gaussian:
        """The population of states."""
        return Gaussian(self.state_covariance.new_zeros(len(self.state_covariance)), self.state_covariance)

    @property
    def step_days(self) -> float:
        """The solver's longest step."""
        return self.spec.dynamics.step_days or self.spec.interval_days

    @property
    def lags(self) -> int:
        """Past differences that initialise a state (0 for order one)."""
        return self.initialiser.lags

    def coordinates(self, chart: int, longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
        """Decoder coordinates (point, input): computed in float64, cast last."""
        exact = self.cover.charts[chart].coordinates(longitude, latitude)
        return torch.as_tensor(exact, dtype=self.code_variance.dtype, device=self.code_variance.device)

    def context(self) -> Tensor:
        """(chart, context) of the run's own cover."""
        return self.code_variance.new_tensor(self.cover.context())

    def amplitude(self) -> Tensor:
        """(chart, 1) amplitude of the run's own cover."""
        return self.code_variance.new_tensor(self.cover.amplitude).unsqueeze(-1)

    def model_error(self, lead_days: float) -> tuple[Tensor, Tensor]:
        """Mean squared error grown after `lead_days` in codes (code,) and in what is unresolved (channel,).

        Linear between the measured leads; beyond the last one the growth of the last interval goes on.
        """
        low, fraction = self._between_leads(min(lead_days / self.spec.interval_days, 1e4))

        def at(table: Tensor) -> Tensor:
            return (table[low] + fraction * (table[low + 1] - table[low])).clamp_min(0)

        return at(self.lead_error), at(self.unresolved_error)

    def calibration(self, lead_days: float, start: int) -> Tensor:
        """Factors (channel, part) of standard deviations after `lead_days` from maps or points.

        Linear between the leads of the table, constant beyond them.
        """
        position = min(max(lead_days / self.spec.interval_days, 0.0), LEADS - 1.0)
        low, fraction = self._between_leads(position)
        return torch.lerp(self.spread_factor[start, low], self.spread_factor[start, low + 1], fraction)

    @staticmethod
    def _between_leads(position: float) -> tuple[int, float]:
        """Row of a table of leads below a position, and the fraction of the way to the next; more than 1 beyond."""
        low = min(math.floor(position), LEADS - 2)
        return low, position - low


def _without_factors(model: nn.Module, tensors: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Weights saved before spreads had factors are those of factors of 1."""
    assert isinstance(model, OceanModel)
    tensors.setdefault(prefix + "spread_factor", torch.ones_like(model.spread_factor))
