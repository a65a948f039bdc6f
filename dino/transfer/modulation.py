"""Fine-tune the decoder's modulation on sparse observations: the weights through which the code enters, nothing else.

An expectation-maximisation in the manner of variable projection: windows of observations are analysed with the current
weights, which gives every code exactly; then the weights move to fit the observations better with those codes held,
pulled towards their simulated values in proportion to how well simulation determined them. One window in four is never
fitted and decides which round is kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import TransferConfig
from ..decoders import values_at_points
from ..errors import EmptyDataError
from ..forecaster import Forecaster
from ..inference.rows import rows_of_chart
from ..model import OceanModel
from ..observations import Observations
from .base import Report, Transferred

BATCH = 8192
HELD_OUT = 4


@dataclass(frozen=True)
class _Sample:
    """Observed values of one chart with the code analysed at their time."""

    coordinates: Tensor
    channel: Tensor
    target: Tensor
    variance: Tensor
    codes: Tensor


def adapt_modulation(
    forecaster: Forecaster, observations: Observations, config: TransferConfig, seed: int, report: Report
) -> Transferred:
    """Adapt a forecaster's decoder to observations; see `Strategy`. Raises `EmptyDataError` for too short a record."""
    model = forecaster.model
    first, last = observations.time[0], observations.time[-1]
    length = min(config.window_days, forecaster.assimilation.window_days or config.window_days)
    count = int((last - first) // length)
    if count < 2:
        raise EmptyDataError(
            f"{observations.span()}: transfer wants at least two windows of {length:g} days, one of them held out; "
            "give a longer record or set transfer.window_days lower"
        )
    ends = [first + (i + 1) * length for i in range(count)]
    fitted = [end for i, end in enumerate(ends) if i % HELD_OUT != HELD_OUT - 1][
        : count if count >= HELD_OUT else count - 1
    ]
    held = [end for end in ends if end not in fitted]
    weights = model.decoder.modulation()
    origin = [w.detach().clone() for w in weights]
    generator = torch.Generator().manual_seed(seed)
    score = _score(forecaster, observations, held, length)
    before, best, kept, rounds = score, score, origin, [score]
    for turn in range(config.rounds):
        samples = [s for end in fitted for s in _samples(forecaster, observations, end, length)]
        if not samples:
            raise EmptyDataError("no observation of the record lies in the model's domain; nothing can be transferred")
        _fit(model, samples, origin, config, generator)
        score = _score(forecaster, observations, held, length)
        rounds.append(score)
        if score < best:
            best, kept = score, [w.detach().clone() for w in weights]
        report(turn + 1, config.rounds)
    with torch.no_grad():
        for weight, value in zip(weights, kept, strict=True):
            weight.copy_(value)
    return Transferred(before, best, rounds)


@torch.no_grad()
def _samples(forecaster: Forecaster, observations: Observations, end: float, length: float) -> list[_Sample]:
    """The observations of one window with their smoothed codes, chart by chart."""
    model = forecaster.model
    inside = (observations.time >= end - length) & (observations.time <= end)
    if not inside.any():
        return []
    seen = observations.select(np.flatnonzero(inside))
    analysis = forecaster.analyse_observations(seen, end, length)
    assert analysis.nodes is not None
    assert analysis.window is not None
    made = []
    for chart, window in enumerate(analysis.window):
        rows = rows_of_chart(model, chart, seen, analysis.nodes, forecaster.assimilation.default_error)
        if not len(rows):
            continue
        codes = rows.along(window.mean[:, : model.dynamics.code_size])
        offset = rows.innovation + rows.offset
        made.append(_Sample(rows.coordinates, rows.channel, offset, rows.variance, codes))
    return made


def _fit(
    model: OceanModel, samples: list[_Sample], origin: list[Tensor], config: TransferConfig, generator: torch.Generator
) -> None:
    """Adam on the modulation with codes held: the misfit per observation plus the pull to the simulated weights."""
    weights = model.decoder.modulation()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    joined = _Sample(*(torch.cat([getattr(s, name) for s in samples]) for name in _Sample.__dataclass_fields__))
    optimiser = torch.optim.Adam(weights, config.learning_rate)
    spread = [w.square().mean().sqrt().clamp_min(1e-6) for w in origin]
    for _ in range(config.steps):
        chosen = torch.randint(len(joined.target), (min(BATCH, len(joined.target)),), generator=generator)
        values = values_at_points(model.decoder, joined.coordinates[chosen], joined.codes[chosen])
        fitted = values[torch.arange(len(chosen)), joined.channel[chosen]]
        misfit = ((joined.target[chosen] - fitted).square() / joined.variance[chosen]).mean()
        pull = sum(((w - o) / s).square().mean() for w, o, s in zip(weights, origin, spread, strict=True))
        loss = misfit + config.pull * pull
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    for parameter in model.parameters():
        parameter.requires_grad_(True)


@torch.no_grad()
def _score(forecaster: Forecaster, observations: Observations, ends: list[float], length: float) -> float:
    """Mean squared misfit over variance of the last fifth of held-out windows, forecast from their first part."""
    model = forecaster.model
    total, count = 0.0, 0
    for end in ends:
        split = end - 0.2 * length
        early = (observations.time >= end - length) & (observations.time <= split)
        late = (observations.time > split) & (observations.time <= end)
        if not early.any() or not late.any():  # a gap in the record: there is nothing to judge by
            continue
        analysis = forecaster.analyse_observations(observations.window(end - length, split), split, 0.8 * length)
        future = observations.window(np.nextafter(split, np.inf), end)
        nodes = np.linspace(split, end, max(2, int(np.ceil(end - split)) + 1))
        latent = forecaster.forecast_latent(analysis, nodes, spread=False)
        for chart in range(len(model.cover.charts)):
            rows = rows_of_chart(model, chart, future, nodes, forecaster.assimilation.default_error)
            if not len(rows):
                continue
            codes = rows.along(latent.codes[:, chart])
            rows = rows.about(codes)
            predicted = (rows.operator * codes).sum(-1)
            total += float(((rows.innovation - predicted).square() / rows.variance).sum())
            count += len(rows)
    return total / count if count else float("inf")
