"""What the benchmark scripts share: command line, machine description, timing, and the report for machines."""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from dino.numerics.memory import keep_freed_memory


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--json", type=Path, help="write the figures here as well")
    made.add_argument("--threads", type=int, default=1, help="threads of torch; one is the steadiest measure")
    made.add_argument("--seed", type=int, default=0)
    return made


def on_device(options: argparse.ArgumentParser) -> None:
    """Add `--device`, where tensors of a script that names no other device are made."""
    options.add_argument("--device", default="cpu", help="of torch, e.g. cuda")


def prepare(arguments: argparse.Namespace) -> None:
    """Set threads, device and seed as the command line says, and memory as the `dino` command does."""
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    device = getattr(arguments, "device", "cpu")
    if device != "cpu":
        # Never where it is the processor: `torch.as_tensor` would then fetch tensors back from any other device.
        torch.set_default_device(device)
    torch.manual_seed(arguments.seed)


def machine() -> dict[str, Any]:
    """What the figures were measured on, without naming the host."""
    return {
        "processor": _processor(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "architecture": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, until a GPU has done its part."""
    _finish()
    start = time.perf_counter()
    function()
    _finish()
    return time.perf_counter() - start


def median_seconds(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each function over `repeats` rounds after one warm-up call.

    Rounds call all functions in turn, so that a disturbance of the machine meets all of them alike.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: statistics.median(taken) for name, taken in times.items()}


def matmul_rate(size: int = 1024, repeats: int = 9) -> float:
    """Measured float32 rate of a square matrix product [GFLOP/s]: what arithmetic can reach on this machine."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2e-9 * size**3 / median_seconds({"product": lambda: a @ b}, repeats)["product"]


def report(arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    """Print the figures and write them where `--json` says; the seeds are those of `--seeds` where a script has it."""
    for name, value in _flat(results):
        print(f"{name:44s} {value:.4g}" if isinstance(value, float) else f"{name:44s} {value}")
    if arguments.json is None:
        return
    content = {
        "command": " ".join(["python", f"benchmarks/{_script()}", *map(_without_folder, sys.argv[1:])]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seeds": getattr(arguments, "seeds", [arguments.seed]),
        "results": results,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def _flat(results: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested results, names joined by dots; lists of rows are left to the JSON."""
    for name, value in results.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif not (isinstance(value, list) and value and isinstance(value[0], Mapping)):
            yield f"{before}{name}", value


def _script() -> Path:
    """The script within `benchmarks`, or its name alone where it lies elsewhere."""
    called, here = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parent
    return called.relative_to(here) if called.is_relative_to(here) else Path(called.name)


def _without_folder(argument: str) -> str:
    """An absolute path by its name alone: where folders lie is the machine's business."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _finish() -> None:
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
