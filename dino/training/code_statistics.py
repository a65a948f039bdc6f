"""Statistics of the codes after the field stage: their population, their principal axes, their metric."""

import torch
from torch import Tensor

from ..config import FieldConfig
from ..data.series import Series
from ..data.streamed import StreamedSeries
from ..inference import encode, encode_frames, solves_at_once
from ..model import LatentModel
from ..numerics.gaussian import Gaussian
from ..numerics.parallel import ALONE, Group
from ..space.decoders import Decoder, common_form
from .principal_axes import principal_axes
from .variable_projection import CODE_LENGTH

# Enough frames for a covariance of a few hundred numbers; more cost time and change nothing. So many of each of a few
# stores and symmetric copies; many of them share what `FULL_SHARES` would have had.
STATISTICS_FRAMES, FULL_SHARES = 4096, 4
# Values of series with the same gaps that are encoded at once: a few copies of them bound memory.
VALUES_AT_ONCE = 2**22
# Without an exact solution a frame costs a hundred times more: fewer frames, some times of some series.
STATISTICS_FRAMES_BY_STEPS, TIMES_BY_STEPS = 512, 8
# Codes over which the metric of a decoder that is not affine is averaged: in all, and for a series of its own gaps.
METRIC_FRAMES, METRIC_FRAMES_A_SERIES = 64, 8


@torch.no_grad()
def encode_series(
    model: LatentModel, series: Series, prior: Gaussian, which: slice = slice(None), group: Group = ALONE
) -> tuple[Tensor, Tensor]:
    """Posterior codes (series, time, code) and covariance (series, code, code) of maps with the model's noise.

    The covariance is the mean over a series' maps where it differs between them (decoders that are not affine). The
    processes of a group encode some series each and share what they found.
    """
    decoder, size, mine = model.decoder, model.decoder.code_size, group.share(series.count)
    values, weights = series.values[mine, which], series.weights[mine]
    count, times = values.shape[:2]
    means = values.new_empty(count * times, size)
    covariances = values.new_empty(count, size, size)
    basis = common_form(decoder, series.coordinates, prior.mean)
    alike = basis is not None and (series.alike or bool(((series.weights > 0) == (series.weights[:1] > 0)).all()))
    together = max(1, VALUES_AT_ONCE // max(1, values[:1, :1].numel())) if alike else times
    for first in range(0, count * times, together):
        frames = torch.arange(first, min(first + together, count * times), device=values.device)
        row, time = frames // times, frames % times
        gaps = torch.where(weights[row] > 0, values[row, time], torch.nan)
        if basis is not None:
            posterior = encode(basis, gaps, model.spec.noise_variance, prior)
        else:
            posterior = encode_frames(decoder, series.coordinates, gaps, model.spec.noise_variance, prior)
        means[frames] = posterior.mean
        covariances[row] = posterior.covariance if basis is not None else posterior.covariance.mean(0)
    means = means.unflatten(0, (count, times))
    return group.gather(means, series.count), group.gather(covariances, series.count)


@torch.no_grad()
def learn_code_statistics(
    model: LatentModel, training: list[Series], config: FieldConfig, group: Group = ALONE
) -> float:
    """Learn the code population by expectation-maximisation and turn codes to its principal axes.

    Codes that a masked map leaves undetermined enter through their posterior covariance, not as noise. Returns the
    root-mean-square field value of one unit of latent length.
    """
    prior = _first_prior(model, training[0], config)
    like, mean, covariance = prior.mean, prior.mean, prior.covariance
    codes = mean[None]
    frames = STATISTICS_FRAMES * FULL_SHARES // max(FULL_SHARES, len(training))
    for _ in range(config.prior_rounds):
        first = second = count = 0
        for series in training:
            codes, spread = encode_series(model, *_some(series, prior, solves_at_once(model.decoder), frames), group)
            flat = codes.flatten(0, 1).double()
            first = first + flat.sum(0)
            second = second + flat.T @ flat + spread.double().sum(0) * codes.shape[1]
            count += len(flat)
        mean = torch.as_tensor(first) / count
        covariance = torch.as_tensor(second) / count - torch.outer(mean, mean)
        # Of the median: a mode that does nothing keeps its first variance, which says nothing about the others.
        floor = 1e-6 * covariance.diagonal().median()
        covariance = covariance + floor * torch.eye(len(mean), dtype=torch.float64, device=mean.device)
        prior = Gaussian(mean.to(like), covariance.to(like))
    even = torch.ones_like(training[0].weights[0])
    metric = population_metric(model.decoder, training[0].coordinates, even, codes)
    axes = principal_axes(metric, mean, covariance)
    model.decoder.change_codes(axes.transform.to(like), axes.origin.to(like))
    model.code_variance.copy_(axes.variance.to(like))
    # Eigenvectors have a sign, and processors of different make may choose different ones.
    group.copy_first_([*model.decoder.parameters(), model.code_variance])
    return axes.field_scale


def _some(series: Series, prior: Gaussian, at_once: bool, frames: int) -> tuple[Series, Gaussian, slice]:
    """Arguments of `encode_series` for as many maps as the statistics want: some times of all or of some series."""
    times = len(series.times)
    if at_once:
        return series, prior, slice(None, None, max(1, series.count * times // frames))
    # More times where there are few series, as in the pool of a streamed store.
    stride = max(1, times // max(TIMES_BY_STEPS, STATISTICS_FRAMES_BY_STEPS // series.count))
    wanted = max(1, STATISTICS_FRAMES_BY_STEPS // len(range(0, times, stride)))
    which = torch.linspace(0, series.count - 1, min(wanted, series.count)).long().to(series.values.device)
    return series.subset(which), prior, slice(None, None, stride)


def _first_prior(model: LatentModel, series: Series, config: FieldConfig) -> Gaussian:
    """What codes are taken to be before any was seen.

    For an affine decoder it is wide by the size of its modes. Otherwise it is the pull of the field stage, so that
    codes are found where the decoder was trained.
    """
    zero = torch.zeros_like(model.code_variance)
    form = common_form(model.decoder, series.coordinates, zero)
    if form is None:
        seen = float((series.weights[0] > 0).sum())
        variance = model.spec.noise_variance * CODE_LENGTH**2 / (config.ridge * seen)
        return Gaussian(zero, torch.diag(torch.full_like(zero, variance)))
    power = form.modes.square().mean(dim=(0, 1))
    return Gaussian(zero, torch.diag(10.0 / power.clamp_min(max(1e-8 * float(power.max()), 1e-20))))


@torch.no_grad()
def population_metric(
    decoder: Decoder, coordinates: Tensor, weights: Tensor, codes: Tensor, most: int = METRIC_FRAMES
) -> Tensor:
    """(code, code) in float64: mean over points of J'J, the mean square of a small change of the field by its code.

    The Jacobian J of a decoder that is not affine differs from code to code. The mean over at most `most` of a
    population of codes (..., code) is the field's mean squared change where the ocean is, while J at the mean code
    belongs to a field that may never occur.
    weights : (point, channel)
    """
    flat, w = codes.reshape(-1, codes.shape[-1]), weights.reshape(-1, 1).double()
    most = 1 if solves_at_once(decoder) else min(most, len(flat))
    chosen = torch.linspace(0, len(flat) - 1, most).long().to(flat.device)
    total = torch.zeros(decoder.code_size, decoder.code_size, dtype=torch.float64, device=codes.device)
    for code in flat[chosen].split(1):
        modes = decoder.linearise(coordinates, code).modes.reshape(-1, decoder.code_size).double()
        total += (modes * w).T @ modes / w.sum()
    return total / len(chosen)


@torch.no_grad()
def series_metric(model: LatentModel, series: Series | StreamedSeries, codes: Tensor) -> Tensor:
    """(series or 1, code, code): mean squared field value over a series' valid points as a form in codes.

    codes : (series, time, code) of the series, over which it is averaged where the decoder is not affine
    """
    decoder, weights, alike = model.decoder, series.weights, series.alike
    form = common_form(decoder, series.coordinates, codes[0, 0])
    if form is None:
        if alike:
            return population_metric(decoder, series.coordinates, weights[0], codes)[None].to(codes)
        pairs = zip(weights, codes, strict=True)
        forms = [population_metric(decoder, series.coordinates, *pair, METRIC_FRAMES_A_SERIES) for pair in pairs]
        return torch.stack(forms).to(codes)
    modes = form.modes.flatten(0, 1)
    flat = weights[:1].flatten(1) if alike else weights.flatten(1)
    return torch.stack([(modes * w.unsqueeze(-1)).T @ modes / w.sum() for w in flat])
