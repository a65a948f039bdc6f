"""Temperature from temperature alone, six days ahead: de Bezenac et al.'s task (ICLR 2018) on simulated oceans.

Four days of maps of temperature are given, complete or under the clouds of a real product with an error of 0.2 K, and
the next six days are forecast. No height is seen. A run of two layers with a tracer (`--config`) has learned from
a model ocean; three oceans of other numbers are forecast. Beside it stand persistence, advection and diffusion by an
estimated motion, linear methods that know the model ocean, optimal interpolation fitted to each ocean, and, as a limit,
advection by the true flow. Settings of all were chosen on two validation oceans (`--validate`).

    python benchmarks/temperature.py --work runs/temperature --json benchmarks/results/temperature.json
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from numpy.typing import NDArray
from peers.temperature.motion import Motion, MotionSettings
from peers.temperature.stationary import StationaryOcean
from realdata import ROOT, add_options, skip_without, work_folder

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.layout.globe import mesh
from data_pipeline.observing.clouds import CloudConfig, CloudScenes
from data_pipeline.observing.interpolation import interpolator
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import reported
from dino.config import load_config
from dino.data.observations import Observations, day_of
from dino.evaluation.fitted_interpolation import FittedInterpolation, fitted_interpolation
from dino.experiments.train import train
from dino.forecaster import Forecaster

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
CLOUDS = {"clouds": ["swaths/avhrr_l3_alboran_2017-05-14_2017-05-24.nc"]}
GIVEN, LONGER, AHEAD = 4, 20, 6  # days that the task gives, that a filter remembers, and that are forecast
NOISE, EXACT = 0.2, 0.05  # [K] of a value under clouds, and what a complete map is taken to be off by
DAYS, FIRST, LAST = 120, 24, 112  # of an ocean; the days on which forecasts start
SHAPE: dict[str, Any] = {"grid": 40, "length_km": 640.0, "spin_up_days": 100, "workers": 1}
MODEL: dict[str, Any] = {
    "shear_m_s": 0.14,
    "runs": 256,
    "trajectories": 256,
    "days": 50,
    "seed": 1,
    "lower_layer": True,
}
# Seed, shear, radius and gradient; the model ocean has 0.14 m/s, 40 km and -0.01 K/km.
TEST = [(9200, 0.13, 38.0, -0.010), (9201, 0.15, 42.0, -0.012), (9202, 0.13, 40.0, -0.008)]
VALIDATION = [(9100, 0.135, 39.0, -0.011), (9101, 0.145, 41.0, -0.009)]
NINETY = 1.645
# Chosen on the validation oceans, for complete maps and under clouds.
RIDGE = 0.003  # [K]
MOTION = {
    False: MotionSettings(smoothness=0.03, slope=6.0, fading=0.3, source=1.0, source_cells=1.0, memory=6.0),
    True: MotionSettings(smoothness=0.03, slope=8.0, fading=0.8, source=1.0, source_cells=4.0, memory=3.0, hidden=0.03),
}
# From complete maps the last map itself, and an interpolation that knows less than the linear forecast.
CLOUDY_ONLY = ("persistence_last_seen", "optimal_interpolation")
TRUTH = MotionSettings(mixing=4.3, damping=1 / 60)  # what the simulation has


@dataclass(frozen=True)
class Sea:
    """An ocean that is forecast: departures of temperature (day, row, column) [K], what is clear, and its store."""

    store: xr.Dataset
    config: QuasiGeostrophicConfig
    clear: Mask
    noise: Array

    @cached_property
    def temperature(self) -> Array:
        """(day, row, column) departures from the climatology [K]."""
        assert self.config.tracer is not None
        return self.store["sst"].values[0].astype(np.float64) - self.config.tracer.mean_c

    @property
    def seen(self) -> Array:
        """What is seen of them under clouds, with its error."""
        return self.temperature + NOISE * self.noise

    def motion(self, settings: MotionSettings) -> Motion:
        """What carries this ocean's temperature."""
        assert self.config.tracer is not None
        return Motion(self.config.grid, self.config.length_km, self.config.tracer.gradient_k_per_km, settings)

    def true_flow(self, start: int) -> list[Array]:
        """Surface velocity (2, row, column) [km/day] in the middle of the days from `start` on."""
        psi = 9.81e-3 * 86400.0**2 / (1000.0 * self.config.coriolis) * self.store["ssh"].values[0].astype(np.float64)
        motion, mean = self.motion(MotionSettings()), 86.4 * self.config.shear_m_s
        flows = []
        for day in range(start, start + AHEAD):
            eastward, northward = motion.slopes(0.5 * (psi[day] + psi[day + 1]))
            flows.append(np.stack([mean - northward, eastward]))
        return flows

    def observations(self, start: int, days: int, cloudy: bool) -> xr.Dataset:
        """The store of temperature observations of the `days` up to day `start`."""
        here = slice(start - days + 1, start + 1)
        clear = self.clear[here] if cloudy else np.ones_like(self.clear[here])
        longitude, latitude = mesh(self.store["longitude"].values, self.store["latitude"].values)
        day, row, column = np.nonzero(clear)
        assert self.config.tracer is not None
        values = (self.seen if cloudy else self.temperature)[here][clear] + self.config.tracer.mean_c
        error = np.full(len(values), NOISE if cloudy else EXACT)
        times = self.store["time"].values[here][day]
        return observations_dataset(
            times, longitude[row, column], latitude[row, column], {"sst": values}, {"sst": error}
        )


@dataclass(frozen=True)
class Case:
    """A forecast: of which ocean, from which day, cloudy or not."""

    sea: Sea
    start: int
    cloudy: bool

    def given(self, days: int = GIVEN) -> tuple[Array, Mask]:
        """Maps (day, row, column) and which cells of them are seen."""
        here = slice(self.start - days + 1, self.start + 1)
        if not self.cloudy:
            return self.sea.temperature[here], np.ones_like(self.sea.clear[here])
        return self.sea.seen[here], self.sea.clear[here]

    @property
    def truth(self) -> Array:
        """(lead, row, column) on the days 0, 1, ... 6 after the start."""
        return self.sea.temperature[self.start : self.start + AHEAD + 1]

    @property
    def hidden(self) -> Mask:
        """Cells that were not seen on the last day."""
        return ~self.sea.clear[self.start]


Method = Callable[[Case], tuple[Array, Array | None]]
"""Maps (lead, row, column) of departures on days 0 to 6 and, where it has them, standard deviations."""


def make_sea(path: Path, numbers: tuple[int, float, float, float], scenes: CloudScenes) -> Sea:
    """An ocean of given numbers, simulated where it is not there yet, and its sky."""
    seed, shear, radius, gradient = numbers
    settings = {"shear_m_s": shear, "deformation_radius_km": radius, "tracer": {"gradient_k_per_km": gradient}}
    config = QuasiGeostrophicConfig.model_validate({**SHAPE, **settings, "trajectories": 1, "days": DAYS, "seed": seed})
    if not path.exists():
        write_store(simulate(config), path)
    store = open_store(path).load()
    extent = interpolator(store).extent
    longitude, latitude = mesh(store["longitude"].values, store["latitude"].values)
    places = longitude.ravel(), latitude.ravel()
    clear = np.stack([scenes.over(extent, seed, day, *places) for day in store["time"].values])
    noise = np.random.default_rng(seed).standard_normal(clear.shape)
    return Sea(store, config, clear.reshape(-1, *longitude.shape), noise.reshape(-1, *longitude.shape))


def peers(maps: NDArray[np.float32], motion: dict[bool, MotionSettings], truth: MotionSettings) -> dict[str, Method]:
    """The other methods; maps (trajectory, day, row, column) are those of the model ocean, departures [K]."""
    ocean = StationaryOcean(maps, LONGER + AHEAD)
    fitted: dict[tuple[int, bool], FittedInterpolation] = {}

    def filled(case: Case, days: int = GIVEN) -> Array:
        values, seen = case.given(days)
        return ocean.interpolated(values, seen, NOISE, AHEAD) if case.cloudy else values

    def persistence(case: Case) -> tuple[Array, None]:
        return np.repeat(filled(case)[GIVEN - 1][None], AHEAD + 1, 0), None

    def last_seen(case: Case) -> tuple[Array, None]:
        values, seen = case.given(LONGER)
        newest = len(seen) - 1 - np.argmax(seen[::-1], axis=0)
        last = np.take_along_axis(values, newest[None], 0)[0]
        last = np.where(seen.any(0), last, 0.0)
        return np.repeat(last[None], AHEAD + 1, 0), None

    def carried(case: Case) -> tuple[Array, None]:
        maps = filled(case)[:GIVEN]
        model = case.sea.motion(motion[case.cloudy])
        flow = model.estimated(maps, case.given()[1])
        return np.concatenate([maps[-1:], model.forecast(maps[-1], flow, AHEAD, model.source(maps, flow))]), None

    def truly_carried(case: Case) -> tuple[Array, None]:
        last = filled(case)[GIVEN - 1]
        ahead = case.sea.motion(truth).forecast(last, case.sea.true_flow(case.start), AHEAD)
        return np.concatenate([last[None], ahead]), None

    def linear(days: int) -> Method:
        def forecast(case: Case) -> tuple[Array, None]:
            values, seen = case.given(days)
            if case.cloudy:
                return ocean.interpolated(values, seen, NOISE, AHEAD)[days - 1 :], None
            return np.concatenate([values[-1:], ocean.forecast(values, AHEAD, RIDGE)]), None

        return forecast

    def interpolation(case: Case) -> tuple[Array, None]:
        sea, key = case.sea, (id(case.sea), case.cloudy)
        if key not in fitted:
            past = Observations.from_dataset(sea.observations(FIRST - 1, FIRST, case.cloudy), ("sst",))
            fitted[key] = fitted_interpolation(past, None)
        seen = Observations.from_dataset(sea.observations(case.start, GIVEN, case.cloudy), ("sst",))
        now = day_of(sea.store["time"].values[case.start])
        longitude, latitude = mesh(sea.store["longitude"].values, sea.store["latitude"].values)
        made = [fitted[key](seen, now).predict(now + lead, longitude, latitude)[0] for lead in range(AHEAD + 1)]
        assert sea.config.tracer is not None
        return np.stack(made) - sea.config.tracer.mean_c, None

    return {
        "persistence": persistence, "persistence_last_seen": last_seen, "advection_diffusion": carried,
        "linear_by_wave": linear(GIVEN), "linear_by_wave_20_days": linear(LONGER),
        "optimal_interpolation": interpolation, "true_flow": truly_carried,
    }  # fmt: skip


def ours(forecaster: Forecaster, days: int) -> Method:
    """Forecasts of a run from the temperature of `days` days alone."""

    def forecast(case: Case) -> tuple[Array, Array]:
        sea = case.sea
        assert sea.config.tracer is not None
        moment = sea.store["time"].values[case.start]
        setting = forecaster.assimilation.model_copy(update={"window_days": float(days - 1)})
        runner = Forecaster(forecaster.latent, forecaster.ocean, setting)
        analysis = runner.analyse(sea.observations(case.start, days, case.cloudy), moment)
        times = moment + np.arange(AHEAD + 1) * np.timedelta64(1, "D")
        made = runner.forecast(analysis, times, at=sea.store[["longitude", "latitude"]])
        return made["sst"].values - sea.config.tracer.mean_c, made["sst_std"].values

    return forecast


def trained(work: Path, config_path: Path, overrides: list[str], seed: int, name: str | None = None) -> Forecaster:
    """The run of a seed, trained where it is not there yet; its folder has the configuration's name or another."""
    folder, store = work / f"run_{name or config_path.stem}_{seed}", work / "stores" / "model_ocean.zarr"
    if (folder / "model.json").exists():
        return Forecaster.load(folder)
    config = load_config(config_path, [*overrides, f"seed={seed}"])
    stores = [config.data.stores[0].model_copy(update={"path": store})]
    config = config.model_copy(update={"data": config.data.model_copy(update={"stores": stores})})
    with reported(f"training {folder.name}") as progress:
        return train(config, folder, progress, resume=(folder / "state.pt").exists())


def scored(seas: list[Sea], methods: dict[str, Method], cloudy: bool, every: int) -> dict[str, Any]:
    """RMSE [K] by lead (days 0 to 6) of every method on every ocean and all together; coverage where spreads are told.

    Under clouds everywhere, and in the cells that were hidden on the last day; from complete maps everywhere.
    """
    places = ("everywhere", "hidden") if cloudy else ("everywhere",)
    squared = {place: {name: np.zeros((len(seas), AHEAD + 1)) for name in methods} for place in places}
    covered: dict[str, dict[str, list[Array]]] = {place: {} for place in places}
    count = np.zeros(len(seas))
    for index, case in cases(seas, cloudy, every):
        count[index] += 1
        for name, method in methods.items():
            mean, spread = method(case)
            missed = mean - case.truth
            for place in places:
                where = case.hidden if place == "hidden" else np.ones_like(case.hidden)
                squared[place][name][index] += (missed[:, where] ** 2).mean(1)
                if spread is not None:
                    inside = (abs(missed) < NINETY * spread)[:, where].mean(1)
                    covered[place].setdefault(name, []).append(inside)
        print(f"  ocean {index}, day {case.start} done", flush=True)
    return {
        place: {
            name: {
                "rmse_k": np.sqrt(total.sum(0) / count.sum()).round(4).tolist(),
                "oceans": np.sqrt(total / count[:, None]).round(4).tolist(),
                **({"coverage_90": np.mean(told, 0).round(3).tolist()} if (told := covered[place].get(name)) else {}),
            }
            for name, total in squared[place].items()
        }
        for place in places
    }  # fmt: skip


def cases(seas: list[Sea], cloudy: bool, every: int) -> Iterator[tuple[int, Case]]:
    """All forecasts, and the number of the ocean of each."""
    for index, sea in enumerate(seas):
        for start in range(FIRST, LAST + 1, every):
            yield index, Case(sea, start, cloudy)


def main() -> None:
    """Train what is missing, forecast and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.set_defaults(config=ROOT / "configs" / "temperature.yaml")
    options.add_argument("--seeds", type=int, nargs="*", default=[0], help="of training; none leaves the peers")
    options.add_argument("--without-peers", action="store_true")
    options.add_argument("--windows", type=int, nargs="+", default=[GIVEN], help="days of maps that a run is given")
    options.add_argument("--settings", nargs="+", choices=["complete", "cloudy"], default=["complete", "cloudy"])
    options.add_argument(
        "--validate", action="store_true", help="forecast the validation oceans in place of the others"
    )
    options.add_argument("--every", type=int, default=22, help="days between starts")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, CLOUDS)
    results: dict[str, Any] = {}
    with work_folder(arguments.work) as work:
        scenes = CloudConfig(path=arguments.data / CLOUDS["clouds"][0]).scenes
        kind = "validation" if arguments.validate else "test"
        numbers = VALIDATION if arguments.validate else TEST
        seas = [make_sea(work / "stores" / f"{kind}_{i}.zarr", n, scenes) for i, n in enumerate(numbers)]
        maps = model_ocean(work)
        methods = {} if arguments.without_peers else peers(maps, MOTION, TRUTH)
        for seed in arguments.seeds:
            run = trained(work, arguments.config, arguments.overrides, seed)
            for days in arguments.windows:
                methods[f"dino_seed_{seed}_{days}_days"] = ours(run, days)
        results["clear_share"] = float(np.mean([sea.clear.mean() for sea in seas]))
        results["temperature_std_k"] = [round(float(sea.temperature.std()), 3) for sea in seas]
        for setting in arguments.settings:
            chosen = {name: m for name, m in methods.items() if setting == "cloudy" or name not in CLOUDY_ONLY}
            results[setting] = scored(seas, chosen, setting == "cloudy", arguments.every)
    report(arguments, results)


def model_ocean(work: Path) -> NDArray[np.float32]:
    """Departures of temperature (trajectory, day, row, column) [K] of the ocean that is learned from."""
    path = work / "stores" / "model_ocean.zarr"
    config = QuasiGeostrophicConfig.model_validate({**SHAPE, **MODEL, "tracer": {}})
    if not path.exists():
        with reported("simulating the model ocean") as progress:
            write_store(simulate(config, progress=progress), path)
    assert config.tracer is not None
    return open_store(path)["sst"].values - np.float32(config.tracer.mean_c)


if __name__ == "__main__":
    main()
