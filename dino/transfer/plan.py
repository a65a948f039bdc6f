"""A record of observations cut into windows to analyse, each with later observations that its forecast has to meet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import AssimilationConfig, TransferConfig
from ..data.observations import Observations
from ..errors import EmptyDataError
from ..forecaster import Forecaster
from ..inference.analysis import Analysis
from ..inference.filter import Trajectory
from ..inference.observed import ObservedValues, observed_values
from ..numerics.gaussian import Gaussian
from ..space.decoders import Decoder, values_at_points

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
class Episode:
    """One analysis: the state (chart, state) at its end, what was seen before and what has to be met after.

    seen : values between the analysis' nodes; ahead : values between `days` (node,) after its end
    overflight : (row of ahead,) which of them were seen together; later : the observations behind them
    """

    analysis: Analysis
    seen: ObservedValues
    days: Tensor
    ahead: ObservedValues
    overflight: NDArray[np.int64]
    later: Observations

    @property
    def trajectory(self) -> Trajectory:
        """Smoothed states along the analysis' nodes."""
        assert self.analysis.trajectory is not None
        return self.analysis.trajectory

    def codes(self, size: int) -> Tensor:
        """Smoothed codes (node, chart, code) of length `size` at the analysis' nodes."""
        return self.trajectory.mean[..., :size]

    def start(self, size: int) -> Gaussian:
        """Smoothed codes (chart, code) of length `size` at the analysis' first node."""
        return Gaussian(self.trajectory.mean[0, :, :size], self.trajectory.covariance[0])


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
def episodes(
    forecaster: Forecaster, observations: Observations, plan: Plan, ends: Sequence[float], smooth: bool = True
) -> Iterator[Episode]:
    """The analyses at `ends` with what they saw and what is to come; gaps of the record are passed over.

    Raises `DomainError` when no observation of the record lies in the model's area.
    """
    latent, ocean, error = forecaster.latent, forecaster.ocean, forecaster.assimilation.errors
    ocean.cover.check(observations.longitude, observations.latitude)
    for end in ends:
        seen = observations.between(end - plan.length, end)
        ahead = observations.between(np.nextafter(end, np.inf), end + plan.horizon)
        if not len(ahead) or not ocean.cover.holds(seen.longitude, seen.latitude).any():
            continue
        analysis = forecaster.analyse_observations(seen, end, plan.length, smooth)
        assert analysis.nodes is not None
        nodes = np.linspace(end, end + plan.horizon, max(2, int(np.ceil(plan.horizon)) + 1))
        before = observed_values(latent, ocean, seen, analysis.nodes, error) if smooth else None
        after = observed_values(latent, ocean, ahead, nodes, error).formed(latent.decoder)
        if len(after):
            overflight = np.floor(ahead.time[after.observation.cpu().numpy()] / OVERFLIGHT_DAYS).astype(np.int64)
            yield Episode(
                analysis,
                after if before is None else before,
                analysis.mean.new_tensor(nodes - end),
                after,
                overflight,
                ahead,
            )


def forecast_codes(forecaster: Forecaster, episode: Episode) -> Tensor:
    """Codes (node, chart, code) of the forecast from an episode's end, with gradients by dynamics."""
    latent = forecaster.latent
    states = latent.integrate(episode.analysis.mean, episode.days, latent.context(forecaster.ocean))
    return latent.dynamics.codes(states)


def misfit(decoder: Decoder, values: ObservedValues, codes: Tensor, decoder_moves: bool = True) -> Tensor:
    """Squared misfit over variance (row,) of values given a code each (row, code).

    With a decoder that stays what it is, its form there need not be found again.
    """
    if decoder_moves or values.form is None or values.about(decoder, codes) is not values:
        predicted = values_at_points(decoder, values.coordinates, codes)
        predicted = predicted[torch.arange(len(values), device=codes.device), values.channel]
    else:
        predicted = values.form.offset + (values.form.operator * codes).sum(-1)
    return (values.value - predicted).square() / values.variance


@torch.no_grad()
def held_out_misfit(
    forecaster: Forecaster,
    observations: Observations,
    plan: Plan,
    unresolved: Tensor | None = None,
    like: Forecaster | None = None,
) -> Verdict:
    """Squared misfit over variance of the forecasts of held-out windows; infinite when no point is met.

    unresolved : (channel,) variance of what the basis leaves out that is to count, the model's own when absent: who
    compares models has to give one for all, or the one that expects more is forgiven more
    like : over the same charts, whose expected errors count, with all of their parts
    """
    latent = forecaster.latent
    reference = latent.unresolved_variance if unresolved is None else unresolved
    losses, passes = [], []
    for episode in episodes(forecaster, observations, plan, plan.held, smooth=False):
        ahead = episode.ahead
        own = misfit(latent.decoder, ahead, ahead.along(forecast_codes(forecaster, episode)))
        counted = ahead.variance - latent.unresolved_variance[ahead.channel] + reference[ahead.channel]
        if like is not None:
            nodes = np.array([episode.analysis.time, episode.analysis.time + plan.horizon])
            counted = observed_values(
                like.latent, like.ocean, episode.later, nodes, like.assimilation.errors
            ).variance.to(own)
        losses.append((own * ahead.variance / counted).double().cpu().numpy())
        passes.append(episode.overflight)
    if not losses:
        return UNUSABLE
    _, group, count = np.unique(np.concatenate(passes), return_inverse=True, return_counts=True)
    total = np.bincount(group, np.concatenate(losses))
    return Verdict(total / count, count.astype(float))
