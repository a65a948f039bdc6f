"""dino: forecasts of ocean fields at any longitude, latitude and time.

forecaster = dino.load("runs/mediterranean")                     # a run
forecaster = dino.load("sea-level").over(observations)           # a shipped model laid over their sea
forecast = forecaster.forecast(observations, times, at=points)
"""

from typing import TYPE_CHECKING, Any

from data_pipeline.system.lazy import lazy_names

if TYPE_CHECKING:
    from .config import Config, PhysicsConfig, load_config
    from .data.observations import Observations
    from .errors import DinoError
    from .forecaster import Analysis, Forecaster
    from .many_physics import ManyPhysics, fit, load_many_physics
    from .physics import Physics, from_array, load_physics
    from .space.domain import PeriodicBox, Region, Sphere
    from .transfer.evidence import adapt

    load = Forecaster.load
    __version__: str

__all__ = [
    "Analysis",
    "Config",
    "DinoError",
    "Forecaster",
    "ManyPhysics",
    "Observations",
    "PeriodicBox",
    "Physics",
    "PhysicsConfig",
    "Region",
    "Sphere",
    "__version__",
    "adapt",
    "fit",
    "from_array",
    "load",
    "load_config",
    "load_many_physics",
    "load_physics",
]

# Imported when they are touched: a program that asks for its help need not wait for torch.
_named, __dir__ = lazy_names(
    __name__,
    {
        "Analysis": "dino.forecaster",
        "Config": "dino.config",
        "DinoError": "dino.errors",
        "Forecaster": "dino.forecaster",
        "ManyPhysics": "dino.many_physics",
        "Observations": "dino.data.observations",
        "PeriodicBox": "dino.space.domain",
        "Physics": "dino.physics",
        "PhysicsConfig": "dino.config",
        "Region": "dino.space.domain",
        "Sphere": "dino.space.domain",
        "adapt": "dino.transfer.evidence",
        "fit": "dino.many_physics",
        "from_array": "dino.physics",
        "load_config": "dino.config",
        "load_many_physics": "dino.many_physics",
        "load_physics": "dino.physics",
    },
)


def __getattr__(name: str) -> Any:
    if name == "load":
        return _named("Forecaster").load
    if name == "__version__":
        from data_pipeline.system.version import version

        return version()
    return _named(name)
