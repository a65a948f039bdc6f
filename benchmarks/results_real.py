"""Tables of docs/results.md: forecasts of real oceans, from maps and from tracks."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from pages import LEADS, Read, Table, best_in_bold, fixed, percent, table

SEAS = {"gulf_stream": "Gulf Stream", "agulhas": "Agulhas", "kuroshio": "Kuroshio"}
MAP_METHODS = {"persistence": "persistence", "half_trend": "half of the recent trend", "lim": "linear inverse model"}
SIMULATED_TRACKS = ("tracks_simulated", "tracks_simulated_seed1", "tracks_simulated_seed2")
SIMULATED_CURRENTS = {
    "currents": "simulated",
    "currents_seed1": "simulated_seed1",
    "currents_seed2": "simulated_seed2",
}
TRACK_METHODS = {
    "dino, maps of 2005": ("tracks", "dino"),
    "the same after transfer": ("tracks", "dino_modulation"),
    "dino, simulated oceans alone (three seeds)": ("simulated", "dino"),
    "the same after transfer (three seeds)": ("simulated", "dino_modulation"),
    "mean of that and optimal interpolation (three seeds)": ("simulated", "mean_of_modulation_and_interpolation"),
    "optimal interpolation, the covariance that validation days prefer": ("tracks", "optimal_interpolation"),
    "optimal interpolation with one Gaussian scale": ("tracks", "customary_interpolation"),
    "quasi-geostrophic 4D-Var, no training": ("tracks_quasi_geostrophic", "quasi_geostrophic"),
    "mean of that and optimal interpolation": (
        "tracks_quasi_geostrophic",
        "mean_of_quasi_geostrophic_and_interpolation",
    ),
    "mean": ("tracks", "mean"),
}


def maps(read: Read, kept: str) -> list[Table]:
    """Mediterranean maps, the basin mean `mean_kept` or `mean_removed`."""
    found = read("mediterranean")["summary"][kept]
    others = {"training mean": "mean"} | {shown: name for name, shown in MAP_METHODS.items()}
    rows = {"dino": [found["dino_rmse_cm"][lead]["mean"] for lead in LEADS]}
    rows |= {shown: [found["baselines_rmse_cm"][others[shown]][lead] for lead in LEADS] for shown in reversed(others)}
    return [table(["lead [days]", *LEADS], [*shown_best(rows), over_persistence(found["dino_ratio_to_persistence"])])]


def maps_with_hindcasts(read: Read) -> list[Table]:
    """Mediterranean maps, the mean kept, by forecasts that hindcasts combine."""
    found, leads = read("mediterranean_mean")["summary"]["mean_kept"], ("1", "2", *LEADS[1:])
    rows = [
        ["dino with hindcasts", *(fixed(found["dino_rmse_cm"][lead]["mean"]) for lead in leads)],
        over_persistence(found["dino_ratio_to_persistence"], leads),
        ["in the 90 % interval", *(percent(found["dino_coverage_90"][lead]["mean"]) for lead in leads)],
    ]
    return [table(["lead [days]", *leads], rows)]


def shown_best(rows: Mapping[str, Sequence[float]]) -> Iterable[list[str]]:
    """Rows with their names, the best of each column in bold."""
    return ([name, *cells] for name, cells in zip(rows, best_in_bold(list(rows.values())), strict=True))


def over_persistence(ratios: Mapping[str, Mapping[str, float]], leads: Sequence[str] = LEADS) -> list[str]:
    """A row of ratios, with their scatter over seeds where there is any."""
    scatter = max(ratios[lead].get("std") or 0.0 for lead in leads)
    name = "dino over persistence" + (f" (scatter over seeds at most {scatter:.3f})" if scatter else "")
    return [name, *(fixed(ratios[lead]["mean"]) for lead in leads)]


def seas(read: Read) -> list[Table]:
    """Maps of seas that were left out of training."""
    found = read("seas")
    rows = {
        "dino": [found["summary"]["pooled"][lead]["mean"] for lead in LEADS],
        "persistence": [found["pooled"]["persistence"][lead] for lead in LEADS],
        "half of the recent trend": [found["pooled"]["half_trend"][lead] for lead in LEADS],
    }
    ratios = over_persistence(found["summary"]["pooled_over_persistence"])
    return [table(["lead [days]", *LEADS], [*shown_best(rows), ratios])]


def basins(read: Read) -> list[Table]:
    """A run of the Mediterranean laid over eight other seas: pooled ratios, and where a baseline is better."""
    found, leads = read("basins_mean"), ("1", "2", *LEADS[1:])
    worse = found["runs"]["seed_0"]["worse_than_the_better_baseline"]
    rows = []
    for name, shown in {"dino": "dino", "dynamics_alone": "its dynamics alone", "half_trend": "half the trend"}.items():
        ratios = found["summary"][name]["ratio_to_persistence"]
        lost = f"{worse[name]['count']} of {worse[name]['of']}" if name in worse else ""
        rows.append([shown, *(fixed(ratios[lead]["mean"]) for lead in leads), lost])
    return [table(["over persistence, lead [days]", *leads, "pairs of sea and lead that a baseline wins"], rows)]


def tracks(read: Read) -> list[Table]:
    """One of three missions withheld over the Mediterranean."""
    rows = []
    for name, (file, method) in TRACK_METHODS.items():
        scores = [pooled(read, file, method, part) for part in ("window", "after")]
        rows.append((name, scores))
    cells = best_in_bold([scores for _, scores in rows])
    points = read("tracks")["pooled"]
    header = ["", f"in the window, {points['window']['points']:,} points"]
    header.append(f"the five days after, {points['after']['points']:,} points")
    return [table(header, ([name, *two] for (name, _), two in zip(rows, cells, strict=True)))]


def pooled(read: Read, file: str, method: str, part: str) -> float:
    """RMSE in cm, the mean over seeds of training where a run saw simulated oceans alone."""
    files = SIMULATED_TRACKS if file == "simulated" else (file,)
    return mean(read(one)["pooled"][part][method]["rmse_cm"] for one in files)


def currents(read: Read) -> list[Table]:
    """Jason-3 alone in three western boundary currents, five days assimilated and two predicted."""
    rows = {
        "dino, simulated oceans alone (three seeds)": [current(read, sea, "dino") for sea in SEAS],
        "the same after transfer (three seeds)": [current(read, sea, "dino_modulation") for sea in SEAS],
        "dino, maps of January 2014 elsewhere": [ahead(read, "currents", "ocean", sea, "dino") for sea in SEAS],
        "optimal interpolation, two scales": [current(read, sea, "optimal_interpolation") for sea in SEAS],
        "optimal interpolation with one Gaussian scale": [
            current(read, sea, "customary_interpolation") for sea in SEAS
        ],
    }
    runs = [read(file)[run]["ahead"] for file, run in SIMULATED_CURRENTS.items()]
    spread = [[run[sea]["dino_modulation"]["spread_over_error"] for run in runs] for sea in SEAS]
    told = ["spread over error after transfer", *(f"{fixed(min(each))} to {fixed(max(each))}" for each in spread)]
    return [table(["", *SEAS.values()], [*shown_best(rows), told])]


def current(read: Read, sea: str, method: str) -> float:
    """RMSE in cm over seeds of training from simulation; interpolations are the same in all."""
    return mean(ahead(read, file, run, sea, method) for file, run in SIMULATED_CURRENTS.items())


def ahead(read: Read, file: str, run: str, sea: str, method: str) -> float:
    """RMSE in cm of one run."""
    return read(file)[run]["ahead"][sea][method]["rmse_cm"]


def across(read: Read) -> list[Table]:
    """The same between passes: four of five overflights assimilated, the fifth predicted."""
    found: Mapping[str, Any] = read("currents_across")["simulated"]["across"]
    methods = {
        "dino, simulated oceans alone, after transfer": "dino_modulation",
        "optimal interpolation, two scales": "optimal_interpolation",
        "optimal interpolation with one Gaussian scale": "customary_interpolation",
    }
    rows = {shown: [found[sea][name]["rmse_cm"] for sea in SEAS] for shown, name in methods.items()}
    spread = [fixed(found[sea]["dino_modulation"]["spread_over_error"]) for sea in SEAS]
    return [table(["", *SEAS.values()], [*shown_best(rows), ["spread over error", *spread]])]
