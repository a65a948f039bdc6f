"""dino: forecasts of ocean fields at any longitude, latitude and time.

forecaster = dino.load("runs/mediterranean")
forecast = forecaster.forecast(observations, times, at=points)
"""

from .config import Config, load_config
from .data.observations import Observations
from .errors import DinoError
from .forecaster import Analysis, Forecaster
from .space.domain import PeriodicBox, Region, Sphere

load = Forecaster.load

__all__ = [
    "Analysis",
    "Config",
    "DinoError",
    "Forecaster",
    "Observations",
    "PeriodicBox",
    "Region",
    "Sphere",
    "load",
    "load_config",
]
