"""Four faults of observations, with and without quality control: how far do they move an analysis, and how wrong is it?

A small run on simulated turbulence is trained here, and one trajectory of its ocean is seen by three missions with 2 cm
of noise for ten days. The faults: one point in a hundred is a metre off; one mission reads 10 cm too high; one mission
is delivered twice, under another name; one point in twenty has a time that is hours or days off. `change` is the root
mean square of what a fault moves of the analysed map over that of what clean observations moved of the mean, to be
compared with `share`, that of the points with the fault. Control is the default bound, and offsets of 5 cm
(`bias_error`); without it all points count, duplicates too.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from forecast_points import toy_run
from harness import parser, prepare, report

from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig
from dino.data.observations import Observations, datetime_of, days_since_epoch
from dino.forecaster import Forecaster

DAYS, COUNT, ERROR, BIAS = 10.0, 3000, 0.02, 0.1
METHODS = ("window", "filter")


def seen_of(ocean: xr.Dataset, channel: str, seed: int) -> Observations:
    """Cells of the last days of a trajectory (time, latitude, longitude), by three missions."""
    rng = np.random.default_rng(seed)
    days = days_since_epoch(ocean["time"].values)
    recent = np.flatnonzero(days >= days[-1] - DAYS)
    when = np.sort(rng.choice(recent, COUNT))
    row, column = (rng.integers(0, ocean.sizes[name], COUNT) for name in ("latitude", "longitude"))
    values = ocean[channel].transpose("time", "latitude", "longitude").values[when, row, column].astype(np.float64)
    values = values + ERROR * rng.normal(size=COUNT)
    return Observations(
        days[when], ocean["longitude"].values[column], ocean["latitude"].values[row], values[:, None],
        np.full((COUNT, 1), ERROR), rng.integers(0, 3, COUNT), (channel,), ("alpha", "beta", "gamma"),
    )  # fmt: skip


def faults(clean: Observations, seed: int) -> dict[str, tuple[Observations, float]]:
    """The observations with each fault, and the share of those that have it."""
    rng = np.random.default_rng(seed)
    gross, late = (rng.permutation(COUNT)[: COUNT // part] for part in (100, 20))
    values = clean.values.copy()
    values[gross] += rng.choice([-1.0, 1.0], (len(gross), 1))
    beta = clean.source == 1
    again = clean.select(beta)
    doubled = {
        name: np.concatenate([getattr(clean, name), getattr(again, name)])
        for name in ("time", "longitude", "latitude", "values", "error")
    }
    source = np.concatenate([clean.source, np.full(len(again), 3)])
    twice = replace(clean, **doubled, source=source, sources=(*clean.sources, "beta again"))
    time = clean.time.copy()
    time[late] += rng.choice([-30.0, -2.0, -0.25, 0.25, 2.0, 30.0], len(late))
    return {
        "gross_errors": (replace(clean, values=values), len(gross) / COUNT),
        "biased_mission": (replace(clean, values=clean.values + BIAS * beta[:, None]), float(beta.mean())),
        "delivered_twice": (in_order(twice), len(again) / len(twice)),
        "wrong_times": (in_order(replace(clean, time=time)), len(late) / COUNT),
    }


def in_order(observations: Observations) -> Observations:
    """Observations in the order of their times."""
    return observations.select(np.argsort(observations.time, kind="stable"))


def table_of(seen: Observations, nudge: bool) -> xr.Dataset:
    """In the layout of a store; `nudge` makes repeats differ by less than a micrometre, so that they all count."""
    values = seen.values[:, 0] + (1e-9 * np.arange(len(seen)) if nudge else 0.0)
    columns = {seen.channels[0]: ("obs", values), f"{seen.channels[0]}_error": ("obs", seen.error[:, 0])}
    coords = {
        "time": ("obs", datetime_of(seen.time)),
        "longitude": ("obs", seen.longitude),
        "latitude": ("obs", seen.latitude),
        "source_name": ("source_index", np.array(seen.sources, dtype=object)),
    }
    return xr.Dataset(columns | {"source": ("obs", seen.source)}, coords)


def study(forecaster: Forecaster, ocean: xr.Dataset, method: str, seed: int) -> dict[str, Any]:
    """All faults with one method of assimilation."""
    channel = forecaster.ocean.names[0]
    clean, last = seen_of(ocean, channel, seed), ocean.isel(time=-1)
    end, grid = last["time"].values, xr.Dataset(coords={n: ocean[n] for n in ("latitude", "longitude")})
    truth = last[channel].transpose("latitude", "longitude").values
    shape = np.meshgrid(grid["longitude"], grid["latitude"])
    mean = forecaster.ocean.background.at(shape[0].ravel(), shape[1].ravel())[:, 0].reshape(truth.shape)

    def analysed(seen: Observations, controlled: bool) -> tuple[np.ndarray, Any]:
        extra: dict[str, Any] = {"bias_error": 0.05} if controlled else {"bound": None}
        config = AssimilationConfig.model_validate({"method": method, "window_days": DAYS, "node_days": 1.0} | extra)
        made = Forecaster(forecaster.latent, forecaster.ocean, config)
        analysis = made.analyse(table_of(seen, not controlled), end)
        return made.forecast(analysis, [end], grid, spread=False)[channel].values[0], analysis.quality

    results: dict[str, Any] = {}
    for name, controlled in (("controlled", True), ("uncontrolled", False)):
        good, _ = analysed(clean, controlled)
        moved = np.sqrt(np.mean((good - mean) ** 2))
        results[f"clean.rmse_cm_{name}"] = 100 * float(np.sqrt(np.mean((good - truth) ** 2)))
        for fault, (seen, share) in faults(clean, seed).items():
            bad, quality = analysed(seen, controlled)
            row = results.setdefault(fault, {"share": share})
            row[f"change_{name}"] = float(np.sqrt(np.mean((bad - good) ** 2)) / moved)
            row[f"rmse_cm_{name}"] = 100 * float(np.sqrt(np.mean((bad - truth) ** 2)))
            if controlled:
                row |= {"duplicates": quality.duplicates, "outside": quality.outside}
                row["down_weighted"] = sum(quality.down_weighted.values())
                row["biases_cm"] = {source: 100 * by[channel] for source, by in quality.biases.items()}
    return results


def main() -> None:
    """Train, spoil, analyse and report."""
    arguments = parser(__doc__ or "").parse_args()
    prepare(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run = toy_run(Path(folder), arguments.seed)
        ocean = open_store(Path(folder) / "ocean.zarr").isel(trajectory=0).load()
        forecaster = Forecaster.load(run)
        report(arguments, {method: study(forecaster, ocean, method, arguments.seed) for method in METHODS})


if __name__ == "__main__":
    main()
