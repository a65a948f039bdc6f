"""A process that forks writers of small stores and interrupts each at a moment of its choice.

Run as a program it reads one JSON request a line and answers with one: {"status": exit status as of waitpid}. Requests:
task, path, how ("run", "count", "kill", "stop", "full", "limit", "timed"), at: the number of the file operation below
the folder of `path` at which it happens, bytes for "limit", seconds for "timed". Forking keeps a trial cheap: all is
imported once, and no thread has started yet.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import xarray as xr

from data_pipeline.archive.appending import append
from data_pipeline.errors import StoreError
from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts
from data_pipeline.stores.writing import write_store

REFUSED, CRASHED = 7, 8
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def points_of(files: dict[str, tuple[str, int, np.ndarray]]) -> xr.Dataset:
    """Observations of files: name -> (content's name, first day of 2020, values); four points a day."""
    times, values, sources, described = [], [], [], []
    for number, (name, (content, first, adt)) in enumerate(files.items()):
        times.append(np.datetime64("2020-01-01", "h") + 24 * first + 6 * np.arange(len(adt)))
        values.append(adt)
        sources.append(np.full(len(adt), number))
        described.append({"file": name, "sha256": content, "bytes": len(adt)})
    time = np.concatenate(times)
    longitude = 10.0 * np.concatenate(sources)
    return observations_dataset(
        time,
        longitude,
        np.zeros(time.size),
        {"adt": np.concatenate(values)},
        source=np.concatenate(sources),
        source_name=[Path(name).stem for name in files],
        attrs={"product": "toy", "sources": described, "history": "ingested as toy"},
    )


def first_points() -> xr.Dataset:
    return points_of({"a.nc": ("a1", 0, np.zeros(12)), "b.nc": ("b1", 1, np.ones(12))})


def more_points() -> xr.Dataset:
    """A corrected file, a late one and a new one."""
    return points_of(
        {"b.nc": ("b2", 1, np.full(10, 0.5)), "late.nc": ("l", -3, np.ones(5)), "c.nc": ("c", 3, np.ones(9))}
    )


def fields(value: float) -> xr.Dataset:
    time = np.datetime64("2014-05-15", "ns") + np.arange(3) * np.timedelta64(1, "D")
    values = np.full((3, 4, 5), value, np.float32)
    return fields_dataset(time, np.arange(5.0), np.arange(4.0), {"ssh": values, "sst": values})


def grown() -> FieldParts:
    whole = fields(3.0).expand_dims(trajectory=4).transpose("trajectory", "time", ...)
    return FieldParts(whole, (2, 2), lambda part, report: {n: np.full((2, 3, 4, 5), 3, np.float32) for n in whole}, "a")


TASKS = {
    "create": lambda path: write_store(fields(1.0), path),
    "replace": lambda path: write_store(fields(2.0), path, overwrite=True),
    "grow": lambda path: grow_store(grown(), path),
    "begin": lambda path: append(first_points(), path),
    "append": lambda path: append(more_points(), path),
}


class Zygote:
    """The program below as a context: `ask` runs one writer, `Zygote.go_on` wakes a stopped one and waits for it."""

    def __enter__(self) -> "Zygote":
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, task: str, path: Path, how: str = "run", at: float = 0) -> int:
        return self._request(task=task, path=str(path), how=how, at=at)["status"]

    def count(self, task: str, path: Path) -> tuple[int, float]:
        """(file operations, seconds) of an undisturbed run."""
        answer = self._request(task=task, path=str(path), how="count", at=0)
        return answer["count"], answer["seconds"]

    def go_on(self) -> int:
        return self._request(task="", path="", how="continue", at=0)["status"]

    def _request(self, **request: object) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class _Hook:
    """Counts file operations below a folder and acts at one of them."""

    def __init__(self, folder: str, how: str, at: float) -> None:
        self.folder, self.how, self.at, self.count = folder, how, at, 0

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            return
        if not isinstance(arguments[0], (str, os.PathLike)) or not os.fspath(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.how == "full" and self.count >= self.at:
            if event == "os.mkdir" or (event == "open" and arguments[2] & WRITES):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif self.count == self.at and self.how in ("kill", "stop"):
            os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGSTOP)


def _write(task: str, path: str, how: str, at: float, answer: int) -> None:
    """In the fork: never returns."""
    hook = _Hook(str(Path(path).parent), how, at)
    sys.addaudithook(hook)
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(at), int(at)))
    start, status = time.perf_counter(), 0
    try:
        TASKS[task](Path(path))
    except StoreError:
        status = REFUSED
    except BaseException:
        traceback.print_exc()
        status = CRASHED
    if how == "count":
        os.write(answer, json.dumps({"count": hook.count, "seconds": time.perf_counter() - start}).encode())
    os._exit(status)


def _serve() -> None:
    child = 0
    for line in sys.stdin:
        request = json.loads(line)
        measured = {}
        if request["how"] == "continue":
            os.kill(child, signal.SIGCONT)
        else:
            read, write = os.pipe()
            child = os.fork()
            if not child:
                _write(**request, answer=write)
            os.close(write)
            if request["how"] == "timed":
                time.sleep(request["at"])
                os.kill(child, signal.SIGKILL)  # not waited for yet, so that the number is still its own
            if request["how"] == "count":
                with os.fdopen(read) as answer:
                    measured = json.loads(answer.read())
            else:
                os.close(read)
        _, status = os.waitpid(child, os.WUNTRACED)
        sys.stdout.write(json.dumps({"status": status, **measured}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
