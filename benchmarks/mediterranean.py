"""Forecasts of Mediterranean sea level maps with the shipped configuration, scored against the simple baselines.

Trains once per seed on the days up to `data.train_end`, where the work folder holds no run yet, and scores every start
of the days after it, with the basin mean of every map removed and kept. The maps are interpolated in time with later
data: the scores are optimistic for all methods alike.
"""

import math
import statistics
from pathlib import Path
from typing import Any

from harness import parser, prepare, report
from realdata import MAPS, add_options, configuration, make_stores, skip_without, train_run, work_folder
from rich.console import Console

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from dino.commands.common import training_maps
from dino.config import Config
from dino.evaluation.evaluate import evaluate_maps
from dino.evaluation.report import Row, area_mean_table, report_table
from dino.forecaster import Forecaster

MEANS = {"mean_removed": True, "mean_kept": False}
SHOWN = Console(width=140)


def run_seed(config: Config, folder: Path, means: list[str]) -> dict[str, Any]:
    """Train and score one seed: rows in metres, RMSE [cm] and ratio to persistence by method and lead."""
    trained = {} if (folder / "model.json").exists() else {"training_seconds": train_run(config, folder)}
    return trained | scored(config, Forecaster.load(folder), folder, means)


def scored(config: Config, forecaster: Forecaster, folder: Path, means: list[str]) -> dict[str, Any]:
    """Scores of a run, its basin mean treated in each of the ways `means`."""
    maps, training = open_store(config.data.stores[0].path).load(), training_maps(config)
    result: dict[str, Any] = {}
    for name in means:
        removed = MEANS[name]
        chosen = config.evaluation.model_copy(update={"remove_mean": removed})
        with reported(f"evaluating {folder.name}, {name}") as progress:
            evaluation = evaluate_maps(forecaster, maps, chosen, training, progress)
        rmse = centimetres(evaluation.rows)
        result[name] = {
            "starts": evaluation.starts,
            "rmse_cm": rmse,
            "ratio_to_persistence": ratios(rmse),
            "area_mean_bias_cm": centimetres(evaluation.rows, "area_mean_bias"),
            "area_mean_rmse_cm": centimetres(evaluation.rows, "area_mean_rmse"),
            "calibration": evaluation.calibration,
            "rows": evaluation.rows,
        }
        SHOWN.print(report_table(evaluation.rows, forecaster.ocean.names[0]))
        SHOWN.print(area_mean_table(evaluation.rows, forecaster.ocean.names[0]))
    return result


def centimetres(rows: list[Row], score: str = "rmse") -> dict[str, dict[str, float]]:
    """A score [cm] by method and lead [days]."""
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        if row[score] is not None:
            table.setdefault(row["method"], {})[f"{row['lead_days']:g}"] = 100.0 * row[score]
    return table


def ratios(rmse: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Each method's RMSE over that of persistence."""
    reference = rmse["persistence"]
    return {method: {lead: value / reference[lead] for lead, value in row.items()} for method, row in rmse.items()}


def over_seeds(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds of the model's RMSE and ratio, the baselines' RMSE as they are."""
    seconds = [run["training_seconds"] for run in runs if "training_seconds" in run]
    summary: dict[str, Any] = {"training_seconds": mean_and_spread(seconds)} if seconds else {}
    for name in [name for name in runs[0] if name.startswith("mean_")]:
        tables = [run[name] for run in runs]
        summary[name] = {
            f"dino_{quantity}": {
                lead: mean_and_spread([table[quantity]["dino"][lead] for table in tables])
                for lead in tables[0][quantity]["dino"]
            }
            for quantity in ("rmse_cm", "ratio_to_persistence")
        }
        summary[name] |= {
            f"dino_{score}": {
                lead: mean_and_spread([table["calibration"][score][column] for table in tables])
                for column, lead in enumerate(tables[0]["rmse_cm"]["dino"])
            }
            for score in ("coverage_50", "coverage_90", "spread_skill_ratio")
        }
        summary[name] |= {
            f"{method}_{quantity}": {
                lead: mean_and_spread([table[quantity][method][lead] for table in tables])
                for lead in tables[0][quantity][method]
            }
            for quantity in ("area_mean_bias_cm", "area_mean_rmse_cm")
            for method in ("dino", "persistence", "half_trend")
        }
        summary[name]["baselines_rmse_cm"] = {m: row for m, row in tables[0]["rmse_cm"].items() if m != "dino"}
    return summary


def mean_and_spread(values: list[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation, the latter None of a single value."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return {"mean": statistics.fmean(values), "std": spread if math.isfinite(spread) else None}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument(
        "--mean", choices=["both", "removed", "kept"], default="both", help="what becomes of the basin mean"
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, MAPS)
    means = [name for name in MEANS if arguments.mean in ("both", name.removeprefix("mean_"))]
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, MAPS)
        runs = {}
        for seed in arguments.seeds:
            config = configuration(arguments.config, arguments.overrides, work, seed)
            runs[f"seed_{seed}"] = run_seed(config, work / "runs" / f"mediterranean_seed_{seed}", means)
    report(arguments, {"summary": over_seeds(list(runs.values())), "runs": runs})


if __name__ == "__main__":
    main()
