"""Tables of docs/results.md: DINo's experiments, their peers, and many physics."""

from collections.abc import Iterator, Mapping
from typing import Any

from pages import Read, Table, number, table

NAVIER_STOKES = (  # what is seen, file, share of the cells, seeds
    ("whole fields", "navier_stokes_seed3", 100, 3),
    ("whole fields", "navier_stokes", 100, 0),
    ("whole fields", "navier_stokes_seed1", 100, 1),
    ("25 % of the cells, one random set for all", "navier_stokes_25", 25, 3),
    ("25 % of the cells", "navier_stokes_25", 25, 0),
    ("25 % of the cells", "navier_stokes_25", 25, 1),
    ("5 % of the cells", "navier_stokes_seed3", 5, 3),
    ("5 % of the cells", "navier_stokes_5", 5, 0),
    ("5 % of the cells", "navier_stokes_5", 5, 1),
    ("successors' protocol", "navier_stokes_successors", 20, 0),
    ("whole fields, least squares alone", "navier_stokes_least_squares", 100, 0),
    ("whole fields, least squares alone", "navier_stokes_least_squares", 100, 1),
    ("whole fields, least squares alone", "navier_stokes_least_squares", 100, 2),
)
PEERS = {
    "fno": "Fourier neural operator",
    "pod_ode": "principal components with the latent ODE of an MLP",
    "pod_dmd": "dynamic mode decomposition",
    "dino_recipe": "DINo's published recipe, meant for 120,000 epochs",
    "persistence": "persistence",
}
SYSTEMS = {
    "navier-stokes": ("robustness_navier_stokes", "Navier-Stokes"),
    "wave": ("robustness", "wave"),
    "shallow-water": ("robustness", "shallow water"),
}
PHYSICS = (  # file, task, split, metric
    ("physics_coda", "Lotka-Volterra", "new environments", "mean squared error"),
    ("physics_enma", "Combined", "in distribution", "relative mean squared error"),
)


def navier_stokes(read: Read) -> list[Table]:
    """Mean squared error of vorticity, at the cells that were seen and at others."""
    rows = []
    for seen, file, keep, seed in NAVIER_STOKES:
        dino = read(file)[f"keep_{keep}"][f"seed_{seed}"]["dino"]
        here = dino["tests"]["same_points"]["vorticity"]
        there = dino["tests"].get("new_points", {}).get("vorticity")
        rows.append([seen, str(seed), number(here["in_t"]), number(here["out_t"]), pair(there), seconds(dino)])
    header = ["what is seen", "seed", "In-t", "Out-t", "with other cells at test", "processor seconds"]
    return [table(header, rows)]


def pair(scores: Mapping[str, float] | None) -> str:
    """Both errors, nothing where there are none."""
    return "" if scores is None else f"{number(scores['in_t'])} / {number(scores['out_t'])}"


def seconds(run: Mapping[str, Any]) -> str:
    """Of processors, where they were measured."""
    return f"{run['cpu_seconds']:.0f}" if "cpu_seconds" in run else ""


def navier_stokes_peers(read: Read) -> list[Table]:
    """Peers on the same store, given the same time."""
    found = read("navier_stokes_peers_seed3")["keep_100"]["seed_3"]
    found = {**found, "fno": read("navier_stokes_fno_seed3")["keep_100"]["seed_3"]["fno"]}
    rows = [[shown, *(short(found[name][part]["all"]) for part in ("in_t", "out_t"))] for name, shown in PEERS.items()]
    return [table(["", "In-t", "Out-t"], rows)]


def short(value: float) -> str:
    """Two digits, as a decimal where few zeros lead."""
    return f"{value:.2g}" if value >= 0.1 else number(value)


def budget(read: Read) -> list[Table]:
    """Errors at growing sizes, the peers given as many seconds."""
    found = read("budget")
    methods = {"dino": "dino", "fno": PEERS["fno"], "pod_ode": PEERS["pod_ode"]}
    rows = [
        [f"{found['dino'][size]['seconds']:.0f}", size, *(pair(found[name][size]) for name in methods)]
        for size in found["dino"]
    ]
    return [table(["seconds", "preset of dino", *methods.values()], rows)]


def wave(read: Read) -> list[Table]:
    """Mean squared errors of both channels of the wave equation."""
    found, rows = read("wave"), []
    for keep, seen in ((100, "whole fields"), (5, "5 % of the cells")):
        for seed in (0, 1):
            dino = found[f"keep_{keep}"][f"seed_{seed}"]["dino"]
            tests = dino["tests"]["same_points"]
            pairs = pair(tests["displacement"]), pair(tests["displacement_rate"])
            rows.append([seen, str(seed), *pairs, seconds(dino)])
    return [
        table(["what is seen", "seed", "displacement In-t / Out-t", "rate In-t / Out-t", "processor seconds"], rows)
    ]


def shallow_water(read: Read) -> list[Table]:
    """Errors as shares of the variance: no other scale tells heights of hundreds of metres from tiny vorticities."""
    dino = read("shallow_water")["keep_100"]["seed_0"]["dino"]
    tests = dino["tests"]["same_points"]
    rows = [
        [name, *(f"{100 * scores[part] / scores['variance']:.3g} %" for part in ("in_t", "out_t")), seconds(dino)]
        for name, scores in tests.items()
    ]
    return [table(["share of the variance", "In-t", "Out-t", "processor seconds"], rows)]


def robustness(read: Read) -> list[Table]:
    """Twenty seeds of every quick preset."""
    rows = []
    for system, (file, shown) in SYSTEMS.items():
        found = read(file)[system]
        worst = [f"{found[part]['worst_over_persistence']:.2g}" for part in ("in_t", "out_t")]
        rows.append([shown, f"{found['finite']} of {found['cases']}", *worst])
    return [table(["quick preset", "seeds with finite numbers", "worst over persistence, In-t", "Out-t"], rows)]


def many_physics(read: Read) -> list[Table]:
    """Two protocols as a taste of docs/many-physics.md: adapted from one trajectory, beside the best published."""
    rows = [list(physics_row(read(file), *about)) for file, *about in PHYSICS]
    header = ["protocol, adapted from one trajectory", "score", "dino, three seeds", "smallest to largest", "published"]
    return [table(header, rows)]


def physics_row(found: Mapping[str, Any], task: str, split: str, metric: str) -> Iterator[str]:
    """Cells of one protocol, by the library that does not name the equation, solved to the end."""
    rows = [row for row in found["summary"] if (row["task"], row["split"], row["library"]) == (task, split, "library")]
    last = max(rows, key=lambda row: row["iterations"])
    yield from (f"{task}: {split}", metric, number(last["value"]))
    yield " to ".join(map(number, last["range"]))
    yield "; ".join(found["published"][f"{task}: {split}"])
