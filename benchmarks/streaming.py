"""Streaming from stores larger than memory: how fast against zarr alone, and how much stays resident.

Stores of random waves with 4 % of noise, 64 x 64 cells, 20 frames a trajectory, are written at each size. `read`: all
blocks in shuffled order, one ahead, against the same chunks in the same order by zarr alone; interleaved, the page
cache dropped from no store between them, medians. `train`: a whole run on the largest store. Resident memory is that
of a process of its own, less what it has after importing the package and torch.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import zarr
from harness import parser, prepare, report
from realdata import work_folder

from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.stores.blocks import BlockOrder, FieldBlocks, read_ahead
from data_pipeline.stores.writing import write_store
from dino.numerics.memory import keep_freed_memory

CELLS, FRAMES, TOGETHER = 64, 20, 64  # of a map and a trajectory; trajectories drawn at once
TRAJECTORY_BYTES = 4 * FRAMES * CELLS**2
MEASURED = "measured "


def waves(block_id: tuple[int, ...], count: int) -> np.ndarray:
    """(trajectory, time, row, column): sixteen travelling waves each, and noise."""
    chance = np.random.default_rng(block_id[0])
    axis = 2 * np.pi * np.arange(CELLS) / CELLS
    k, l = chance.integers(-4, 5, (2, count, 16, 1))  # noqa: E741
    amplitude = chance.standard_normal((count, 16)) / (1 + k**2 + l**2)[..., 0]
    # Real and imaginary parts of separable waves: three small factors for each in place of a sum over all cells.
    x, y = np.exp(1j * k * axis), np.exp(1j * (l * axis))
    speed = np.exp(-1j * 0.1 * k * np.arange(FRAMES) + 2j * np.pi * chance.random((count, 16, 1)))
    field = np.einsum("nw,nwt,nwy,nwx->ntyx", amplitude, speed, y, x, optimize=True).real
    return (field + 0.04 * chance.standard_normal(field.shape)).astype(np.float32)


def _block(block_id: tuple[int, ...] = (0,)) -> np.ndarray:
    return waves(block_id, TOGETHER)


def make_store(path: Path, gigabytes: float) -> Path:
    """A store of about so many GB, unless it is there."""
    if not path.exists():
        blocks = max(1, round(gigabytes * 1e9 / TRAJECTORY_BYTES / TOGETHER))
        chunks = ((TOGETHER,) * blocks, (FRAMES,), (CELLS,), (CELLS,))
        values = dask.array.map_blocks(_block, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4))
        time_axis = np.datetime64("2000-01-01", "ns") + np.arange(FRAMES) * np.timedelta64(1, "D")
        degrees = np.arange(CELLS) * 0.1
        attributes = {
            "product": "random waves",
            "periodic_length_km": [711.0, 711.0],
            "reference_longitude": 3.15,
            "reference_latitude": 0.0,
        }
        write_store(fields_dataset(time_axis, degrees, degrees - 3.15, {"ssh": values}, attrs=attributes), path)
    return path


def resident(measure: str, *arguments: object) -> dict[str, Any]:
    """What a process of its own measures, with its memory in MB."""
    command = [sys.executable, __file__, "--measure", measure, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith(MEASURED))
    return json.loads(line.removeprefix(MEASURED))


def measure_reading(store: str, seed: str) -> dict[str, Any]:
    """Bytes a second of streaming and of zarr alone, by turns of some blocks each."""
    blocks = FieldBlocks(store, ["ssh"])
    array = zarr.open_group(store, mode="r")["ssh"]
    order = BlockOrder(len(blocks), int(seed)).epoch(0)
    turn = max(4, len(order) // 16)
    rates: dict[str, list[float]] = {"streamed": [], "zarr": []}
    assert isinstance(array, zarr.Array)
    for first in range(0, len(order), turn):
        numbers = order[first : first + turn]
        for name in sorted(rates, reverse=bool(first // turn % 2)):
            began, read = time.perf_counter(), 0
            if name == "streamed":
                for block in read_ahead(blocks.read, numbers):
                    read += block.nbytes
            else:
                for number in numbers:
                    read += np.asarray(array[blocks.regions[number]]).nbytes
            rates[name].append(read / (time.perf_counter() - began))
    made = {name: statistics.median(values) / 1e6 for name, values in rates.items()}
    return {"blocks": len(blocks), "mb_per_second": made, "streamed_over_zarr": made["streamed"] / made["zarr"]}


def measure_training(store: str, seed: str, folder: str) -> dict[str, Any]:
    """A run with the default settings of memory; a network of order one."""
    from dino.config import Config
    from dino.experiments.train import train

    content = {
        "seed": int(seed),
        "data": {"stores": [{"path": store}], "channels": ["ssh"]},
        "decoder": {"code_size": 64, "hidden": 64},
        "dynamics": {"order": 1, "steps": 200, "horizons": [2, 5, 10]},
    }
    began = time.perf_counter()
    train(Config.model_validate(content), Path(folder), lambda *told: None)
    return {"seconds": time.perf_counter() - began}


def measure(name: str, arguments: list[str]) -> None:
    """Run one measure in this process and print what it found and what memory it took beyond the imports."""
    import dino.experiments.train  # noqa: F401 - what a process needs before it has any data

    keep_freed_memory()  # as the commands do
    before = _resident_mb()
    result = {"read": measure_reading, "train": measure_training}[name](*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(MEASURED + json.dumps(result | {"resident_mb_at_start": before, "resident_mb_added": peak - before}))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--gigabytes", type=float, nargs="*", default=[1.0, 4.0, 16.0], help="sizes that are read")
    options.add_argument("--train-gigabytes", type=float, default=20.0, help="size that is trained on; 0: none")
    options.add_argument("--work", type=Path, help="folder for stores and run; a temporary one when absent")
    options.add_argument("--measure", nargs="+", help="used by the script for the processes it starts")
    arguments = options.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], arguments.measure[1:])
        return
    prepare(arguments)
    results: dict[str, Any] = {}
    with work_folder(arguments.work) as work:
        for size in arguments.gigabytes:
            store = make_store(work / f"waves-{size:g}.zarr", size)
            results[f"read_{size:g}_gb"] = resident("read", store, arguments.seed)
            if arguments.work is None:
                shutil.rmtree(store)
        if arguments.train_gigabytes:
            store = make_store(work / f"waves-{arguments.train_gigabytes:g}.zarr", arguments.train_gigabytes)
            results["train"] = {"gigabytes": arguments.train_gigabytes}
            results["train"] |= resident("train", store, arguments.seed, work / "run")
    report(arguments, results)


if __name__ == "__main__":
    main()
