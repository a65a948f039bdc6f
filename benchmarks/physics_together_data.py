"""What the parts of `physics_together` share: settings, simulations, prompts and scores."""

from pathlib import Path

import numpy as np
import xarray as xr
from scipy.interpolate import make_interp_spline

import dino
from data_pipeline.simulators.environments import EnvironmentsConfig, simulate
from data_pipeline.simulators.torus import TORUS, seen
from dino.many_physics import AdaptedMany, ManyPhysics

SIZES = {"drift": 64, "warmth": 32, "growth": 64, "spots": 32, "waves": 64, "eddies": 32}
TRAINED, DRAWS, TRAJECTORIES, TESTED = 0, 8, 2, 4
ERROR = 0.02  # of a channel's standard deviation
POINTS, TIMES, POINTS_TESTED = 0.1, 12, 1
WAVES = 12


def candidates() -> list[str]:
    """Terms over a field u and a second one v, that name no system: linear ones, products, transport, forcing."""
    linear = ["1", "u", "dx(u)", "dy(u)", "lap(u)", "lap2(u)"]
    products = ["u*u", "dx(u*u)", "dy(u*u)", "lap(u*u)", "dx(py(u)*u) - dy(px(u)*u)"]
    both = ["v", "lap(v)", "u*v", "u*v*v"]
    second = ["1", "u", "v", "lap(u)", "lap(v)", "u*u", "u*v", "u*v*v"]
    waves = [(1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (1, -1)]
    forcing = [f"{kind}({x}, {y})" for x, y in waves for kind in ("cos", "sin")]
    return [f"u: {each}" for each in linear + products + both + forcing] + [f"v: {each}" for each in second]


def settings(waves: int = WAVES) -> dino.PhysicsConfig:
    """Of every fit, shared or not."""
    return dino.PhysicsConfig(candidates=candidates(), waves=waves, rounds=3, neglect=1e-4, step_error=1e-4)


def stored(config: EnvironmentsConfig, folder: Path, name: str) -> xr.Dataset:
    """Simulated, or read where that was done before."""
    path = folder / f"{name}.nc"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = simulate(config)
        made.to_netcdf(path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    made = xr.load_dataset(path)
    return made.assign_attrs(lengths=np.atleast_1d(made.attrs["lengths"]))


def trained(folder: Path) -> ManyPhysics:
    """The six systems together, fitted or loaded; training has one seed, prompts and tests have several."""
    path = folder / f"many_{TRAINED}_{DRAWS}"
    if not (path / "many.json").exists():
        datasets = {}
        for name in TORUS:
            config = seen(name, draws=DRAWS, trajectories=TRAJECTORIES, seed=TRAINED, size=SIZES[name])
            datasets[name] = stored(config, folder, f"{name}_{TRAINED}_{DRAWS}")
        many = dino.fit(datasets, settings())
        assert isinstance(many, ManyPhysics)
        many.save(path)
    return dino.load_many_physics(path)


def of_new(folder: Path, name: str, seed: int, tested: int = TESTED) -> tuple[xr.Dataset, xr.Dataset]:
    """A trajectory of each new environment as it is, and two others of each, on the grid that training had not."""
    config = seen(name, draws=TESTED, trajectories=3, seed=seed, part="test", size=96 - SIZES[name])
    made = stored(config, folder, f"{name}_{seed}_test")
    made = made.isel(trajectory=made["environment"].values < tested)
    first = np.arange(0, made.sizes["trajectory"], 3)
    return made.isel(trajectory=first), made.isel(trajectory=np.setdiff1d(np.arange(made.sizes["trajectory"]), first))


def with_errors(prompt: xr.Dataset, error: float, seed: int) -> xr.Dataset:
    """Frames with errors of a share of each channel's standard deviation."""
    chance = np.random.default_rng([seed, 7])
    return prompt.assign(
        {
            name: values + error * float(values.std()) * chance.standard_normal(values.shape)
            for name, values in prompt.data_vars.items()
        }
    )


def scattered(prompt: xr.Dataset, seed: int) -> xr.Dataset:
    """A tenth of the cells at `TIMES` irregular times of a trajectory each, with errors: frames at these times come
    from the spline through the given ones."""
    chance, rows = np.random.default_rng([seed, 8]), []
    times = prompt["time"].values
    size = prompt.sizes["x"]
    count = int(POINTS * size * size)
    for number in range(prompt.sizes["trajectory"]):
        moments = np.concatenate([[0.0], np.sort(chance.uniform(times[0], times[-1], TIMES - 1))])
        fields = {
            str(name): make_interp_spline(times, values.values[number], k=5)(moments)
            for name, values in prompt.data_vars.items()
        }
        for frame, moment in enumerate(moments):
            cells = chance.choice(size * size, count, replace=False)
            row = {"y": prompt["y"].values[cells // size], "x": prompt["x"].values[cells % size]}
            row |= {"time": np.full(count, moment), "trajectory": np.full(count, number)}
            row["environment"] = np.full(count, prompt["environment"].values[number])
            for name, values in fields.items():
                own = ERROR * float(prompt[name].std())
                row[name] = values[frame].ravel()[cells] + own * chance.standard_normal(count)
                row[f"{name}_error"] = np.full(count, own)
            rows.append(row)
    return xr.Dataset({name: ("obs", np.concatenate([row[name] for row in rows])) for name in rows[0]})


def errors(adapted: AdaptedMany, truth: xr.Dataset) -> np.ndarray:
    """(trajectory,) relative L2 errors of forecasts from first frames, channels in units of their deviation."""
    made = adapted.forecast(truth.isel(time=[0]), truth["time"].values[1:])
    missed, whole = 0.0, 0.0
    for name in truth.data_vars:
        unit = float(truth[name].std())
        wanted = truth[name].values[:, 1:] / unit
        missed = missed + ((made[name].values / unit - wanted) ** 2).sum((1, 2, 3))
        whole = whole + (wanted**2).sum((1, 2, 3))
    return np.sqrt(missed / np.maximum(whole, 1e-300))
