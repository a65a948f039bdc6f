"""The settings of every peer on every system, chosen on validation trajectories of the training environments."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dino import PhysicsConfig
from dino.experiments.physics_coda import REACTION_SIZES

from ..base import UnsuitableTaskError
from .base import PhysicsPeer
from .coda import Coda, CodaSettings
from .dino import Dino
from .dmd import DmdAlone, DmdControl, DmdSettings
from .fno import FnoSettings, FourierForecaster
from .operators import Opinf, OpinfAlone, OpinfSettings
from .tuned import Trial, Tuned

DINO: Mapping[str, PhysicsConfig] = {
    "lotka_volterra": PhysicsConfig(),
    "combined": PhysicsConfig(most_trajectories=2, most_frames=40),
    "gray_scott": PhysicsConfig(
        candidates=[*REACTION_SIZES, "u: lap(u)", "v: lap(v)"], sizes=REACTION_SIZES, products="grid", degree=3
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
    "gray_scott": {"rate": 1e-2, "hidden": 24, "longest": 9, "samples": 1, "horizon": 9, "adaptation_steps": 100},
}
FNO: Mapping[str, dict[str, Any]] = {
    "combined": {},
    "gray_scott": {"rate": 1e-2, "history": 1, "bundle": 1, "modes": 12, "width": 24, "batch": 4, "horizon": 9},
}

# Of operator inference: what multiplies which matrix. Gray-Scott is cubic about the state u = 1, v = 0, which rests.
AFFINE: Mapping[str, Sequence[Mapping[str, tuple[str, ...]]]] = {
    "lotka_volterra": [{"Linear": ("1",), "Quadratic": ("beta", "delta")}],
    "combined": [{"Linear": ("b", "g"), "Quadratic": ("a",)}],
    "gray_scott": [
        {"Linear": ("1", "feed", "kill")},
        {"Linear": ("1", "feed", "kill"), "Quadratic": ("1",)},
        {"Linear": ("1", "feed", "kill"), "Quadratic": ("1",), "Cubic": ("1",)},
    ],
}
OFFSETS: Mapping[str, tuple[float, ...]] = {"lotka_volterra": (0.0, 0.0), "combined": (0.0,), "gray_scott": (1.0, 0.0)}
RANKS: Mapping[str, tuple[int, ...]] = {
    "lotka_volterra": (2,),
    "combined": (12, 20, 28, 40),
    "gray_scott": (4, 8, 12),
}
RIDGES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 100.0)
DIFFERENCES: Mapping[str, tuple[str, ...]] = {
    "lotka_volterra": ("ord4", "ord6", "quintic"),
    "combined": ("ord4",),
    "gray_scott": ("ord2", "quintic", "discrete"),
}
TRIALS: Mapping[str, Trial] = {
    "lotka_volterra": Trial(),
    "combined": Trial(frames=16, horizon=100),
    "gray_scott": Trial(),
}


def _opinf(system: str, alone: bool) -> PhysicsPeer:
    make = OpinfAlone if alone else Opinf
    chosen = itertools.product(AFFINE[system], RANKS[system], RIDGES, DIFFERENCES[system])
    candidates = [
        functools.partial(make, OpinfSettings(affine, rank, ridge, difference, OFFSETS[system]))
        for affine, rank, ridge, difference in chosen
    ]
    return Tuned(candidates, TRIALS[system])


def _dmd(system: str, alone: bool) -> PhysicsPeer:
    make = DmdAlone if alone else DmdControl
    chosen = itertools.product(RANKS[system], (*RIDGES[::-1], 1e-10))
    return Tuned([functools.partial(make, DmdSettings(rank, ridge)) for rank, ridge in chosen], TRIALS[system])


def _dino(system: str, seconds: float) -> PhysicsPeer:
    return Dino(DINO[system])


def _coda(system: str, seconds: float) -> PhysicsPeer:
    return Coda(CodaSettings(seconds=seconds, **CODA[system]))


def _fno(system: str, seconds: float) -> PhysicsPeer:
    return FourierForecaster(FnoSettings(seconds=seconds, **FNO.get(system, {})))


PEERS: dict[str, Callable[[str, float], PhysicsPeer]] = {
    "dino": _dino,
    "opinf": lambda system, seconds: _opinf(system, alone=False),
    "opinf_alone": lambda system, seconds: _opinf(system, alone=True),
    "dmd_control": lambda system, seconds: _dmd(system, alone=False),
    "dmd_alone": lambda system, seconds: _dmd(system, alone=True),
    "coda_gradients": _coda,
    "fno": _fno,
}


def make(name: str, system: str, seconds: float) -> PhysicsPeer:
    """The peer `name` with its settings for a system; `seconds` bound training by gradients.

    Raises UnsuitableTaskError for a name that is not in `PEERS`.
    """
    if name not in PEERS:
        raise UnsuitableTaskError(f"there is no peer {name}; choose from {', '.join(PEERS)}")
    return PEERS[name](system, seconds)
