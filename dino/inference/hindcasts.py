"""What forecasts from earlier maps of the same sea were worth: the dynamics, the last map held still, half its trend.

Dynamics know the seas and weeks that they were learned from. Elsewhere they may run too fast, or end the rise of a
season within days, and one of the simplest forecasts is better. Which one is, shows in the maps before a start:
forecasts are made from them, and compared with the maps after, as far as these are known.

All is done chart by chart, at some cells of each and in its own units: what a chart learns depends on its own maps
alone, and a forecast in chunks is that of one piece.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..model import LatentModel, Ocean
from ..numerics.modes import without_gradients
from ..space.decoders import bases, fields
from .maps import HISTORY_MAPS, EncodedMaps, Record

TREND_DAYS = 5.0  # over which a recent trend is taken, as the baseline of that name does
KNOTS = 6
FARTHEST = 30.0  # a chart's spreads that the dynamics are taken to have moved, where they blow up
BLOWN_UP = 1e9  # of a code
BLOCK_NUMBERS = 2**24  # of states, histories and values of hindcasts that are made side by side


class Hindcasts(NamedTuple):
    """Changes from the last map in hindcasts.

    leads : (knot,) days; count : (knot,) hindcasts of each
    products : (knot, chart, 3, 3) means over hindcasts and cells of the products of what happened, what the dynamics
    made and half the trend; zero where nothing is known
    predicted : (knot, chart) mean variance that the errors of training lead to expect, not calibrated
    changed : (knot, chart) mean square of changes between all maps so far apart
    trend : (chart, code) of codes a day, over the last maps
    """

    leads: Tensor
    count: Tensor
    products: Tensor
    predicted: Tensor
    changed: Tensor
    trend: Tensor


@without_gradients
def hindcasts(latent: LatentModel, ocean: Ocean, maps: EncodedMaps) -> Hindcasts | None:
    """Forecasts from the maps before the last against the maps after each; None where there are too few."""
    if maps.record is None:
        return None
    interval = latent.spec.interval_days
    record, window = maps.record.even(interval), min(max(2, int(TREND_DAYS / interval)), HISTORY_MAPS // 2)
    first, frames = max(latent.lags, window - 1), len(record.codes)
    if frames < first + 2:
        return None
    leads = sorted({round(lead) for lead in np.geomspace(1, latent.scored_leads, KNOTS)})
    leads = [lead for lead in leads if lead < frames]
    products, predicted, changed = [], [], []
    charts, size = record.codes.shape[1:]
    values = record.values[0, 0].numel()
    numbers = frames * (latent.lags + 1 + len(leads) * latent.dynamics.order) * (size + values)
    together = max(1, BLOCK_NUMBERS // numbers)
    context = latent.context(ocean)
    for block in range(0, charts, together):
        here = slice(block, block + together)
        part = record.charts(here)
        made = _forecasts(latent, part, context[here] if context.shape[-1] else context, first, leads)
        products.append(_products(part, made, _slopes(part.values, window) / interval, first, leads, interval))
        predicted.append(_predicted(latent, part, leads))
        changed.append(torch.stack([_mean_square(part.values[lead:] - part.values[:-lead]) for lead in leads]))
    trend = _trend(record, window) / interval
    count = [max(frames - first - lead, 0) for lead in leads]
    return Hindcasts(
        leads=record.codes.new_tensor(leads) * interval,
        count=record.codes.new_tensor(count),
        products=torch.cat(products, 1),
        predicted=torch.cat(predicted, 1),
        changed=torch.cat(changed, 1),
        trend=trend,
    )


def _forecasts(latent: LatentModel, record: Record, context: Tensor, first: int, leads: list[int]) -> Tensor:
    """(knot, start, chart, place, channel) from all frames but the last, from `first` on: codes and what they leave."""
    days = record.codes.new_tensor(leads) * latent.spec.interval_days
    histories = _histories(record.codes, latent.lags, first)
    codes = latent.dynamics.codes(latent.integrate(latent.initialiser(histories), days, context))
    # Codes of a record are finite: what is not blew up, and must not be taken for missing.
    codes = codes.nan_to_num(nan=BLOWN_UP).clamp(-BLOWN_UP, BLOWN_UP)
    left = record.values - fields(latent.decoder, record.coordinates, record.codes)
    shape = left.shape[1:]
    remainder = _histories(left.flatten(1).unsqueeze(-1), latent.lags, first).squeeze(-1).movedim(-1, 1)
    carried = latent.forecast_unresolved(remainder, days).movedim(1, 0).unflatten(2, shape)
    made = fields(latent.decoder, record.coordinates, codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    return made + carried


def _histories(x: Tensor, lags: int, first: int) -> Tensor:
    """(start, ..., lags + 1, last) the frames up to each start of x (frame, ..., last)."""
    return x.unfold(0, lags + 1, 1).movedim(-1, -2)[first - lags : -1]


def _products(record: Record, made: Tensor, slopes: Tensor, first: int, leads: list[int], interval: float) -> Tensor:
    """(knot, chart, 3, 3); see `Hindcasts`."""
    starts, slopes = record.values[first:-1], slopes[len(slopes) - len(record.values) + first : -1]
    products = []
    for knot, lead in enumerate(leads):
        known = max(len(starts) - lead + 1, 0)
        happened = record.values[len(record.values) - known :] - starts[:known]
        moved = (made[knot, :known] - starts[:known]).clamp(-FARTHEST, FARTHEST)
        changes = [happened, moved, 0.5 * lead * interval * slopes[:known]]
        stacked = torch.stack(changes, dim=-1).double()
        there = torch.isfinite(stacked).all(-1, keepdim=True)
        stacked = torch.where(there, stacked, 0.0)
        total = there.double().sum((0, 2, 3)).clamp_min(1.0)[..., None]
        products.append(torch.einsum("tcpka,tcpkb->cab", stacked, stacked) / total)
    return torch.stack(products).to(record.codes)


def _predicted(latent: LatentModel, record: Record, leads: list[int]) -> Tensor:
    """(knot, chart) variance by the errors that training measured."""
    errors = [latent.model_error(lead * latent.spec.interval_days) for lead in leads]
    codes, rest = (torch.stack(part) for part in zip(*errors, strict=True))
    _, basis = next(bases(latent.decoder, record.coordinates, record.codes[-1:]))
    explained = basis.modes.square().mean((1, 2)) @ codes.T  # (chart, knot)
    return explained.T + rest.mean(-1, keepdim=True)


def _mean_square(x: Tensor) -> Tensor:
    """(chart,) of x (frame, chart, place, channel), what is known of it; zero where nothing is."""
    return torch.nan_to_num(x.square().nanmean((0, 2, 3)))


def _trend(record: Record, window: int) -> Tensor:
    """(chart, code) slopes a frame over the last frames in which a chart has values; others hold the population."""
    known = torch.isfinite(record.values[-window:]).any(-1).any(-1).to(record.codes)
    codes = record.codes[-window:]
    steps = torch.arange(len(codes), dtype=codes.dtype, device=codes.device)[:, None]
    steps = known * (steps - (known * steps).sum(0) / known.sum(0).clamp_min(1.0))
    return torch.einsum("tc,tck->ck", steps, codes) / steps.square().sum(0).clamp_min(0.5)[:, None]


def _slopes(x: Tensor, window: int) -> Tensor:
    """(time, ...) slopes a frame of the line through every `window` frames of x (frame, ...), by least squares."""
    steps = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    return x.unfold(0, window, 1) @ (steps / steps.square().sum())
