"""The table of the README: where dino is better than the best of others on the same data, and where it is not."""

from collections.abc import Sequence
from statistics import mean

from pages import Read, Table, fixed, table
from results_experiments import short
from results_real import SEAS, current, pooled
from results_simulated import DEMO_SEEDS

Values = Sequence[float]


def summary(read: Read) -> list[Table]:
    """One row a task; a task of several seas has one number for each."""
    tasks = (
        simulated,
        tracks_within,
        tracks_after,
        currents,
        between_passes,
        two_days,
        maps,
        unseen,
        clouds,
        vorticity,
    )
    header = ["what is forecast", "dino", "optimal interpolation", "the best other", "dino over the best of them"]
    return [table(header, [task(read) for task in tasks])]


def row(task: str, dino: Values, interpolation: Values, other: str = "", others: Values = (), shown=fixed) -> list[str]:
    """Cells of a task; the best of the others is taken sea by sea."""
    rivals = [values for values in (interpolation, others) if values]
    best = [min(each) for each in zip(*rivals, strict=True)]
    ratios = [mine / least for mine, least in zip(dino, best, strict=True)]

    def joined(values: Values) -> str:
        return " / ".join(map(shown, values))

    cells = joined(dino), joined(interpolation), f"{other} {joined(others)}".strip()
    return [task, *cells, " / ".join(f"{ratio:.2f}" for ratio in ratios)]


def simulated(read: Read) -> list[str]:
    """The demo, mean of its seeds."""
    runs = [read("demo")["runs"][f"seed_{seed}"]["rmse_cm"] for seed in DEMO_SEEDS]
    dino, interpolation, physics = (
        [mean(run[name]["5"] for run in runs)] for name in ("dino", "optimal_interpolation", "quasi_geostrophic")
    )
    task = "simulated ocean from two swaths and two altimeters, 5 days ahead [cm]"
    return row(task, dino, interpolation, "quasi-geostrophic 4D-Var", physics)


def tracks_within(read: Read) -> list[str]:
    """A withheld mission within the window."""
    return _tracks(read, "Mediterranean from two altimeters, at the third within the window [cm]", "window")


def tracks_after(read: Read) -> list[str]:
    """A withheld mission after the window."""
    return _tracks(read, "the same, in the five days after [cm]", "after")


def _tracks(read: Read, task: str, part: str) -> list[str]:
    dino, interpolation, physics = (
        [pooled(read, file, method, part)]
        for file, method in (
            ("simulated", "dino_modulation"),
            ("tracks", "optimal_interpolation"),
            ("tracks_quasi_geostrophic", "quasi_geostrophic"),
        )
    )
    return row(task, dino, interpolation, "quasi-geostrophic 4D-Var", physics)


def currents(read: Read) -> list[str]:
    """Two days ahead of five of Jason-3, the better interpolation of each sea."""
    dino = [current(read, sea, "dino_modulation") for sea in SEAS]
    interpolation = [
        min(current(read, sea, name) for name in ("optimal_interpolation", "customary_interpolation")) for sea in SEAS
    ]
    return row("Gulf Stream / Agulhas / Kuroshio from one altimeter, 2 days ahead [cm]", dino, interpolation)


def between_passes(read: Read) -> list[str]:
    """Overflights left out among others of the same days."""
    found = read("currents_across")["simulated"]["across"]
    dino = [found[sea]["dino_modulation"]["rmse_cm"] for sea in SEAS]
    interpolation = [
        min(found[sea][name]["rmse_cm"] for name in ("optimal_interpolation", "customary_interpolation"))
        for sea in SEAS
    ]
    return row("the same seas, between the passes of seven days [cm]", dino, interpolation)


def two_days(read: Read) -> list[str]:
    """Very few observations."""
    found = read("few_shots")["cells"]["2_days"]["1"]["window"]
    dino, interpolation = [found["dino_modulation"]], [found["optimal_interpolation"]]
    return row("Mediterranean from two days of two altimeters [cm]", dino, interpolation)


def maps(read: Read) -> list[str]:
    """Mediterranean maps, hindcasts included."""
    found = read("mediterranean_mean")["summary"]["mean_kept"]
    other = [found["baselines_rmse_cm"]["half_trend"]["5"]]
    task = "Mediterranean from daily maps, 5 days ahead [cm]"
    return row(task, [found["dino_rmse_cm"]["5"]["mean"]], (), "half of the recent trend", other)


def unseen(read: Read) -> list[str]:
    """Seas left out of training, from maps."""
    found = read("seas")
    dino, other = [found["summary"]["pooled"]["5"]["mean"]], [found["pooled"]["half_trend"]["5"]]
    task = "three seas left out of training from daily maps, 5 days ahead [cm]"
    return row(task, dino, (), "half of the recent trend", other)


def clouds(read: Read) -> list[str]:
    """Temperature at cells that clouds hid."""
    found = read("temperature")["cloudy"]["hidden"]
    dino, interpolation, motion = (
        [found[name]["rmse_k"][6]] for name in ("dino_seed_0_4_days", "optimal_interpolation", "advection_diffusion")
    )
    task = "simulated temperature under clouds, 6 days ahead [K]"
    return row(task, dino, interpolation, "advection by an estimated motion", motion)


def vorticity(read: Read) -> list[str]:
    """Navier-Stokes beyond the times of training, with the peers' time in the row."""
    dino = read("navier_stokes_seed3")["keep_100"]["seed_3"]["dino"]["tests"]["same_points"]["vorticity"]["out_t"]
    peers, other = read("navier_stokes_peers_seed3")["keep_100"]["seed_3"], read("navier_stokes_fno_seed3")
    values: dict[str, float] = {name: peer["out_t"]["all"] for name, peer in peers.items() if peer.get("out_t")}
    values["Fourier neural operator"] = other["keep_100"]["seed_3"]["fno"]["out_t"]["all"]
    task = "Navier-Stokes vorticity beyond the training times, mean squared error"
    least = min(values, key=values.__getitem__)
    return row(task, [dino], (), NAMES.get(least, least), [values[least]], shown=short)


NAMES = {"pod_ode": "principal components with a latent ODE"}
