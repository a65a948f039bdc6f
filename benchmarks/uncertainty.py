"""Are error bars honest: spread over error, coverage and CRPS by lead, beside climatological and persistence ensembles.

oceans: forecasts of the demo's observed ocean from its swaths, in a smaller variant of the demo with more scored days;
the factors of the spread are fitted to the observations before those days. mediterranean: forecasts from maps; factors
are fitted to the held-out days at the end of the training period. The scored days are used for nothing else.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser, prepare, report
from realdata import MAPS, ROOT, add_options, configuration, make_stores, train_run, work_folder
from rich.console import Console

from data_pipeline.stores.stream import read_window
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from data_pipeline.system.settings import load_settings
from dino.commands.common import training_maps
from dino.commands.evaluate import distributions
from dino.config import Config
from dino.data.observations import Observations
from dino.evaluation.calibrate_maps import calibrate_from_maps
from dino.evaluation.calibrate_points import calibrate_from_points
from dino.evaluation.evaluate import Evaluation, evaluate_maps, evaluate_observations
from dino.evaluation.report import spread_table
from dino.evaluation.spread_factors import Calibration
from dino.experiments.demo import DemoSizes, make_oceans
from dino.experiments.train import held_out_maps
from dino.forecaster import Forecaster
from dino.model import Start
from dino.model.checkpoint import load_model
from dino.plotting import plot_spread
from dino.training.prepare import prepare as prepare_training

SIZES = DemoSizes(runs=128, trajectories=256, real_days=110)
SETTINGS = ["dynamics.steps=1500", "field.steps=200", "evaluation.stride=5"]
CLIMATE_RUNS = 64  # of the model ocean, for the reference ensembles
SHOWN = Console(width=140)
RATIO, COVERED = (0.9, 1.1), (0.87, 0.93)


def oceans(folder: Path, seed: int, figure: Path | None) -> dict[str, Any]:
    """One simulated pair of oceans: make what is not there, calibrate on the early record, score the later days."""
    paths = [folder / f"{name}.zarr" for name in ("model_ocean", "real_ocean", "observations")]
    if not all(path.exists() for path in paths):
        with reported("simulating") as progress:
            make_oceans(folder, SIZES, seed, progress)
    config = load_settings(Config, ROOT / "configs" / "demo-sea-level.yaml", [*SETTINGS, f"seed={seed}"])
    store = config.data.stores[0].model_copy(update={"path": paths[0]})
    config = config.model_copy(update={"data": config.data.model_copy(update={"stores": [store]})})
    if not (folder / "run" / "model.json").exists():
        train_run(config, folder / "run")
    forecaster = Forecaster(*load_model(folder / "run"), config.assimilation)
    seen = open_store(paths[2])
    past = Observations.from_dataset(read_window(seen, "1900-01-01", SIZES.scored_from), forecaster.ocean.names)
    reach = max(config.evaluation.leads_days)
    # Nothing was adapted to the record: all of it is held out.
    fitted = calibrate_from_points(forecaster, past, held_from=float(past.time[0]), reach_days=reach)
    first = np.datetime64(SIZES.scored_from).astype("datetime64[s]").item()
    scored = config.evaluation.model_copy(update={"start": first})
    truth = open_store(paths[1]).isel(trajectory=0).load()
    climate = open_store(paths[0]).isel(trajectory=slice(0, CLIMATE_RUNS))
    with reported(f"evaluating oceans of seed {seed}") as progress:
        result = evaluate_observations(forecaster, truth, seen.load(), scored, climate, None, progress)
    return summary(result, forecaster, fitted, Start.POINTS, figure)


def mediterranean(config: Config, folder: Path) -> dict[str, Any]:
    """Maps of 2005: train unless it was, calibrate on the held-out days, score the days after training."""
    if not (folder / "model.json").exists():
        train_run(config, folder)
    forecaster = Forecaster.load(folder)
    splits, _, _ = prepare_training(config)
    fitted = calibrate_from_maps(forecaster, held_out_maps(config, forecaster, splits[0]))
    assert fitted is not None
    maps = open_store(config.data.stores[0].path).load()
    with reported(f"evaluating {folder.name}") as progress:
        result = evaluate_maps(forecaster, maps, config.evaluation, training_maps(config), progress)
    return summary(result, forecaster, fitted, Start.MAPS, None)


def summary(
    result: Evaluation, forecaster: Forecaster, fitted: Calibration, start: Start, figure: Path | None
) -> dict[str, Any]:
    """Numbers of one evaluation, first channel; spread over error without factors, where both parts share them."""
    name = forecaster.ocean.names[0]
    SHOWN.print(spread_table(result.rows, name))
    shapes = distributions(result, forecaster)[name]
    if figure is not None:
        plot_spread(result.rows, shapes, name, figure)
    methods: dict[str, dict[str, dict[str, float]]] = {}
    for row in result.rows:
        if row.get("crps") is not None:
            kept = ("rmse", "crps", "spread_skill_ratio", "coverage_50", "coverage_90")
            methods.setdefault(row["method"], {})[f"{row['lead_days']:g}"] = {k: row[k] for k in kept}
    ours = list(methods["dino"].values())
    factor = torch.stack([forecaster.latent.calibration(float(lead), start)[0] for lead in result.leads]).numpy()
    made: dict[str, Any] = {
        "starts": result.starts,
        "methods": methods,
        "factors": {"leads": fitted.leads.tolist(), "code_and_rest": fitted.factors[:, 0].tolist()},
        "aims": {
            "ratio_within_0.9_1.1": all(RATIO[0] <= r["spread_skill_ratio"] <= RATIO[1] for r in ours),
            "coverage_90_within_87_93": all(COVERED[0] <= r["coverage_90"] <= COVERED[1] for r in ours),
            "crps_below_references": all(
                ours[i]["crps"] < values["crps"]
                for method, row in methods.items()
                if method != "dino"
                for i, values in enumerate(row.values())
            ),
        },
        "distributions": shapes["dino"],
    }
    if np.allclose(factor[:, 0], factor[:, 1]):
        made["ratio_without_factors"] = [
            r["spread_skill_ratio"] / float(f) for r, f in zip(ours, factor[:, 0], strict=True)
        ]
    return made


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--cases", nargs="+", choices=["oceans", "mediterranean"], default=["oceans", "mediterranean"])
    options.add_argument("--figure", type=Path, help="draw the oceans of the first seed here")
    arguments = options.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    with work_folder(arguments.work) as work:
        if "oceans" in arguments.cases:
            for seed in arguments.seeds:
                figure = arguments.figure if seed == arguments.seeds[0] else None
                results[f"oceans_seed_{seed}"] = oceans(work / f"ocean_seed_{seed}", seed, figure)
        if "mediterranean" in arguments.cases:
            if os.access(Path(arguments.data) / MAPS["mediterranean.zarr"][0], os.R_OK):
                make_stores(work, arguments.data, MAPS)
                config = configuration(arguments.config, arguments.overrides, work, arguments.seeds[0])
                run = work / "runs" / f"mediterranean_seed_{arguments.seeds[0]}"
                results["mediterranean"] = mediterranean(config, run)
            else:
                print("skipped mediterranean: the maps are not in the data folder; name it with --data or DINO_DATA")
    report(arguments, results)


if __name__ == "__main__":
    main()
