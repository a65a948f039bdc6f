"""The demo's observed ocean, mapped and forecast: effective resolution by lead, and are error bars of currents honest.

`dino demo FOLDER` makes the ocean, its observations and the run; every day of the scored period is analysed from what
was observed before it, and forecast. Resolution is that of `dino.evaluation.field_scores` along the rows of the maps
(lambda_x) and along the days of every cell (lambda_t). True currents come from spectral derivatives of the true maps,
which are periodic. Nothing was tuned on these days but by the demo's own transfer, on the days before them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report
from numpy.typing import NDArray
from scipy.special import ndtri

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from dino.data.observations import Observations, datetime_of, days_since_epoch
from dino.evaluation.field_scores import Segments, effective_resolution
from dino.evaluation.fitted_interpolation import interpolations
from dino.experiments.demo import QUICK, DemoSizes
from dino.forecaster import Forecaster
from dino.forecasts.currents import currents, operators
from dino.model.checkpoint import load_model, load_run_config
from dino.space.gridmap import GridMap
from dino.space.jets import map_jets

Array = NDArray[np.float64]
WHAT = ("eastward", "northward", "vorticity")


def jets(maps: Array, longitude: Array, latitude: Array) -> Array:
    """(5, time, y, x) values, slopes and curvatures [per degree] of periodic maps, by their Fourier series."""
    found = [maps]
    for order in (1, 2):
        for axis, degrees in ((-1, longitude), (-2, latitude)):
            count = maps.shape[axis]
            wave = 2j * np.pi * np.fft.fftfreq(count, degrees[1] - degrees[0])
            if order == 1 and count % 2 == 0:
                wave[count // 2] = 0.0  # the sawtooth has no slope at the nodes
            shape = [1, 1, 1]
            shape[axis] = count
            found.append(np.fft.ifft(np.fft.fft(maps, axis=axis) * wave.reshape(shape) ** order, axis=axis).real)
    return np.stack(found)


def true_currents(maps: Array, longitude: Array, latitude: Array) -> Array:
    """(time, point, 3) of periodic maps (time, y, x)."""
    operator = np.repeat(operators(latitude), len(longitude), axis=0)
    jet = jets(maps, longitude, latitude).reshape(5, len(maps), -1)
    return np.einsum("pqj,jtp->tpq", operator, jet)


def resolutions(truth: Array, made: Mapping[str, Array], step_km: float) -> dict[str, Any]:
    """Of maps (day, y, x), by method: lambda_x [km] along rows and lambda_t [days] along days, None where not found."""
    number = np.arange(truth.size).reshape(truth.shape)
    rows = Segments(number.reshape(-1, truth.shape[2]), step_km)
    days = Segments(number.reshape(truth.shape[0], -1).T, 1.0)
    found: dict[str, Any] = {}
    for name, maps in made.items():
        along, time = (effective_resolution(s, truth.ravel(), maps.ravel()) for s in (rows, days))
        found[name] = {
            "rmse_cm": 100 * float(np.sqrt(np.mean((maps - truth) ** 2))),
            "lambda_x_km": along.wavelength if np.isfinite(along.wavelength) else along.verdict,
            "lambda_t_days": time.wavelength if np.isfinite(time.wavelength) else time.verdict,
        }
    return found


def honesty(truth: Array, mean: Array, std: Array) -> dict[str, Any]:
    """Coverage of 90 % intervals and spread over error of (day, point, 3), for each of the three."""
    inside = np.abs(mean - truth) <= ndtri(0.95) * std
    over = np.sqrt((std**2).mean((0, 1)) / ((mean - truth) ** 2).mean((0, 1)))
    skill = 1 - np.sqrt(((mean - truth) ** 2).mean((0, 1)) / (truth**2).mean((0, 1)))
    return {
        name: {
            "coverage_90": float(inside[..., i].mean()),
            "spread_over_error": float(over[i]),
            "one_minus_rmse_over_rms": float(skill[i]),
        }
        for i, name in enumerate(WHAT)
    }


def measured(folder: Path, sizes: DemoSizes, leads: list[float], days: int | None) -> dict[str, Any]:
    """Everything of a demo's folder."""
    run = folder / "transferred"
    forecaster = Forecaster(*load_model(run), load_run_config(run).assimilation)
    fields = open_store(folder / "real_ocean.zarr").isel(trajectory=0).load()
    seen = open_store(folder / "observations.zarr").load()
    truth = fields["ssh"].transpose("time", ...).values.astype(np.float64)
    time, longitude, latitude = (
        days_since_epoch(fields["time"].values),
        fields["longitude"].values,
        fields["latitude"].values,
    )
    starts = np.flatnonzero(
        (time >= days_since_epoch(np.datetime64(sizes.scored_from))) & (time + leads[-1] <= time[-1])
    )
    starts = starts[:days]
    grid = [part.ravel() for part in np.meshgrid(longitude, latitude)]
    record = Observations.from_dataset(seen, forecaster.ocean.names)
    fitted = interpolations(record, np.datetime64(sizes.scored_from))
    columns: dict[float, dict[str, list[Array]]] = {lead: {} for lead in leads}
    length = forecaster.assimilation.window_days
    with reported("field scores") as progress:
        for done, start in enumerate(starts):
            now = float(time[start])
            analysis = forecaster.analyse(seen, datetime_of(now))
            ahead = forecaster.forecast_latent(analysis, now + np.array(leads))
            maps, _ = forecaster.predict(analysis, now + np.array(leads), *grid, spread=False)
            flow = currents(forecaster.latent, forecaster.ocean, ahead, *grid)
            window = record.window(now - length, now)
            others = {name: maker(window, now) for name, maker in fitted.items()}
            for row, lead in enumerate(leads):
                made = columns[lead]
                parts = {"dino": maps[row, :, 0], "persistence": maps[0, :, 0]}
                for name, maker in others.items():
                    parts[name] = maker.maps(np.array([now + lead]), *grid)[0]
                parts |= {"currents": flow.mean[row], "currents_std": flow.deviation[row]}
                parts["truth"] = truth[int(np.searchsorted(time, now + lead - 1e-6))].ravel()
                for name, column in parts.items():
                    made.setdefault(name, []).append(np.asarray(column, np.float64))
            progress(done + 1, len(starts))
    step = float(fields.attrs["periodic_length_km"][0]) / len(longitude)
    results: dict[str, Any] = {"days": len(starts), "row_km": step * len(longitude)}
    for lead, made in columns.items():
        table = {name: np.stack(parts) for name, parts in made.items()}
        shape = (len(starts), len(latitude), len(longitude))
        true = table["truth"].reshape(shape)
        methods = {name: table[name].reshape(shape) for name in ("dino", "persistence", *fitted)}
        flow = true_currents(true, longitude, latitude)
        results[f"lead_{lead:g}"] = {
            "resolution": resolutions(true, methods, step),
            "currents": honesty(flow, table["currents"], table["currents_std"]),
        }
    return results


def beside_ugos(path: Path) -> dict[str, Any]:
    """Currents of the heights of a DUACS file by the splines of `map_jets`, beside `ugos` and `vgos` of the file."""
    with xr.open_dataset(path) as opened:
        file = opened.isel(time=0).load()
    latitude, longitude = file["latitude"].values, file["longitude"].values
    field = GridMap(longitude, latitude, file["adt"].values[None].astype(np.float64))
    # Splines know land as its nearest sea: cells beside it are left out.
    inner = file["adt"].notnull().rolling(latitude=5, longitude=5, center=True).min().fillna(0).values.astype(bool)
    rows, columns = np.nonzero(inner & (np.abs(latitude) > 5)[:, None] & np.isfinite(file["ugos"].values))
    jet = map_jets(field, longitude[columns], latitude[rows])[..., 0]
    made = np.einsum("pqj,jp->pq", operators(latitude[rows]), jet)
    found: dict[str, Any] = {"cells": len(rows)}
    for index, name in enumerate(("ugos", "vgos")):
        theirs = file[name].values[rows, columns]
        difference = made[:, index] - theirs
        found[name] = {
            "rms_cm_s": 100 * float(np.sqrt(np.mean(theirs**2))),
            "difference_cm_s": 100 * float(np.sqrt(np.mean(difference**2))),
            "correlation": float(np.corrcoef(made[:, index], theirs)[0, 1]),
        }
    return found


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--demo", type=Path, help="folder that `dino demo` has made")
    options.add_argument("--ugos", type=Path, help="a DUACS file of adt, ugos and vgos to compare currents with")
    options.add_argument("--quick", action="store_true", help="it was made with --quick")
    options.add_argument("--leads", type=float, nargs="+", default=[0.0, 1.0, 3.0, 5.0])
    options.add_argument("--days", type=int, help="only the first so many scored days")
    arguments = options.parse_args()
    prepare(arguments)
    sizes = QUICK if arguments.quick else DemoSizes()
    results: dict[str, Any] = {}
    if arguments.demo is not None:
        results |= measured(arguments.demo, sizes, sorted(arguments.leads), arguments.days)
    if arguments.ugos is not None:
        results["ugos"] = beside_ugos(arguments.ugos)
    report(arguments, results)


if __name__ == "__main__":
    main()
