"""Time and peak memory of analysing 15 days of points, by window and by filter, against code size and their number.

The model is untrained, of the demo's kind (order two, a network of three layers), and the points are drawn from a
trajectory of its own with 2 cm of noise, one in a hundred a gross error, so that the iterations have the work they have
in earnest. `processor_seconds` are those of all threads, the fairer figure on a machine with other work. Every case
runs in a process of its own; `added_mb` is what its peak resident memory grew by in the analysis, after one of 100
points and the making of the points, and `peak_mb` all of it, libraries included. Powers are fitted to three sizes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from forecast_points import MEGABYTE, peak_bytes
from harness import parser, prepare, report, seconds
from torch import Tensor

from dino.config import AssimilationConfig, DecoderConfig, DynamicsConfig
from dino.data.observations import Observations
from dino.forecaster import Forecaster
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.space.cover import Cover
from dino.space.decoders import at_points
from dino.space.domain import Region
from dino.space.gridmap import GridMap

CODES, COUNTS, METHODS = (32, 64, 128), (2500, 10000, 40000), ("window", "filter")
DAYS, ERROR, SPREAD, GROSS = 15.0, 0.02, 0.1, 100
START, MISSIONS = 20000.0, 3


def forecaster_of(code: int, config: AssimilationConfig) -> Forecaster:
    """A model of the demo's sizes with fields of about one spread and a network that bends trajectories a little."""
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=code),
        dynamics=DynamicsConfig(order=2, hidden=256, depth=3, lags=4),
        input_size=2,
        channels=1,
        interval_days=1.0,
        noise_variance=0.01,
        data_digest="none",
    )
    cover = Cover((Region.from_bounds(0.0, 10.0, 30.0, 40.0),), np.ones(1), tiled=False)
    axis = np.linspace(0.0, 10.0, 11)
    background = GridMap(axis, 30.0 + axis, np.zeros((1, 11, 11)))
    ocean = Ocean((ChannelSpec(name="adt", units="m", spread=SPREAD),), cover, background)
    latent = LatentModel(spec).eval().requires_grad_(False)
    latent.dynamics.rates.copy_(torch.tensor([0.3, 0.3]))
    grid = np.random.default_rng(0).uniform(0.0, 10.0, (2, 1000))
    modes = at_points(latent.decoder, coordinates(ocean, grid[0], 30.0 + grid[1]), torch.zeros(1000, code)).modes
    scale = float(modes.square().sum(-1).mean().rsqrt())
    # Codes of order one, as after principal axes; the shift takes their scale.
    latent.decoder.change_codes(scale * torch.eye(code), torch.zeros(code))
    latent.process_noise.copy_(1e-3 * torch.eye(2 * code))
    return Forecaster(latent, ocean, config)


def coordinates(ocean: Ocean, longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
    """Decoder coordinates (point, input) on the only chart."""
    return torch.as_tensor(ocean.cover.charts[0].coordinates(longitude, latitude), dtype=torch.float32)


def points_of(forecaster: Forecaster, count: int, seed: int) -> Observations:
    """Points (count,) of 15 days of an ocean that obeys the model."""
    rng, latent = np.random.default_rng(seed), forecaster.latent
    start = torch.as_tensor(rng.normal(size=len(latent.state_covariance)), dtype=torch.float32)
    days = torch.arange(0.0, DAYS + 0.25, 0.25)
    context = latent.context(forecaster.ocean)[0]
    codes = latent.dynamics.codes(latent.integrate(start, days, context))
    moments, places = np.sort(rng.uniform(0.0, DAYS, count)), rng.uniform(0.0, 10.0, (2, count))
    position = torch.as_tensor(4 * moments)
    low = position.floor().long()
    along = torch.lerp(codes[low], codes[low + 1], (position - low).float()[:, None])
    basis = at_points(latent.decoder, coordinates(forecaster.ocean, places[0], 30.0 + places[1]), along)
    values = SPREAD * (basis.offset[:, 0] + (basis.modes[:, 0] * along).sum(-1)).double().numpy()
    values += ERROR * rng.normal(size=count)
    values[::GROSS] += rng.choice([-1.0, 1.0], len(values[::GROSS]))
    source = rng.integers(0, MISSIONS, count)
    error = np.full((count, 1), ERROR)
    return Observations(START + moments, places[0], 30.0 + places[1], values[:, None], error, source, ("adt",))


def measure(method: str, code: int, count: int, repeats: int, seed: int) -> dict[str, Any]:
    """One case, in this process."""
    config = AssimilationConfig(method="filter" if method == "filter" else "window", window_days=DAYS)
    forecaster = forecaster_of(code, config)
    forecaster.analyse_observations(points_of(forecaster, 100, seed), START + DAYS, DAYS)
    points, before = points_of(forecaster, count, seed), peak_bytes()
    made, began = [], time.process_time()
    taken = [
        seconds(lambda: made.append(forecaster.analyse_observations(points, START + DAYS, DAYS)))
        for _ in range(repeats)
    ]
    return {
        "method": method,
        "code": code,
        "observations": count,
        "seconds": median(taken),
        "processor_seconds": (time.process_time() - began) / repeats,
        "added_mb": (peak_bytes() - before) / MEGABYTE,
        "peak_mb": peak_bytes() / MEGABYTE,
        "down_weighted": sum(made[-1].quality.down_weighted.values()),
    }


def power(rows: list[dict[str, Any]], size: str, value: str) -> float:
    """The exponent of a value in a size, least squares of the logarithms."""
    return float(np.polyfit(np.log([row[size] for row in rows]), np.log([row[value] for row in rows]), 1)[0])


def one_case(arguments: argparse.Namespace, method: str, code: int, count: int) -> dict[str, Any]:
    """A case measured in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "case.json"
        case = ["--case", method, str(code), str(count), "--repeats", str(arguments.repeats), "--json", str(out)]
        # Threads that wait for others of a busy machine must not spin.
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
        common = ["--threads", str(arguments.threads), "--seed", str(arguments.seed)]
        subprocess.run(
            [sys.executable, __file__, *case, *common], check=True, stdout=subprocess.DEVNULL, env=environment
        )
        row = json.loads(out.read_text())["results"]["case"][0]
    print(f"{method:7s} code {code:4d}, {count:6d} points: {row['seconds']:.2f} s, {row['peak_mb']:.0f} MB", flush=True)
    return row


def main() -> None:
    """Measure all cases, or the one named, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--case", nargs=3, metavar=("METHOD", "CODE", "POINTS"), help="one case, in this process")
    arguments = options.parse_args()
    prepare(arguments)
    if arguments.case:
        method, code, count = arguments.case
        report(arguments, {"case": [measure(method, int(code), int(count), arguments.repeats, arguments.seed)]})
        return
    rows = [one_case(arguments, m, c, n) for m in METHODS for c in CODES for n in COUNTS]
    results: dict[str, Any] = {"days": DAYS, "cases": rows}
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        for code in CODES:
            of_code = [row for row in mine if row["code"] == code]
            at = next(row for row in of_code if row["observations"] == 10000)
            results[f"{method}.code_{code}"] = {
                "seconds_10000": at["seconds"],
                "peak_mb_10000": at["peak_mb"],
                "processor_seconds_10000": at["processor_seconds"],
                "power_of_observations": power(of_code, "observations", "processor_seconds"),
            }
        for count in COUNTS:
            results[f"{method}.points_{count}"] = {
                "power_of_code": power(
                    [row for row in mine if row["observations"] == count], "code", "processor_seconds"
                )
            }
    report(arguments, results)


if __name__ == "__main__":
    main()
