"""The field stage: train the decoder with the codes projected out."""

import torch
from torch import Tensor

from ..config import FieldConfig
from ..model import OceanModel
from .series import Series
from .variable_projection import Projection, project, project_by_steps

# Maps and points at which a decoder that is not affine is validated, and iterations for their codes.
CHECKED_FRAMES, CHECKED_POINTS, CHECKED_ITERATIONS = 64, 1024, 8


class FieldStage:
    """Adam on the variable-projection objective; one step draws groups of maps from one store."""

    name = "field"

    def __init__(
        self,
        model: OceanModel,
        training: list[Series],
        validation: Series,
        config: FieldConfig,
        generator: torch.Generator,
    ) -> None:
        self.model, self.training, self.validation, self.config = model, training, validation, config
        self.generator = generator
        self.parameters = list(model.decoder.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.steps + 1
        )
        self.shares = torch.tensor([s.share for s in training])
        self.steps = config.steps
        self.check_every = max(1, config.steps // 10)

    def step(self, index: int) -> float:
        """One optimiser step; returns the mean squared residual."""
        store = self.training[_draw(self.shares, self.generator)]
        values, weights = draw_frames(store, self.config, self.generator)
        result = self._project(store, values, weights)
        self.optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return float(result.residual.detach())

    @torch.no_grad()
    def validate(self) -> float:
        """Mean squared residual on held-out maps, relative to the training anomalies."""
        decoder = self.model.decoder
        if not decoder.is_affine:
            return self._validate_some()
        basis = decoder.linearise(self.validation.coordinates, self.model.code_prior.mean[None])
        total = count = 0.0
        for series in range(self.validation.count):
            values = self.validation.values[series : series + 1]
            weights = self.validation.weights[series : series + 1]
            result = project(basis, values, weights, self.config.ridge)
            total += float(result.residual * weights.sum())
            count += float(weights.sum())
        return total / count

    def _project(self, store: Series, values: Tensor, weights: Tensor) -> Projection:
        """The codes' exact solution, or a few Gauss-Newton iterations at random points (see `project_by_steps`)."""
        decoder, config = self.model.decoder, self.config
        if decoder.is_affine:
            basis = decoder.linearise(store.coordinates, self.model.code_prior.mean[None])
            return project(basis, values, weights, config.ridge)
        chosen = torch.randperm(len(store.coordinates), generator=self.generator)[: config.points_per_map]
        chosen = chosen.to(values.device)
        part = (store.coordinates[chosen], values[:, :, chosen], weights[:, chosen])
        return project_by_steps(decoder, *part, config.ridge, config.inner_iterations)

    def _validate_some(self) -> float:
        """`validate` on maps spread over the held-out ones, at random points that are always the same."""
        held, generator = self.validation, torch.Generator().manual_seed(0)
        device = held.values.device
        chosen = torch.randperm(len(held.coordinates), generator=generator)[:CHECKED_POINTS].to(device)
        total = held.count * len(held.times)
        frames = torch.linspace(0, total - 1, min(CHECKED_FRAMES, total), device=device).long()
        series, time = frames // len(held.times), frames % len(held.times)
        values = held.values[series, time][:, None, chosen]
        weights = held.weights[series][:, chosen]
        part = (held.coordinates[chosen], values, weights)
        return float(project_by_steps(self.model.decoder, *part, self.config.ridge, CHECKED_ITERATIONS).residual)


def draw_frames(store: Series, config: FieldConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random maps (group, frame, point, channel) of random series and their weights (group, point, channel).

    Series with the same weights everywhere (trajectories of one grid) form a single group: one factorisation for all.
    """
    device = store.values.device
    times = store.values.shape[1]
    if bool((store.weights == store.weights[:1]).all()):
        series = torch.randint(store.count, (1, config.frames_per_step), generator=generator).to(device)
        frame = torch.randint(times, (1, config.frames_per_step), generator=generator).to(device)
        return store.values[series, frame], store.weights[:1]
    groups = min(config.groups_per_step, store.count)
    series = torch.randperm(store.count, generator=generator)[:groups, None].to(device)
    frame = torch.randint(times, (groups, max(1, config.frames_per_step // groups)), generator=generator).to(device)
    return store.values[series, frame], store.weights[series[:, 0]]


def _draw(shares: Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(shares, 1, generator=generator)) if len(shares) > 1 else 0
