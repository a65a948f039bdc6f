"""dino: forecasts of ocean fields at any longitude, latitude and time.

forecaster = dino.load("runs/mediterranean")
forecast = forecaster.forecast(observations, times, at=points)
"""

from .config import Config, load_config
from .domain import PeriodicBox, Region, Sphere
from .errors import DinoError
from .forecaster import Analysis, Forecaster
from .observations import Observations

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
