"""Transfer: adapt a run that learned on simulated grids to sparse real observations."""

from .base import Strategy, Task, Transferred
from .strategies import STRATEGIES, strategy

__all__ = ["STRATEGIES", "Strategy", "Task", "Transferred", "strategy"]
