"""Forecasts of the demo's observed ocean from complete maps: what remains when nothing is hidden but the lower layer.

Reads demos that lie finished in `--work` (`benchmarks/demo.py --work`). The filter takes fifteen daily maps as points
with an error of 2 mm, chosen on oceans of other seeds among 0.5, 1, 2 and 4 mm (docs/experiments.md).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report

from data_pipeline.stores.writing import open_store
from dino.data.observations import Observations, datetime_of, days_since_epoch
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config

ERROR_M, LEADS = 0.002, (0, 1, 3, 5, 7, 10)


def scored(folder: Path) -> dict[str, Any]:
    """RMSE [cm] by lead [days] of dino and of the map held still, over the starts of the demo's scored days."""
    settings = load_run_config(folder / "transferred")
    forecaster = Forecaster(*load_model(folder / "transferred"), settings.assimilation)
    truth = open_store(folder / "real_ocean.zarr").isel(trajectory=0).load()
    days, maps = days_since_epoch(truth["time"].values), truth["ssh"].values.astype(np.float64)
    window = int(settings.assimilation.window_days)
    first = int(np.searchsorted(days, days_since_epoch(np.array([settings.evaluation.start], "datetime64[ns]"))[0]))
    starts = range(max(first - 1, window), len(days) - max(LEADS), settings.evaluation.stride)
    at = xr.Dataset(coords={"latitude": truth["latitude"], "longitude": truth["longitude"]})
    squares, held, began = np.zeros(len(LEADS)), np.zeros(len(LEADS)), time.process_time()
    for start in starts:
        analysis = forecaster.analyse_observations(points_of(truth, start - window, start), days[start], window)
        times = np.array([datetime_of(days[start] + lead) for lead in LEADS])
        made = forecaster.forecast(analysis, times, at=at)["ssh"].values
        later = maps[[start + lead for lead in LEADS]]
        squares += np.square(made - later).mean((1, 2)) / len(starts)
        held += np.square(maps[start] - later).mean((1, 2)) / len(starts)
    rmse = {name: 100 * np.sqrt(of) for name, of in (("dino", squares), ("persistence", held))}
    return {
        "rmse_cm": {n: {str(lead): float(v) for lead, v in zip(LEADS, of, strict=True)} for n, of in rmse.items()},
        "starts": len(starts),
        "processor_seconds_a_start": (time.process_time() - began) / len(starts),
    }


def points_of(truth: xr.Dataset, first: int, last: int) -> Observations:
    """All cells of some daily maps as points."""
    latitude, longitude = np.meshgrid(truth["latitude"].values, truth["longitude"].values, indexing="ij")
    days, cells = days_since_epoch(truth["time"].values[first : last + 1]), latitude.size
    values = truth["ssh"].values[first : last + 1].reshape(-1, 1).astype(np.float64)
    places = np.tile(longitude.ravel(), len(days)), np.tile(latitude.ravel(), len(days))
    errors, sources = np.full_like(values, ERROR_M), np.zeros(len(values), np.int64)
    return Observations(np.repeat(days, cells), *places, values, errors, sources, ("ssh",), ("maps",))


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[4, 5])
    options.add_argument("--work", type=Path, required=True, help="folder of the finished demos")
    arguments = options.parse_args()
    prepare(arguments)
    runs = {f"seed_{seed}": scored(arguments.work / f"seed_{seed}") for seed in arguments.seeds}
    report(arguments, {"error_m": ERROR_M, "runs": runs})


if __name__ == "__main__":
    main()
