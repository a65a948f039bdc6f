"""What the trained dynamics get wrong, measured on held-out data: the model error of forecasts and assimilation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.codes import CodeSeries, gather_steps
from ..model import LEADS, LatentModel
from .dynamics_stage import Segments, all_segments

SEGMENTS = 2048  # forecasts looked at together


@torch.no_grad()
def state_population(model: LatentModel, training: list[CodeSeries]) -> Tensor:
    """(state, state) second moment of initial states over the training data, codes and derivatives jointly."""
    total, count = torch.zeros_like(model.state_covariance, dtype=torch.float64), 0
    for data in training:
        for start in range(model.lags, data.codes.shape[1]):
            states = model.initialiser(data.codes[:, start - model.lags : start + 1]).double()
            total += states.T @ states
            count += len(states)
    size = model.dynamics.code_size
    covariance = total / max(count, 1)
    # The code block is the population learned with its gaps accounted for; the sample gives the rest.
    scale = torch.ones(len(covariance), dtype=torch.float64, device=covariance.device)
    scale[:size] = (model.code_variance.double() / covariance.diagonal()[:size].clamp_min(1e-12)).sqrt()
    covariance = covariance * scale[:, None] * scale[None, :]
    diagonal = covariance.diagonal().clone()
    # Shrink correlations a little: a few thousand samples do not carry a full matrix of this size exactly.
    covariance = 0.9 * covariance + 0.1 * torch.diag(diagonal)
    return (covariance + 1e-6 * torch.diag(diagonal.clamp_min(1e-9))).to(model.state_covariance)


@torch.no_grad()
def measure_model_error(model: LatentModel, validation: CodeSeries) -> None:
    """Fill the model's error statistics from every held-out start; later leads continue the last growth."""
    # No further: a few starts of a short record would speak for all.
    reach = model.scored_leads
    squared, rest, cells, known, jump = (torch.zeros((), dtype=torch.float64, device=model.code_variance.device),) * 5
    starts = 0
    for part in _some_at_a_time(validation):
        segments = all_segments(model, part, reach)
        known = known + segments.known.double().sum(0)
        missed = (segments.forecast - segments.target).double().square() * segments.known[..., None]
        squared = squared + missed.sum(0)
        rest = rest + (_unresolved_errors(model, part, segments) * segments.known[..., None]).sum(0)
        there = _known_cells(part.unresolved, model)[segments.series]
        cells = cells + (there[:, None] * segments.known[..., None]).sum(0)
        jumps = _state_jumps(model, part, segments)
        jump, starts = jump + jumps.T @ jumps, starts + len(jumps)
    squared, rest = squared / known[:, None], rest / cells.clamp_min(1)
    model.process_noise.copy_(shrunk(jump / starts, model) / model.spec.interval_days)
    left = _by_channel(validation.unresolved.double().square(), model).sum((0, 1))
    cells = _known_cells(validation.unresolved, model).sum(0) * validation.unresolved.shape[1]
    model.unresolved_variance.copy_(left / cells.clamp_min(1))
    model.lead_error.copy_(_extend(squared, LEADS).to(model.lead_error))
    model.unresolved_error.copy_(_extend(rest, LEADS).to(model.unresolved_error))


def _some_at_a_time(data: CodeSeries) -> Iterator[CodeSeries]:
    """Series whose forecasts from all starts are looked at together: those of all would be many times the codes."""
    series = max(1, SEGMENTS // data.codes.shape[1])
    for first in range(0, len(data.codes), series):
        yield data.subset(slice(first, first + series))


def _unresolved_errors(model: LatentModel, data: CodeSeries, segments: Segments) -> Tensor:
    """(segment, lead, channel) squared errors of forecasts of what the codes leave, their sums over cells."""
    history = gather_steps(data.unresolved, segments.series, segments.start, range(-model.lags, 1))
    reach = segments.forecast.shape[1]
    leads = torch.arange(1.0, reach + 1) * model.spec.interval_days
    after = segments.start[:, None] + torch.arange(1, reach + 1, device=segments.start.device)
    target = data.unresolved[segments.series[:, None], after.clamp_max(data.unresolved.shape[1] - 1)]
    return _by_channel((model.forecast_unresolved(history, leads) - target).double().square(), model)


def _by_channel(squares: Tensor, model: LatentModel) -> Tensor:
    """(..., channel) sums over cells of values (..., value): fields of one channel are finer than those of another."""
    return squares.unflatten(-1, (-1, model.spec.channels)).sum(-2)


def _known_cells(unresolved: Tensor, model: LatentModel) -> Tensor:
    """(series, channel) cells with values, of what codes leave (series, time, value): land is zero at all times."""
    return _by_channel((unresolved != 0).any(1).double(), model)


def _state_jumps(model: LatentModel, data: CodeSeries, segments: Segments) -> Tensor:
    """(segment, state) states forecast over one interval less those initialised then.

    A code that jumps takes its tendency along: without that correlation a filter reads old motion as a lasting trend.
    """
    series, start = segments.series, segments.start
    after = model.initialiser(gather_steps(data.codes, series, start, range(-model.lags + 1, 2)))
    interval = torch.tensor([model.spec.interval_days])
    before = model.initialiser(segments.history)
    return (model.integrate(before, interval, data.context[series])[0] - after).double()


def shrunk(covariance: Tensor, model: LatentModel) -> Tensor:
    """Correlations between modes halved, as the population's are shrunk: they are noise in a sample of this size."""
    blocks = torch.eye(model.dynamics.code_size, device=covariance.device, dtype=covariance.dtype).repeat(
        *[model.dynamics.order] * 2
    )
    return covariance * (0.5 + 0.5 * blocks)


def _extend(measured: Tensor, length: int) -> Tensor:
    """Errors after 0, 1, ... intervals from those after 1, 2, ...: zero at the start, growing on at the end."""
    rows = torch.cat([torch.zeros_like(measured[:1]), measured])[:length]
    growth = (rows[-1] - rows[-2]).clamp_min(0) if len(rows) > 1 else torch.zeros_like(rows[0])
    extra = torch.arange(1, length - len(rows) + 1, device=rows.device)[:, None] * growth + rows[-1]
    return torch.cat([rows, extra])
