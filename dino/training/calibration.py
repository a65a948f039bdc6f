"""What the trained dynamics get wrong, measured on held-out data: the model error of forecasts and assimilation."""

import torch
from torch import Tensor

from ..dynamics import integrate
from ..model import LEADS, OceanModel
from .dynamics_stage import Codes, Segments, all_segments, forecast_unresolved, gather_steps


@torch.no_grad()
def state_population(model: OceanModel, training: list[Codes]) -> Tensor:
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
def measure_model_error(model: OceanModel, validation: Codes) -> None:
    """Fill the model's error statistics from every held-out start; later leads continue the last growth."""
    # Half as far again as training looked: beyond, a few starts of a short record would speak for all.
    reach = min(LEADS - 1, round(1.5 * model.spec.dynamics.horizons[-1]))
    segments = all_segments(model, validation, reach)
    squared = segments.mean((segments.forecast - segments.target).double().square())
    reach = segments.forecast.shape[1]
    history = gather_steps(validation.unresolved, segments.series, segments.start, range(-model.lags, 1))
    leads = torch.arange(1.0, reach + 1) * model.spec.interval_days
    after = segments.start[:, None] + torch.arange(1, reach + 1, device=segments.start.device)
    last = validation.unresolved.shape[1] - 1
    target = validation.unresolved[segments.series[:, None], after.clamp_max(last)]
    rest = segments.mean((forecast_unresolved(model, history, leads) - target).double().square().mean(-1))
    model.process_noise.copy_(_state_jump(model, validation, segments) / model.spec.interval_days)
    model.unresolved_variance.fill_(float(validation.unresolved.square().mean()))
    model.lead_error.copy_(_extend(squared, LEADS).to(model.lead_error))
    unresolved = _extend(rest[:, None], LEADS).to(model.unresolved_error)
    model.unresolved_error.copy_(unresolved.expand_as(model.unresolved_error))


def _state_jump(model: OceanModel, data: Codes, segments: Segments) -> Tensor:
    """(state, state) covariance of the difference between states forecast over one interval and initialised then.

    A code that jumps takes its tendency along: without that correlation a filter reads old motion as a lasting trend.
    """
    series, start = segments.series, segments.start
    after = model.initialiser(gather_steps(data.codes, series, start, range(-model.lags + 1, 2)))
    right = model.dynamics.bind(data.context[series], data.amplitude[series, None])
    interval = torch.tensor([model.spec.interval_days])
    before = model.initialiser(segments.history)
    forecast = integrate(right, before, interval, model.spec.dynamics.method, model.step_days)[0]
    jump = (forecast - after).double()
    covariance = jump.T @ jump / len(jump)
    # Shrunk as the population is: correlations between modes are noise in a sample of this size.
    blocks = torch.eye(model.dynamics.code_size, device=jump.device, dtype=jump.dtype).repeat(
        *[model.dynamics.order] * 2
    )
    return covariance * (0.5 + 0.5 * blocks)


def _extend(measured: Tensor, length: int) -> Tensor:
    """Errors after 0, 1, ... intervals from those after 1, 2, ...: zero at the start, growing on at the end."""
    rows = torch.cat([torch.zeros_like(measured[:1]), measured])[:length]
    growth = (rows[-1] - rows[-2]).clamp_min(0) if len(rows) > 1 else torch.zeros_like(rows[0])
    extra = torch.arange(1, length - len(rows) + 1, device=rows.device)[:, None] * growth + rows[-1]
    return torch.cat([rows, extra])
