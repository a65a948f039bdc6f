"""Settings of the protocols on vorticity in two dimensions; what is assumed of them stands in `vorticity`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_UNFORCED = {"sine": 0.0, "cosine": 0.0}
_SPUN_UP = {"shared_initial": True, "spin_up": 30.0}

_CODA = {**_SPUN_UP, "environments": [{"viscosity": (8e-4, 9e-4, 1e-3, 1.1e-3, 1.2e-3)}]}
_CODA_NEW = {**_SPUN_UP, "environments": [{"viscosity": (8.5e-4, 9.5e-4, 1.05e-3, 1.15e-3)}]}

# sin 2 pi (x + y) + cos 2 pi (x + y), then with one or both of the waves (1, 2), (2, 1)
_LEADS_FORCINGS = (
    {},
    {"cosine_y": 2.0},
    {"cosine_x": 2.0},
    {"sine_y": 2.0, "cosine_x": 2.0},
)
_LEADS = {**_SPUN_UP, "spin_up_viscosity": 1e-3, "environments": list(_LEADS_FORCINGS)}


def _decaying(low: float, high: float) -> dict[str, Any]:
    return {
        "environments": [{**_UNFORCED, "viscosity": {"low": low, "high": high}}],
        "kind": "decaying",
        "length": 2 * np.pi,
        "size": 64,
        "grid": 128,
        "frames": 30,
        "interval": 2 / 29,
        "trajectories": 10,
        "tolerance": 1e-5,
    }


_ZEBRA, _ZEBRA_NEW = _decaying(1e-3, 1e-2), _decaying(1e-5, 1e-4)

_TTG = {"size": 64, "frames": 48, "interval": 0.1, "amplitude": 2.0}
_TTG_RANGE = {"low": 1e-4, "high": 1e-2, "log": True}
EULER = {**_UNFORCED, "viscosity": 0.0}
_TTG_DIFFUSION = {**_UNFORCED, "inertia": 0.0, "viscosity": _TTG_RANGE}


def _heter(viscosities: tuple[float, ...], waves: tuple[float, ...]) -> dict[str, Any]:
    """Forcing .1 (sin + cos)(w pi (x + y)): half of w periods along each side."""
    halves = (dict.fromkeys(("sine_x", "sine_y", "cosine_x", "cosine_y"), wave / 2) for wave in waves)
    return {"environments": [{"viscosity": viscosities, **half} for half in halves], "size": 64, "frames": 20}


_HETER = _heter((1e-5, 5e-5, 1e-4, 5e-4, 1e-3), (1.0, 2.0, 3.0))
_BETWEEN = tuple(float(f"{digit}e-{power}") for power in (5, 4) for digit in (2, 3, 4, 6, 7, 8, 9))
_ABOVE = tuple(float(f"{digit}e-3") for digit in range(2, 10))

_IMOOE = {"size": 64, "frames": 31, "interval": 50 / 30}
_IMOOE_SEEN = tuple(float(viscosity) for viscosity in np.linspace(1e-5, 1e-3, 16))

_KOLMOGOROV = {"viscosity": 1e-2, "drag": 0.1, "sine": 0.0, "cosine": -4.0, "cosine_x": 0.0, "cosine_y": 4.0}
_FLOW = {"length": 2 * np.pi, "size": 64, "interval": 0.1, "start": 50.0, "tolerance": 1e-5}
_FLOW_QUICK = {**_FLOW, "frames": 50, "interval": 0.2}

PRESETS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("coda", "train"): {**_CODA, "trajectories": 16},
    ("coda", "test"): {**_CODA, "trajectories": 32},
    ("coda", "adaptation"): {**_CODA_NEW, "trajectories": 1},
    ("coda", "adaptation-test"): {**_CODA_NEW, "trajectories": 32},
    ("leads", "train"): {**_LEADS, "trajectories": 8},
    ("leads", "test"): {**_LEADS, "trajectories": 32},
    ("zebra", "train"): {**_ZEBRA, "draws": 1200},
    ("zebra", "test"): {**_ZEBRA, "draws": 12},
    ("zebra-ood", "test"): {**_ZEBRA_NEW, "draws": 12},
    ("ttg-euler", "train"): {**_TTG, "environments": [EULER], "trajectories": 256},
    ("ttg-diffusion", "train"): {**_TTG, "environments": [_TTG_DIFFUSION], "draws": 16, "trajectories": 16},
    ("ttg", "test"): {**_TTG, "environments": [{**_UNFORCED, "viscosity": _TTG_RANGE}], "draws": 128},
    ("heterns", "train"): {**_HETER, "trajectories": 1000},
    ("heterns", "test"): {**_HETER, "trajectories": 20},
    ("heterns-between", "test"): {**_heter(_BETWEEN, (1.0, 2.0, 3.0)), "trajectories": 20},
    ("heterns-viscosity", "test"): {**_heter(_ABOVE, (1.0, 2.0, 3.0)), "trajectories": 20},
    ("heterns-forcing", "test"): {**_heter((1e-5,), (0.5, 1.5, 2.5, 3.5)), "trajectories": 20},
    ("imooe", "train"): {**_IMOOE, "environments": [{"viscosity": _IMOOE_SEEN}], "trajectories": 64},
    ("imooe", "test"): {**_IMOOE, "environments": [{"viscosity": _IMOOE_SEEN}], "trajectories": 8},
    ("imooe-ood", "test"): {
        **_IMOOE,
        "environments": [{"viscosity": {"low": 5e-6, "high": 8e-6}}, {"viscosity": {"low": 1.2e-3, "high": 2e-3}}],
        "draws": 8,
        "trajectories": 8,
    },
    ("apebench", "train"): {**_FLOW, "environments": [_KOLMOGOROV], "frames": 51, "trajectories": 50},
    ("apebench", "test"): {**_FLOW, "environments": [_KOLMOGOROV], "frames": 201, "trajectories": 30},
    ("kolmogorov", "train"): {
        **_FLOW_QUICK,
        "environments": [{**_KOLMOGOROV, "viscosity": (0.01, 0.015, 0.02, 0.03)}],
        "trajectories": 4,
    },
    ("kolmogorov", "test"): {
        **_FLOW_QUICK,
        "environments": [{**_KOLMOGOROV, "viscosity": (0.0125, 0.025)}],
        "trajectories": 4,
    },
}
