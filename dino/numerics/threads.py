"""Threads of a process: as many as the machine has to spare, and soon asleep while they wait.

torch shares every operation out among its threads and waits for the last of them. On a core that another process uses
the last one comes when the system lets it, thousands of times in a second of training. By default those that are done
spin meanwhile, and hold the very cores that the last one needs. Threads that sleep at once cost a free machine the time
to wake them at every operation: they spin for less than a millisecond, and a long training looks every second whether
another process has come.
"""

import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# Read once by GNU's (turns of an empty loop), Intel's and LLVM's (milliseconds) OpenMP when torch is loaded.
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
CHOSEN_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WATCHED_SECONDS = 0.1  # how long other processes are watched where nobody did before
LOOKED_EVERY_SECONDS = 1.0  # how often a long piece of work looks again


def let_waiting_threads_sleep() -> None:
    """Have OpenMP's threads spin for less than a millisecond when they wait, and then sleep.

    To be called before torch is imported. Where the user has set one of `WAITING`, nothing is changed.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)


@dataclass(frozen=True)
class Moment:
    """Seconds that the machine's processors were busy, and this process was, up to a moment."""

    clock: float
    busy: float | None
    own: float

    @classmethod
    def now(cls) -> "Moment":
        """This moment; `busy` is None where the system does not tell."""
        return cls(time.monotonic(), _busy_seconds(available_cores()), time.process_time())

    def others(self, later: "Moment") -> float:
        """Processors that other processes used until `later`, or the load of the last minute where nothing tells."""
        passed = later.clock - self.clock
        if self.busy is None or later.busy is None or passed <= 0:
            return max(0.0, os.getloadavg()[0] - 1.0) if hasattr(os, "getloadavg") else 0.0
        return max(0.0, (later.busy - self.busy - (later.own - self.own)) / passed)


def available_cores() -> frozenset[int]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def allowed_threads() -> int:
    """Processors that this process may use, by its affinity and by the quota of its container."""
    cores = len(available_cores())
    quota = _quota(Path("/sys/fs/cgroup"))
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def spare_threads(allowed: int, others: float) -> int:
    """Threads that do not wait for a processor which others use: what they leave, and never less than one."""
    return max(1, min(allowed, round(allowed - others)))


def choose_threads(wanted: int | None = None, since: Moment | None = None) -> str:
    """Set torch's threads to `wanted`, or to what the machine has to spare; say so in the log and return that line.

    since : a moment from which on other processes are watched. The user's OMP_NUM_THREADS stands where nothing is
    `wanted`.
    """
    import torch

    _Watch.since = None
    if wanted is None and any(name in os.environ for name in CHOSEN_BY_USER):
        return _said(torch.get_num_threads(), "as the environment says")
    if wanted is not None:
        chosen, why = wanted, "as asked for"
    else:
        allowed = allowed_threads()
        if since is None:
            since = Moment.now()
            time.sleep(WATCHED_SECONDS)
        _Watch.since = Moment.now()
        chosen, why = _spare(allowed, since.others(_Watch.since))
    torch.set_num_threads(chosen)
    return _said(chosen, why)


def keep_threads_spare() -> None:
    """Look once a second what other processes use, and set torch's threads anew when that has changed.

    For the steps of long work. Where the user chose the threads, or nobody did, nothing happens.
    """
    import torch

    since = _Watch.since
    if since is None or time.monotonic() - since.clock < LOOKED_EVERY_SECONDS:
        return
    _Watch.since = Moment.now()
    chosen, why = _spare(allowed_threads(), since.others(_Watch.since))
    if chosen != torch.get_num_threads():
        torch.set_num_threads(chosen)
        _said(chosen, why)


class _Watch:
    """Since when other processes are watched; None where threads are not this module's to choose."""

    since: Moment | None = None


def _spare(allowed: int, others: float) -> tuple[int, str]:
    return spare_threads(allowed, others), f"of {allowed} processors other processes use {others:.1f}"


def _said(count: int, why: str) -> str:
    line = f"{count} {'thread' if count == 1 else 'threads'}: {why}"
    log.info(line)
    return line


def _busy_seconds(cores: frozenset[int]) -> float | None:
    """Seconds that some processors were not idle since the system started, None where /proc does not tell."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    total = 0
    for line in lines:
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _, _, irq, soft, stolen = (int(number) for number in numbers[:8])
            total += user + nice + system + irq + soft + stolen
    return total / ticks


def _quota(folder: Path) -> float | None:
    """Processors that a container may use together (cgroup 2, then 1), None where nothing limits it."""
    try:
        limit, period = (folder / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = int((folder / "cpu" / "cpu.cfs_quota_us").read_text())
        return None if limit <= 0 else limit / int((folder / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
