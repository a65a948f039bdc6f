"""Transfer: adapt a run that learned on simulated grids to sparse real observations."""

from .base import Strategy, Transferred, strategy

__all__ = ["Strategy", "Transferred", "strategy"]
