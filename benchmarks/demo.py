"""The demo with several seeds: every seed has its own oceans, errors and training.

Scores forecasts from sparse observations by lead against the same analysis held still, interpolations of the same
observations, a quasi-geostrophic 4D-Var that knows the model ocean (peers/quasi_geostrophic.py), the means of dino with
these, and the training mean. `--again` scores demos that lie finished in `--work`, without training; `--read JSON`
takes what was measured. `--figure` draws error against lead.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from matplotlib.figure import Figure
from peers.quasi_geostrophic import forecasts
from peers.variational import VariationalConfig
from realdata import work_folder

from data_pipeline.figures.style import LABEL_SIZE, TITLE_SIZE, dress_curves, save
from data_pipeline.stores.writing import open_store
from dino.commands.demo import run_demo, score_demo
from dino.config import Config
from dino.data.observations import Observations
from dino.evaluation.evaluate import Array, Evaluation, ScoredMaps
from dino.evaluation.report import read_report
from dino.evaluation.scores import score_forecasts
from dino.experiments.demo import FULL, QUICK, DemoSizes
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config
from dino.plotting.curves import draw_method

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"
PEER, INTERPOLATION = "quasi_geostrophic", "optimal_interpolation"
# What is drawn: what it is called there, and its colour's number where figures have none for it.
DRAWN = {
    "dino": ("dino", 0),
    PEER: ("quasi-geostrophic 4D-Var, no training", 2),
    f"mean_of_dino_and_{PEER}": ("mean of dino and the 4D-Var", 0),
    INTERPOLATION: ("optimal interpolation, preferred", 0),
    "customary_interpolation": ("optimal interpolation, customary", 0),
    "mean_of_dino_and_interpolation": ("mean of dino and the preferred one", 7),
    "persistence": ("dino's analysis held still", 0),
}


def run_seed(folder: Path, seed: int, sizes: DemoSizes, again: bool, config: str = str(CONFIG)) -> dict[str, Any]:
    """One demo: RMSE [cm] by method and lead, of analyses too, ratios of the model to each, calibration, seconds."""
    evaluation = scored_again(folder) if again else run_demo(folder, config=str(config), seed=seed, sizes=sizes)
    settings = load_run_config(folder / "transferred")
    began = time.process_time()
    peer = peer_maps(folder, settings, evaluation)
    seconds = (time.process_time() - began) / len(peer)
    rmse, analysis = compared(evaluation.maps, evaluation.leads, peer)
    ratio = {
        method: {lead: rmse["dino"][lead] / value for lead, value in row.items()}
        for method, row in rmse.items()
        if method != "dino"
    }
    made = read_report(folder / "scores.json")
    told = {
        "rmse_cm": rmse,
        "analysis_rmse_cm": analysis,
        "ratio_of_dino_to": ratio,
        "analysis_ratio_of_dino_to": {name: analysis["dino"] / value for name, value in analysis.items()},
        "peer_processor_seconds_a_start": seconds,
    }
    return told | {name: made[name] for name in ("calibration", "starts", "seconds", "interpolation") if name in made}


def scored_again(folder: Path) -> Evaluation:
    """The evaluation of a demo that lies finished in a folder."""
    settings = load_run_config(folder / "transferred")
    stores = [store.model_copy(update={"path": folder / store.path.name}) for store in settings.data.stores]
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"stores": stores})})
    forecaster = Forecaster(*load_model(folder / "transferred"), settings.assimilation)
    return score_demo(forecaster, folder / "real_ocean.zarr", folder / "observations.zarr", settings)[0]


def peer_maps(folder: Path, settings: Config, evaluation: Evaluation) -> Array:
    """The peer's maps (start, 1 + lead, channel, point) from the same observations, from the start itself on."""
    window = math.ceil(settings.assimilation.window_days)
    stages = tuple(sorted({math.ceil(window * third / 3) for third in (1, 2, 3)}))
    model_ocean = open_store(folder / "model_ocean.zarr").load()
    seen = Observations.from_dataset(open_store(folder / "observations.zarr").load(), ("ssh",))
    leads = [0.0, *map(float, evaluation.leads)]
    own = VariationalConfig(window_days=window, stages_days=stages)
    return forecasts(seen, model_ocean, list(evaluation.maps.starts), leads, own)[:, :, None]


def compared(maps: ScoredMaps, leads: Array, peer: Array) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """RMSE [cm] by method and lead [days], and of the analyses at the start itself, all on the same cells."""
    later = with_peer(maps.forecasts, peer[:, 1:])
    now = {name: fields[:, None] for name, fields in with_peer(maps.analyses, peer[:, 0]).items()}
    scores = score_forecasts(maps.truth, later, maps.mean, maps.weights)
    at_start = score_forecasts(maps.at_start[:, None], now, maps.mean, maps.weights)
    rmse = {
        name: {f"{lead:g}": 100.0 * float(value) for lead, value in zip(leads, score.rmse[:, 0], strict=True)}
        for name, score in scores.items()
    }
    return rmse, {name: 100.0 * float(score.rmse[0, 0]) for name, score in at_start.items()}


def with_peer(fields: Mapping[str, Array], peer: Array) -> dict[str, Array]:
    """The fields of all methods, of the peer, and the means of dino with the peer and with interpolation."""
    dino = fields["dino"]
    means = {f"mean_of_dino_and_{PEER}": 0.5 * (dino + peer)}
    if INTERPOLATION in fields:
        means["mean_of_dino_and_interpolation"] = 0.5 * (dino + fields[INTERPOLATION])
    return {**fields, PEER: peer, **means}


def largest(runs: Mapping[str, Any], key: str) -> dict[str, float]:
    """The largest ratio to each method over leads and seeds."""
    methods = next(iter(runs.values()))[key]
    return {method: max(float(np.max(list(run[key][method].values()))) for run in runs.values()) for method in methods}


def draw(runs: Mapping[str, Any], path: Path) -> Path:
    """RMSE [cm] against lead [days], a panel a seed, the analysis at zero; an analysis held still begins as dino's."""
    figure = Figure(figsize=(4.8 * len(runs), 4.6), layout="constrained")
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axis, (name, run) in zip(axes, runs.items(), strict=True):
        now = {**run["analysis_rmse_cm"], "persistence": run["analysis_rmse_cm"]["dino"]}
        for method, (_, number) in DRAWN.items():
            later = sorted((float(lead), rmse) for lead, rmse in run["rmse_cm"].get(method, {}).items())
            draw_method(axis, method, number, [(0.0, now[method]), *later] if later else [])
        axis.set_yscale("log")
        axis.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
        axis.minorticks_off()
        axis.set_title(name.replace("_", " "), fontsize=TITLE_SIZE)
        dress_curves(axis, "lead time [days]", "RMSE of sea level [cm]" if axis is axes[0] else "")
    handles, _ = axes[0].get_legend_handles_labels()
    labels = [label for label, _ in DRAWN.values()]
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=LABEL_SIZE, frameon=False)
    return save(figure, path)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--sizes", choices=("quick", "default", "full"), default="default", help="of the demo")
    options.add_argument("--work", type=Path, help="folder for the demos; a temporary one when absent")
    options.add_argument("--again", action="store_true", help="score the finished demos of --work, do not run them")
    options.add_argument("--config", default=str(CONFIG), help="experiment of the demo, by name or file")
    options.add_argument("--read", type=Path, metavar="JSON", help="draw what this holds, measure nothing")
    options.add_argument("--figure", type=Path, help="draw error against lead here")
    arguments = options.parse_args()
    prepare(arguments)
    if arguments.read is not None:
        runs = json.loads(arguments.read.read_text())["results"]["runs"]
    else:
        runs = measured(arguments)
    if arguments.figure is not None:
        draw(runs, arguments.figure)


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """All seeds, reported."""
    sizes = {"quick": QUICK, "default": DemoSizes(), "full": FULL}[arguments.sizes]
    with work_folder(arguments.work) as work:
        runs = {
            f"seed_{seed}": run_seed(work / f"seed_{seed}", seed, sizes, arguments.again, arguments.config)
            for seed in arguments.seeds
        }
    summary = {
        "largest_ratio_of_dino_to": largest(runs, "ratio_of_dino_to"),
        "seconds": statistics.fmean(run["seconds"] for run in runs.values()),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    report(arguments, {"summary": summary, "runs": runs})
    return runs


if __name__ == "__main__":
    main()
