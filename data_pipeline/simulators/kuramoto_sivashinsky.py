"""The equation of Kuramoto and Sivashinsky, u_t + u u_x + u_xx + d u_xxxx = 0: Combined with a = 1/2, b = -1.

Frames begin after a spin-up, on the attractor. The preset is one of this package's own.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from data_pipeline.simulators.combined import CombinedConfig
from data_pipeline.simulators.environments import parts, simulate

__all__ = ["KuramotoSivashinskyConfig", "parts", "simulate"]

_SEEN = {"environments": [{"d": (0.8, 0.9, 1.0, 1.1, 1.2)}], "frames": 50}
_NEW = {"environments": [{"d": (0.85, 1.15)}], "frames": 50}


class KuramotoSivashinskyConfig(CombinedConfig):
    """What to simulate; length 32, where about four cells stand side by side and chaos is weak."""

    NAME: ClassVar[str] = "kuramoto-sivashinsky"
    DEFAULTS: ClassVar[Mapping[str, float]] = {"a": 0.5, "b": -1.0, "g": 0.0, "d": 1.0}
    PRESETS: ClassVar[Mapping[tuple[str, str], Mapping[str, Any]]] = {
        ("quick", "train"): {**_SEEN, "trajectories": 8},
        ("quick", "test"): {**_SEEN, "trajectories": 4},
        ("quick", "adaptation"): {**_NEW, "trajectories": 1},
        ("quick", "adaptation-test"): {**_NEW, "trajectories": 4},
    }

    length: float = Field(default=32.0, gt=0, description="of the line")
    size: int = Field(default=128, ge=8, description="points of the line")
    interval: float = Field(default=0.5, gt=0, description="time between frames")
    start: float = Field(default=50.0, ge=0, description="time that is solved and left out before the first frame")
