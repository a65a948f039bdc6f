"""Seas the model never saw: trained on global sea level without them, relocated to Gulf Stream, Agulhas, Kuroshio.

Days are those of training, the seas are not. Every start relocates the run with the maps known then (mean, land and
amplitudes of the tiles) and forecasts from the last maps; scores are pooled over seas, starts and always-valid cells.
L4 maps are interpolated in time with later data, which flatters all methods alike. `--seas validation` scores the areas
on which settings are chosen.
"""

import statistics
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from numpy.typing import NDArray
from realdata import ROOT, add_options, configuration, make_stores, skip_without, train_run, work_folder

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from dino.config import Box, Config, StoreConfig
from dino.data.observations import datetime_of, days_since_epoch
from dino.evaluation import baselines
from dino.forecaster import Forecaster
from dino.inference.maps import encode_recent
from dino.model import Ocean
from dino.model.checkpoint import load_run_config
from dino.space.boxes import widened

Array = NDArray[np.float64]
STORE = {"global.zarr": ["grids/duacs_l4_global_sla_2014-01.nc"]}
TEST: dict[str, Box] = {
    "gulf_stream": (-74, -46, 32, 44),
    "agulhas": (10, 36, -44, -32),
    "kuroshio": (138, 168, 28, 42),
}
VALIDATION: dict[str, Box] = {
    "brazil_malvinas": (-60, -40, -50, -34),
    "east_australia": (148, 164, -44, -28),
    "leeuwin": (95, 110, -40, -28),
}
LEADS = np.array([1.0, 3.0, 5.0, 7.0, 10.0])
FIRST = 9  # the first start has nine differences behind it, whatever the model wants
WIDER = 2.0  # degrees around a test sea that are scored too, as in the first measurements of these seas
AROUND = 5.0  # degrees around what is scored where tiles may lie


class Sea:
    """Maps of one sea with its surroundings, and squared errors summed over what is scored."""

    def __init__(self, maps: xr.Dataset, channel: str, box: Box, wider: float) -> None:
        self.maps = within(maps, widened(box, wider + AROUND)).load()
        self.channel, self.times = channel, days_since_epoch(self.maps["time"].values)
        self.grid = within(self.maps, widened(box, wider))[["latitude", "longitude"]]
        truth = within(self.maps, widened(box, wider))[channel].values.astype(np.float64)
        self.truth = truth.reshape(len(truth), 1, -1)
        core = within(self.grid, box)
        inside = [np.isin(self.grid[name], core[name]) for name in ("latitude", "longitude")]
        self.core = (inside[0][:, None] & inside[1]).ravel()
        area = np.cos(np.deg2rad(self.grid["latitude"].values))
        valid = np.isfinite(self.truth).all((0, 1))
        self.area = np.where(valid, np.repeat(area, self.grid.sizes["longitude"]), 0.0)

    def errors(self, forecast: Array, start: int) -> Array:
        """Sums (lead, 4) of a forecast (lead, point): squared error and area, where scored and in the core."""
        sums = np.zeros((len(LEADS), 4))
        for row, lead in enumerate(LEADS):
            after = start + round(float(lead))
            if after < len(self.truth):
                square = np.nan_to_num((forecast[row] - self.truth[after, 0]) ** 2)
                for column, area in ((0, self.area), (2, self.area * self.core)):
                    sums[row, column : column + 2] = (square * area).sum(), area.sum()
        return sums

    def forecast(self, run: Forecaster, start: int, config: Config, overlap: float) -> Array:
        """Forecast (lead, point) of a run that is laid over this sea with what is known at the start."""
        store = config.data.stores[0]
        here = StoreConfig(path=store.path, climatology=store.climatology, tile_degrees=store.tile_degrees)
        known = self.maps.isel(time=slice(0, start + 1))
        domain = config.domain.model_copy(update={"overlap": overlap})
        forecaster = run.over(Ocean.over(known, run.ocean, domain, store=here))
        maps = encode_recent(run.latent, forecaster.ocean, known, None)
        assert maps is not None
        analysis = forecaster.analyse_maps(maps)
        fields = forecaster.forecast(analysis, datetime_of(self.times[start] + LEADS), self.grid, spread=False)
        return fields[self.channel].values.reshape(len(LEADS), -1)


def within(maps: xr.Dataset, box: Box) -> xr.Dataset:
    """The cells of a box; none of the areas lies across 180 degrees."""
    west, east, south, north = box
    return maps.sel(longitude=slice(west, east), latitude=slice(south, north))


def scores(seas: dict[str, Sea], runs: dict[str, Path], every: int, overlap: float) -> dict[str, Any]:
    """RMSE [cm] by method and lead, over all seas (widened, and their core) and of each, and ratios to persistence.

    Methods are the runs by name, their mean where there are several, persistence and half the trend.
    """
    models = {name: (Forecaster.load(folder), load_run_config(folder)) for name, folder in runs.items()}
    starts = range(FIRST, len(next(iter(seas.values())).times) - 1, every)
    sums: dict[str, dict[str, Array]] = {}
    with reported("forecasting") as progress:
        for place, (name, sea) in enumerate(seas.items()):
            for row, start in enumerate(starts):
                past = slice(start - FIRST, start + 1)
                history = sea.truth[past], sea.times[past], LEADS
                made = {run: sea.forecast(model, start, config, overlap) for run, (model, config) in models.items()}
                if len(made) > 1:
                    made["mean_of_seeds"] = np.mean(list(made.values()), axis=0)
                made["persistence"] = baselines.persistence(*history)[:, 0]
                made["half_trend"] = baselines.half_trend(*history)[:, 0]
                for method, forecast in made.items():
                    held = sums.setdefault(method, {})
                    held[name] = held.get(name, np.zeros((len(LEADS), 4))) + sea.errors(forecast, start)
                progress(place * len(starts) + row + 1, len(seas) * len(starts))
    result: dict[str, Any] = {"starts": len(starts), "pooled": {}, "pooled_core": {}, "seas": {}}
    for method, held in sums.items():
        total = np.sum(list(held.values()), axis=0)
        result["pooled"][method], result["pooled_core"][method] = by_lead(total, 0), by_lead(total, 2)
        for name, part in held.items():
            result["seas"].setdefault(name, {})[method] = by_lead(part, 0)
    for name in ("pooled", "pooled_core"):
        result[f"{name}_over_persistence"] = over_persistence(result[name])
    return result


def over_persistence(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Each method's RMSE over that of persistence."""
    reference = rows["persistence"]
    return {
        method: {lead: value / reference[lead] for lead, value in row.items()}
        for method, row in rows.items()
        if method != "persistence"
    }


def by_lead(sums: Array, column: int) -> dict[str, float]:
    """RMSE [cm] by lead of sums (lead, 4)."""
    return {
        f"{lead:g}": float(100 * np.sqrt(row[column] / row[column + 1])) for lead, row in zip(LEADS, sums, strict=True)
    }


def over_seeds(result: dict[str, Any], seeds: list[str]) -> dict[str, Any]:
    """Mean and scatter over seeds of the model's RMSE [cm] and of its ratio to persistence."""
    made: dict[str, Any] = {}
    for name in ("pooled", "pooled_over_persistence", "pooled_core_over_persistence"):
        for lead in result[name]["half_trend"]:
            values = [result[name][seed][lead] for seed in seeds]
            spread = statistics.stdev(values) if len(values) > 1 else None
            made.setdefault(name, {})[lead] = {"mean": statistics.fmean(values), "std": spread}
    return made


def train_seeds(arguments: Namespace, work: Path) -> dict[str, tuple[Path, float | None]]:
    """Run folders by seed, and the seconds of those trained now."""
    runs: dict[str, tuple[Path, float | None]] = {}
    for seed in arguments.seeds:
        folder = work / "runs" / f"{arguments.name}_seed_{seed}"
        seconds = None
        if not (folder / "model.json").exists():
            config = configuration(arguments.config, arguments.overrides, work, seed)
            if arguments.oceans:
                oceans = StoreConfig(path=Path(arguments.oceans), channels=["ssh"], weight=arguments.oceans_weight)
                stores = [*config.data.stores, oceans]
                config = config.model_copy(update={"data": config.data.model_copy(update={"stores": stores})})
            seconds = train_run(config, folder)
        runs[f"seed_{seed}"] = (folder, seconds)
    return runs


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.set_defaults(config=ROOT / "configs" / "ocean-tiles.yaml")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--seas", choices=["test", "validation"], default="test", help="which seas are scored")
    options.add_argument("--every", type=int, default=1, help="every n-th day starts a forecast")
    options.add_argument("--overlap", type=float, default=0.75, help="of tiles in forecasts")
    options.add_argument("--name", default="seas", help="name of the runs in the work folder")
    options.add_argument("--oceans", help="pattern of simulated stores to train on too")
    options.add_argument("--oceans-weight", type=float, default=1.0, help="their share of batches, the seas' being 1")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, STORE)
    with work_folder(arguments.work) as work:
        make_stores(work, arguments.data, STORE)
        runs = train_seeds(arguments, work)
        maps = open_store(work / "stores" / "global.zarr")
        boxes, wider = (TEST, WIDER) if arguments.seas == "test" else (VALIDATION, 0.0)
        seas = {name: Sea(maps, "sla", box, wider) for name, box in boxes.items()}
        folders = {name: folder for name, (folder, _) in runs.items()}
        result = scores(seas, folders, arguments.every, arguments.overlap)
    seconds = {name: taken for name, (_, taken) in runs.items()}
    report(arguments, {"summary": over_seeds(result, list(folders)), **result, "training_seconds": seconds})


if __name__ == "__main__":
    main()
