"""The everyday case from the shell: `dino forecast` of a basin from fifteen days of tracks, imports and all.

A run of tiles (`--run`) and a store of tracks (`--store`); ten leads on a grid of some ten thousand cells. Every call
is a process of its own; imports alone are timed beside it.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import parser, report

GRID, LEADS = "0,20,35,44,0.132", "1,2,3,4,5,6,7,8,9,10"
IMPORTS = "import dino.commands.forecast, dino.forecaster"
MAIN = "from dino.commands.app import main; main()"


def timed(command: list[str]) -> dict[str, float]:
    """Seconds of the clock and of the processor of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": taken, "processor_seconds": used}


def main() -> None:
    """Measure and report."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--run", dest="run_folder", type=Path, required=True, help="run folder of tiles")
    options.add_argument("--store", type=Path, required=True, help="store of tracks")
    options.add_argument("--repeats", type=int, default=5)
    arguments: argparse.Namespace = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        forecast = [sys.executable, "-c", MAIN, "forecast", arguments.run_folder, arguments.store, "--grid", GRID]
        forecast += ["--leads", LEADS, "--threads", arguments.threads, "--overwrite", "--out", Path(folder) / "out.nc"]
        commands = {"forecast": [str(word) for word in forecast], "imports": [sys.executable, "-c", IMPORTS]}
        rounds = [{name: timed(command) for name, command in commands.items()} for _ in range(arguments.repeats)]
    medians = {
        f"{name}_{unit}": statistics.median(found[name][unit] for found in rounds)
        for name in commands
        for unit in ("seconds", "processor_seconds")
    }
    report(arguments, {"grid": GRID, "leads": LEADS, **medians})


if __name__ == "__main__":
    main()
