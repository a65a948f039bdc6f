"""ENMA's Combined equation (2025): errors and honest spread, in and out of the distribution."""

from .physics_protocols import Data, Library, Protocol, Published, Split, Task

_TWO = {"most_trajectories": 2}

COMBINED = Task(
    "Combined",
    "one-shot",
    "relative mse",
    (Data("combined", "enma", "train", few={"draws": 40, "trajectories": 2}),),
    (
        Split(
            "in distribution",
            Data("combined", "enma", few={"draws": 60, "trajectories": 3}),
            published=(Published(0.0156, "ENMA", "P"),),
        ),
        Split("with d u_xxxx", Data("combined", "enma-ood"), published=(Published(0.330, "ENMA", "P"),)),
    ),
    (
        Library("library", "local terms to the fourth derivative, products of two", _TWO),
        Library("true terms", "the three terms", {"candidates": ["u: dx(u*u)", "u: dxx(u)", "u: dxxx(u)"], **_TWO}),
        Library(
            "truth left out", "the three terms without dispersion", {"candidates": ["u: dx(u*u)", "u: dxx(u)"], **_TWO}
        ),
    ),
    truth={"u: dx(u*u)": ("a", -1.0), "u: dxx(u)": ("b", 1.0), "u: dxxx(u)": ("g", -1.0)},
    members=20,
)

CALIBRATION = (Published(0.0868, "ENMA: RMSCE", "P"), Published(1.70e-3, "ENMA: CRPS", "P"))

ENMA = Protocol(
    "enma",
    "ENMA's Combined equation, one context trajectory, then a first frame only; relative mean squared error",
    (COMBINED,),
    "Calibration published of ENMA: RMSCE .0868, CRPS 1.70e-3 [P]. Here of normal distributions by the standard "
    "deviations of 20 members, over all points and frames, at quantiles .05 to .95. Initial states and times are "
    "assumed. Reduced: 40 training environments of 2 trajectories and 60 tested of 3; 1200, 120 and 10 published.",
)
