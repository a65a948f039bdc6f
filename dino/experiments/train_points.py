"""Training of a run from points alone: observation stores, archives, and maps whose gaps move. No map is wanted.

Decoder and population begin as those of the stationary covariance that the points have (`training.points_start`); the
evidence of windows of the record then frees every weight (`training.points_stage`). Dynamics are codes that relax, the
best forecast of codes about whose motion nothing is known; two layers of flow are `experiments.points_layers`.
"""

import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_pipeline.system.progress import Progress

from ..config import AssimilationConfig, Config
from ..data.observations import Observations
from ..evaluation.covariance import Covariance, kernel
from ..evaluation.covariance_fit import fit_covariance
from ..forecaster import Forecaster
from ..inference.evidence_covariance import fitted_errors
from ..model import LatentModel, Ocean
from ..model.checkpoint import save_config, save_model
from ..model.laying import ocean_of_points
from ..numerics.parallel import Group
from ..training.code_statistics import learn_code_statistics
from ..training.field_stage import FieldStage
from ..training.loop import Loop
from ..training.motion import Scene, moving
from ..training.motion_stage import CLEARLY, Motion, MotionStage
from ..training.points_stage import EvidenceStage, Evident
from ..training.points_start import Correlation, stationary_maps
from ..transfer.evidence import relaxing, write_fitted
from .points_held_out import measure_points
from .points_record import PointRecord, channels_of, record_of_points, spec_of

FITTED = 6000  # observations to which the first covariance is fitted
KERNELS = ("matern32", "exponential")  # in space and time: of what is seen along tracks no other was measured better


def train_from_points(config: Config, folder: Path, report: Progress, resume: bool, group: Group) -> Forecaster:
    """Train on the points of the stores of `config` and leave a run in `folder`; arguments as of `train`.

    Stages: decoder (variable projection on fields of the fitted covariance), evidence. Raises `ConfigError` for
    settings that want maps, `EmptyDataError` and `SchemaError` for stores without a record to learn from.
    """
    record = record_of_points(config)
    ocean = ocean_of_points(channels_of(record, config), record.sample, config.domain, record.box)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    plain = LatentModel(spec_of(record, config, ocean))
    if group.leads:
        save_config(config, folder)
    loop = Loop(folder, resume, group=group)
    if not loop.done("field"):
        loop.restore(plain, generator)
        _begin(plain, ocean, record, config, loop, generator, report, group)
    elif loop.saved and loop.saved["stage"] is None and not loop.done("evidence"):
        loop.restore(plain, generator)
    evident = Evident(relaxing(plain).double())
    if not loop.done("evidence"):
        span, days = record.span, record.window_days
        errors, values = config.assimilation.errors, record.values(ocean)
        stage = EvidenceStage(
            evident, ocean, record.points.between, errors, span, days, values, config.points.steps, generator, group
        )
        loop.run(stage, report)
        loop.checkpoint(evident, generator)
    elif loop.saved and "motion" not in (*loop.finished, loop.saved["stage"]):
        loop.restore(evident, generator)
    motion = Motion(evident, evident.latent.dynamics.code_size)
    if loop.saved and "motion" in (*loop.finished, loop.saved["stage"]):
        loop.restore(motion, generator)
    latent = copy.deepcopy(evident.latent).float().eval()
    write_fitted(latent, evident.covariance)
    errors = fitted_errors(config.assimilation.errors, evident.covariance)
    settings = config.assimilation.model_copy(update={"errors": errors, "method": "filter"})
    latent = _moved(latent, motion, ocean, record, settings, config, loop, generator, report, group)
    forecaster = Forecaster(latent, ocean, settings)
    if group.leads:
        measure_points(forecaster, record, config).write(folder)
        save_model(latent, ocean, folder)
        save_config(config.model_copy(update={"assimilation": settings}), folder)
    return forecaster


def _moved(
    latent: LatentModel, motion: Motion, ocean: Ocean, record: PointRecord, settings: AssimilationConfig,
    config: Config, loop: Loop, generator: torch.Generator, report: Progress, group: Group,
) -> LatentModel:  # fmt: skip
    """The model with the motion of its codes, where forecasts of the held-out days are clearly better by it."""
    if record.span[1] == record.span[2]:
        return latent
    if not loop.done("motion"):
        scene = Scene(ocean, record.points.between, settings.errors, settings.node_days)
        leads = config.dynamics.horizons[-1]
        stage = MotionStage(motion, latent, scene, record.span, record.window_days, leads, generator, group)
        loop.run(stage, report)
        loop.checkpoint(motion, generator)
    best = min(told["validation"] for told in loop.metrics if told["stage"] == "motion")
    return moving(latent, motion.generator) if best < CLEARLY else latent


def _begin(
    plain: LatentModel, ocean: Ocean, record: PointRecord, config: Config, loop: Loop, generator: torch.Generator,
    report: Progress, group: Group,
) -> None:  # fmt: skip
    """Give an untrained model the modes and the population of the points' stationary covariance."""
    correlations = _correlations(record.sample, ocean, config.seed)
    training, held = stationary_maps(ocean.cover, correlations, config.seed)
    loop.run(FieldStage(plain, [training], held, config.field, generator, group), report)
    learn_code_statistics(plain, [training], config.field, group)
    _normalise(plain, training.coordinates)
    # What the modes leave of other fields of that covariance, whose variance is one.
    left = min(told["validation"] for told in loop.metrics if told["stage"] == "field")
    plain.unresolved_variance.fill_(left)
    plain.unresolved_error.fill_(left)
    loop.checkpoint(plain, generator)


@torch.no_grad()
def _normalise(plain: LatentModel, coordinates: torch.Tensor) -> None:
    """Let the population make fields of variance one, as charts are normalised: codes have a unit of their own."""
    modes = plain.decoder.linearise(coordinates, plain.code_variance[None]).modes
    plain.code_variance.div_((modes.square() @ plain.code_variance).mean())


def _correlations(seen: Observations, ocean: Ocean, seed: int) -> list[Correlation]:
    """Of every channel the correlation in space of the covariance that is most likely, two scales at rest."""
    made: list[Correlation] = []
    for channel in range(len(ocean.channels)):
        anomaly = seen.values[:, channel] - ocean.background.at(seen.longitude, seen.latitude)[:, channel]
        error = seen.error[:, channel]
        known = error if len(error) and bool((error == error).all()) else None
        usable = np.flatnonzero(np.isfinite(anomaly))
        chance = np.random.default_rng(seed)
        chosen = np.sort(chance.choice(usable, min(FITTED, len(usable)), replace=False))
        fit = fit_covariance(
            seen.time[chosen], seen.longitude[chosen], seen.latitude[chosen], anomaly[chosen],
            error=None if known is None else known[chosen], space_kernel=KERNELS[0], time_kernel=KERNELS[1],
            subsets=6, subset_size=250, iterations=60, seed=seed,
        )  # fmt: skip
        made.append(partial(_correlation, fit))
    return made


def _correlation(fit: Covariance, km: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a fitted covariance at distances, its scales together."""
    parts = [part.variance / fit.variance * kernel(KERNELS[0], km / part.length_km) for part in fit.components]
    return np.sum(parts, axis=0)
