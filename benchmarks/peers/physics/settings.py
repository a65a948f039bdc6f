"""The settings of every peer on every system, chosen on validation trajectories of the training environments."""

from collections.abc import Callable, Mapping
from typing import Any

from dino import PhysicsConfig

from ..base import UnsuitableTaskError
from .base import PhysicsPeer
from .coda import Coda, CodaSettings
from .dino import Dino
from .fno import FnoSettings, FourierForecaster

GRAY_SCOTT_SIZES = {
    "u: 1": 0.05,
    "u: u": -0.05,
    "u: lap9(u)": 0.2,
    "u: u*v*v": -1.0,
    "v: v": -0.1,
    "v: lap9(v)": 0.1,
    "v: u*v*v": 1.0,
}
DINO: Mapping[str, PhysicsConfig] = {
    "lotka_volterra": PhysicsConfig(),
    "combined": PhysicsConfig(most_trajectories=2, most_frames=40),
    "gray_scott": PhysicsConfig(
        candidates=[*GRAY_SCOTT_SIZES, "u: lap(u)", "v: lap(v)"], sizes=GRAY_SCOTT_SIZES, products="grid", degree=3
    ),
}
CODA: Mapping[str, dict[str, Any]] = {
    "lotka_volterra": {},
    "combined": {
        "hidden": 32,
        "kernel": 5,
        "stride": 5,
        "longest": 6,
        "samples": 2,
        "horizon": 100,
        "start": 15,
        "adaptation_rate": 0.1,
        "adaptation_steps": 100,
    },
    "gray_scott": {"hidden": 24, "longest": 9, "samples": 1, "horizon": 9, "adaptation_steps": 200},
}
FNO: Mapping[str, dict[str, Any]] = {
    "combined": {},
    "gray_scott": {"history": 1, "bundle": 1, "modes": 12, "width": 24, "batch": 4, "horizon": 9},
}


def _dino(system: str, seconds: float) -> PhysicsPeer:
    return Dino(DINO[system])


def _coda(system: str, seconds: float) -> PhysicsPeer:
    return Coda(CodaSettings(seconds=seconds, **CODA[system]))


def _fno(system: str, seconds: float) -> PhysicsPeer:
    return FourierForecaster(FnoSettings(seconds=seconds, **FNO.get(system, {})))


PEERS: dict[str, Callable[[str, float], PhysicsPeer]] = {"dino": _dino, "coda_gradients": _coda, "fno": _fno}


def make(name: str, system: str, seconds: float) -> PhysicsPeer:
    """The peer `name` with its settings for a system; `seconds` bound training by gradients.

    Raises UnsuitableTaskError for a name that is not in `PEERS`.
    """
    if name not in PEERS:
        raise UnsuitableTaskError(f"there is no peer {name}; choose from {', '.join(PEERS)}")
    return PEERS[name](system, seconds)
