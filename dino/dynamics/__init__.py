"""Latent dynamics: vector fields, initial states, their integration and what a flow does to tangents."""

from .base import Dynamics
from .coupled import CoupledODE
from .integrate import check_finite, integrate
from .latent_ode import HistoryInitialiser, LatentODE
from .layer_numbers import SIGNED, LayerNumbers, TracerNumbers
from .layers import LayeredODE
from .quadratic import QuadraticODE
from .relaxing import RelaxingODE
from .tangent import by_modes, mode_flows, tangent_flow

__all__ = [
    "SIGNED",
    "CoupledODE",
    "Dynamics",
    "HistoryInitialiser",
    "LatentODE",
    "LayerNumbers",
    "LayeredODE",
    "QuadraticODE",
    "RelaxingODE",
    "TracerNumbers",
    "by_modes",
    "check_finite",
    "integrate",
    "mode_flows",
    "tangent_flow",
]
