"""From point observations to Gaussian states of all charts: over a window, or onwards from an earlier analysis."""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import AssimilationConfig
from ..data.observations import Observations, datetime_of
from ..errors import ObservationError
from ..model.latent import OceanModel
from ..numerics.gaussian import Gaussian
from .filter import Filter
from .maps import EncodedMaps
from .observed import Rows, rows_of_chart
from .offsets import Beside, Joint, Layout, Offset, WithoutOffsets
from .quality import Fingerprints, Quality, fingerprints, without_duplicates
from .window import RightHandSide, SharedPropagators, Trajectory, assimilate_window

Array = NDArray[np.float64]
Window = Trajectory | Filter | WithoutOffsets


class Seen(NamedTuple):
    """What an analysis knows of the observations it took: their times (n,) [days since 1950-01-01] and digests."""

    time: Array
    digest: Fingerprints


@dataclass(frozen=True)
class Analysis:
    """What observations say of the ocean, as Gaussian latent states.

    time : end of the window, days since 1950-01-01
    mean : (chart, state) there; covariance : (chart, state, state)
    nodes, window : times (node,) of the window and one trajectory a chart, when points were analysed
    maps : the encoded frames, when maps were analysed
    joint : the state with the offsets of sources beside it, where they are estimated
    quality : what became of the observations; seen : which they were, when points were analysed
    """

    time: float
    mean: Tensor
    covariance: Tensor
    nodes: Array | None = None
    window: tuple[Window, ...] | None = None
    maps: EncodedMaps | None = None
    joint: Joint | None = None
    quality: Quality = field(default_factory=Quality)
    seen: Seen | None = None


def analyse_window(
    model: OceanModel, config: AssimilationConfig, observations: Observations, end: float, length: float
) -> Analysis:
    """The states at `end` [days since 1950-01-01] from the observations of the `length` days before.

    The population is the prior. Raises `DomainError` when no observation lies in the model's area.
    """
    model.cover.check(observations.longitude, observations.latitude)
    count = max(2, math.ceil(length / config.node_days) + 1) if length else 1
    charts, population = len(model.cover.charts), model.state_prior
    prior = Joint((), population.mean.expand(charts, -1), population.covariance.expand(charts, -1, -1))
    nodes = np.linspace(end - length, end, count)
    return _assimilate(model, config, observations, nodes, prior, config.method == "filter")


def continue_analysis(
    model: OceanModel, config: AssimilationConfig, start: Analysis, observations: Observations, until: float | None
) -> Analysis:
    """The states at `until` [days since 1950-01-01] from an earlier analysis and the observations after it.

    The Kalman filter goes on, with the model's process noise, where the analysis ends. Observations up to then are
    left out and counted: as known where the analysis took them, as late where it did not, and as outside where it
    remembers no observation of their time. `until` is by default the time of the last observation. Raises
    `ObservationError` when it lies before the analysis.
    """
    last = float(observations.time[-1]) if len(observations) else start.time
    until = max(last, start.time) if until is None else until
    if until < start.time - 1e-9:
        raise ObservationError(
            f"the analysis is of {datetime_of(start.time)!s:.16} already and cannot go back to "
            f"{datetime_of(until)!s:.16}; ask for a later time or begin anew"
        )
    memory = start.seen or Seen(np.zeros(0), np.zeros(0, np.uint64))
    time = observations.time
    old = observations.select((time >= start.time - config.window_days) & (time <= start.time))
    known = int(np.isin(fingerprints(old), memory.digest).sum())
    new = observations.select((time > start.time) & (time <= until))
    made = replace(start, quality=Quality())
    if until > start.time:
        if len(new):
            model.cover.check(new.longitude, new.latitude)
        count = max(2, math.ceil((until - start.time) / config.node_days - 1e-9) + 1)
        prior = start.joint or Joint((), start.mean, start.covariance)
        prior = prior.without_sources(until - config.window_days)
        made = _assimilate(model, config, new, np.linspace(start.time, until, count), prior, True)
        memory = _together(memory, made.seen)
    recent = memory.time >= until - config.window_days
    quality = replace(
        made.quality,
        known=known,
        late=len(old) - known,
        outside=made.quality.outside + len(observations) - len(old) - len(new),
    )
    return replace(made, quality=quality, seen=Seen(memory.time[recent], memory.digest[recent]))


def _together(one: Seen, other: Seen | None) -> Seen:
    if other is None:
        return one
    return Seen(np.concatenate([one.time, other.time]), np.concatenate([one.digest, other.digest]))


@torch.no_grad()
def _assimilate(
    model: OceanModel,
    config: AssimilationConfig,
    observations: Observations,
    nodes: Array,
    prior: Joint,
    filtered: bool,
) -> Analysis:
    """All charts from their priors at the first of the `nodes` [days since 1950-01-01] to the last."""
    kept, digests = without_duplicates(observations)
    like = model.code_variance
    scale = torch.as_tensor(model.spec.spread * model.cover.amplitude[:, None]).to(like)  # (chart, channel)
    variance = (config.bias_error / scale).square()
    prior = prior.with_sources(_offsets(kept), variance) if config.bias_error else prior.without_sources()
    every = [rows_of_chart(model, chart, kept, nodes, config.default_error) for chart in range(len(scale))]
    context, amplitude = model.context(), model.amplitude()
    shared = SharedPropagators(model.dynamics.bind()) if model.dynamics.is_linear else None
    windows = []
    for chart, rows in enumerate(every):
        right = shared or model.dynamics.bind(context[min(chart, len(context) - 1)], amplitude[chart])
        start = Gaussian(prior.mean[chart], prior.covariance[chart])
        group = _groups(prior.offsets, kept, rows) if prior.offsets else None
        windows.append(_chart_window(model, config, right, start, rows, group, nodes, filtered))
    ends = [window.joint if isinstance(window, WithoutOffsets) else window.end for window in windows]
    mean, covariance = torch.stack([end.mean for end in ends]), torch.stack([end.covariance for end in ends])
    size = prior.state_size
    joint = Joint(prior.offsets, mean, covariance) if prior.offsets else None
    quality = _quality(observations, kept, every, windows)
    if joint is not None:
        quality = replace(quality, biases=_biases(joint, scale, variance, kept.channels))
    return Analysis(
        float(nodes[-1]), mean[:, :size], covariance[:, :size, :size], nodes, tuple(windows),
        joint=joint, quality=quality, seen=Seen(kept.time, digests),
    )  # fmt: skip


def _chart_window(
    model: OceanModel,
    config: AssimilationConfig,
    right: RightHandSide,
    prior: Gaussian,
    rows: Rows,
    group: Tensor | None,
    nodes: Array,
    filtered: bool,
) -> Window:
    """One chart, with the offset that each row sees where there are offsets."""
    code, noise = model.dynamics.code_size, model.process_noise
    layout = Layout(code, len(noise), len(prior.mean) - len(noise))
    if group is not None:
        right, prior, noise = Beside(right, layout), layout.augmented(prior), layout.noise(noise)
        rows, code = layout.rows(rows, group), code + layout.offsets
    relative = torch.as_tensor(nodes - nodes[0], dtype=prior.mean.dtype, device=prior.mean.device)
    method, step = model.spec.dynamics.method, model.step_days
    bound = math.inf if config.bound is None else config.bound
    common = (right, prior, rows, relative, code)
    made = (
        Filter(*common, noise, method, step, bound)
        if filtered
        else assimilate_window(*common, config.iterations, method, step, bound)
    )
    return made if group is None else WithoutOffsets(made, layout)


def _offsets(observations: Observations) -> list[Offset]:
    """The sources and channels that observations have values of, with the times of their last ones."""
    known = np.isfinite(observations.values)
    return [
        Offset(observations.source_of(int(source)), channel, float(observations.time[mine].max()))
        for channel in range(known.shape[1])
        for source in np.unique(observations.source[known[:, channel]])
        for mine in [known[:, channel] & (observations.source == source)]
    ]


def _groups(offsets: tuple[Offset, ...], observations: Observations, rows: Rows) -> Tensor:
    """(row,) which offset a row sees."""
    assert rows.observation is not None
    place = {(offset.source, offset.channel): index for index, offset in enumerate(offsets)}
    source = observations.source[rows.observation.cpu().numpy()].tolist()
    pairs = zip(source, rows.channel.tolist(), strict=True)
    return rows.channel.new_tensor([place[observations.source_of(s), c] for s, c in pairs])


def _quality(observations: Observations, kept: Observations, every: list[Rows], windows: list[Window]) -> Quality:
    """What became of observations of the right time; a point that counts less in one chart is down-weighted."""
    used, light = np.zeros((2, len(kept)), bool)
    for rows, window in zip(every, windows, strict=True):
        assert rows.observation is not None
        used[rows.observation.cpu().numpy()] = True
        light[rows.observation[window.weight < 1].cpu().numpy()] = True
    source, number = np.unique(kept.source[light], return_counts=True)
    return Quality(
        used=int(used.sum()),
        duplicates=len(observations) - len(kept),
        outside=int((~used).sum()),
        down_weighted={kept.source_of(int(s)): int(n) for s, n in zip(source, number, strict=True)},
    )


def _biases(joint: Joint, scale: Tensor, variance: Tensor, channels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Offsets in the channels' units: charts' estimates, each weighing as much as observations said there."""
    found: dict[str, dict[str, float]] = {}
    for index, offset in enumerate(joint.offsets, start=joint.state_size):
        unit, before = scale[:, offset.channel], variance[:, offset.channel]
        said = ((1 / joint.covariance[:, index, index] - 1 / before) / unit.square()).clamp_min(1e-9)
        value = (said * unit * joint.mean[:, index]).sum() / said.sum()
        found.setdefault(offset.source, {})[channels[offset.channel]] = float(value)
    return found
