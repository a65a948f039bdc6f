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
from ..data.codes import CodeSeries
from ..dynamics import QuadraticODE
from ..dynamics.quadratic import quadratic_features
from ..model import LatentModel
from ..model.segments import segment_errors
from ..numerics.gaussian import cholesky
from ..numerics.parallel import ALONE, Group, draw_store, send
from .collocation import enough_series, spread_of, validation_error
from .normal_equations import normal_equations

# Relative to features of unit size, as in the fit: what data do not determine is not moved far.
PENALTY = 1e-4
BETAS = (0.9, 0.99)


class WhitenedAdam(torch.optim.Adam):
    """Adam on D in coefficients = start + whitening @ D.

    The whitening (feature, feature) is to be set before the first step and is kept with the state: it belongs to the
    start, which a stage that is resumed has left.
    """

    def __init__(self, coefficients: nn.Parameter, learning_rate: float) -> None:
        self.coefficients, self.change = coefficients, nn.Parameter(torch.zeros_like(coefficients))
        super().__init__([self.change], learning_rate, betas=BETAS)
        self.param_groups[0]["whitening"] = None

    @property
    def whitening(self) -> Tensor | None:
        """(feature, feature), None until it is set."""
        return self.param_groups[0]["whitening"]

    @whitening.setter
    def whitening(self, value: Tensor) -> None:
        self.param_groups[0]["whitening"] = value

    def load_state_dict(self, state_dict: dict) -> None:
        """Take a state from any device: torch moves the moments to that of the coefficients, but no settings."""
        super().load_state_dict(state_dict)
        if self.whitening is not None:
            self.whitening = self.whitening.to(self.coefficients.device)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move the coefficients by their gradient."""
        whitening, gradient = self.whitening, self.coefficients.grad
        assert whitening is not None
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
        model: LatentModel,
        training: list[CodeSeries],
        validation: CodeSeries,
        config: DynamicsConfig,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.training, self.validation = model, training, validation
        self.generator, self.group, self.config = generator, group, config
        self.coefficients = cast(QuadraticODE, model.dynamics).coefficients
        self.shares = torch.tensor([codes.share for codes in training])
        self.optimiser = WhitenedAdam(self.coefficients, config.descent_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.descent_rate, total_steps=config.descent_steps + 1
        )
        self.steps = config.descent_steps
        self.check_every = max(1, self.steps // 16)

    def step(self, index: int) -> Tensor:
        """One step; returns the mean over leads of squared error over that of persistence, on the device."""
        if self.optimiser.whitening is None:
            self.optimiser.whitening = whitening_of(self.model, self.training, self.group)
        store = self.training[draw_store(self.shares, self.generator)]
        length, device = store.codes.shape[1], store.codes.device
        horizon = min(self.config.horizons[-1], length - 1)
        count = min(max(1, self.config.segments_per_step // horizon), len(store.codes))
        series = torch.randperm(len(store.codes), generator=self.generator)[:count]
        start = torch.randint(length - horizon, (count,), generator=self.generator)
        mine = self.group.share(count)
        series, start = send(series[mine], device), send(start[mine], device)
        square = segment_errors(self.model, store, series, start, horizon)
        loss = (square.sum(0) / count / store.persistence[:horizon]).mean()
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
        return validation_error(self.model, self.validation)


@torch.no_grad()
def whitening_of(model: LatentModel, training: list[CodeSeries], group: Group) -> Tensor:
    """(feature, feature) L^-T of the penalised normal matrix L L' of features as they are."""
    dynamics = cast(QuadraticODE, model.dynamics)
    size = quadratic_features(spread_of(training), dynamics.pairs)
    equations = normal_equations(model, enough_series(training, dynamics.feature_count), size, group, first=False)
    normal = equations.gram / equations.count.clamp_min(1)
    normal.diagonal().add_(PENALTY * equations.weight)
    factor = cholesky(normal)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    whitening = torch.linalg.solve_triangular(factor, identity, upper=False).mT.contiguous()
    whitening[0] -= whitening[equations.squares].sum(0)  # the equations are in squares less one
    return (whitening / size.double()[:, None]).to(dynamics.coefficients)
