"""One decoder step and one least-squares pass of the quadratic dynamics, by one process and by several under torchrun.

The step is that of `training_step.py` (80 maps of 64 x 64, variable projection), the pass the Gram matrix of quadratic
features of random codes. Every process has one thread, so that the processor's cores are what is added.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import parser, prepare, report, seconds
from torch import Tensor
from workload import RIDGE, coordinates, decoder, smooth_fields

from dino.dynamics.quadratic import all_pairs, quadratic_features
from dino.numerics.parallel import Group, joined
from dino.training.normal_equations import BLOCK, NormalEquations
from dino.training.variable_projection import project

RATE = 1e-6  # small: timing must not move the weights to where they are no longer typical


def field_step(frames: int, seed: int, group: Group) -> Callable[[], None]:
    """The field stage's step on this process's share of the points."""
    points, values = coordinates(), smooth_fields(frames, seed + 1).unsqueeze(0)
    mine = group.share(len(points))
    points, values = points[mine], values[:, :, mine]
    network, weights = decoder(), torch.ones(1, len(points), 1)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, RATE)

    def step() -> None:
        result = project(network.basis(points), values, weights, RIDGE, group)
        optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        group.sum_gradients_(parameters, result.residual.detach())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    return step


def gram_pass(intervals: int, code: int, seed: int, group: Group) -> Callable[[], None]:
    """Normal equations of all intervals, each process its blocks, and their sum on every process."""
    codes = torch.randn(intervals, code, generator=torch.Generator().manual_seed(seed))
    parts, pairs = codes.split(BLOCK), all_pairs(code)
    size = torch.ones(1 + code + pairs.shape[1])

    def add() -> None:
        equations = NormalEquations.empty(pairs, size, code, 1.0)
        for part in parts[group.share(len(parts))]:
            equations.add(quadratic_features(part, pairs), part)
        equations.join(group)

    return add


def message(size: int, group: Group) -> Callable[[], None]:
    """One sum of `size` numbers over all processes: what a step pays twice and a half."""
    tensor: Tensor = torch.zeros(size)
    return lambda: group.sum_([tensor])


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """What one of the processes does: median seconds of each task, all processes starting together."""
    prepare(arguments)
    with joined("cpu") as group, torch.no_grad():
        tasks = {
            "message": (message(20_000, group), 10 * arguments.repeats),
            "step": (torch.enable_grad()(field_step(arguments.frames, arguments.seed, group)), 10 * arguments.repeats),
            "gram": (gram_pass(arguments.intervals, arguments.code, arguments.seed, group), arguments.repeats),
        }
        taken = {}
        for name, (task, repeats) in tasks.items():
            task()  # the first call allocates
            group.any(False)  # and ends for all before anyone is timed
            taken[name] = statistics.median(seconds(task) for _ in range(repeats))
        if group.leads and arguments.worker:
            arguments.worker.write_text(json.dumps(taken))
    return taken


def measured(count: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Run `measure` in `count` processes."""
    settings = {
        name: getattr(arguments, name) for name in ("repeats", "frames", "intervals", "code", "seed", "threads")
    }
    options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "taken.json"
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
        subprocess.run([*launch, __file__, *options, "--worker", str(path)], check=True, env=environment)
        return json.loads(path.read_text())


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=5, help="passes, and tens of steps; medians count")
    options.add_argument("--frames", type=int, default=80)
    options.add_argument("--intervals", type=int, default=8 * BLOCK)
    options.add_argument("--code", type=int, default=100)
    options.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.worker:
        measure(arguments)
        return
    taken = {count: measured(count, arguments) for count in arguments.processes}
    results: dict[str, Any] = {"frames": arguments.frames, "intervals": arguments.intervals, "code": arguments.code}
    for count, times in taken.items():
        results[f"processes_{count}"] = {f"{name}_seconds": value for name, value in times.items()}
    first = taken[arguments.processes[0]]
    for count in arguments.processes[1:]:
        results[f"processes_{count}"] |= {
            f"{name}_speed_up": first[name] / taken[count][name] for name in ("step", "gram")
        }
    report(arguments, results)


if __name__ == "__main__":
    main()
