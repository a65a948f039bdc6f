"""The demo with several seeds: every seed has its own oceans, errors and training.

Scores forecasts from sparse observations by lead against the same analysis held still, persisted optimal interpolation
of the same observations, and the training mean.
"""

import resource
import statistics
from pathlib import Path
from typing import Any

from harness import parser, prepare, report
from realdata import work_folder

from dino.commands.demo import demo
from dino.evaluation.report import read_report

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"


def run_seed(folder: Path, seed: int, quick: bool) -> dict[str, Any]:
    """One demo: RMSE [cm] by method and lead, ratios of the model to each, calibration, seconds."""
    demo(folder, config=str(CONFIG), seed=seed, quick=quick)
    made = read_report(folder / "scores.json")
    rmse: dict[str, dict[str, float]] = {}
    for row in made["scores"]:
        rmse.setdefault(row["method"], {})[f"{row['lead_days']:g}"] = 100.0 * row["rmse"]
    ratio = {
        method: {lead: rmse["dino"][lead] / value for lead, value in row.items()}
        for method, row in rmse.items()
        if method != "dino"
    }
    kept = ("calibration", "starts", "seconds")
    return {"rmse_cm": rmse, "ratio_of_dino_to": ratio} | {name: made[name] for name in kept}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--quick", action="store_true", help="the tiny variant")
    options.add_argument("--work", type=Path, help="folder for the demos; a temporary one when absent")
    arguments = options.parse_args()
    prepare(arguments)
    with work_folder(arguments.work) as work:
        runs = {f"seed_{seed}": run_seed(work / f"seed_{seed}", seed, arguments.quick) for seed in arguments.seeds}
    largest = {
        method: max(max(run["ratio_of_dino_to"][method].values()) for run in runs.values())
        for method in next(iter(runs.values()))["ratio_of_dino_to"]
    }
    summary = {
        "largest_ratio_of_dino_to": largest,
        "seconds": statistics.fmean(run["seconds"] for run in runs.values()),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    report(arguments, {"summary": summary, "runs": runs})


if __name__ == "__main__":
    main()
