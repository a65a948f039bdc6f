"""Zebra's one-shot protocol (Serrano et al., 2024): one trajectory of an environment, then a first frame only."""

from typing import Any

from .physics_protocols import Data, Library, Protocol, Published, Split, Task

_GIVEN = "PDE-JEPA"
_TOLD = "told the parameters"
_FORCED = {"forcing": {"channels": ["u"], "waves": 3, "powers": 6}, "most_trajectories": 2}


# Powers of the time up to the fourth: those of frequencies up to .4 over four units of time to 2e-4 of an amplitude.
_PUSHED = {"forcing": {"channels": ["u"], "waves": 3, "powers": 4}, "most_trajectories": 2}


def _task(
    name: str,
    system: str,
    best: Published,
    given: float,
    libraries: tuple[Library, ...],
    train: dict[str, Any],
    test: dict[str, Any] | None = None,
) -> Task:
    others = (best, Published(given, _GIVEN, "P", _TOLD))
    tested = Split("new environments", Data(system, "zebra", few=test or {}), published=others)
    return Task(name, "one-shot", "nrmse", (Data(system, "zebra", "train", few=train),), (tested,), libraries)


_LOCAL = "local terms to the fourth derivative, products of two"
_LINEAR = "local linear terms to the fourth derivative"
_SIZES = {"u: dx(u*u)": -0.5, "u: dxx(u)": 0.2, "u: dxxx(u)": -0.5}
_TWO = {"most_trajectories": 2}
_BURGERS = ["u: dx(u*u)", "u: dxx(u)"]
_FRONTS = "self-advection, diffusion and a forcing of three waves"

ZEBRA = Protocol(
    "zebra",
    "Zebra, one trajectory of the environment and the target's first frame; relative L2, mean over samples",
    (
        _task(
            "advection",
            "advection-diffusion",
            Published(0.0068, "CoDA", "P"),
            0.0074,
            (
                Library("library", _LINEAR, {"degree": 1, **_TWO}),
                Library("true terms", "transport", {"candidates": ["u: dx(u)"], **_TWO}),
                Library("truth left out", "even derivatives only", {"candidates": ["u: u", "u: dxx(u)"], **_TWO}),
            ),
            {"draws": 40, "trajectories": 2},
        ),
        _task(
            "heat",
            "heat",
            Published(0.0933, "Poseidon-T", "P"),
            0.0274,
            (
                Library("library", f"{_LINEAR}, and a forcing of three waves", {"degree": 1, **_FORCED}),
                Library(
                    "true terms", "diffusion and a forcing of three waves", {"candidates": ["u: dxx(u)"], **_FORCED}
                ),
                Library("truth left out", f"{_LINEAR}, no forcing", {"degree": 1, **_TWO}),
            ),
            {"draws": 120, "trajectories": 2},
        ),
        _task(
            "Combined",
            "combined",
            Published(0.0085, "CAPE", "P"),
            0.0074,
            (
                Library("library", _LOCAL, _TWO),
                Library("library with sizes", f"{_LOCAL}; magnitudes of three", {"sizes": _SIZES, **_TWO}),
                Library(
                    "true terms", "the three terms", {"candidates": ["u: dx(u*u)", "u: dxx(u)", "u: dxxx(u)"], **_TWO}
                ),
                Library(
                    "truth left out",
                    "the three terms without dispersion",
                    {"candidates": ["u: dx(u*u)", "u: dxx(u)"], **_TWO},
                ),
            ),
            {"draws": 40, "trajectories": 2},
        ),
        _task(
            "Burgers",
            "burgers",
            Published(0.0869, "LE-PDE", "P"),
            0.0428,
            (
                Library("true terms", _FRONTS, {"candidates": _BURGERS, **_PUSHED}),
                Library("true terms, refined twice", _FRONTS, {"candidates": _BURGERS, "refine": 2, **_PUSHED}),
                Library("true terms, refined four times", _FRONTS, {"candidates": _BURGERS, "refine": 4, **_PUSHED}),
                Library("library", f"{_LOCAL}, and a forcing of three waves", _PUSHED),
                Library("truth left out", f"{_LOCAL}, no forcing", _TWO),
            ),
            {"draws": 20, "trajectories": 2, "finer": 4},
            {"trajectories": 4},
        ),
    ),
    "12 test environments of 10 trajectories (4 of Burgers), the first of which is the context. Beside each the best "
    "published method that is not told the parameters, and PDE-JEPA, which is. Reduced: 40 training environments (120 "
    "of heat, 20 of Burgers) of 2 trajectories, where the published are 1200 of 10.",
)
