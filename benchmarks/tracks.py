"""Real altimeter tracks: two missions are analysed, the third is predicted at its own places and times.

Every mission is withheld in turn and every analysis time has a window of its own. Predictions inside the window are
interpolation, after it forecasts, scored by day of lead. The covariance of optimal interpolation is fitted to the
assimilated observations of that window alone; the customary interpolation has one scale, Gaussian in space and time.
The model's mean field is of another year: its default variant, `dino`, is given the observations less the mean of their
departure from it, as optimal interpolation takes a constant mean from them."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from numpy.typing import NDArray
from realdata import (
    MAPS,
    ROOT,
    TRACKS,
    add_options,
    configuration,
    make_stores,
    skip_without,
    train_run,
    work_folder,
)
from strategies.comparison import in_turn

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from dino.commands.common import transfer_task
from dino.config import Config, ErrorsConfig
from dino.data.observations import Observations
from dino.errors import DinoError
from dino.evaluation.splits import Split, splits
from dino.evaluation.withheld import Predictions, of_interpolation
from dino.evaluation.withheld import mean_departure as departure_of_all
from dino.forecaster import Forecaster
from dino.inference.errors import error_variance
from dino.model.checkpoint import load_model, load_run_config
from dino.plotting import plot_tracks

Array = NDArray[np.float64]


def interpolate(split: Split, seed: int) -> Predictions:
    """Optimal interpolation at the points' own times, and its last map held still after the window."""
    made = of_interpolation(split, seed=seed)
    return {
        name: column for name, column in made.items() if not name.endswith(("_noise", "customary_interpolation_std"))
    }


def predict(forecaster: Forecaster, split: Split, window: float, name: str, offset: float) -> Predictions:
    """The model's mean and standard deviation, given the observations less `offset`."""
    seen = replace(split.seen, values=split.seen.values - offset)
    analysis = forecaster.analyse_observations(seen, split.end, window, smooth=True)
    points = split.withheld
    mean, std = forecaster.along_track(analysis, points.time, points.longitude, points.latitude)
    return {name: mean[:, 0] + offset, f"{name}_std": std[:, 0]}


def mean_departure(forecaster: Forecaster, seen: Observations) -> float:
    """Mean of the observations less the mean field of the model at their places."""
    return float(departure_of_all(forecaster, seen)[0])


def transferred(
    fresh: Callable[[], Forecaster], split: Split, offset: float, config: Config, name: str, told: list[dict[str, Any]]
) -> Forecaster:
    """A fresh copy of the run, adapted by a strategy to what the window assimilates; `told` is given how it went."""
    forecaster = fresh()
    seen = replace(split.seen, values=split.seen.values - offset)
    began, account = time.perf_counter(), {"strategy": name, "mission": split.mission, "end": split.end}
    try:
        result = in_turn(name)(transfer_task(forecaster, seen, config), lambda *told: None)
        account |= {"misfit_of_rounds": result.rounds, "kept": result.kept}
    except DinoError as error:
        account |= {"refused": str(error)}
        forecaster = fresh()
    told.append(account | {"seconds": time.perf_counter() - began})
    return forecaster


def score(truth: Array, prediction: Array, keep: NDArray[np.bool_]) -> dict[str, float | None]:
    """RMSE and bias [cm], correlation (None of a constant)."""
    seen, said = truth[keep], prediction[keep]
    error = 100.0 * (said - seen)
    varies = len(seen) > 1 and np.ptp(seen) > 0 and np.ptp(said) > 0
    return {
        "rmse_cm": float(np.sqrt(np.mean(error**2))),
        "bias_cm": float(error.mean()),
        "correlation": float(np.corrcoef(seen, said)[0, 1]) if varies else None,
    }


def score_groups(table: dict[str, NDArray], methods: list[str], days_ahead: int) -> dict[str, Any]:
    """Scores of all methods on the same points: inside the window, by day of lead, pooled and by mission."""
    usable = np.all([np.isfinite(table[method]) for method in methods], axis=0)
    lead = table["lead"]
    bands: dict[str, NDArray[np.bool_]] = {"window": lead <= 0}
    bands |= {f"{day}-{day + 1}": (lead > day) & (lead <= day + 1) for day in range(days_ahead)}
    bands["after"] = (lead > 0) & (lead <= days_ahead)

    def scored(where: NDArray[np.bool_]) -> dict[str, Any]:
        keep = where & usable
        if not keep.any():
            return {"points": 0}
        return {"points": int(keep.sum())} | {m: score(table["truth"], table[m], keep) for m in methods}

    pooled = {band: scored(where) for band, where in bands.items()}
    missions = {
        str(mission): {
            band: scored(bands[band] & (table["mission"] == mission)) for band in ("window", "after")
        }
        for mission in np.unique(table["mission"])
    }  # fmt: skip
    return {"share_of_points": float(usable.mean()), "pooled": pooled, "by_mission": missions}


def normalised_error(table: dict[str, NDArray], method: str) -> dict[str, float | None]:
    """Root mean square of errors over their predicted standard deviation, noise included, in the window and after."""
    ratio = (table[method] - table["truth"]) / np.hypot(
        table[f"{method}_std"], table.get(f"{method}_noise", table["noise"])
    )
    parts = {"window": ratio[table["lead"] <= 0], "after": ratio[table["lead"] > 0]}
    parts = {name: part[np.isfinite(part)] for name, part in parts.items()}
    return {name: float(np.sqrt(np.mean(part**2))) if len(part) else None for name, part in parts.items()}


def observation_error_cm(table: dict[str, NDArray]) -> float:
    """Root mean square of the error that withheld values are taken to have."""
    return 100.0 * float(np.sqrt(np.mean(table["noise"] ** 2)))


def spread_over_error(table: dict[str, NDArray], method: str) -> dict[str, float | None]:
    """Predicted standard deviation, error of the truth included, over RMSE, in the window and after."""
    noise = table.get(f"{method}_noise", table["noise"])
    variance, squared = table[f"{method}_std"] ** 2 + noise**2, (table[method] - table["truth"]) ** 2
    made: dict[str, float | None] = {}
    for name, where in (("window", table["lead"] <= 0), ("after", table["lead"] > 0)):
        keep = where & np.isfinite(squared + variance)
        made[name] = float(np.sqrt(variance[keep].mean() / squared[keep].mean())) if keep.any() else None
    return made


def over(table: dict[str, NDArray], method: str, other: str, methods: list[str]) -> dict[str, list[float]]:
    """RMSE over that of another method with the 90 % interval of a bootstrap of overflights.

    On points that all `methods` predict; a band without any is left out.
    """
    usable = np.all([np.isfinite(table[m]) for m in methods], axis=0)
    made = {}
    for name, where in (("window", table["lead"] <= 0), ("after", table["lead"] > 0)):
        keep = where & usable
        if not keep.any():
            continue
        number = np.cumsum(np.abs(np.diff(table["lead"], prepend=0.0)) > 60 / 86400)[keep]
        _, number = np.unique(number, return_inverse=True)
        ours, theirs = (np.bincount(number, (table[m] - table["truth"])[keep] ** 2) for m in (method, other))
        drawn = np.random.default_rng(0).integers(0, len(ours), (1000, len(ours)))
        ratios = np.sqrt(ours[drawn].sum(1) / theirs[drawn].sum(1))
        made[name] = [float(np.sqrt(ours.sum() / theirs.sum())), *(float(q) for q in np.quantile(ratios, [0.05, 0.95]))]
    return made


def alike(table: dict[str, NDArray], methods: list[str]) -> dict[str, float]:
    """Correlation of the errors in the window with those of optimal interpolation: what the observations leave open."""
    errors = {m: (table[m] - table["truth"])[table["lead"] <= 0] for m in methods}
    usable = np.isfinite(list(errors.values())).all(0)
    ours = errors["optimal_interpolation"][usable]
    return {m: float(np.corrcoef(error[usable], ours)[0, 1]) for m, error in errors.items()}


def variants(
    arguments: argparse.Namespace, config: Config, fresh: Callable[[], Forecaster], told: list[dict[str, Any]]
) -> Callable[[Split], Predictions]:
    """A function that predicts with every method; `fresh` loads the run anew."""
    forecaster, window, seed = fresh(), arguments.window, arguments.seed

    def all_methods(split: Split) -> Predictions:
        offset = mean_departure(forecaster, split.seen)
        made = interpolate(split, seed)
        made |= predict(forecaster, split, window, "dino", offset)
        made |= predict(forecaster, split, window, "dino_raw", 0.0)
        for name in arguments.strategies:
            adapted = transferred(fresh, split, offset, config, name, told)
            if told[-1].get("kept"):
                made |= predict(adapted, split, window, f"dino_{name}", offset)
                made[f"dino_{name}_noise"] = np.sqrt(error_variance(split.withheld, adapted.assimilation.errors)[:, 0])
            else:
                made |= {f"dino_{name}": made["dino"], f"dino_{name}_std": made["dino_std"]}
                made[f"dino_{name}_noise"] = np.sqrt(error_variance(split.withheld, config.assimilation.errors)[:, 0])
            made[f"mean_of_{name}_and_interpolation"] = 0.5 * (made[f"dino_{name}"] + made["optimal_interpolation"])
        return made

    return all_methods


def run_of(arguments: argparse.Namespace, work: Path) -> Path:
    """The run given, or one trained now with the shipped configuration."""
    if arguments.run is not None:
        return arguments.run
    make_stores(work, arguments.data, MAPS)
    folder = work / "runs" / "tracks"
    train_run(configuration(arguments.config, arguments.overrides, work, arguments.seed), folder)
    return folder


def collect(
    arguments: argparse.Namespace, work: Path, config: Config, fresh: Callable[[], Forecaster]
) -> tuple[dict[str, NDArray], int, list[dict[str, Any]]]:
    """Everything predicted, in columns, the number of analyses, and how every transfer went."""
    make_stores(work, arguments.data, TRACKS)
    observations, names = missions(work / "stores" / "tracks.zarr", fresh().ocean.names)
    todo = list(splits(observations, names, arguments.window, arguments.days_ahead, arguments.every))
    todo = todo[: arguments.analyses]
    told: list[dict[str, Any]] = []
    table = predicted(todo, variants(arguments, config, fresh, told), config.assimilation.errors)
    return table, len(todo), told


def missions(store: Path, channels: tuple[str, ...]) -> tuple[Observations, list[str]]:
    """Observations of a store, and a name for each of its sources."""
    dataset = open_store(store)
    names = [f"mission {i + 1}" for i in range(dataset.sizes["source_index"])]
    return Observations.from_dataset(dataset, channels), names


def predicted(
    todo: Sequence[Split], predict_all: Callable[[Split], Predictions], errors: ErrorsConfig
) -> dict[str, NDArray]:
    """Everything that is predicted of all splits, in columns, with truth, lead, mission and the truth's error."""
    columns: dict[str, list[NDArray]] = {}
    with reported("tracks") as progress:
        for done, split in enumerate(todo):
            made: dict[str, NDArray] = dict(predict_all(split))
            made["truth"], made["lead"] = split.withheld.values[:, 0], split.withheld.time - split.end
            made["noise"] = np.sqrt(error_variance(split.withheld, errors)[:, 0])
            made["mission"] = np.full(len(split.withheld), split.mission)
            for name, column in made.items():
                columns.setdefault(name, []).append(column)
            progress(done + 1, len(todo))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.set_defaults(config=ROOT / "configs" / "tracks.yaml")
    options.add_argument("--run", type=Path, help="a run of adt; trained with --config when absent")
    options.add_argument("--strategies", nargs="*", default=[], help="also adapt the run by these; `a+b` is b after a")
    options.add_argument("--window", type=float, default=15.0, help="days of observations analysed")
    options.add_argument("--days-ahead", type=int, default=5, help="days scored after the window")
    options.add_argument("--every", type=float, default=1.0, help="days between the analyses")
    options.add_argument("--analyses", type=int, help="only the first so many, for a trial")
    arguments = options.parse_args()
    prepare(arguments)
    for name in arguments.strategies:
        in_turn(name)  # an unknown one is refused before anything is measured
    skip_without(arguments.data, TRACKS if arguments.run is not None else TRACKS | MAPS)
    with work_folder(arguments.work) as work:
        run = run_of(arguments, work)
        config = load_run_config(run, arguments.overrides)
        assimilation = config.assimilation

        def fresh() -> Forecaster:
            return Forecaster(*load_model(run), assimilation)

        table, analyses, told = collect(arguments, work, config, fresh)
        methods = ["dino", "dino_raw", "optimal_interpolation", "optimal_interpolation_persistence"]
        methods += ["customary_interpolation", "mean"]
        methods += [f"dino_{name}" for name in arguments.strategies]
        methods += [f"mean_of_{name}_and_interpolation" for name in arguments.strategies]
        for name, where in (("window", table["lead"] <= 0), ("after", table["lead"] > 0)):
            std = np.hypot(table["dino_std"], table["noise"])[where]
            picture = work / "figures" / f"tracks_{name}.png"
            plot_tracks(table["truth"][where], table["dino"][where], "adt", "m", picture, std=std)
        results = {
            "analyses": analyses,
            "withheld_points": len(table["truth"]),
            "assimilation": assimilation.method,
            "observation_error_cm": observation_error_cm(table),
            **score_groups(table, methods, arguments.days_ahead),
            "transfers": told,
            "errors_correlate_with_those_of_interpolation": alike(table, methods),
            "over_interpolation": {m: over(table, m, "optimal_interpolation", methods) for m in methods},
            "spread_over_error": {m: spread_over_error(table, m) for m in methods if f"{m}_std" in table},
            "normalised_error": {m: normalised_error(table, m) for m in methods if f"{m}_std" in table},
        }
    report(arguments, results)


if __name__ == "__main__":
    main()
