"""The field stage: train the decoder with codes projected out, then learn the statistics of the codes."""

import torch
from torch import Tensor

from ..config import FieldConfig
from ..decoders.base import Basis
from ..inference import Gaussian, encode
from ..model import OceanModel
from .principal_axes import principal_axes
from .series import Series
from .variable_projection import project

# Enough frames for a covariance of a few hundred numbers; more cost time and change nothing.
STATISTICS_FRAMES = 4096


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
        result = project(self.model.decoder.basis(store.coordinates), values, weights, self.config.ridge)
        self.optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return float(result.residual.detach())

    @torch.no_grad()
    def validate(self) -> float:
        """Mean squared residual on held-out maps, relative to the training anomalies."""
        basis = self.model.decoder.basis(self.validation.coordinates)
        total = count = 0.0
        for series in range(self.validation.count):
            values = self.validation.values[series : series + 1]
            weights = self.validation.weights[series : series + 1]
            result = project(basis, values, weights, self.config.ridge)
            total += float(result.residual * weights.sum())
            count += float(weights.sum())
        return total / count


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


@torch.no_grad()
def encode_series(
    model: OceanModel, series: Series, prior: Gaussian, which: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Posterior codes (series, time, code) and covariance (series, code, code) of maps with the model's noise."""
    basis = model.decoder.basis(series.coordinates)
    means, covariances = [], []
    for values, weights in zip(series.values[:, which], series.weights, strict=True):
        known = weights > 0
        gaps = torch.where(known, values, torch.nan)
        posterior = encode(basis, gaps, model.spec.noise_variance, prior)
        means.append(posterior.mean)
        covariances.append(posterior.covariance)
    return torch.stack(means), torch.stack(covariances)


@torch.no_grad()
def learn_code_statistics(model: OceanModel, training: list[Series], config: FieldConfig) -> float:
    """Learn the code population by expectation-maximisation and turn codes to its principal axes.

    Codes that a masked map leaves undetermined enter through their posterior covariance, not as noise. Returns the
    root-mean-square field value of one unit of latent length.
    """
    basis = model.decoder.basis(training[0].coordinates)
    power = basis.modes.square().mean(dim=(0, 1)).clamp_min(1e-20)
    prior = Gaussian(torch.zeros_like(power), torch.diag(10.0 / power))
    mean, covariance = prior.mean, prior.covariance
    for _ in range(config.prior_rounds):
        first = second = count = 0
        for series in training:
            stride = max(1, series.count * series.values.shape[1] // STATISTICS_FRAMES)
            codes, spread = encode_series(model, series, prior, slice(None, None, stride))
            flat = codes.flatten(0, 1).double()
            first = first + flat.sum(0)
            second = second + flat.T @ flat + spread.double().sum(0) * codes.shape[1]
            count += len(flat)
        mean = torch.as_tensor(first) / count
        covariance = torch.as_tensor(second) / count - torch.outer(mean, mean)
        floor = 1e-6 * covariance.diagonal().mean()
        covariance = covariance + floor * torch.eye(len(mean), dtype=torch.float64, device=mean.device)
        prior = Gaussian(mean.to(power), covariance.to(power))
    axes = principal_axes(_metric(basis), mean, covariance)
    model.decoder.change_codes(axes.transform.to(power), axes.origin.to(power))
    model.code_variance.copy_(axes.variance.to(power))
    return axes.field_scale


def _metric(basis: Basis) -> Tensor:
    modes = basis.modes.flatten(0, 1).double()
    return modes.T @ modes / len(modes)


@torch.no_grad()
def series_metric(model: OceanModel, series: Series) -> Tensor:
    """(series or 1, code, code): mean squared field value over a series' valid points as a form in codes."""
    modes = model.decoder.basis(series.coordinates).modes.flatten(0, 1)
    weights = series.weights.flatten(1)
    if bool((weights == weights[:1]).all()):
        weights = weights[:1]
    forms = [(modes * w.unsqueeze(-1)).T @ modes / w.sum() for w in weights]
    return torch.stack(forms)
