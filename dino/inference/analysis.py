"""From point observations to Gaussian states of all charts: over a window, or onwards from an earlier analysis."""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import AssimilationConfig
from ..data.duplicates import Fingerprints, fingerprints, without_duplicates
from ..data.observations import SAME_MOMENT_DAYS, Observations, datetime_of
from ..errors import HorizonError, ObservationError
from ..model import LatentModel, Ocean
from ..numerics.gaussian import Gaussian
from ..numerics.modes import without_gradients
from .filter import Assimilated, Problem, Trajectory, filtered
from .hindcasts import Hindcasts
from .maps import EncodedMaps
from .observed import ObservedValues, observed_values
from .offsets import Layout, Offset, StateAndOffsets
from .quality import Quality
from .window import minimised

Array = NDArray[np.float64]


class Seen(NamedTuple):
    """What an analysis knows of the observations it took: their times (n,) [days since 1950-01-01] and digests."""

    time: Array
    digest: Fingerprints


@dataclass(frozen=True)
class Analysis:
    """What observations say of the ocean, as Gaussian latent states: plain arrays that can be saved, sent and resumed.

    time : end of the window, days since 1950-01-01
    mean : (chart, state) there; covariance : (chart, state, state)
    nodes : (node,) times of the window; trajectory : along it, where it was asked for
    maps : the encoded frames, when maps were analysed; hindcasts : what earlier forecasts from
    maps were worth
    joint : the state with the offsets of sources beside it, where they are estimated
    quality : what became of the observations; seen : which they were, when points were analysed
    """

    time: float
    mean: Tensor
    covariance: Tensor
    nodes: Array | None = None
    trajectory: Trajectory | None = None
    maps: EncodedMaps | None = None
    hindcasts: Hindcasts | None = None
    joint: StateAndOffsets | None = None
    quality: Quality = field(default_factory=Quality)
    seen: Seen | None = None

    @property
    def observed_until(self) -> float:
        """The time of the last observation [days since 1950-01-01], from where a forecast's knowledge ages."""
        if self.seen is not None and len(self.seen.time):
            return min(self.time, float(self.seen.time.max()))
        return self.time

    @property
    def earliest(self) -> float:
        """The first moment that can be asked for: the window's start where its trajectory is known."""
        return self.time if self.trajectory is None or self.nodes is None else float(self.nodes[0])

    def counting(self, missing: int, outside: int) -> "Analysis":
        """The same with points counted that were left out before they came here: without a value, or out of time."""
        before = self.quality
        return replace(self, quality=replace(before, missing=missing, outside=before.outside + outside))


@dataclass(frozen=True)
class Assimilation:
    """A model over an ocean, ready to take point observations."""

    latent: LatentModel
    ocean: Ocean
    config: AssimilationConfig

    def window(self, observations: Observations, end: float, length: float, smooth: bool = False) -> Analysis:
        """The states at `end` [days since 1950-01-01] from the observations of the `length` days before.

        The population is the prior. Raises `DomainError` when no observation lies in the model's area.
        """
        count = max(2, math.ceil(length / self.config.node_days) + 1) if length else 1
        charts, population = self.ocean.charts, self.latent.state_prior
        mean, covariance = population.mean.expand(charts, -1), population.covariance.expand(charts, -1, -1)
        nodes = np.linspace(end - length, end, count)
        prior = StateAndOffsets((), mean, covariance)
        return self._assimilate(observations, nodes, prior, self.config.method == "filter", smooth)

    def onwards(self, start: Analysis, observations: Observations, until: float | None) -> Analysis:
        """The states at `until` [days since 1950-01-01] from an earlier analysis and the observations after it.

        The Kalman filter goes on, with the model's process noise, where the analysis ends. Observations up to then are
        left out and counted: as known where the analysis took them, as late where it did not, and as outside where it
        remembers no observation of their time. `until` is by default the time of the last observation. Raises
        `ObservationError` when it lies before the analysis, `HorizonError` when it lies far after the last observation.
        """
        length = self.config.window_days
        last = float(observations.time[-1]) if len(observations) else start.time
        until = max(last, start.time) if until is None else until
        if until < start.time - SAME_MOMENT_DAYS:
            raise ObservationError(
                f"the analysis is of {datetime_of(start.time)!s:.16} already and cannot go back to "
                f"{datetime_of(until)!s:.16}; ask for a later time or begin anew"
            )
        memory = start.seen or Seen(np.zeros(0), np.zeros(0, np.uint64))
        time = observations.time
        old = observations.select((time >= start.time - length) & (time <= start.time))
        known = int(np.isin(fingerprints(old), memory.digest).sum())
        new = observations.select((time > start.time) & (time <= until))
        moments = np.concatenate([[start.observed_until], new.time])
        self._refuse_stale(moments, until)
        made = replace(start, quality=Quality(), nodes=None, trajectory=None)
        if until > start.time:
            count = max(2, math.ceil((until - start.time) / self.config.node_days - 1e-9) + 1)
            prior = start.joint or StateAndOffsets((), start.mean, start.covariance)
            prior = prior.without_sources(until - length)
            made = self._assimilate(new, np.linspace(start.time, until, count), prior, True, False)
            memory = _together(memory, made.seen)
        # The last ones stay however old they are: they tell when the state was last observed.
        recent = memory.time >= min(until - length, memory.time.max(initial=-np.inf))
        quality = replace(
            made.quality,
            known=known,
            late=len(old) - known,
            outside=made.quality.outside + len(observations) - len(old) - len(new),
        )
        return replace(made, quality=quality, seen=Seen(memory.time[recent], memory.digest[recent]))

    def _refuse_stale(self, moments: Array, until: float) -> None:
        """HorizonError for a state far after the last of the observed `moments`, or a gap that nothing spans."""
        last, limit = float(moments[-1]), self.latent.scored_days
        if until - last > limit + SAME_MOMENT_DAYS:
            raise HorizonError(
                f"{datetime_of(until)!s:.16} is {until - last:.0f} days after the last observation, of "
                f"{datetime_of(last)!s:.16}, where this model was scored at {limit:g}; analyse an earlier time and "
                "forecast from there"
            )
        gap = float(np.diff(moments).max(initial=0.0))
        if gap > self.latent.farthest_days:
            raise HorizonError(
                f"the observations leave a gap of {gap:.0f} days, of which nothing is left after "
                f"{self.latent.farthest_days:g}; begin anew after it"
            )

    @without_gradients
    def _assimilate(
        self, observations: Observations, nodes: Array, prior: StateAndOffsets, sequential: bool, smooth: bool
    ) -> Analysis:
        """All charts from their priors at the first of the `nodes` [days since 1950-01-01] to the last."""
        latent, config = self.latent, self.config
        kept, digests = without_duplicates(observations)
        scale = torch.as_tensor(self.ocean.scale).to(latent.code_variance)  # (chart, channel)
        variance = (config.bias_error / scale).square()
        prior = prior.with_sources(_offsets(kept), variance) if config.bias_error else prior.without_sources()
        rows = observed_values(latent, self.ocean, kept, nodes, config.errors)
        if len(kept) and not len(rows):
            self.ocean.cover.check(kept.longitude, kept.latitude)
        layout = Layout(latent.dynamics.code_size, prior.state_size, len(prior.offsets))
        problem = Problem(
            latent=latent,
            context=latent.context(self.ocean),
            prior=layout.augmented(Gaussian(prior.mean, prior.covariance)),
            rows=rows,
            nodes=nodes - nodes[0],
            layout=layout,
            group=_groups(prior.offsets, kept, rows) if prior.offsets else None,
            bound=math.inf if config.bound is None else config.bound,
            smooth=smooth,
        )
        made = filtered(problem) if sequential else minimised(problem, config.iterations)
        end, size = layout.parted(made.end), prior.state_size
        joint = StateAndOffsets(prior.offsets, end.mean, end.covariance) if prior.offsets else None
        quality = _quality(observations, kept, rows, made)
        if joint is not None:
            quality = replace(quality, biases=_biases(joint, scale, variance, kept.channels))
        return Analysis(
            float(nodes[-1]), end.mean[:, :size], end.covariance[:, :size, :size], nodes, made.trajectory,
            joint=joint, quality=quality, seen=Seen(kept.time, digests),
        )  # fmt: skip


def _together(one: Seen, other: Seen | None) -> Seen:
    if other is None:
        return one
    return Seen(np.concatenate([one.time, other.time]), np.concatenate([one.digest, other.digest]))


def _offsets(observations: Observations) -> list[Offset]:
    """The sources and channels that observations have values of, with the times of their last ones."""
    known = np.isfinite(observations.values)
    return [
        Offset(observations.source_of(int(source)), channel, float(observations.time[mine].max()))
        for channel in range(known.shape[1])
        for source in np.unique(observations.source[known[:, channel]])
        for mine in [known[:, channel] & (observations.source == source)]
    ]


def _groups(offsets: tuple[Offset, ...], observations: Observations, rows: ObservedValues) -> Tensor:
    """(row,) which offset a row sees."""
    place = {(offset.source, offset.channel): index for index, offset in enumerate(offsets)}
    numbers, channels = np.unique(observations.source), range(observations.values.shape[1])
    names = [observations.source_of(int(source)) for source in numbers]
    table = np.array([[place.get((name, channel), 0) for channel in channels] for name in names], np.int64)
    table = table.reshape(len(names), len(channels))  # also where there is no observation
    source = np.searchsorted(numbers, observations.source[rows.observation.cpu().numpy()])
    return torch.as_tensor(table[source, rows.channel.cpu().numpy()], device=rows.channel.device)


def _quality(observations: Observations, kept: Observations, rows: ObservedValues, made: Assimilated) -> Quality:
    """What became of observations of the right time; a point that counts less in one chart is down-weighted."""
    used, light = np.zeros((2, len(kept)), bool)
    used[rows.observation.cpu().numpy()] = True
    light[rows.observation[made.weight < 1].cpu().numpy()] = True
    source, number = np.unique(kept.source[light], return_counts=True)
    return Quality(
        used=int(used.sum()),
        duplicates=len(observations) - len(kept),
        outside=int((~used).sum()),
        down_weighted={kept.source_of(int(s)): int(n) for s, n in zip(source, number, strict=True)},
    )


def _biases(
    joint: StateAndOffsets, scale: Tensor, variance: Tensor, channels: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Offsets in the channels' units: charts' estimates, each weighing as much as observations said there."""
    found: dict[str, dict[str, float]] = {}
    for index, offset in enumerate(joint.offsets, start=joint.state_size):
        unit, before = scale[:, offset.channel], variance[:, offset.channel]
        said = ((1 / joint.covariance[:, index, index] - 1 / before) / unit.square()).clamp_min(1e-9)
        value = (said * unit * joint.mean[:, index]).sum() / said.sum()
        found.setdefault(offset.source, {})[channels[offset.channel]] = float(value)
    return found
