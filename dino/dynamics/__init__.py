"""Latent dynamics: vector fields, initial states and their integration."""

from .integrate import check_finite, integrate
from .latent_ode import HistoryInitialiser, LatentODE
from .quadratic import QuadraticODE

__all__ = ["HistoryInitialiser", "LatentODE", "QuadraticODE", "check_finite", "integrate"]
