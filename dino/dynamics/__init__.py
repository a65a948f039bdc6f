"""Latent dynamics: vector fields, initial states and their integration."""

from .integrate import check_finite, integrate
from .latent_ode import HistoryInitialiser, LatentODE

__all__ = ["HistoryInitialiser", "LatentODE", "check_finite", "integrate"]
