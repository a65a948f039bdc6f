"""The demo with several seeds: every seed has its own oceans, errors and training.

Scores forecasts from sparse observations by lead against the same analysis held still, interpolations of the same
observations, a quasi-geostrophic 4D-Var that knows the model ocean (peers/quasi_geostrophic.py), the means of dino with
these, and the training mean. `--again` scores demos that lie finished in `--work`, without training.
"""

import math
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from harness import parser, prepare, report
from peers.quasi_geostrophic import forecasts
from peers.variational import VariationalConfig
from realdata import work_folder

from data_pipeline.stores.writing import open_store
from dino.commands.demo import run_demo, score_demo
from dino.config import Config
from dino.data.observations import Observations
from dino.evaluation.evaluate import Array, Evaluation, ScoredMaps
from dino.evaluation.report import read_report
from dino.evaluation.scores import score_forecasts
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"
PEER, INTERPOLATION = "quasi_geostrophic", "optimal_interpolation"


def run_seed(folder: Path, seed: int, quick: bool, again: bool, config: str = str(CONFIG)) -> dict[str, Any]:
    """One demo: RMSE [cm] by method and lead, of analyses too, ratios of the model to each, calibration, seconds."""
    evaluation = scored_again(folder) if again else run_demo(folder, config=str(config), seed=seed, quick=quick)
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


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--quick", action="store_true", help="the tiny variant")
    options.add_argument("--work", type=Path, help="folder for the demos; a temporary one when absent")
    options.add_argument("--again", action="store_true", help="score the finished demos of --work, do not run them")
    options.add_argument("--config", default=str(CONFIG), help="experiment of the demo, by name or file")
    arguments = options.parse_args()
    prepare(arguments)
    with work_folder(arguments.work) as work:
        runs = {
            f"seed_{seed}": run_seed(work / f"seed_{seed}", seed, arguments.quick, arguments.again, arguments.config)
            for seed in arguments.seeds
        }
    summary = {
        "largest_ratio_of_dino_to": largest(runs, "ratio_of_dino_to"),
        "seconds": statistics.fmean(run["seconds"] for run in runs.values()),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    report(arguments, {"summary": summary, "runs": runs})


if __name__ == "__main__":
    main()
