"""CoDA's protocol (Kirchmeyer et al., ICML 2022): new environments of a system from one trajectory each."""

from .physics_protocols import Data, Library, Protocol, Published, Split, Task

VORTICITY = _W = "vorticity"
TRANSPORT = f"{_W}: dx(py({_W})*{_W}) - dy(px({_W})*{_W})"
_FORCED = {"forcing": {"channels": [_W], "waves": 2}, "rounds": 4, "most_trajectories": 4}
REACTION_SIZES = {
    "u: 1": 0.05,
    "u: u": -0.05,
    "u: lap9(u)": 0.2,
    "u: u*v*v": -1.0,
    "v: v": -0.1,
    "v: lap9(v)": 0.1,
    "v: u*v*v": 1.0,
}
_SERIES = ["u: lap(u)", "v: lap(v)"]
GRID_SETTINGS = {"products": "grid", "degree": 3}
_BLIND = [text.replace("u*v*v", "u*v") for text in REACTION_SIZES]


def _task(name: str, system: str, new: tuple[Published, ...], libraries: tuple[Library, ...], few: int) -> Task:
    """Training environments again, then new ones, each from the first frames of 32 trajectories."""
    fewer = {"trajectories": few}
    train = Data(system, "coda", "train")
    known = Split("training environments", Data(system, "coda", "test", fewer), train)
    unseen = Split(
        "new environments", Data(system, "coda", "adaptation-test", fewer), Data(system, "coda", "adaptation"), new
    )
    return Task(name, "adaptation", "mse", (train,), (known, unseen), libraries)


# Of prey and predators at once, over somewhat more than the ranges they are learned from.
_SURFACE = [
    f"{channel}: spline(prey, {one}, 4, 0.0, 2.4)*spline(predators, {other}, 4, 0.0, 4.0)"
    for channel in ("prey", "predators")
    for one in range(4)
    for other in range(4)
]
_PREY = (
    Library("library", "products of two channels", {"degree": 2}),
    Library(
        "true terms",
        "the four terms",
        {
            "candidates": [
                "prey: prey",
                "prey: prey*predators",
                "predators: prey*predators",
                "predators: predators",
            ]
        },
    ),
    Library("residual alone", "an unknown function of both channels, bicubic", {"candidates": _SURFACE}),
    Library("truth left out", "linear terms only", {"degree": 1}),
)
# The rates that are bilinear, and one of glucose that an unknown function of ATP limits: cubic splines over its range.
_RATES = {
    "x0": ["1"],
    "x1": ["x1", "x1*x4"],
    "x2": ["x1", "x1*x4", "x2", "x2*x5"],
    "x3": ["x2", "x2*x5", "x3", "x3*x4", "x6"],
    "x4": ["x1", "x1*x4", "x3*x4"],
    "x5": ["x2", "x2*x5", "x5"],
    "x6": ["x3", "x6"],
}
_BILINEAR = [f"{channel}: {term}" for channel, terms in _RATES.items() for term in terms]
SPLINES, ATP = 24, (0.06, 3.65)
_LIMITED = [
    f"{channel}: x0*spline(x5, {number}, {SPLINES}, {ATP[0]}, {ATP[1]})"
    for channel in ("x0", "x1", "x5")
    for number in range(SPLINES)
]
_GLYCOLYSIS = (
    Library(
        "rates",
        "which rates are bilinear; glucose times an unknown function of ATP",
        {"candidates": [*_BILINEAR, *_LIMITED], "most_trajectories": 16, "neglect": 1e-6},
    ),
    Library("truth left out", "products of two channels; the rate is rational", {"degree": 2}),
)
PATTERNS = (
    Library(
        "true terms",
        "reaction, feed, loss and two Laplacians, with orders of magnitude",
        {"candidates": [*REACTION_SIZES, *_SERIES], "sizes": REACTION_SIZES, **GRID_SETTINGS},
    ),
    Library("library", "any channel's two Laplacians and products of three", GRID_SETTINGS),
    Library(
        "library with sizes",
        "the library, with orders of magnitude of the seven true terms",
        {"sizes": {text.replace("lap9", "lap"): size for text, size in REACTION_SIZES.items()}, **GRID_SETTINGS},
    ),
    Library(
        "residual alone",
        "an unknown function of both channels at a point, of degree three; no derivative",
        {"products": "grid", "order": 0, "degree": 3},
    ),
    Library("truth left out", "u v in place of u v^2", {"candidates": [*_BLIND, *_SERIES], **GRID_SETTINGS}),
)
_FLOW = (
    Library(
        "true terms",
        "transport by the stream function, two viscosities, drag, waves of a forcing",
        {"candidates": [TRANSPORT, f"{_W}: lap({_W})", f"{_W}: lap2({_W})", f"{_W}: {_W}"], **_FORCED},
    ),
    Library("truth left out", "local terms and products, waves of a forcing; no transport", {**_FORCED, "degree": 2}),
)

CODA = Protocol(
    "coda",
    "CoDA, one trajectory of each new environment; mean squared error over all frames from the true first one",
    (
        _task("Lotka-Volterra", "lotka-volterra", (Published(2.4e-6, "NCF, best run", "C"),), _PREY, 32),
        _task("glycolysis", "glycolysis", (Published(8.1e-5, "NCF, best run", "C"),), _GLYCOLYSIS, 32),
        _task(
            "Gray-Scott",
            "gray-scott",
            (
                Published(3.4e-3, "NCF, best run", "C"),
                Published(2.1e-4, "CoDA in DynaInfer", "P", "other environments"),
            ),
            PATTERNS,
            8,
        ),
        _task("Navier-Stokes", "vorticity", (Published(2.79e-3, "NCF, best run", "C"),), _FLOW, 8),
    ),
    "Initial states of seed 0 are the published ones where numpy drew them, other seeds draw others for training and "
    "adaptation. Simulations are converged. Reduced: 8 test trajectories of Gray-Scott and Navier-Stokes, not 32.",
)
