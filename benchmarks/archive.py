"""What a day of observations costs a new and a long archive, and what a window of it costs to read."""

import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from harness import parser, prepare, report, seconds

from data_pipeline.archive.appending import append
from data_pipeline.archive.commits import load_commit
from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.stream import read_window
from data_pipeline.stores.writing import open_store, write_store

FIRST_DAY = np.datetime64("2014-01-01", "D")
WINDOW_DAYS = 10
_opened: Counter[str] = Counter()


def main() -> None:
    """Append day after day, then read windows of the archive and of the same points in a store of one piece."""
    options = parser(__doc__ or "")
    options.add_argument("--days", type=int, default=1000, help="appends in all; the first 100 are compared")
    options.add_argument("--points", type=int, default=100_000, help="points of a day")
    options.add_argument("--repeats", type=int, default=7, help="windows read")
    options.add_argument("--work", type=Path, help="folder for the stores, 5 GB for the defaults; deleted afterwards")
    arguments = options.parse_args()
    prepare(arguments)
    sys.addaudithook(_note_chunks)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        archive, plain = Path(folder, "archive"), Path(folder, "plain.zarr")
        results: dict[str, Any] = {"points": arguments.days * arguments.points, "appends": _grow(archive, arguments)}
        results["late_day"] = _late(archive, arguments)
        results["window_of_archive"] = _window(archive, arguments)
        write_store(open_store(archive), plain)
        results["window_of_store"] = _window(plain, arguments)
        results["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        shutil.rmtree(archive)
    report(arguments, results)


def _grow(archive: Path, arguments: Any) -> dict[str, Any]:
    wall, processor = [], []
    for day in range(arguments.days):
        ds = _file(arguments.seed, day, arguments.points, "daily")
        start = time.process_time()
        wall.append(seconds(lambda ds=ds: append(ds, archive)))
        processor.append(time.process_time() - start)
    return {"wall_seconds": _ends(wall), "processor_seconds": _ends(processor)}


def _ends(taken: list[float]) -> dict[str, float]:
    """Medians over the days at the start, at the end of the first 100, and at the end of all."""
    few = max(1, min(20, len(taken) // 5))
    made = {
        "days_1_to_20": statistics.median(taken[:few]),
        "days_81_to_100": statistics.median(taken[:100][-few:]),
        "last_20_days": statistics.median(taken[-few:]),
        "largest": max(taken),
    }
    made["ratio_at_100"] = made["days_81_to_100"] / made["days_1_to_20"]
    made["ratio_at_end"] = made["last_20_days"] / made["days_1_to_20"]
    return made


def _late(archive: Path, arguments: Any) -> dict[str, Any]:
    """A file of as many points for a day in the middle, which has its own already."""
    ds = _file(arguments.seed + 1, arguments.days // 2, arguments.points, "late")
    taken = seconds(lambda: append(ds, archive))
    return {"seconds": taken, "days_written": len(load_commit(archive, arguments.days + 1).points)}


def _window(path: Path, arguments: Any) -> dict[str, Any]:
    """Opening and reading ten days, elsewhere each time; chunk files opened against those that hold the days."""
    opening, reading, opened, own = [], [], [], []
    at_opening = rows = 0
    for repeat in range(arguments.repeats):
        day = 1 + (2 * repeat + 1) * (arguments.days - WINDOW_DAYS - 2) // (2 * arguments.repeats)
        start, stop = FIRST_DAY + day, FIRST_DAY + day + WINDOW_DAYS
        _opened.clear()
        begun = time.perf_counter()
        ds = open_store(path)
        opening.append(time.perf_counter() - begun)
        at_opening = len(_opened)
        _opened.clear()
        begun = time.perf_counter()
        rows = read_window(ds, start, stop).sizes["obs"]
        reading.append(time.perf_counter() - begun)
        opened.append(len(_opened))
        own.append(_own_chunks(ds, start, stop))
    if opened != own:
        raise SystemExit(f"windows opened {opened} chunks where their days are in {own}")
    return {
        "open_seconds": statistics.median(opening),
        "read_seconds": statistics.median(reading),
        "open_and_read_seconds": statistics.median(np.add(opening, reading).tolist()),
        "largest_seconds": max(np.add(opening, reading).tolist()),
        "rows": rows,
        "chunks_opened": max(opened),
        "chunks_of_its_days": max(own),
        "chunks_at_opening": at_opening,
        "chunks_in_all": sum(len(column.chunks[0]) for column in _columns(ds)),
    }


def _own_chunks(ds: xr.Dataset, start: np.datetime64, stop: np.datetime64) -> int:
    """Chunks that hold a row of the days start to stop, all columns together."""
    edges = ds["day_offset"].values[np.searchsorted(ds["day"].values, np.array([start, stop], "datetime64[ns]"))]
    count = 0
    for column in _columns(ds):
        ends = np.cumsum(column.chunks[0])
        count += (
            int(np.searchsorted(ends, edges[1] - 1, side="right") - np.searchsorted(ends, edges[0], side="right")) + 1
        )
    return count


def _columns(ds: xr.Dataset) -> list[Any]:
    return [ds[name].variable for name in ds.variables if ds[name].dims == ("obs",)]


def _file(seed: int, day: int, points: int, kind: str) -> xr.Dataset:
    """Random points of one day as `ingest` would give them: adt and its error."""
    rng = np.random.default_rng([seed, day])
    moments = np.sort(rng.integers(0, 86_400_000_000, points)).astype("timedelta64[us]")
    described = [{"file": f"{kind}-{day:05d}.nc", "sha256": f"{kind}-{seed}-{day}", "bytes": 1}]
    return observations_dataset(
        FIRST_DAY + day + moments,
        rng.uniform(-180.0, 180.0, points),
        rng.uniform(-66.0, 66.0, points),
        {"adt": rng.normal(0.0, 0.1, points)},
        {"adt": np.full(points, 0.02)},
        source_name=[f"{kind}-{day:05d}"],
        attrs={"product": "random", "sources": json.dumps(described)},
    )


def _note_chunks(event: str, details: tuple) -> None:
    if event == "open" and "/c/" in str(details[0]):
        _opened[str(details[0])] += 1


if __name__ == "__main__":
    main()
