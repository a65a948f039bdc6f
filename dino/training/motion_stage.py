"""The motion of codes as a stage of training: rounds of expectation-maximisation, kept where held-out days say so.

Every ridge has rounds of its own, from the codes that relax. After its last round the forecasts of the held-out days
are compared with those of relaxing codes; the ridge whose errors are smallest is kept, if they are smaller by
`CLEARLY`. Held-out days are none that anything was learned from, and none that a user scores.
"""

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from ..model import LatentModel
from ..numerics.parallel import ALONE, Group
from .motion import Scene, maximised, moving, relaxed_step, smoothed_moments
from .motion_misfits import forecast_misfits

RIDGES, ROUNDS = (1600.0, 400.0, 100.0), 3
STARTS = 4  # of forecasts of the held-out days
CLEARLY = 0.98  # of the relaxing codes' error: what is not below is chance


class Motion(nn.Module):
    """What the stage leaves: the fitted model it began with, to be saved beside it, and a generator of scaled codes."""

    generator: Tensor

    def __init__(self, fitted: nn.Module, code_size: int) -> None:
        super().__init__()
        self.fitted = fitted
        self.register_buffer("generator", torch.zeros(code_size, code_size, dtype=torch.float64))


class MotionStage:
    """Rounds of `training.motion`; see `Stage`. Nothing descends: optimiser and schedule are there for the loop.

    latent : the fitted model whose codes relax; span : days at which the record begins, its held-out part begins, and
    it ends; days : of a window; leads : days ahead that forecasts are compared
    """

    name = "motion"
    steps, check_every = len(RIDGES) * ROUNDS, ROUNDS

    def __init__(
        self,
        model: Motion,
        latent: LatentModel,
        scene: Scene,
        span: tuple[float, float, float],
        days: float,
        leads: int,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.latent, self.scene = model, copy.deepcopy(latent).double().eval(), scene
        self.span, self.days, self.generator, self.group = span, days, generator, group
        self.leads = max(1, min(leads, math.ceil(span[2] - span[1])))
        self.relaxed = relaxed_step(self.latent, scene.node_days)
        nothing = nn.Parameter(torch.zeros(1))
        self.optimiser = torch.optim.SGD([nothing], lr=0.0)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda _: 1.0)
        self._still: Tensor | None = None

    def step(self, index: int) -> Tensor:
        """One round; returns minus the evidence of a chart's interval, of the model before the round."""
        first, held, _ = self.span
        before = self.latent if index % ROUNDS == 0 else moving(self.latent, self.model.generator)
        moments, evidence = smoothed_moments(before, self.scene, first, held, self.days, self.group)
        made = maximised(moments, self.relaxed, RIDGES[index // ROUNDS], self.scene.node_days)
        self.model.generator.copy_(made)
        return -evidence / max(moments.count, 1)

    def validate(self) -> float:
        """The error of forecasts of the held-out days over that of codes that relax, the mean of the leads."""
        still = self._still = self._misfits(self.latent) if self._still is None else self._still
        made = self._misfits(moving(self.latent, self.model.generator))
        known = still[:, 1] > 0
        ratio = (made[known, 0] / still[known, 0]).sqrt()
        return float(ratio.mean()) if len(ratio) else 1.0

    def _misfits(self, latent: LatentModel) -> Tensor:
        _, held, last = self.span
        starts = np.linspace(held, last, STARTS + 1)[:-1].tolist()
        return forecast_misfits(latent, self.scene, starts, self.days, self.leads, self.group)
