"""Descent of the quadratic dynamics on the error of forecasts, in coordinates in which that error is nearly round.

Least squares fits one interval at a time, to codes that carry the error of their maps. What is wanted is that forecasts
from one map stay near the maps that follow, for as long as the trajectories last. Coefficients of weak and of strong
modes differ by orders of magnitude in what they do, so that plain descent of them diverges or stands still. With the
Cholesky factor L of the least-squares normal matrix every direction of D in C = L^-T D changes a one-interval forecast
alike, and Adam on D lowers the error of long forecasts in a few hundred steps.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..config import DynamicsConfig
from ..dynamics import QuadraticODE
from ..dynamics.quadratic import quadratic_features
from ..inference.gaussian import cholesky
from ..model import OceanModel
from .collocation import enough_series
from .dynamics_stage import Codes, forecast_codes, forecast_errors, gather_steps
from .normal_equations import normal_equations
from .parallel import ALONE, Group, send

# Relative to features of unit size, as in the fit: what data do not determine is not moved far.
PENALTY = 1e-4
BETAS = (0.9, 0.99)


class WhitenedAdam(torch.optim.Adam):
    """Adam on D in coefficients = start + whitening @ D; the whitening (feature, feature) is kept with its state."""

    def __init__(self, coefficients: nn.Parameter, whitening: Tensor, learning_rate: float) -> None:
        self.coefficients, self.change = coefficients, nn.Parameter(torch.zeros_like(coefficients))
        super().__init__([self.change], learning_rate, betas=BETAS)
        self.param_groups[0]["whitening"] = whitening

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move the coefficients by their gradient."""
        whitening, gradient = self.param_groups[0]["whitening"], self.coefficients.grad
        assert gradient is not None
        self.change.zero_()
        self.change.grad = whitening.mT @ gradient
        super().step()
        self.coefficients.add_(whitening @ self.change)


class DescentStage:
    """Forecasts from random maps of random series over the longest horizon, scored where the maps were seen.

    Processes that train together draw the same segments and forecast their share of them.
    """

    name = "descent"

    def __init__(
        self,
        model: OceanModel,
        training: list[Codes],
        validation: Codes,
        config: DynamicsConfig,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.training, self.validation = model, training, validation
        self.generator, self.group, self.config = generator, group, config
        self.coefficients = cast(QuadraticODE, model.dynamics).coefficients
        whitening = whitening_of(model, training, group)
        self.optimiser = WhitenedAdam(self.coefficients, whitening, config.descent_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.descent_rate, total_steps=config.descent_steps + 1
        )
        self.steps = config.descent_steps
        self.check_every = max(1, self.steps // 16)

    def step(self, index: int) -> Tensor:
        """One step; returns the mean over leads of squared error over that of persistence, on the device."""
        choice = int(torch.randint(len(self.training), (1,), generator=self.generator))
        store = self.training[choice]
        length, device = store.codes.shape[1], store.codes.device
        horizon = min(self.config.horizons[-1], length - 1)
        count = min(max(1, self.config.segments_per_step // horizon), len(store.codes))
        series = torch.randperm(len(store.codes), generator=self.generator)[:count]
        start = torch.randint(length - horizon, (count,), generator=self.generator)
        mine = self.group.share(count)
        series, start = send(series[mine], device), send(start[mine], device)
        history = gather_steps(store.codes, series, start, range(1))
        target = gather_steps(store.codes, series, start, range(1, horizon + 1))
        context, amplitude = store.context[series], store.amplitude[series, None]
        wrong = forecast_codes(self.model, history, horizon, context, amplitude) - target
        metric = store.metric if store.metric.shape[0] == 1 else store.metric[series]
        square = ((wrong @ metric) * wrong).sum(-1).sum(0) / count
        loss = (square / store.persistence[:horizon]).mean()
        self.coefficients.grad = None
        loss.backward()
        loss = loss.detach()
        self.group.sum_gradients_([self.coefficients], loss)
        self.optimiser.step()
        self.schedule.step()
        return loss

    @torch.no_grad()
    def validate(self) -> float:
        """The same for every held-out start."""
        error, change = forecast_errors(self.model, self.validation, self.config.horizons[-1])
        return float((error / change).mean())


@torch.no_grad()
def whitening_of(model: OceanModel, training: list[Codes], group: Group) -> Tensor:
    """(feature, feature) L^-T of the penalised normal matrix L L' of features as they are."""
    dynamics = cast(QuadraticODE, model.dynamics)
    spread = torch.cat([codes.codes.flatten(0, 1) for codes in training]).square().mean(0).sqrt().clamp_min(1e-6)
    size = quadratic_features(spread, dynamics.pairs)
    equations = normal_equations(model, enough_series(training, dynamics.feature_count), size, group, first=False)
    normal = equations.gram / equations.count.clamp_min(1)
    normal.diagonal().add_(PENALTY * equations.weight)
    factor = cholesky(normal)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    whitening = torch.linalg.solve_triangular(factor, identity, upper=False).mT.contiguous()
    whitening[0] -= whitening[equations.squares].sum(0)  # the equations are in squares less one
    return (whitening / size.double()[:, None]).to(dynamics.coefficients)
