"""Transfer by the evidence: population, time scales, errors and, if wanted, the decoder's modulation.

What simulation taught, the modes and how much of each there is, is kept; how large the population is, how long codes
last, what is larger than a tile, and how the instruments err are a dozen numbers that a week of tracks can tell. They
are found by the density of overflights given the others, `inference.evidence`, with priors about what was learned.
The dynamics become `RelaxingODE`, whose forecasts are never worse than the analysis held still; they take the place
of the learned ones where held-out forecasts say so.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.system.progress import Progress, silent

from ..data.duplicates import without_duplicates
from ..data.observations import Observations
from ..errors import ConfigError, EmptyDataError
from ..forecaster import Forecaster
from ..inference.encode import solves_at_once
from ..inference.evidence import log_overflights, without_gross
from ..inference.evidence_covariance import Covariance, fitted_errors
from ..inference.evidence_record import MOST_ROWS, Record, record_of
from ..model import LEADS, LatentModel, Ocean
from ..numerics.groups import Batch
from ..space.decoders import Decoder, TrendDecoder
from ..space.gridmap import GridMap
from .base import Task, Transferred
from .plan import cut, held_out_misfit

STEPS, RATE, MODULATION_RATE = 60, 0.08, 2e-3
CHARTS = 8  # in a step
PLACES = 2**13  # rows of charts side by side
PULL = 300.0  # precision of the departures of the modulation, in units of its own spread
MOST_WINDOWS = 4
ROWS = 200  # of a chart in `adapt`: a score of numbers wants no more, at an eighth of the cost
GROSS = 5.0  # robust standard deviations, and spreads of the channel, beyond which a value says nothing of the level


def fit_statistics(task: Task, progress: Progress) -> Transferred:
    """Fit population, time scales and errors to the observations; see `Strategy`."""
    return _adapted(task, progress, modulation=False)


def adapt_modulation(task: Task, progress: Progress) -> Transferred:
    """The same with the decoder's modulation, the weights through which codes enter; see `Strategy`."""
    return _adapted(task, progress, modulation=True)


def _adapted(task: Task, progress: Progress, modulation: bool) -> Transferred:
    forecaster, seen = task.forecaster, task.observations
    if not solves_at_once(task.latent.decoder):
        raise ConfigError("the evidence wants a decoder that is affine in its codes; train with decoder.kind=fourier")
    _some(seen)
    plan = cut(seen, task.settings, forecaster.assimilation)
    before = held_out_misfit(forecaster, seen, plan)
    made = fitted(forecaster, seen, progress, modulation, task.seed)
    after = held_out_misfit(made, seen, plan, like=forecaster)
    # Few numbers that the whole record has told: held-out forecasts confirm, and need not decide alone.
    if not after.mean < before.mean:
        return Transferred(before.mean, before.mean, [before.mean, after.mean])
    forecaster.latent, forecaster.ocean, forecaster.assimilation = made.latent, made.ocean, made.assimilation
    return Transferred(before.mean, after.mean, [before.mean, after.mean])


def adapt(
    forecaster: Forecaster,
    observations: xr.Dataset | Observations,
    *,
    modulation: bool = False,
    seed: int = 0,
    rows: int = ROWS,
    progress: Progress = silent,
) -> Forecaster:
    """A forecaster whose population, time scales and errors are those of the observations of its sea.

    The one given stays as it is. rows : values of a chart that are compared, at most; the cost grows with their cube.
    modulation : also fit the decoder's modulation, which wants weeks of observations.
    Nothing is held out; `dino transfer` confirms by held-out windows. Raises what `fitted` raises.
    """
    if not isinstance(observations, Observations):
        observations = Observations.from_dataset(observations, forecaster.ocean.names, forecaster.ocean.units)
    if not solves_at_once(forecaster.latent.decoder):
        raise ConfigError("the evidence wants a decoder that is affine in its codes; train with decoder.kind=fourier")
    return fitted(forecaster, observations, progress, modulation, seed, rows)


def fitted(
    forecaster: Forecaster, seen: Observations, progress: Progress, modulation: bool = False, seed: int = 0,
    most: int = MOST_ROWS,
) -> Forecaster:  # fmt: skip
    """A forecaster of relaxing codes with the largest evidence of a record; the one given stays as it is.

    Gross errors of single values are left out. Raises `EmptyDataError` for a record of fewer than two points or one
    without values in the model's tiles, `DomainError` for one that lies outside of them.
    """
    # Repeated points would pass for the pixels of a swath; no analysis counts them twice either.
    seen, _ = without_duplicates(seen)
    _some(seen)
    latent, assimilation = relaxing(forecaster.latent), forecaster.assimilation
    ocean = levelled(forecaster.ocean, seen)
    double = copy.deepcopy(latent).double().cpu()
    windows = _windows(seen, assimilation.window_days)
    record = record_of(double, ocean, windows, assimilation.errors, seed, most)
    if not len(record.rows):
        ocean.cover.check(seen.longitude, seen.latitude)
        raise EmptyDataError(f"{seen.span()}: none of the observations lies in the model's tiles; give others")
    decoder = double.decoder.requires_grad_(False)
    record = without_gross(Covariance(double, decoder), record)
    covariance = Covariance(double, decoder)
    steps = STEPS * (2 if modulation else 1)
    fit = _Fit(covariance, record, torch.Generator().manual_seed(seed), lambda done: progress(done, steps))
    fit.run()
    if modulation:
        fit.run(_released(decoder))
    write_fitted(latent, covariance)
    errors = fitted_errors(assimilation.errors, covariance)
    return Forecaster(latent.eval(), ocean, assimilation.model_copy(update={"errors": errors, "method": "filter"}))


def _some(seen: Observations) -> None:
    """EmptyDataError where there is nothing to compare."""
    if len(seen) < 2:
        raise EmptyDataError(f"a record of {len(seen)} points tells nothing of statistics; give a longer one")


@dataclass
class _Fit:
    """Descent on batches of charts."""

    covariance: Covariance
    record: Record
    generator: torch.Generator
    told: Callable[[int], None]
    done: int = 0

    def run(self, more: list[Tensor] | None = None) -> None:
        """`STEPS` steps with rates that fall to zero in the second half; `more` weights move at their own rate."""
        groups = [{"params": list(self.covariance.parameters.values()), "lr": RATE}]
        origin = [weight.detach().clone() for weight in more or []]
        if more:
            groups.append({"params": more, "lr": MODULATION_RATE})
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
        rates = [group["lr"] for group in groups]
        everything = list(self.record.batches(PLACES))
        charts = sum(len(batch.group) for batch in everything)
        for step in range(STEPS):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, 2 * (1 - step / STEPS))
            optimiser.zero_grad()
            loss = self.covariance.prior()
            for weight, begun in zip(more or [], origin, strict=True):
                loss = loss + 0.5 * PULL * ((weight - begun) / begun.square().mean().sqrt()).square().sum()
            for batch in self._drawn(everything, charts):
                density = log_overflights(self.covariance, self.record, batch).sum()
                loss = loss - self.record.once * charts / min(CHARTS, charts) * density
            loss.backward()
            optimiser.step()
            self.done += 1
            self.told(self.done)

    def _drawn(self, everything: list[Batch], charts: int) -> list[Batch]:
        """`CHARTS` charts at random, in the batches of their size."""
        drawn = torch.randperm(charts, generator=self.generator)[:CHARTS].sort().values
        parts, first = [], 0
        for batch in everything:
            mine = drawn[(drawn >= first) & (drawn < first + len(batch.group))] - first
            first += len(batch.group)
            if len(mine):
                width = int(batch.known[mine].sum(-1).max())
                parts.append(Batch(batch.group[mine], batch.row[mine, :width], batch.known[mine, :width]))
        return parts


def _released(decoder: Decoder) -> list[Tensor]:
    """The decoder's modulation, set free."""
    return [weight.requires_grad_(True) for weight in decoder.modulation()]


def _windows(seen: Observations, days: float) -> list[Observations]:
    """At most `MOST_WINDOWS` windows of the record, evenly in time."""
    first, last = float(seen.time[0]), float(seen.time[-1])
    days = min(days or 15.0, last - first)
    count = int(np.clip(np.ceil((last - first) / max(days, 1e-3)), 1, MOST_WINDOWS))
    ends = np.linspace(first + days, last, count) if count > 1 else [last]
    found = [seen.between(end - days, end) for end in ends]
    return [window for window in found if len(window) > 1]


def relaxing(latent: LatentModel) -> LatentModel:
    """A model of the same modes whose codes relax, with polynomials beside the modes of tiles."""
    spec = latent.spec
    if spec.relaxing and not spec.coupled:
        return copy.deepcopy(latent)
    dynamics = spec.dynamics.model_copy(update={"order": 1, "depth": 0, "form": "network"})
    # Weights are drawn before they are replaced: the chance of whoever calls stays what it is.
    with torch.random.fork_rng(devices=[]):
        made = LatentModel(spec.model_copy(update={"dynamics": dynamics, "relaxing": True, "coupled": False}))
    made = made.to(latent.code_variance)
    made.origin = latent.origin
    decoder = made.decoder.base if isinstance(made.decoder, TrendDecoder) else made.decoder
    learned = latent.decoder.base if isinstance(latent.decoder, TrendDecoder) else latent.decoder
    decoder.load_state_dict(learned.state_dict())
    size = latent.dynamics.code_size
    with torch.no_grad():
        made.code_variance[:size] = latent.code_variance
        for name in ("unresolved_variance", "unresolved_error"):
            getattr(made, name).copy_(getattr(latent, name))
    return made


def levelled(ocean: Ocean, seen: Observations) -> Ocean:
    """The ocean with its mean field moved to the level of the observations, one constant a channel.

    A channel that was not observed keeps its level, and gross errors have no say.
    """
    departure = seen.values - ocean.background.at(seen.longitude, seen.latitude)
    inside = ocean.cover.holds(seen.longitude, seen.latitude)
    level = np.array([_level(values, c.spread) for values, c in zip(departure[inside].T, ocean.channels, strict=True)])
    old = ocean.background
    values = old.values + level.reshape(-1, *[1] * (old.values.ndim - 1))
    return replace(ocean, background=GridMap(old.longitude, old.latitude, values))


def _level(values: np.ndarray, spread: float) -> float:
    """The mean of the values that are there and near their median; zero where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0
    away = np.abs(values - np.median(values))
    return float(values[away <= GROSS * max(1.4826 * float(np.median(away)), spread)].mean())


@torch.no_grad()
def write_fitted(latent: LatentModel, covariance: Covariance) -> None:
    """Put what was fitted into a model: the population, its time scales, the noise that keeps it, the decoder."""
    dynamics = latent.dynamics
    dynamics.days.copy_(covariance.time_scales())  # type: ignore[union-attr]
    latent.code_variance.copy_(covariance.population())
    latent.state_covariance.copy_(torch.diag(latent.code_variance))
    factor = float(covariance.parameters["unresolved"].exp())
    latent.unresolved_variance.mul_(factor)
    latent.unresolved_error.mul_(factor)
    day, leads = torch.ones(1), latent.spec.interval_days * torch.arange(LEADS)
    lost = dynamics.lost(torch.cat([day, leads]).to(latent.code_variance))  # type: ignore[operator]
    latent.process_noise.copy_(torch.diag(latent.code_variance * lost[0]))
    latent.lead_error.copy_(latent.code_variance * lost[1:])
    latent.spread_factor.fill_(1.0)
    latent.decoder.load_state_dict(covariance.decoder.state_dict())  # type: ignore[attr-defined]
