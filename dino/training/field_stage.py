"""The field stage: train the decoder with the codes projected out."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ..config import FieldConfig
from ..data.series import Series
from ..data.streamed import StreamedSeries
from ..inference import solves_at_once
from ..model import LatentModel
from ..numerics.parallel import ALONE, Group, draw_store, send
from ..space.decoders import FourierDecoder, common_form
from .apart import masks, parts_of
from .variable_projection import Projection, project, project_by_steps

# Maps and points at which a decoder that is not affine is validated, and iterations for their codes.
CHECKED_FRAMES, CHECKED_POINTS, CHECKED_ITERATIONS = 64, 1024, 8


class FieldStage:
    """Adam on the variable-projection objective; one step draws groups of maps from one store.

    Processes that train together draw the same maps. Of an affine decoder each takes its share of the points, and
    evaluates the modes there alone; of another decoder its share of the maps, whose codes are found one by one.
    """

    name = "field"

    def __init__(
        self,
        model: LatentModel,
        training: Sequence[Series | StreamedSeries],
        validation: Series,
        config: FieldConfig,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.validation, self.config, self.group = model, validation, config, group
        self.generator = generator
        self.alike = [s.alike for s in training]
        # Views, no copies: a step gathers its maps at these points only.
        at_once = solves_at_once(model.decoder)
        self.training = [s.points(group.share(len(s.coordinates))) if at_once else s for s in training]
        self.parameters = list(model.decoder.parameters())
        parts = parts_of(model.spec.decoder, model.spec.channels, model.spec.dynamics.tracers)
        self.masks = masks(cast(FourierDecoder, model.decoder), parts) if parts else []
        self.optimiser = torch.optim.Adam(self.parameters, config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.steps + 1
        )
        self.shares = torch.tensor([s.share for s in training])
        self.steps = config.steps
        self.check_every = max(1, config.steps // 10)

    def step(self, index: int) -> Tensor:
        """One optimiser step; returns the mean squared residual, on the device."""
        choice = draw_store(self.shares, self.generator)
        store = self.training[choice].at(index)
        values, weights = draw_frames(store, self.alike[choice], self.config, self.generator)
        result = self._project(store, values, weights)
        self.optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        residual = result.residual.detach()
        for weight, mask in self.masks:
            assert weight.grad is not None
            weight.grad.mul_(mask)
        self.group.sum_gradients_(self.parameters, residual)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return residual

    @torch.no_grad()
    def validate(self) -> float:
        """Mean squared residual on held-out maps, relative to the training anomalies."""
        part = self.validation.points(self.group.share(len(self.validation.coordinates)))
        basis = common_form(self.model.decoder, part.coordinates, self.model.code_prior.mean)
        if basis is None:
            return self._validate_some()
        seen = self.validation.weights.flatten(1).sum(1)
        errors = torch.stack(
            [
                project(basis, values[None], weights[None], self.config.ridge, self.group).residual * weight
                for values, weights, weight in zip(part.values, part.weights, seen, strict=True)
            ]
        )
        self.group.sum_([errors])
        return sum(errors.tolist()) / sum(seen.tolist())

    def _project(self, store: Series, values: Tensor, weights: Tensor) -> Projection:
        """The codes' exact solution, or a few Gauss-Newton iterations at random points (see `project_by_steps`)."""
        decoder, config = self.model.decoder, self.config
        basis = common_form(decoder, store.coordinates, self.model.code_prior.mean)
        if basis is not None:
            return project(basis, values, weights, config.ridge, self.group)
        chosen = torch.randperm(len(store.coordinates), generator=self.generator)[: config.points_per_map]
        chosen = send(chosen, values.device)
        part = (store.coordinates[chosen], values[:, :, chosen], weights[:, chosen])
        return project_by_steps(decoder, *part, config.ridge, config.inner_iterations, self.group)

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


def draw_frames(store: Series, alike: bool, config: FieldConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random maps (group, frame, point, channel) of random series and their weights (group, point, channel).

    Series that are `alike`, of the same weights everywhere (trajectories of one grid), form a single group: one
    factorisation for all.
    """
    device = store.values.device
    times = store.values.shape[1]
    groups = 1 if alike else min(config.groups_per_step, store.count)
    each = config.frames_per_step if alike else max(1, config.frames_per_step // groups)
    if alike:
        series = torch.randint(store.count, (1, each), generator=generator)
    else:
        series = torch.randperm(store.count, generator=generator)[:groups, None]
    frame = torch.randint(times, (groups, each), generator=generator)
    series, frame = send(series, device), send(frame, device)
    return store.values[series, frame], store.weights[:1] if alike else store.weights[series[:, 0]]
