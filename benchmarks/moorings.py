"""SWOT over moorings, real: forecasts of each mooring's next one to five days, verified by its steric height.

KaRIn heights of the one-day orbit at eleven moorings up to a pass are all that a forecast takes; a run learned from
those of the training part and nothing else (`dino train` from points). own: all sites are seen; hidden: one is not,
and is forecast from the others. What all sites share is removed from inputs and truth (`moorings_record`). Peers are
`moorings_peers`. The steric height of the training part tells every mooring's offset and how wide intervals are, and
with `taught steric` what regressions aim at.

    python benchmarks/moorings.py --work runs/moorings --json moorings.json
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from moorings_peers import NAMES, PEERS, WINDOW_DAYS, Forecast, Peer, fitted_to, interpolation, observed
from moorings_record import FILE, LEADS, PASS_DAYS, Array, Moorings, Question, question, read
from realdata import add_options, skip_without, work_folder

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.data.observations import datetime_of, day_of
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config

SPLIT, VALIDATION = "2023-05-20", ("2023-05-05", "2023-05-20")
NINETY = 1.6449
ANALYSED_DAYS = 10.0  # of the training part's beginning that no analysis is judged by: it has nothing before it
EVERY = 3  # passes: one of so many calibrates intervals
EVERY_HIDDEN = 2  # starts and calibrating passes, where every site is hidden in turn
BLOCK_STARTS, DRAWS = 10, 1000  # of the bootstrap: starts of five days are drawn together
METRES = 0.01


def settings(store: Path, seed: int) -> Config:
    """Training on the moorings' heights: one tile, nodes where the passes are."""
    return Config.model_validate(
        {
            "seed": seed,
            "data": {"stores": [{"path": str(store)}], "channels": ["sla"], "validation_days": 8},
            "domain": {"kind": "tiles", "tile_degrees": 1.5},
            "decoder": {"code_size": 24},
            "field": {"steps": 200, "frames_per_step": 128},
            "dynamics": {"horizons": [1, 3, 5]},
            "assimilation": {"window_days": WINDOW_DAYS, "node_days": 0.5, "errors": {"point": {"white": 0.01}}},
            "points": {"steps": 150},
        }
    )


def trained(work: Path, asked: Question, seed: int) -> tuple[Forecaster, float]:
    """The run of the training part, and seconds of the processor."""
    folder, store = work / f"run-{seed}", work / "training.zarr"
    began = time.process_time()
    if not (folder / "model.json").exists():
        last = int(np.flatnonzero(asked.training)[-1])
        write_store(_store(asked, last, np.inf), store, overwrite=True)
        train(settings(store, seed), folder, silent, resume=(folder / "config.yaml").exists())
    return Forecaster(*load_model(folder), load_run_config(folder).assimilation), time.process_time() - began


def _store(asked: Question, start: int, days: float) -> xr.Dataset:
    seen = observed(asked, start, days)
    columns = (datetime_of(seen.time), seen.longitude, seen.latitude)
    return observations_dataset(*columns, {"sla": METRES * seen.values[:, 0]})


def own(forecaster: Forecaster, asked: Question, places: tuple[Array, Array]) -> Peer:
    """The run's forecasts of the asked sites; the standard deviation is that of the field."""
    here = places[0][asked.asked], places[1][asked.asked]
    at = xr.Dataset({"longitude": ("point", here[0]), "latitude": ("point", here[1])})

    def forecast(start: int) -> Forecast:
        now = asked.moorings.days[start]
        times = datetime_of(now + PASS_DAYS * np.array(LEADS))
        made = forecaster.forecast(forecaster.analyse(_store(asked, start, WINDOW_DAYS), datetime_of(now)), times, at)
        return made["sla"].values / METRES, made["sla_std"].values / METRES

    return forecast


def beyond_field(method: str, made: Any, asked: Question, places: tuple[Array, Array]) -> float:
    """Variance of steric heights about a method's analyses of the training part, less the analyses' own.

    It is what a steric height differs from the analysed field by: its error, and what KaRIn and steric height do not
    share.
    """
    excess, here = [], (places[0][asked.asked], places[1][asked.asked])
    for row in calibrating(asked):
        now = asked.moorings.days[row]
        if method == "dino":
            at = xr.Dataset({"longitude": ("point", here[0]), "latitude": ("point", here[1])})
            state = made.analyse(_store(asked, row, WINDOW_DAYS), datetime_of(now))
            found = made.forecast(state, [datetime_of(now)], at)
            mean, std = (found[name].values[0] / METRES for name in ("sla", "sla_std"))
        else:
            mean, std = made(observed(asked, row, WINDOW_DAYS), now).predict(now, *here)
        excess.append((mean - asked.truth[row, asked.asked]) ** 2 - std**2)
    return max(float(np.nanmean(excess)), 0.01)


def calibrating(asked: Question) -> list[int]:
    """Some passes of the training part, with a past."""
    days = asked.moorings.days
    return [row for row in np.flatnonzero(asked.training).tolist() if days[row] >= days[0] + ANALYSED_DAYS][::EVERY]


def sums(peer: Peer, asked: Question, beyond: float, every: int) -> Array:
    """(4, lead) of T T, T f, f f and v over the training part: steric heights T, forecasts f and their variance v."""
    total = np.zeros((4, len(LEADS)))
    for start in calibrating(asked)[::every]:
        mean, std = peer(start)
        for index, lead in enumerate(LEADS):
            after = asked.moorings.later(start, lead)
            if after is not None and asked.training[after]:
                truth = asked.truth[after, asked.asked]
                known = np.isfinite(truth + mean[index])
                t, f, v = truth[known], mean[index][known], std[index][known] ** 2 + beyond
                total[:, index] += t @ t, t @ f, f @ f, v.sum()
    return total


def scored(tables: dict[str, tuple[Array, Array]], truth: Array, karin: Array) -> dict[str, Any]:
    """Scores by method of tables (start, lead, site) against both truths, where every method has a forecast."""
    both = np.isfinite(truth) & np.all([np.isfinite(mean) for mean, _ in tables.values()], axis=0)
    told: dict[str, Any] = {"forecasts": both.sum((0, 2)).tolist()}
    for name, (mean, std) in tables.items():
        missed = np.where(both, mean - truth, np.nan)
        rmse = np.sqrt(np.nanmean(missed**2, axis=(0, 2)))
        inside = np.where(both, np.abs(missed) <= NINETY * std, np.nan)
        told[name] = {
            "rmse_cm": rmse.tolist(),
            "against_karin_cm": np.sqrt(np.nanmean(np.where(both, mean - karin, np.nan) ** 2, axis=(0, 2))).tolist(),
            "bias_cm": np.nanmean(missed, axis=(0, 2)).tolist(),
            "coverage_90": np.nanmean(inside, axis=(0, 2)).tolist(),
            "spread_over_error": (np.sqrt(np.nanmean(np.where(both, std, np.nan) ** 2, axis=(0, 2))) / rmse).tolist(),
        }
    return told | {"ratio_to_dino": _ratios(tables, truth, both)}


def _ratios(tables: dict[str, tuple[Array, Array]], truth: Array, both: Array) -> dict[str, Any]:
    """RMSE of dino over that of others at all leads, with the 90 % interval of a bootstrap of blocks of starts."""
    blocks = np.array_split(np.arange(len(truth)), max(1, len(truth) // BLOCK_STARTS))
    squares = {
        name: np.array([np.where(both, (mean - truth) ** 2, 0.0)[block].sum((0, 2)) for block in blocks])
        for name, (mean, _) in tables.items()
    }
    drawn = np.random.default_rng(0).integers(len(blocks), size=(DRAWS, len(blocks)))
    told = {}
    for name, square in squares.items():
        if name != "dino":
            ratio = np.sqrt(squares["dino"].sum() / square.sum())
            spread = np.sqrt(squares["dino"][drawn].sum((1, 2)) / square[drawn].sum((1, 2)))
            told[name] = [float(ratio), *np.quantile(spread, [0.05, 0.95]).tolist()]
    return told


def forecasts(moorings: Moorings, period: tuple[float, float], work: Path, seed: int, kind: str) -> dict[str, Any]:
    """All methods on one kind of question: scores of tables (start, lead, site), joined over the hidden sites."""
    until, stop = period
    hidden: list[int | None] = [None] if kind == "own" else list(range(len(moorings.names)))
    every = 1 if kind == "own" else EVERY_HIDDEN
    starts = np.flatnonzero((moorings.days >= until) & (moorings.days < stop))[::every].tolist()
    places = np.nanmean(moorings.longitude, axis=0), np.nanmean(moorings.latitude, axis=0)
    shape = (len(starts), len(LEADS), len(moorings.names))
    names = ["dino", *NAMES, "damped_persistence_taught_steric", "ridge_taught_steric"]
    tables = {name: (np.full(shape, np.nan), np.full(shape, np.nan)) for name in names}
    truth, karin, told = np.full(shape, np.nan), np.full(shape, np.nan), dict[str, Any]()
    everything = question(moorings, until)
    forecaster, seconds = trained(work, everything, seed)
    fits = {name: fitted_to(everything, seed, name.startswith("customary")) for name in NAMES[len(PEERS) :]}
    beyond = {name: beyond_field(name, fit, everything, places) for name, fit in fits.items()}
    beyond["dino"] = beyond_field("dino", forecaster, everything, places)
    found = {name: np.zeros((4, len(LEADS))) for name in beyond}
    for site in hidden:
        asked = everything if site is None else question(moorings, until, site)
        peers: dict[str, Peer] = {"dino": own(forecaster, asked, places)}
        peers |= {name: interpolation(asked, fit, places) for name, fit in fits.items()}
        for name, peer in peers.items():
            found[name] += sums(peer, asked, beyond[name], every)
        peers |= {name: make(asked, "karin") for name, make in PEERS.items()}
        peers |= {f"{name}_taught_steric": PEERS[name](asked, "steric") for name in ("damped_persistence", "ridge")}
        for index, start in enumerate(starts):
            for name, peer in peers.items():
                mean, std = peer(start)
                tables[name][0][index][:, asked.asked] = mean
                tables[name][1][index][:, asked.asked] = np.sqrt(std**2 + beyond.get(name, 0.0))
            for number, lead in enumerate(LEADS):
                after = moorings.later(start, lead)
                if after is not None and moorings.days[after] < stop:
                    truth[index, number, asked.asked] = asked.truth[after, asked.asked]
                    karin[index, number, asked.asked] = asked.karin[after, asked.asked]
    for name, (tt, tf, ff, variance) in found.items():
        mean, std = tables[name]
        # Taught steric height: a slope, which leaves of a forecast what KaRIn and steric height share.
        slope = tf.sum() / ff.sum()
        factor, taught = (
            np.sqrt((tt - 2 * tf + ff) / variance),
            np.sqrt((tt - 2 * slope * tf + slope**2 * ff) / variance),
        )
        tables[f"{name}_taught_steric"] = (slope * mean, taught[:, None] * std)
        tables[name] = (mean, factor[:, None] * std)
        tables[f"{name}_without_factors"] = (mean, std)
        told[name] = {"slope": float(slope), "interval_factors": factor.tolist()}
    told = {"calibration": told}
    told["beyond_the_field_cm"] = {name: value**0.5 for name, value in beyond.items()}
    told["interpolation"] = {name: fit.preferred for name, fit in fits.items()}
    return {**told, "training_seconds": seconds, "starts": len(starts), **scored(tables, truth, karin)}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    add_options(options)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="hidden sites with the first alone")
    options.add_argument("--kinds", nargs="+", choices=["own", "hidden"], default=["own", "hidden"])
    options.add_argument(
        "--validate", action="store_true", help="the end of the training part in place of the scored days"
    )
    arguments = options.parse_args()
    prepare(arguments)
    skip_without(arguments.data, {"moorings": [FILE]})
    until, to = (day_of(day) for day in VALIDATION) if arguments.validate else (day_of(SPLIT), np.inf)
    moorings = read(arguments.data / FILE, until)
    results: dict[str, Any] = {"screened": moorings.spikes}
    with work_folder(arguments.work) as work:
        for seed in arguments.seeds:
            told = results[f"seed_{seed}"] = {}
            for kind in arguments.kinds if seed == arguments.seeds[0] else ["own"]:
                told[kind] = forecasts(moorings, (until, to), work, seed, kind)
    report(arguments, results)


if __name__ == "__main__":
    main()
