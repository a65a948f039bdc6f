"""What is learned and can be published: decoder, latent dynamics and the statistics that inference needs.

A `LatentModel` knows no place, no unit and no land. Where it lies is an `Ocean`'s business.
"""

import math
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn

from ..config import DecoderConfig
from ..dynamics import (
    CoupledODE,
    Dynamics,
    HistoryInitialiser,
    LatentODE,
    LayeredODE,
    QuadraticODE,
    RelaxingODE,
    integrate,
)
from ..numerics.forking import compute_in_children
from ..numerics.gaussian import Gaussian
from ..space.cover import CONTEXT
from ..space.decoders import FourierDecoder, SirenDecoder, TrendDecoder
from .ocean import Ocean
from .spec import LatentSpec

LEADS = 32


class Start(IntEnum):
    """What a forecast starts from: a row of `LatentModel.spread_factor`."""

    MAPS = 0
    POINTS = 1


def build_decoder(config: DecoderConfig, input_size: int, channels: int) -> FourierDecoder | SirenDecoder:
    """An untrained decoder of the configured kind."""
    sizes = (input_size, config.code_size, channels, config.hidden, config.layers)
    if config.kind == "siren":
        return SirenDecoder(*sizes, config.w0_first, config.w0_hidden)
    return FourierDecoder(*sizes, config.scale)


class LatentModel(nn.Module):
    """Decoder and dynamics with the statistics learned beside them.

    Buffers, all in the units of the latent state:
    code_variance (code,) of the population, its mean being zero; state_covariance (state, state) of the population;
    lead_error (lead, code) and unresolved_error (lead, channel): mean squared forecast error of a perfectly known
    start after 0, 1, 2 ... intervals, measured on validation data; unresolved_variance (channel,) of what the basis
    leaves out; process_noise (state, state) error covariance that a state gains in a day;
    spread_factor (start, lead, channel, part) factors of forecasts' standard deviations after 0, 1, ... intervals, for
    every `Start`, of the part that codes explain and of the part the basis leaves out: 1 until they are fitted.
    """

    code_variance: Tensor
    state_covariance: Tensor
    lead_error: Tensor
    unresolved_error: Tensor
    unresolved_variance: Tensor
    process_noise: Tensor
    spread_factor: Tensor
    dynamics: Dynamics

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__()
        compute_in_children()
        self.spec = spec
        self.origin = ""  # digest of the weights that were loaded, which forecasts name
        channels, code, d = spec.channels, spec.decoder.code_size, spec.dynamics
        self.decoder = build_decoder(spec.decoder, spec.input_size, channels)
        if spec.relaxing:
            if spec.input_size == 2:
                self.decoder = TrendDecoder(self.decoder)  # type: ignore[arg-type]
            code = self.decoder.code_size
            self.dynamics = CoupledODE(code) if spec.coupled else RelaxingODE(code)
        elif d.form == "quadratic":
            self.dynamics = QuadraticODE(code, d.products)
        elif d.form == "layers":
            self.dynamics = LayeredODE(code, d.points, d.tracers)
        else:
            self.dynamics = LatentODE(code, d.order, len(spec.context), d.hidden, d.depth)
        self.initialiser = HistoryInitialiser(code, d.order, d.lags, spec.interval_days)
        # The residual field is carried cell by cell with the same kind of dynamics, linear and one for all.
        self.unresolved_dynamics = LatentODE(1, d.order, depth=0)
        self.unresolved_initialiser = HistoryInitialiser(1, d.order, d.lags, spec.interval_days)
        self.register_buffer("code_variance", torch.ones(code))
        self.register_buffer("state_covariance", torch.eye(d.order * code))
        self.register_buffer("lead_error", torch.zeros(LEADS, code))
        self.register_buffer("unresolved_error", torch.zeros(LEADS, channels))
        self.register_buffer("unresolved_variance", torch.zeros(channels))
        self.register_buffer("process_noise", torch.zeros(d.order * code, d.order * code))
        self.register_buffer("spread_factor", torch.ones(len(Start), LEADS, channels, 2))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.code_variance.device

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # Runs of earlier versions have sizes of slow levels, which are gone.
        state_dict.pop(f"{prefix}drift_noise", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def code_prior(self) -> Gaussian:
        """The population of codes."""
        return Gaussian(torch.zeros_like(self.code_variance), torch.diag(self.code_variance))

    @property
    def state_prior(self) -> Gaussian:
        """The population of states."""
        return Gaussian(self.state_covariance.new_zeros(len(self.state_covariance)), self.state_covariance)

    @property
    def scored_leads(self) -> int:
        """Intervals up to which training measures the error of forecasts: half as far again as it looked."""
        return min(LEADS - 1, round(1.5 * self.spec.dynamics.horizons[-1]))

    @property
    def scored_days(self) -> float:
        """The same in days."""
        return self.scored_leads * self.spec.interval_days

    @property
    def farthest_days(self) -> float:
        """From where nothing is left of what a state knew: four times as far as scores reach."""
        return 4.0 * self.scored_days

    @property
    def method(self) -> str:
        """The solver's name."""
        return self.spec.dynamics.method

    @property
    def step_days(self) -> float:
        """The solver's longest step."""
        return self.spec.dynamics.step_days or self.spec.interval_days

    @property
    def lags(self) -> int:
        """Past differences that initialise a state (0 for order one)."""
        return self.initialiser.lags

    def context(self, ocean: Ocean) -> Tensor:
        """(chart, context) what the ocean's charts tell the dynamics, the entries that these were trained with."""
        columns = [CONTEXT.index(name) for name in self.spec.context]
        return self.code_variance.new_tensor(ocean.cover.context()[:, columns])

    def integrate(self, states: Tensor, days: Tensor, context: Tensor | None = None) -> Tensor:
        """States (time, ..., state) after `days` (time,), not negative, in any order; see `dynamics.integrate`."""
        return integrate(self.dynamics.bind(context), states, days, self.method, self.step_days)

    def forecast_unresolved(self, history: Tensor, leads: Tensor) -> Tensor:
        """The residual field (segment, lead, cell) after `leads` days from histories (segment, lag + 1, cell)."""
        state = self.unresolved_initialiser(history.movedim(1, -1).unsqueeze(-1))
        states = integrate(self.unresolved_dynamics.bind(), state, leads, "rk4", self.spec.interval_days)
        return self.unresolved_dynamics.codes(states).squeeze(-1).movedim(0, 1)

    def model_error(self, lead_days: float) -> tuple[Tensor, Tensor]:
        """Mean squared error grown after `lead_days` in codes (code,) and in the residual field (channel,).

        Linear between the measured leads; beyond the last one the growth of the last interval goes on.
        """
        low, fraction = _between_leads(min(lead_days / self.spec.interval_days, 1e4))

        def at(table: Tensor) -> Tensor:
            return (table[low] + fraction * (table[low + 1] - table[low])).clamp_min(0)

        if isinstance(self.dynamics, RelaxingODE):
            lost = self.dynamics.lost(self.code_variance.new_tensor([max(lead_days, 0.0)]))[0]
            return self.code_variance * lost, at(self.unresolved_error)
        if isinstance(self.dynamics, CoupledODE):
            lost = self.dynamics.noise(self.process_noise, max(lead_days, 0.0)).diagonal()
            return lost.clamp_min(0), at(self.unresolved_error)
        return at(self.lead_error), at(self.unresolved_error)

    def calibration(self, lead_days: float, start: Start) -> Tensor:
        """Factors (channel, part) of standard deviations after `lead_days` from maps or points.

        Linear between the leads of the table, constant beyond them.
        """
        position = min(max(lead_days / self.spec.interval_days, 0.0), LEADS - 1.0)
        low, fraction = _between_leads(position)
        return torch.lerp(self.spread_factor[start, low], self.spread_factor[start, low + 1], fraction)


def _between_leads(position: float) -> tuple[int, float]:
    """Row of a table of leads below a position, and the fraction of the way to the next; more than 1 beyond."""
    low = min(math.floor(position), LEADS - 2)
    return low, position - low
