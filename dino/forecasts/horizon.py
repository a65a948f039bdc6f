"""How far ahead a model may be asked: the leads that it was scored at, a warning beyond them, a refusal far beyond.

Training measures the error of forecasts up to half as far again as it looked (`LatentModel.scored_days`). Beyond, the
error is only extrapolated, and the forecast is drawn towards the population in the measure that it says: with E the
forecast's variance and C the population's, the mean is multiplied by g = C / (C + s E) and the variance too. The
strength s rises from 0 where scores end to 1 at twice that lead, and E grows with the square of the lead, so that a
forecast far beyond is the climatological mean with the climatological spread.
"""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import SAME_MOMENT_DAYS
from ..errors import HorizonError
from ..model import LatentModel

if TYPE_CHECKING:
    from .latent import LatentForecast

Array = NDArray[np.float64]


class HorizonWarning(UserWarning):
    """A forecast reaches beyond the leads that its model was scored at."""


def told_horizon(latent: LatentModel, leads: Array) -> str | None:
    """What to say of leads [days] beyond those that the model was scored at; None where there is none."""
    longest, scored = float(np.max(leads, initial=0.0)), latent.scored_days
    if longest <= scored + SAME_MOMENT_DAYS:
        return None
    return (
        f"a lead of {longest:g} days is beyond the {scored:g} days that this model was scored at; its error is "
        "extrapolated and the forecast drawn towards the climatology"
    )


def check_horizon(latent: LatentModel, leads: Array, beyond: bool) -> None:
    """Warn (`HorizonWarning`) of leads [days] beyond scores; raise `HorizonError` far beyond, unless that is wanted."""
    said = told_horizon(latent, leads)
    if said is None:
        return
    limit = latent.farthest_days
    if float(np.max(leads)) > limit + SAME_MOMENT_DAYS and not beyond:
        raise HorizonError(
            f"{said}; beyond {limit:g} days nothing but the climatology is left: ask for less, or for it all the same "
            "(--beyond, beyond=True)"
        )
    warnings.warn(said, HorizonWarning, stacklevel=3)


def integrable(latent: LatentModel, leads: Tensor) -> Tensor:
    """Leads [days] as far as dynamics are integrated: what would be left of a longer one is the climatology."""
    return leads if latent.spec.relaxing else leads.clamp_max(latent.farthest_days)


def drawn_to_population(latent: LatentModel, forecast: "LatentForecast", leads: Array) -> "LatentForecast":
    """A forecast of `leads` [days] with what lies beyond scores drawn towards the population; see the module."""
    far = leads > latent.scored_days + SAME_MOMENT_DAYS
    # Codes that relax come to the population by themselves.
    if latent.spec.relaxing or not far.any():
        return forecast
    where = torch.as_tensor(np.flatnonzero(far))
    strength, growth = _strength(latent, leads[far])
    population = latent.code_variance
    spread = forecast.factor[where].square().sum(-1).mean(1) + forecast.model_error[where]  # (time, code)
    spread = growth[:, None].to(spread) * spread
    gain = population / (population + strength[:, None].to(spread) * spread)
    codes, factor, error = forecast.codes.clone(), forecast.factor.clone(), forecast.model_error.clone()
    codes[where] = gain.unsqueeze(1) * codes[where]
    grown = gain * growth[:, None].to(gain)
    factor[where] = grown.sqrt()[:, None, :, None] * factor[where]
    error[where] = grown * error[where]
    unresolved = forecast.unresolved.clone()
    unresolved[where] = torch.minimum(unresolved[where], latent.unresolved_variance.to(unresolved))
    # The population's spread wants no factor of a forecast's.
    calibration, kept = forecast.calibration.clone(), (1.0 - strength)[:, None, None].to(forecast.calibration)
    calibration[where] = 1.0 + kept * (calibration[where] - 1.0)
    scale = forecast.scale.clone()
    scale[where] = 1.0 + kept[..., 0] * (scale[where] - 1.0)
    return replace(
        forecast,
        codes=codes,
        factor=factor,
        model_error=error,
        unresolved=unresolved,
        calibration=calibration,
        scale=scale,
    )


def share_of_hindcasts(latent: LatentModel, leads: Array) -> Tensor:
    """(time,) how much of what hindcasts change is left after `leads` [days].

    All of it, where `drawn_to_population` draws the result. Codes that relax come to the population by themselves,
    and a combination that goes on for good would keep them from it.
    """
    strength, _ = _strength(latent, leads)
    return 1.0 - strength if latent.spec.relaxing else torch.ones_like(strength)


def residual_gain(latent: LatentModel, leads: Array) -> Tensor:
    """(time, channel) by which a residual field carried over `leads` [days] is multiplied; 1 where scores reach."""
    strength, growth = _strength(latent, leads)
    error = torch.stack([latent.model_error(max(float(lead), 0.0))[1] for lead in leads])
    whole = latent.unresolved_variance.clamp_min(torch.finfo(error.dtype).tiny)
    return whole / (whole + (strength * growth)[:, None].to(error) * error)


def _strength(latent: LatentModel, leads: Array) -> tuple[Tensor, Tensor]:
    """(time,) how much the population counts, and by how much the variance of what was integrated has grown since."""
    relative = torch.as_tensor(np.maximum(leads / latent.scored_days, 1.0))
    return (relative - 1.0).clamp_max(1.0), relative.square()
