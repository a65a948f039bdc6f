"""The dynamics stage: latent ODEs by vectorised multiple shooting, all in code space."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import DynamicsConfig
from ..data.codes import CodeSeries, field_square, gather_steps
from ..model import LatentModel
from ..model.segments import forecast_codes, segment_errors
from ..numerics.parallel import ALONE, Group, draw_store, send

log = logging.getLogger(__name__)

UNRESOLVED_CELLS = 64
SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.0)  # of what a network adds, tried on held-out data


class DynamicsStage:
    """AdamW on forecast error from random starts, with horizons that lengthen stage by stage.

    Processes that train together draw the same segments and forecast their share of them.
    """

    name = "dynamics"

    def __init__(
        self,
        model: LatentModel,
        training: list[CodeSeries],
        validation: CodeSeries,
        config: DynamicsConfig,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.training, self.validation, self.config = model, training, validation, config
        self.generator, self.group = generator, group
        modules = (model.dynamics, model.initialiser, model.unresolved_dynamics, model.unresolved_initialiser)
        network = getattr(model.dynamics, "network", None)
        network = list(network.parameters()) if isinstance(network, torch.nn.Module) else []
        inside = {id(p) for p in network}
        linear = [p for module in modules for p in module.parameters() if id(p) not in inside and p.numel()]
        groups = [{"params": linear, "weight_decay": 0.0, "lr": 10 * config.learning_rate}]
        if network:
            groups.append({"params": network, "weight_decay": config.weight_decay, "lr": config.learning_rate})
        self.parameters = linear + network
        self.optimiser = torch.optim.AdamW(groups)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, [g["lr"] for g in groups], total_steps=config.steps + 1
        )
        self.shares = torch.tensor([c.share for c in training])
        self.steps = config.steps
        if group.leads:
            self._warn_of_short_records()
        self.check_every = max(1, config.steps // 16)

    def _warn_of_short_records(self) -> None:
        """Say once what becomes of horizons that a record is too short for."""
        longest = self.config.horizons[-1]
        lengths = [store.codes.shape[1] - self.model.lags - 1 for store in self.training]
        if min(lengths) < longest:
            log.warning(
                "dynamics.horizons asks for %d frames; %d of %d training records are shorter and train up to %d",
                longest, sum(length < longest for length in lengths), len(lengths), min(lengths),
            )  # fmt: skip

    def horizon(self, index: int) -> int:
        """Frames forecast at a step: the configured horizons share the steps equally."""
        stages = self.config.horizons
        return stages[min(index * len(stages) // self.steps, len(stages) - 1)]

    def step(self, index: int) -> Tensor:
        """One step on random segments of one store; returns the weighted mean squared error, on the device."""
        store = self.training[draw_store(self.shares, self.generator)]
        horizon = min(self.horizon(index), store.codes.shape[1] - self.model.lags - 1)
        loss, unresolved = self._losses(store, horizon, max(1, self.config.segments_per_step // horizon))
        self.optimiser.zero_grad(set_to_none=True)
        (loss + unresolved).backward()
        loss = loss.detach()
        self.group.sum_gradients_(self.parameters, loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return loss

    def _losses(self, store: CodeSeries, horizon: int, count: int) -> tuple[Tensor, Tensor]:
        """What this rank's share of `count` random segments contributes to the errors of codes and of the rest."""
        lags, mine, device = self.model.lags, self.group.share(count), store.codes.device
        series = torch.randint(store.codes.shape[0], (count,), generator=self.generator)
        start = torch.randint(lags, store.codes.shape[1] - horizon, (count,), generator=self.generator)
        series, start = send(series[mine], device), send(start[mine], device)
        square = segment_errors(self.model, store, series, start, horizon)
        loss = (square.sum(0) / count * self._lead_weight(store, horizon)).mean()
        return loss, self._unresolved_loss(store, series, start, horizon, count)

    def _lead_weight(self, store: CodeSeries, horizon: int) -> Tensor:
        change = store.persistence[:horizon]
        return 1.0 / change

    def _unresolved_loss(self, store: CodeSeries, series: Tensor, start: Tensor, horizon: int, count: int) -> Tensor:
        cells = torch.randint(store.unresolved.shape[-1], (UNRESOLVED_CELLS,), generator=self.generator)
        cells = send(cells, series.device)  # of the segments alone: the whole record at some cells is large
        history = gather_steps(store.unresolved, series, start, range(-self.model.lags, 1))[..., cells]
        target = gather_steps(store.unresolved, series, start, range(1, horizon + 1))[..., cells]
        forecast = self.model.forecast_unresolved(
            history, torch.arange(1.0, horizon + 1) * self.model.spec.interval_days
        )
        number = count * horizon * UNRESOLVED_CELLS
        persistence = (target - history[:, -1:]).square().sum() / number
        self.group.sum_([persistence])
        return (forecast - target).square().sum() / number / persistence.clamp_min(1e-12)

    def validate(self) -> float:
        """`held_out_error` of the validation data."""
        return held_out_error(self.model, self.validation, self.config)


def held_out_error(model: LatentModel, validation: CodeSeries, config: DynamicsConfig) -> float:
    """Mean over leads of squared forecast error over squared persistence error, from every held-out start."""
    error, change = forecast_errors(model, validation, config.horizons[-1])
    return float((error / change).mean())


@torch.no_grad()
def shrink_network(model: LatentModel, validation: CodeSeries, config: DynamicsConfig) -> list[float]:
    """Scale the network's last layer by the one of SHARES that forecasts held-out data best; the errors of all of them.

    A network that has learned from one month of maps is too sure of what it adds to the linear part, most of all in
    seas that vary more than any it has seen.
    """
    network = getattr(model.dynamics, "network", None)
    if not isinstance(network, torch.nn.Sequential):
        return [held_out_error(model, validation, config)]
    last = list(network[-1].parameters())
    whole, errors = [parameter.clone() for parameter in last], []

    def scale(share: float) -> None:
        for parameter, full in zip(last, whole, strict=True):
            parameter.copy_(share * full)

    for share in SHARES:
        scale(share)
        errors.append(held_out_error(model, validation, config))
    scale(SHARES[errors.index(min(errors))])
    return errors


@torch.no_grad()
def forecast_errors(model: LatentModel, data: CodeSeries, horizon: int) -> tuple[Tensor, Tensor]:
    """Mean squared field error of forecasts and of persistence (lead,), over all starts with history and future."""
    segments = all_segments(model, data, horizon)
    metric = data.metric if data.metric.shape[0] == 1 else data.metric[segments.series]
    wrong = field_square(segments.forecast - segments.target, metric)
    moved = field_square(segments.history[:, -1:] - segments.target, metric)
    return segments.mean(wrong).cpu(), segments.mean(moved).cpu()


@dataclass(frozen=True)
class Segments:
    """Forecasts from every start of every series that has the history and at least one map after it.

    series, start : (segment,); history : (segment, lag + 1, code); forecast, target : (segment, lead, code), the
    target repeating its last map where `known` (segment, lead) is false because the record has ended
    """

    series: Tensor
    start: Tensor
    history: Tensor
    forecast: Tensor
    target: Tensor
    known: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Means (lead, ...) of values (segment, lead, ...) over what is known."""
        known = self.known.view(*self.known.shape, *[1] * (values.dim() - 2)).to(values)
        return (values * known).sum(0) / known.sum(0)


@torch.no_grad()
def all_segments(model: LatentModel, data: CodeSeries, horizon: int) -> Segments:
    """Forecast from every start at once; leads that no start can verify are left out."""
    count, length = data.codes.shape[:2]
    horizon = min(horizon, length - model.lags - 1)
    starts = torch.arange(model.lags, length - 1, device=data.codes.device)
    series = torch.arange(count, device=data.codes.device).repeat_interleave(len(starts))
    start = starts.repeat(count)
    leads = torch.arange(1, horizon + 1, device=data.codes.device)
    after = start[:, None] + leads
    history = gather_steps(data.codes, series, start, range(-model.lags, 1))
    forecast = forecast_codes(model, history, horizon, data.context[series])
    target = data.codes[series[:, None], after.clamp_max(length - 1)]
    return Segments(series, start, history, forecast, target, after < length)
