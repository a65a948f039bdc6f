"""A record of observations cut into windows to analyse, each with later observations that its forecast has to meet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..config import AssimilationConfig, TransferConfig
from ..data.observations import Observations
from ..dynamics import integrate
from ..errors import EmptyDataError
from ..forecaster import Analysis, Forecaster
from ..inference.observed import rows_of_chart
from ..model.latent import OceanModel
from ..numerics.gaussian import Gaussian
from ..space.decoders import values_at_points

SHORTEST_DAYS = 0.5  # of a record: in less there is no forecast to check
OVERFLIGHT_DAYS = 1 / 32  # longer than a satellite is over a sea, shorter than its orbit


@dataclass(frozen=True)
class Plan:
    """Ends of the windows that are fitted and of those that are held out [days since 1950-01-01].

    length : days analysed; horizon : days after it that are forecast. No observation that a fitted window is to meet
    lies after the first held-out one's end: the record is split in time.
    """

    fitted: list[float]
    held: list[float]
    length: float
    horizon: float


@dataclass(frozen=True)
class Points:
    """Observed values (row,) of all charts in their normalised units.

    value = offset + operator @ code at `fraction` of the way from `node` to the next, to first order about the
    population's mean where the decoder is not affine; coordinates (row, input) and channel tell where and what, and
    `overflight` which of them were seen together.
    """

    chart: Tensor
    node: Tensor
    fraction: Tensor
    value: Tensor
    variance: Tensor
    operator: Tensor
    offset: Tensor
    coordinates: Tensor
    channel: Tensor
    overflight: Tensor

    def __len__(self) -> int:
        return len(self.value)

    def select(self, which: Tensor) -> "Points":
        """Some of the rows, by indices or a mask."""
        return Points(*(getattr(self, f.name)[which] for f in fields(self)))

    def along(self, codes: Tensor) -> Tensor:
        """The codes (row, code) at the observations of trajectories (node, chart, code)."""
        following = (self.node + 1).clamp_max(len(codes) - 1)
        return torch.lerp(codes[self.node, self.chart], codes[following, self.chart], self.fraction[:, None])


@dataclass(frozen=True)
class Verdict:
    """How held-out points are met: the mean squared misfit over variance of every overflight, and its points."""

    misfit: np.ndarray
    points: np.ndarray

    @property
    def mean(self) -> float:
        """Over all points."""
        return float(np.average(self.misfit, weights=self.points))

    def beats(self, other: "Verdict") -> bool:
        """Whether the mean is lower than another's by more than chance between overflights would have it.

        By twice the standard error of the paired difference, overflights taken as independent. A few passes that are
        met better by luck would otherwise decide for a change that later forecasts pay for.
        """
        if self.misfit.shape != other.misfit.shape or len(self.misfit) < 2:
            return False
        share = self.points / self.points.sum()
        gains = other.misfit - self.misfit
        gain = float(share @ gains)
        error = np.sqrt(float(np.square(share * (gains - gain)).sum()) * len(share) / (len(share) - 1))
        return bool(np.isfinite(gain)) and gain > 2.0 * error


UNUSABLE = Verdict(np.full(1, np.inf), np.ones(1))


@dataclass(frozen=True)
class Window:
    """One analysis: the state (chart, state) at its end, what was seen before and what has to be met after.

    seen : points between the analysis' nodes; ahead : points between `days` (node,) after its end
    """

    analysis: Analysis
    seen: Points
    days: Tensor
    ahead: Points

    def codes(self, size: int) -> Tensor:
        """Smoothed codes (node, chart, code) of length `size` at the analysis' nodes."""
        assert self.analysis.window is not None
        return torch.stack([trajectory.mean[:, :size] for trajectory in self.analysis.window], dim=1)

    def start(self, size: int) -> Gaussian:
        """Smoothed codes (chart, code) of length `size` at the analysis' first node."""
        assert self.analysis.window is not None
        charts = self.analysis.window
        mean = torch.stack([trajectory.mean[0, :size] for trajectory in charts])
        return Gaussian(mean, torch.stack([trajectory.covariance[0, :size, :size] for trajectory in charts]))


def cut(observations: Observations, config: TransferConfig, assimilation: AssimilationConfig) -> Plan:
    """Windows every `stride_days`, the last `held_share` of the ends held out.

    A record shorter than a window and two horizons is cut into shorter ones of the same proportions. Raises
    `EmptyDataError` for one that is shorter than half a day.
    """
    first, last = float(observations.time[0]), float(observations.time[-1])
    length = min(config.window_days, assimilation.window_days or config.window_days)
    shrink = min(1.0, (last - first) / (length + 2 * config.horizon_days))
    if last - first < SHORTEST_DAYS:
        raise EmptyDataError(
            f"{observations.span()}: transfer wants at least half a day, of which it holds out a part; "
            "give a longer record"
        )
    length, horizon = length * shrink, config.horizon_days * shrink
    start, stop = first + length, last - horizon
    ends = np.arange(start, stop + 1e-9, min(config.stride_days, horizon))
    # The latest start that is held out always exists, and the earliest that is fitted ends before it.
    boundary = max(stop - config.held_share * (stop - start), start + horizon)
    boundary = min(boundary, stop)
    fitted = [float(end) for end in ends if end + horizon <= boundary + 1e-6] or [start]
    held = [float(end) for end in ends if end >= boundary - 1e-6] or [stop]
    return Plan(fitted, held, length, horizon)


@torch.no_grad()
def windows(forecaster: Forecaster, observations: Observations, plan: Plan, ends: Sequence[float]) -> Iterator[Window]:
    """The analyses at `ends` with what they saw and what is to come; gaps of the record are passed over."""
    model, error = forecaster.model, forecaster.assimilation.default_error
    for end in ends:
        seen = observations.between(end - plan.length, end)
        ahead = observations.between(np.nextafter(end, np.inf), end + plan.horizon)
        if not len(seen) or not len(ahead):
            continue
        analysis = forecaster.analyse_observations(seen, end, plan.length)
        assert analysis.nodes is not None
        nodes = np.linspace(end, end + plan.horizon, max(2, int(np.ceil(plan.horizon)) + 1))
        before = points_of(model, seen, analysis.nodes, error)
        after = points_of(model, ahead, nodes, error)
        if len(after):
            yield Window(analysis, before, analysis.mean.new_tensor(nodes - end), after)


def points_of(model: OceanModel, observations: Observations, nodes: np.ndarray, default_error: float) -> Points:
    """Observations as rows of all charts that hold them, between `nodes` [days since 1950-01-01]."""
    parts = []
    for chart in range(len(model.cover.charts)):
        rows = rows_of_chart(model, chart, observations, nodes, default_error)
        number = torch.full_like(rows.node, chart)
        values = rows.innovation + rows.offset
        moment = np.interp((rows.node + rows.fraction).double().cpu().numpy(), np.arange(len(nodes)), nodes)
        together = torch.as_tensor(np.floor(moment / OVERFLIGHT_DAYS).astype(np.int64), device=rows.node.device)
        parts.append(
            (number, rows.node, rows.fraction, values, rows.variance, rows.operator, rows.offset, rows.coordinates,
             rows.channel, together)
        )  # fmt: skip
    return Points(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def forecast_codes(model: OceanModel, window: Window) -> Tensor:
    """Codes (node, chart, code) of the forecast from a window's end, with gradients by dynamics."""
    right = model.dynamics.bind(model.context(), model.amplitude())
    states = integrate(right, window.analysis.mean, window.days, model.spec.dynamics.method, model.step_days)
    return model.dynamics.codes(states)


def misfit(model: OceanModel, points: Points, codes: Tensor, decoder_moves: bool = True) -> Tensor:
    """Squared misfit over variance (row,) of points given a code each (row, code).

    With a decoder that stays what it is, its values there need not be found again.
    """
    if decoder_moves or not model.decoder.is_affine:
        values = values_at_points(model.decoder, points.coordinates, codes)
        values = values[torch.arange(len(points), device=codes.device), points.channel]
    else:
        values = points.offset + (points.operator * codes).sum(-1)
    return (points.value - values).square() / points.variance


@torch.no_grad()
def held_out_misfit(
    forecaster: Forecaster, observations: Observations, plan: Plan, unresolved: Tensor | None = None
) -> Verdict:
    """Squared misfit over variance of the forecasts of held-out windows; infinite when no point is met.

    unresolved : (channel,) variance of what the basis leaves out that is to count, the model's own when absent: who
    compares models has to give one for all, or the one that expects more is forgiven more
    """
    model = forecaster.model
    reference = model.unresolved_variance if unresolved is None else unresolved
    losses, passes = [], []
    for window in windows(forecaster, observations, plan, plan.held):
        ahead = window.ahead
        own = misfit(model, ahead, ahead.along(forecast_codes(model, window)))
        counted = ahead.variance - model.unresolved_variance[ahead.channel] + reference[ahead.channel]
        losses.append((own * ahead.variance / counted).double().cpu().numpy())
        passes.append(ahead.overflight.cpu().numpy())
    if not losses:
        return UNUSABLE
    _, group, count = np.unique(np.concatenate(passes), return_inverse=True, return_counts=True)
    total = np.bincount(group, np.concatenate(losses))
    return Verdict(total / count, count.astype(float))
