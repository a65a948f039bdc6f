"""Latent dynamics: vector fields, initial states and their integration."""

from .adapted import AdaptedODE
from .integrate import check_finite, integrate
from .latent_ode import HistoryInitialiser, LatentODE
from .quadratic import QuadraticODE

__all__ = ["AdaptedODE", "HistoryInitialiser", "LatentODE", "QuadraticODE", "check_finite", "integrate"]
