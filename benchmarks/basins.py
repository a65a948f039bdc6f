"""Seas that the dynamics never saw, with their mean kept: what hindcasts of a record are worth where a season runs.

A model trained on the Mediterranean alone in spring 2005 (`configs/mediterranean.yaml` with its first store) is laid
over seas of January 2014 by the maps of twenty days. Starts after them are scored, as forecasts are made and by the
dynamics alone, without the hindcasts. The maps are interpolated in time with later data. `--seas chosen` scores the
seas on which the combination was chosen.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from mediterranean import mean_and_spread
from numpy.typing import NDArray
from realdata import MAPS, add_options, configuration, make_stores, skip_without, train_run, work_folder

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from dino.config import DomainConfig, StoreConfig
from dino.data.observations import datetime_of, days_since_epoch
from dino.evaluation import baselines
from dino.evaluation.scores import area_weights
from dino.forecaster import Forecaster
from dino.inference.maps import encode_recent

# West, east, south, north [degrees]: none near the Mediterranean, none of them across 180 degrees.
SEAS = {
    "North Atlantic": (-55.0, -30.0, 25.0, 45.0),
    "North Pacific": (-160.0, -135.0, 30.0, 50.0),
    "South Atlantic": (-30.0, -5.0, -45.0, -25.0),
    "South Indian Ocean": (70.0, 95.0, -45.0, -25.0),
    "South Pacific": (-130.0, -105.0, -45.0, -25.0),
    "Bay of Bengal": (80.0, 98.0, 5.0, 22.0),
    "Gulf of Mexico": (-98.0, -81.0, 18.0, 30.0),
    "Black Sea": (27.0, 42.0, 40.0, 47.0),
}
# On these the combination was chosen, none of them overlaps one of those above.
CHOSEN = {
    "North-east Atlantic": (-28.0, -8.0, 38.0, 55.0),
    "Norwegian Sea": (-10.0, 15.0, 60.0, 72.0),
    "Tropical Atlantic": (-40.0, -15.0, -10.0, 10.0),
    "Brazil and Malvinas": (-60.0, -40.0, -50.0, -34.0),
    "Caribbean": (-82.0, -62.0, 11.0, 17.9),
    "Arabian Sea": (52.0, 75.0, 5.0, 24.0),
    "Equatorial Pacific": (-150.0, -125.0, -10.0, 10.0),
    "Gulf of Alaska": (-160.0, -135.0, 50.1, 60.0),
    "California": (-134.0, -112.0, 14.0, 30.0),
    "Tasman Sea": (148.0, 175.0, -45.0, -28.0),
    "South of Australia": (98.0, 125.0, -48.0, -30.0),
    "Southern Pacific": (-160.0, -135.0, -60.0, -45.1),
    "Chile": (-100.0, -75.0, -45.0, -25.0),
    "South of Brazil": (-50.0, -31.0, -24.0, -8.0),
    "Angola": (-10.0, 12.0, -24.0, -4.0),
    "South China Sea": (108.0, 121.0, 5.0, 22.0),
    "Philippine Sea": (124.0, 148.0, 6.0, 22.0),
    "Sea of Japan": (128.0, 138.0, 35.0, 45.0),
    "Red Sea": (33.0, 43.0, 13.0, 29.0),
    "Eastern Mediterranean": (15.0, 36.0, 31.0, 40.0),
    "Western Mediterranean": (0.0, 15.0, 35.0, 44.0),
    "Baltic": (10.0, 30.0, 54.0, 66.0),
    "Caspian Sea": (47.0, 54.0, 36.0, 47.0),
    "Mozambique": (60.0, 80.0, -24.0, -8.0),
    "Coral Sea": (150.0, 170.0, -25.0, -10.0),
    "Persian Gulf": (48.0, 57.0, 24.0, 30.0),
}
LEADS = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
KNOWN, INTERVAL_90 = 20, 1.6448536  # maps before the first start; half-width of 90 % in standard deviations
Array = NDArray[np.float64]


def errors(run: Forecaster, maps: xr.Dataset, domain: DomainConfig, every: int) -> dict[str, Array]:
    """Of every method (start, lead, 3): mean squares of the error and of its area mean, and the share within 90 %."""
    names = run.ocean.names
    store = StoreConfig(path=Path("maps"), climatology="map")
    forecaster = run.over(maps.isel(time=slice(0, KNOWN)), domain=domain, store=store)
    model, ocean = forecaster.latent, forecaster.ocean
    values, times = maps[names[0]].values.astype(float), days_since_epoch(maps["time"].values)
    grid = xr.Dataset(coords={"latitude": maps["latitude"], "longitude": maps["longitude"]})
    area = np.where(np.isfinite(values).all(0), area_weights(maps["latitude"].values)[:, None], 0.0)
    found: dict[str, list[Array]] = {}
    for start in range(KNOWN - 1, len(values) - 1, every):
        leads = LEADS[start + LEADS < len(values)]
        truth = values[start + leads.astype(int)]
        history = values[start - 9 : start + 1].reshape(10, 1, -1), times[start - 9 : start + 1], leads
        made: dict[str, tuple[Array, Array | None]] = {
            "persistence": (baselines.persistence(*history).reshape(truth.shape), None),
            "half_trend": (baselines.half_trend(*history).reshape(truth.shape), None),
        }
        recent = encode_recent(model, ocean, maps.isel(time=slice(0, start + 1)), None)
        assert recent is not None
        analysis, moments = forecaster.analyse_maps(recent), datetime_of(times[start] + leads)
        ahead = forecaster.forecast(analysis, moments, grid)
        made["dino"] = ahead[names[0]].values, ahead[f"{names[0]}_std"].values
        alone = forecaster.forecast(replace(analysis, hindcasts=None), moments, grid, spread=False)
        made["dynamics_alone"] = alone[names[0]].values, None
        # Cells that every method has.
        weights = np.where(np.isfinite(made["dino"][0]).all(0), area, 0.0)
        for name, (forecast, std) in made.items():
            wrong = np.where(weights > 0, forecast - truth, 0.0)
            inside = np.zeros_like(wrong) if std is None else np.abs(wrong) <= INTERVAL_90 * std
            parts = [(part * weights).sum((1, 2)) / weights.sum() for part in (wrong**2, wrong, inside)]
            rows = np.full((len(LEADS), 3), np.nan)
            rows[: len(leads)] = np.stack([parts[0], parts[1] ** 2, parts[2]], axis=-1)
            found.setdefault(name, []).append(rows)
    return {name: np.stack(rows) for name, rows in found.items()}


def table(found: dict[str, Array]) -> dict[str, Any]:
    """Over persistence, by method and lead: RMSE and RMSE of the area mean; of dino the coverage of 90 %."""
    square = {name: np.nanmean(rows, axis=0) for name, rows in found.items()}
    still, made = square["persistence"], {}
    for name, rows in square.items():
        made[name] = {
            "ratio_to_persistence": by_lead(np.sqrt(rows[:, 0] / still[:, 0])),
            "area_mean_ratio_to_persistence": by_lead(np.sqrt(rows[:, 1] / still[:, 1])),
            "rmse_cm": by_lead(100 * np.sqrt(rows[:, 0])),
        }
        if name == "dino":
            made[name]["coverage_90"] = by_lead(rows[:, 2])
    return made


def worse_cells(seas: dict[str, dict[str, Any]], method: str) -> dict[str, Any]:
    """Where, by sea and lead, the RMSE is above that of the better of persistence and half the trend."""
    worse: dict[str, dict[str, float]] = {}
    for sea, scores in seas.items():
        for lead, still in scores["persistence"]["rmse_cm"].items():
            ratio = scores[method]["rmse_cm"][lead] / min(still, scores["half_trend"]["rmse_cm"][lead])
            if ratio > 1:
                worse.setdefault(sea, {})[lead] = ratio
    return {"count": sum(map(len, worse.values())), "of": len(seas) * len(LEADS), "ratios": worse}


def by_lead(values: Array) -> dict[str, float]:
    """Numbers by lead [days]."""
    return {f"{lead:g}": float(value) for lead, value in zip(LEADS, values, strict=True)}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--seas", choices=["scored", "chosen"], default="scored")
    options.add_argument("--every", type=int, default=3, help="every n-th map starts a forecast")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, MAPS)
    runs: dict[str, Any] = {}
    places = SEAS if arguments.seas == "scored" else CHOSEN
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, MAPS)
        world = open_store(work / "stores" / "global.zarr")
        for seed in arguments.seeds:
            config = configuration(arguments.config, arguments.overrides, work, seed)
            data = config.data.model_copy(update={"stores": config.data.stores[:1]})
            folder = work / "runs" / f"mediterranean_alone_seed_{seed}"
            if not (folder / "model.json").exists():
                train_run(config.model_copy(update={"data": data}), folder)
            run, by_sea = Forecaster.load(folder), {}
            with reported(f"seas, seed {seed}") as progress:
                for row, (name, (west, east, south, north)) in enumerate(places.items()):
                    part = world.sel(longitude=slice(west, east), latitude=slice(south, north)).load()
                    part = part.rename({"sla": run.ocean.names[0]})
                    part[run.ocean.names[0]].attrs = {"units": "m"}  # an anomaly, which the mean map makes of all
                    by_sea[name] = errors(run, part, config.domain, arguments.every)
                    progress(row + 1, len(places))
            methods = next(iter(by_sea.values()))
            pooled = {name: np.concatenate([found[name] for found in by_sea.values()]) for name in methods}
            seas = {name: table(found) for name, found in by_sea.items()}
            worse = {method: worse_cells(seas, method) for method in ("dino", "dynamics_alone")}
            runs[f"seed_{seed}"] = {"pooled": table(pooled), "worse_than_the_better_baseline": worse, "seas": seas}
    first = next(iter(runs.values()))["pooled"]
    summary = {
        method: {
            score: {
                lead: mean_and_spread([run["pooled"][method][score][lead] for run in runs.values()]) for lead in row
            }
            for score, row in scores.items()
        }
        for method, scores in first.items()
    }
    report(arguments, {"summary": summary, "runs": runs})


if __name__ == "__main__":
    main()
