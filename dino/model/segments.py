"""Forecasts of training codes: segments of series integrated in one batch and compared with what followed."""

import torch
from torch import Tensor

from ..data.codes import CodeSeries, field_square, gather_steps
from .latent import LatentModel


def segment_errors(model: LatentModel, store: CodeSeries, series: Tensor, start: Tensor, horizon: int) -> Tensor:
    """Mean squared field error (segment, lead) of forecasts over `horizon` intervals from maps `start` of `series`."""
    history = gather_steps(store.codes, series, start, range(-model.lags, 1))
    target = gather_steps(store.codes, series, start, range(1, horizon + 1))
    forecast = forecast_codes(model, history, horizon, store.context[series])
    metric = store.metric if store.metric.shape[0] == 1 else store.metric[series]
    return field_square(forecast - target, metric)


def forecast_codes(model: LatentModel, history: Tensor, horizon: int, context: Tensor) -> Tensor:
    """Codes (segment, lead, code) at 1..horizon intervals after histories (segment, lag + 1, code)."""
    times = torch.arange(1.0, horizon + 1) * model.spec.interval_days  # on the host, see `integrate`
    states = model.integrate(model.initialiser(history), times, context)
    return model.dynamics.codes(states).movedim(0, 1)
