"""Points alone: what a run learns that never saw a complete map, beside what runs know that did.

demo: the demo's ocean by the demo's instruments, half a year of them before the scored days; forecasts from points
against those of `configs/demo.yaml`, which learned from complete maps of another ocean, both layers of it, and whose
numbers were then fitted to the same points (`transfer`, strategy `numbers`). Ratios are RMSE over that run's.
clouds: maps of temperature under clouds that move, and a scene; withheld patches, against the mean field and the value
that was last seen near by. currents: Jason-3 in three currents as `currents.py` has them, with a run that has seen
these five days and nothing else.

    python benchmarks/points_alone.py --parts demo --seeds 4 5 --work runs/points --json points_alone.json
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from currents import INTERPOLATIONS, SEAS, scored, splits
from harness import parser, prepare, report
from realdata import JASON, add_options, make_stores, skip_without, work_folder
from scipy.spatial import KDTree
from tracks import predict

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.layout.moments import moment
from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import silent
from dino.commands.common import transfer_task
from dino.commands.demo import filled
from dino.config import Config, load_config
from dino.data.observations import Observations, datetime_of, day_of
from dino.data.overflights import overflights
from dino.dynamics import LayeredODE, LayerNumbers
from dino.evaluation.evaluate import evaluate_observations
from dino.evaluation.fitted_interpolation import fitted_interpolation
from dino.experiments.demo import DemoSizes, observing_system
from dino.experiments.points_held_out import withheld
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.inference.errors import error_variance
from dino.model.checkpoint import load_model, load_run_config, save_config, save_model
from dino.training.held_out import HeldOut
from dino.transfer import strategy

ROOT = Path(__file__).resolve().parents[1]
BEFORE_DAYS, SCORED_DAYS = 180, 34
SIZES = DemoSizes(real_days=BEFORE_DAYS + SCORED_DAYS, scored_from="2000-06-29")
TRANSFER_DAYS = 50.0  # of the record that the run with maps is fitted to: as many as the demo has
MOST_POINTS = 150_000  # of maps and scenes
AHEAD_DAYS = 1.5  # the last maps, not shown
NEAR_DEGREES = 0.05  # within which a value is one of the same place
VIEWS = ("nadir", "swath", "point")
CLOUDS = {
    "alboran.zarr": ["swaths/avhrr_l3_alboran_2017-05-14_2017-05-24.nc"],
    "modis.zarr": ["swaths/ghrsst_l2p_modis_terra_2019-08-05.nc"],
}


def box_settings(seed: int, **changed: Any) -> QuasiGeostrophicConfig:
    """Of a simulation in the demo's box."""
    box = {"grid": SIZES.grid, "length_km": SIZES.length_km, "spin_up_days": SIZES.spin_up_days, "workers": 1}
    return QuasiGeostrophicConfig.model_validate({**box, "seed": seed, **changed})


def observed_ocean(folder: Path, seed: int) -> tuple[Path, Path]:
    """Stores of the demo's observed ocean and of what its instruments saw of it."""
    truth, seen = folder / "real_ocean.zarr", folder / "observations.zarr"
    if not seen.exists():
        shape = {"shear_m_s": SIZES.real_shear_m_s, "deformation_radius_km": SIZES.real_radius_km}
        maps = simulate(box_settings(seed + 7919, trajectories=1, days=SIZES.real_days, **shape))
        write_store(maps, truth, overwrite=True)
        write_store(
            sample(open_store(truth), SampleConfig.model_validate(observing_system(seed))), seen, overwrite=True
        )
    return truth, seen


def with_maps(folder: Path, seed: int, seen: Path) -> Forecaster:
    """The demo's run, which learned from maps, with its numbers fitted to the last days before the scored ones."""
    store, run, moved = folder / "model_ocean.zarr", folder / "maps", folder / "maps-fitted"
    if not (moved / "model.json").exists():
        if not store.exists():
            sizes = {"runs": SIZES.runs, "trajectories": SIZES.trajectories, "days": SIZES.days}
            write_store(simulate(box_settings(seed + 1, shear_m_s=0.14, lower_layer=True, **sizes)), store)
        config = filled(load_config(ROOT / "configs" / "demo.yaml"), store, SIZES, seed)
        forecaster = train(config, run, silent, resume=(run / "state.pt").exists())
        past = Observations.from_dataset(open_store(seen).load(), forecaster.ocean.names)
        end = day_of(SIZES.scored_from)
        past = past.window(end - TRANSFER_DAYS, np.nextafter(end, -np.inf))
        strategy("numbers")(transfer_task(forecaster, past, config), silent)
        save_model(forecaster.latent, forecaster.ocean, moved)
        save_config(config, moved)
    return Forecaster(*load_model(moved), load_run_config(moved).assimilation)


def from_points(folder: Path, seed: int, seen: Path) -> Forecaster:
    """The run that saw the points before the scored days and nothing else."""
    run = folder / "points"
    config = load_config(ROOT / "configs" / "demo-points.yaml", [f"seed={seed}"])
    stores = [config.data.stores[0].model_copy(update={"path": seen})]
    until = moment(str(datetime_of(day_of(SIZES.scored_from) - 1e-6)), "the end of the record").astype("datetime64[us]")
    data = config.data.model_copy(update={"stores": stores, "train_end": until.item()})
    if not (run / "model.json").exists():
        train(config.model_copy(update={"data": data}), run, silent, resume=(run / "config.yaml").exists())
    return Forecaster(*load_model(run), config.assimilation)


def errors(forecaster: Forecaster, truth: Path, seen: Path) -> dict[str, float]:
    """RMSE [cm] of forecasts from points by lead [days], 0 the analysis, on the scored days."""
    settings = load_config(ROOT / "configs" / "demo-points.yaml").evaluation
    settings = settings.model_copy(update={"start": SIZES.scored_from})
    maps = open_store(truth).isel(trajectory=0).load()
    made = evaluate_observations(forecaster, maps, open_store(seen).load(), settings, None, None, silent).maps
    missed = {"0": made.analyses["dino"] - made.at_start}
    missed |= {
        f"{lead:g}": made.forecasts["dino"][:, i] - made.truth[:, i] for i, lead in enumerate(settings.leads_days)
    }
    return {lead: 100.0 * float(np.sqrt(np.nanmean(square**2))) for lead, square in missed.items()}


def demo(folder: Path, seed: int) -> dict[str, Any]:
    """Both runs on one observed ocean; what the folder tells of one already is not measured again."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, seen = observed_ocean(folder, seed)
    told: dict[str, Any] = {}
    for name, make in {"points": from_points, "maps": with_maps}.items():
        kept = folder / f"scores-{name}.json"
        if not kept.exists():
            began = time.process_time()
            forecaster = make(folder, seed, seen)
            assert isinstance(forecaster.latent.dynamics, LayeredODE)
            made: dict[str, Any] = {"processor_seconds": time.process_time() - began}
            made["numbers"] = LayerNumbers(*forecaster.latent.dynamics.numbers.tolist())._asdict()
            kept.write_text(json.dumps(made | {"rmse_cm": errors(forecaster, truth, seen)}))
        told[name] = json.loads(kept.read_text())
    mine, theirs = told["points"]["rmse_cm"], told["maps"]["rmse_cm"]
    return told | {"ratio_of_points_to_maps": {lead: mine[lead] / theirs[lead] for lead in mine}}


def clouds_settings(store: Path, channel: str, seed: int, days: float) -> Config:
    """Training on temperature under clouds: tiles of two degrees, errors of a radiometer."""
    errors = {
        view: {"white": 0.2, "along": 0.0, "offset": 0.0, "roll": 0.0, "phase": 0.0, "timing": 0.0} for view in VIEWS
    }
    return Config.model_validate(
        {
            "seed": seed,
            "data": {"stores": [{"path": str(store)}], "channels": [channel], "validation_days": days},
            "domain": {"kind": "tiles", "tile_degrees": 2.0},
            "decoder": {"code_size": 48},
            "field": {"steps": 200, "frames_per_step": 128},
            "dynamics": {"horizons": [1, 2]},
            "assimilation": {"window_days": 12, "errors": errors},
            "points": {"steps": 80},
        }
    )


def clouds(work: Path, seed: int) -> dict[str, Any]:
    """Withheld patches of maps and of a scene, and the last maps predicted from those before."""
    made: dict[str, Any] = {}
    for name in CLOUDS:
        dataset = open_store(work / "stores" / name).load()
        channel = "sst"
        every = Observations.from_dataset(dataset, (channel,))
        if len(every) > MOST_POINTS:
            every = every.select(np.sort(np.random.default_rng(seed).choice(len(every), MOST_POINTS, replace=False)))
        hidden = withheld(every, seed)
        last = (
            every.time > every.time[-1] - AHEAD_DAYS
            if np.ptp(every.time) > 2 * AHEAD_DAYS
            else np.zeros(len(every), bool)
        )
        shown = every.select(~hidden & ~last)
        store = work / f"shown-{name}"
        columns = (datetime_of(shown.time), shown.longitude, shown.latitude)
        write_store(observations_dataset(*columns, {channel: shown.values[:, 0]}), store, overwrite=True)
        began = time.process_time()
        folder = work / f"run-{Path(name).stem}"
        forecaster = train(clouds_settings(store, channel, seed, AHEAD_DAYS), folder, silent)
        end = float(shown.time[-1])
        analysis = forecaster.analyse_observations(shown, end, 12.0, smooth=True)
        told: dict[str, Any] = {"processor_seconds": time.process_time() - began, "shown_points": len(shown)}
        told["missing"] = 1.0 - float(np.isfinite(dataset[channel].values).mean())
        told["held_out"] = HeldOut.read(folder).explained
        for band, asked in {"withheld_patches": hidden & ~last, "ahead": last}.items():
            if asked.any():
                told[band] = against_last_seen(forecaster, analysis, shown, every.select(asked))
        made[Path(name).stem] = told
    return made


def against_last_seen(
    forecaster: Forecaster, analysis: Any, shown: Observations, asked: Observations
) -> dict[str, Any]:
    """RMSE at asked points of the run, of the mean field, and of the value seen last at the place, or next to it."""
    predicted, std = forecaster.along_track(analysis, asked.time, asked.longitude, asked.latitude)
    place = np.stack([shown.longitude, shown.latitude], axis=-1)
    last = np.full(len(asked), np.nan)
    for when in np.unique(asked.time):
        here, before = asked.time == when, np.flatnonzero(shown.time < when - 0.5)
        if len(before):
            # Of the newest values near by: the nearest place, and there the latest time.
            wanted = np.stack([asked.longitude[here], asked.latitude[here]], axis=-1)
            recent = before[::-1]
            distance, found = KDTree(place[recent]).query(
                wanted, k=min(8, len(recent)), distance_upper_bound=NEAR_DEGREES
            )
            newest = np.where(np.isfinite(distance), found, len(recent)).min(axis=-1)
            value = np.append(shown.values[recent, 0], np.nan)
            last[here] = value[newest]
    mean = np.full(len(asked), shown.values.mean())
    columns = {"dino": predicted[:, 0], "mean_field": mean, "last_seen": last}
    truth, error = asked.values[:, 0], forecaster.assimilation.errors.point.white
    usable = np.isfinite(predicted[:, 0]) & (np.isfinite(last) | ~np.isfinite(last).any())
    made: dict[str, Any] = {"points": int(usable.sum())}
    for name, column in columns.items():
        if np.isfinite(column[usable]).all():
            made[f"{name}_rmse"] = float(np.sqrt(np.mean((column - truth)[usable] ** 2)))
    made["spread_over_error"] = float(np.sqrt(np.mean(std[usable, 0] ** 2 + error**2)) / made["dino_rmse"])
    return made


def currents(work: Path, seed: int) -> dict[str, Any]:
    """Five days of Jason-3 as all there is to learn from, two more predicted, in three seas."""
    week = Observations.from_dataset(open_store(work / "stores" / "jason.zarr"), ("sla",))
    made: dict[str, Any] = {}
    for sea, (west, east, south, north) in SEAS.items():
        inside = (week.longitude >= west) & (week.longitude <= east)
        inside &= (week.latitude >= south) & (week.latitude <= north)
        split = next(iter(splits(week.select(inside), "ahead")))
        seen, store = split.seen, work / f"seen-{sea}.zarr"
        columns = (datetime_of(seen.time), seen.longitude, seen.latitude)
        names = [seen.source_of(number) for number in range(int(seen.source.max()) + 1)]
        dataset = observations_dataset(*columns, {"sla": seen.values[:, 0]}, None, seen.source, names)
        write_store(dataset, store, overwrite=True)
        began = time.process_time()
        forecaster = train(currents_settings(store, seed), work / f"run-{sea}", silent)
        seconds = time.process_time() - began
        table = predict(forecaster, split, split.end - float(np.floor(seen.time[0])), "dino_points", 0.0)
        points = split.withheld
        noise = np.sqrt(error_variance(points, forecaster.assimilation.errors)[:, 0])
        table["dino_points_std"] = np.asarray(np.hypot(table["dino_points_std"], noise), np.float64)
        for name in INTERPOLATIONS:
            interpolation = fitted_interpolation(seen, None, seed, customary=name.startswith("customary"))
            table[name] = interpolation(seen, split.end).predict(points.time, points.longitude, points.latitude)[0]
        table |= {"truth": points.values[:, 0], "overflight": overflights(points).number.astype(np.float64)}
        made[sea] = scored(table, "dino_points") | {"processor_seconds": seconds}
    return made


def currents_settings(store: Path, seed: int) -> Config:
    """Training on tracks of five days: tiles of eight degrees, as `currents.py` lays them."""
    return Config.model_validate(
        {
            "seed": seed,
            "data": {"stores": [{"path": str(store)}], "channels": ["sla"], "validation_days": 1},
            "domain": {"kind": "tiles", "tile_degrees": 8.0},
            "field": {"steps": 200, "frames_per_step": 128},
            "dynamics": {"horizons": [1]},
            "assimilation": {"window_days": 5},
            "points": {"steps": 80},
        }
    )


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument(
        "--parts", nargs="+", choices=["demo", "clouds", "currents"], default=["demo", "clouds", "currents"]
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[4, 5], help="of the demo")
    arguments = options.parse_args()
    prepare(arguments)
    results: dict[str, Any] = {}
    with work_folder(arguments.work) as work:
        if "clouds" in arguments.parts:
            skip_without(arguments.data, CLOUDS)
            make_stores(work, arguments.data, CLOUDS)
            results["clouds"] = clouds(work, arguments.seed)
        if "currents" in arguments.parts:
            skip_without(arguments.data, JASON)
            make_stores(work, arguments.data, JASON)
            results["currents"] = currents(work, arguments.seed)
        if "demo" in arguments.parts:
            results["demo"] = {f"seed_{seed}": demo(work / f"seed_{seed}", seed) for seed in arguments.seeds}
    report(arguments, results)


if __name__ == "__main__":
    main()
