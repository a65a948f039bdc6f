"""The equation of Korteweg and de Vries, u_t + 2 a u u_x + g u_xxx = 0: Combined with a = 1/2, g = 1/8 and others.

The preset is one of this package's own.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from data_pipeline.simulators.combined import CombinedConfig
from data_pipeline.simulators.environments import parts, simulate

__all__ = ["KortewegDeVriesConfig", "parts", "simulate"]

_SEEN = {"environments": [{"g": (0.1, 0.2, 0.3, 0.4)}], "frames": 40}
_NEW = {"environments": [{"g": (0.15, 0.35)}], "frames": 40}


class KortewegDeVriesConfig(CombinedConfig):
    """What to simulate: waves that break up into solitons."""

    NAME: ClassVar[str] = "korteweg-de-vries"
    DEFAULTS: ClassVar[Mapping[str, float]] = {"a": 0.5, "b": 0.0, "g": 0.125, "d": 0.0}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("quick", "train"): {**_SEEN, "trajectories": 8},
        ("quick", "test"): {**_SEEN, "trajectories": 4},
        ("quick", "adaptation"): {**_NEW, "trajectories": 1},
        ("quick", "adaptation-test"): {**_NEW, "trajectories": 4},
    }

    interval: float = Field(default=0.25, gt=0, description="time between frames")
