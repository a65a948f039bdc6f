"""What a cloudy temperature is worth beside altimeters: sea level of simulated oceans, now and five days ahead.

Three altimeters (Jason, Sentinel-3A, SWOT's nadir track; 2 cm) and an imager under the clouds of a real product (pixels
16 km apart, 0.2 K) look at three oceans of other numbers than the one that was learned from. The same run forecasts
from both, from height alone and from temperature alone; a run of height alone and the fitted interpolation stand
beside it. Codes, spacing of nodes and process noise were chosen on the two validation oceans (`--validate`).

    python benchmarks/two_instruments.py --work runs/temperature --json benchmarks/results/two_instruments.json
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from numpy.typing import NDArray
from realdata import ROOT, add_options, skip_without, work_folder
from temperature import CLOUDS, NINETY, TEST, VALIDATION, Sea, make_sea, model_ocean, trained

from data_pipeline.layout.datasets import index_by_day
from data_pipeline.layout.globe import mesh
from data_pipeline.observing.clouds import CloudConfig
from data_pipeline.observing.swaths import SampleConfig, sample
from dino.data.observations import Observations, day_of
from dino.evaluation.fitted_interpolation import FittedInterpolation, fitted_interpolation
from dino.forecaster import Forecaster

Array = NDArray[np.float64]
Method = Callable[[int, int], tuple[Array, Array | None]]
"""Sea level (lead, row, column) [m] of the ocean with an index from a start, and standard deviations where told."""

LEADS = (0, 1, 3, 5)
FIRST, LAST, LEARNED = 30, 110, 30  # days on which forecasts start; days that the interpolation is fitted to
NOISE_M, NOISE_K, SPACING_KM = 0.02, 0.2, 16.0
WINDOW_DAYS = 15.0
NOISE = (
    3.0  # factor of the process noise of a run, as the validation oceans want it: they have other numbers than a run
)
HEIGHT_ALONE = [
    "data.channels=[ssh]", "dynamics.tracers=0",
    "decoder.code_size=300", "decoder.hidden=224", "decoder.tracer_codes=0",
]  # fmt: skip
SOURCES = {"both": ("ssh", "sst"), "height": ("ssh",), "temperature": ("sst",)}


def observed(sea: Sea, seed: int, clouds: str) -> xr.Dataset:
    """What the four instruments see of an ocean."""
    altimeters = [
        {"name": orbit, "kind": "nadir", "orbit": orbit, "channels": ["ssh"], "error_std": NOISE_M}
        for orbit in ("jason", "sentinel-3a", "swot")
    ]
    imager = {
        "name": "imager", "kind": "swath", "orbit": "sentinel-3a", "inner_km": 0, "outer_km": 700,
        "spacing_km": SPACING_KM, "channels": ["sst"], "error_std": NOISE_K, "clouds": {"path": clouds},
    }  # fmt: skip
    config = {"seed": seed, "trajectory": 0, "channels": ["ssh", "sst"], "instruments": [*altimeters, imager]}
    return sample(sea.store, SampleConfig.model_validate(config))


def of_channels(seen: xr.Dataset, names: tuple[str, ...]) -> xr.Dataset:
    """The observations of some channels alone."""
    whole = np.any([np.isfinite(seen[name].values) for name in names], axis=0)
    return index_by_day(seen.isel(obs=np.flatnonzero(whole)).drop_vars(["day", "day_offset"]))


def ours(
    forecaster: Forecaster, seas: list[Sea], seen: list[xr.Dataset], names: tuple[str, ...], noise: float
) -> Method:
    """Forecasts of a run from the observations of some channels."""
    parts = [of_channels(one, names) for one in seen]
    plain = forecaster.latent.process_noise.clone()

    def forecast(index: int, start: int) -> tuple[Array, Array]:
        store = seas[index].store
        forecaster.latent.process_noise.copy_(noise * plain)
        analysis = forecaster.analyse(parts[index], store["time"].values[start])
        times = store["time"].values[[start + lead for lead in LEADS]]
        made = forecaster.forecast(analysis, times, at=store[["longitude", "latitude"]])
        forecaster.latent.process_noise.copy_(plain)
        return made["ssh"].values, made["ssh_std"].values

    return forecast


def interpolation(seas: list[Sea], seen: list[xr.Dataset]) -> Method:
    """The interpolation that is fitted to the first days of height of each ocean."""
    fitted: dict[int, FittedInterpolation] = {}
    parts = [Observations.from_dataset(of_channels(one, ("ssh",)), ("ssh",)) for one in seen]

    def forecast(index: int, start: int) -> tuple[Array, Array]:
        store, points = seas[index].store, parts[index]
        day = day_of(store["time"].values[start])
        if index not in fitted:
            fitted[index] = fitted_interpolation(points.between(points.time[0], points.time[0] + LEARNED), None)
        window = fitted[index](points.between(day - WINDOW_DAYS, day), day)
        made = [
            window.predict(day + lead, *mesh(store["longitude"].values, store["latitude"].values)) for lead in LEADS
        ]
        return np.stack([mean for mean, _ in made]), np.stack([spread for _, spread in made])

    return forecast


def scored(seas: list[Sea], methods: dict[str, Method], every: int) -> dict[str, Any]:
    """RMSE [cm] by lead on every ocean and on all together, and the share in 90 % intervals."""
    starts = range(FIRST, LAST + 1, every)
    results: dict[str, Any] = {}
    for name, method in methods.items():
        squared, inside = np.zeros((len(seas), len(LEADS))), np.zeros(len(LEADS))
        for index, sea in enumerate(seas):
            truth = sea.store["ssh"].values[0].astype(np.float64)
            for start in starts:
                mean, spread = method(index, start)
                missed = mean - truth[[start + lead for lead in LEADS]]
                squared[index] += (missed**2).mean((1, 2)) / len(starts)
                if spread is not None:
                    inside += (abs(missed) < NINETY * spread).mean((1, 2)) / (len(starts) * len(seas))
        cm = 100 * np.sqrt(np.vstack([squared.mean(0), squared]))
        results[name] = {"rmse_cm": cm[0].round(3).tolist(), "oceans": cm[1:].round(3).tolist()}
        results[name]["coverage_90"] = inside.round(3).tolist()
        print(f"  {name}: {results[name]}", flush=True)
    return results


def main() -> None:
    """Train what is missing, forecast and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.set_defaults(config=ROOT / "configs" / "height-temperature.yaml")
    options.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training")
    options.add_argument("--noise", type=float, default=NOISE, help="factor of process noise")
    options.add_argument("--validate", action="store_true", help="the validation oceans in place of the others")
    options.add_argument("--every", type=int, default=27, help="days between starts")
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, CLOUDS)
    clouds = arguments.data / CLOUDS["clouds"][0]
    with work_folder(arguments.work) as work:
        scenes = CloudConfig(path=clouds).scenes
        kind, numbers = ("validation", VALIDATION) if arguments.validate else ("test", TEST)
        seas = [make_sea(work / "stores" / f"{kind}_{i}.zarr", one, scenes) for i, one in enumerate(numbers)]
        seen = [observed(sea, one[0], str(clouds)) for sea, one in zip(seas, numbers, strict=True)]
        model_ocean(work)
        methods: dict[str, Method] = {"optimal_interpolation_of_height": interpolation(seas, seen)}
        for seed in arguments.seeds:
            run = trained(work, arguments.config, arguments.overrides, seed)
            for name, channels in SOURCES.items():
                methods[f"{name}_seed_{seed}"] = ours(run, seas, seen, channels, arguments.noise)
            alone = trained(work, arguments.config, [*arguments.overrides, *HEIGHT_ALONE], seed, name="height")
            methods[f"run_of_height_alone_seed_{seed}"] = ours(alone, seas, seen, ("ssh",), arguments.noise)
        results = scored(seas, methods, arguments.every)
        days = sum(sea.store.sizes["time"] for sea in seas)
        results["observations_a_day"] = {
            name: round(sum(int(np.isfinite(one[name]).sum()) for one in seen) / days, 1) for name in ("ssh", "sst")
        }
    report(arguments, results)


if __name__ == "__main__":
    main()
