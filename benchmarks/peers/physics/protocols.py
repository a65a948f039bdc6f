"""The protocols that the peers of many physics are scored on, and their scores.

CoDA's (MSE over the frames after the first, one adaptation trajectory of each new environment) and TTG's Combined
equation (16 frames in, mean relative L2 over the 50 and 100 frames after them, single physics in training).
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.layout.trajectories import PARAMETER
from data_pipeline.simulators import combined, gray_scott, lotka_volterra

from .base import Arrays, PhysicsPeer

VALIDATION_SEED = 1000  # trajectories of the training environments that neither training nor test has
VALIDATION_TRAJECTORIES = 4  # of each training environment
PROMPT = 16  # frames of TTG
HORIZONS = (50, 100)
SPLITS = ("he", "ed", "bg", "all")


@dataclass(frozen=True)
class Case:
    """A forecast that is scored: `prompt` is adapted to, `initial` has one frame, `truth` the frames after it."""

    prompt: xr.Dataset
    initial: xr.Dataset
    truth: xr.Dataset


@dataclass(frozen=True)
class Protocol:
    """Training data, trajectories for choices and the cases by name; `score` takes forecast and truth."""

    train: xr.Dataset
    validation: xr.Dataset
    cases: Mapping[str, Case]
    score: Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def coda(module: Any, config: Any, most: int | None = None) -> Protocol:
    """CoDA's protocol of a simulator; `most` is the count of test trajectories of each environment, or all."""

    def get(part: str, **changes: Any) -> xr.Dataset:
        return module.simulate(config.preset("coda", part, **changes)).load()

    few = {} if most is None else {"trajectories": most}
    train = get("train")
    cases = {}
    for name, prompt, part in (("in_domain", train, "test"), ("adaptation", get("adaptation"), "adaptation-test")):
        test = get(part, **few)
        cases[name] = Case(prompt, test.isel(time=[0]), test.isel(time=slice(1, None)))
    # A part that is seeded by index, as CoDA's are, would draw the training trajectories again whatever its seed.
    validation = get("train", seed=VALIDATION_SEED, seeding="streams", trajectories=VALIDATION_TRAJECTORIES)
    return Protocol(train, validation, cases, square_errors)


def lotka_volterra_protocol(most: int | None = None) -> Protocol:
    """CoDA's Lotka-Volterra."""
    return coda(lotka_volterra, lotka_volterra.LotkaVolterraConfig, most)


def gray_scott_protocol(most: int | None = None) -> Protocol:
    """CoDA's Gray-Scott."""
    return coda(gray_scott, gray_scott.GrayScottConfig, most)


def combined_protocol(most: int | None = 64) -> Protocol:
    """TTG's compositions; 4 training trajectories for each environment and `most` test ones, evenly over a split."""

    def get(preset: str, part: str, **changes: Any) -> xr.Dataset:
        return combined.simulate(combined.CombinedConfig.preset(preset, part, **changes)).load()

    train, validation = get("ttg", "train", trajectories=4), get("ttg", "train", trajectories=1, seed=VALIDATION_SEED)
    cases = {}
    for split in SPLITS:
        test = get(f"ttg-{split}", "test")
        count = test.sizes["trajectory"]
        chosen = np.arange(count) if most is None else np.linspace(0, count - 1, min(most, count)).astype(int)
        test = alone(test.isel(trajectory=chosen))
        prompt = test.isel(time=slice(0, PROMPT))
        later = test.isel(time=slice(PROMPT, PROMPT + max(HORIZONS)))
        cases[split] = Case(prompt, prompt.isel(time=[-1]), later)
    return Protocol(train, validation, cases, relative_errors)


PROTOCOLS: dict[str, Callable[[int | None], Protocol]] = {
    "lotka_volterra": lotka_volterra_protocol,
    "combined": combined_protocol,
    "gray_scott": gray_scott_protocol,
}


def alone(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with every trajectory an environment of its own: a prompt is one trajectory."""
    return ds.assign_coords(environment=("trajectory", np.arange(ds.sizes["trajectory"], dtype=np.int32)))


def without_parameters(ds: xr.Dataset) -> xr.Dataset:
    """What a peer that is told nothing may see."""
    return ds.drop_vars([name for name in ds.coords if str(name).startswith(PARAMETER)])


def square_errors(made: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Mean square error over everything; null where a forecast is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return {"mse": number(np.square(made - truth).mean())}


def relative_errors(made: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Mean and median over samples of the relative L2 error of the first 50 and 100 frames."""
    result = {}
    for count in HORIZONS:
        axes = tuple(range(1, truth.ndim))
        part, wanted = made[:, :count], truth[:, :count]
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.sqrt(np.square(part - wanted).sum(axes) / np.square(wanted).sum(axes))
        result[f"nrmse_{count}"] = number(errors.mean())
        result[f"median_{count}"] = number(np.median(np.where(np.isfinite(errors), errors, np.inf)))
    return result


def number(value: float) -> float | None:
    """A float of three digits for a result file, null where it is not finite."""
    return float(f"{value:.3g}") if np.isfinite(value) else None


def run(peer: PhysicsPeer, protocol: Protocol) -> dict[str, Any]:
    """Fit, adapt and forecast; scores of every case and seconds of this process's processor time."""
    see = (lambda ds: ds) if peer.told == "parameters" else without_parameters
    start = time.process_time()
    peer.fit(see(protocol.train), see(protocol.validation))
    result: dict[str, Any] = {"told": peer.told, "training_s": number(time.process_time() - start)}
    result |= choices(peer)
    for name, case in protocol.cases.items():
        start = time.process_time()
        peer.adapt(see(case.prompt))
        adapted = time.process_time()
        made = peer.forecast(see(case.initial), case.truth["time"].values)
        ended = time.process_time()
        environments = len(np.unique(case.prompt["environment"].values))
        result[name] = protocol.score(made, Arrays.of(case.truth).values)
        result[name] |= {"adaptation_s_each": number((adapted - start) / environments)}
        result[name] |= {"forecast_s": number(ended - adapted)}
    return result


def choices(peer: PhysicsPeer) -> dict[str, Any]:
    """What validation chose and its error there, where a peer chooses."""
    least = getattr(peer, "least", None)
    found = {} if least is None else {"validation_error": number(least)}
    settings = getattr(getattr(peer, "chosen", peer), "settings", None)
    return found if settings is None else found | {"settings": dataclasses.asdict(settings)}
