"""A dask scheduler and workers as processes on loopback, and pieces of work that tell when they have begun."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", "OMP_NUM_THREADS": "1"}
LOCAL = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
WORKER = ["--no-nanny", "--nthreads", "1", "--death-timeout", "60", "--memory-limit", "0"]
SCHEDULER = ["--idle-timeout", "10 minutes"]  # so that nothing stays when the tests themselves are killed


class Process:
    """A program that has said `ready`; the rest of that line is `told`."""

    def __init__(self, arguments: Sequence[str], ready: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid, self.lines = self.process.pid, []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if ready in line:
                self.told = line.partition(ready)[2].strip()
                break
        else:
            raise RuntimeError("".join(self.lines))
        # A full pipe would stop it.
        threading.Thread(target=self.lines.extend, args=(self.process.stderr,), daemon=True).start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Cluster:
    """A scheduler and its workers, whose working directory is not that of the tests; all are gone at the end."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, []
        self.scheduler = Process(["scheduler", *LOCAL, *SCHEDULER], "Scheduler at:", folder)
        self.address = self.scheduler.told
        try:
            self.fill(workers)
        except BaseException:
            self.__exit__()
            raise

    def fill(self, workers: int) -> None:
        """Start workers until so many are there."""
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        for _ in range(workers - len(self.workers)):
            arguments = ["worker", self.address, *LOCAL[:2], *LOCAL[4:], *WORKER]
            self.workers.append(
                Process([*arguments, "--local-directory", str(self.folder)], "Registered to:", self.folder)
            )

    def reader_of(self, path: Path) -> Process:
        """A worker that has a file open, or is about to."""
        while True:
            for worker in self.workers:
                if path in _open_files(worker.pid):
                    return worker

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()


def _open_files(pid: int) -> list[Path]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(Path(os.readlink(link)))
    return found


class Gate:
    """A file that holds up whoever reads it, until `killed` has killed one of them."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, path.with_name(f".{path.name}.content")
        os.rename(path, self.content)
        os.mkfifo(path)

    def killed(self, cluster: Cluster) -> None:
        """Wait for a reader, put the file in place, kill the reader, give another one what it waits for."""
        content = self.content.read_bytes()
        with suppress(BrokenPipeError), open(self.path, "wb") as pipe:  # opens when there is somebody who reads
            victim = cluster.reader_of(self.path)
            os.replace(self.content, self.path)
            victim.kill()
            pipe.write(content)


def held_up(folder: str, part: int, report: object) -> Mapping[str, np.ndarray]:
    """The values of a part of a simulation; whoever first makes part 1 waits to be killed."""
    if part == 1:
        Path(folder, "gate").read_bytes()
    return {"ssh": np.full((1, 3, 4, 5), part, np.float32)}
