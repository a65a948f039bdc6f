"""Threads of a process: as many as the machine has to spare, and asleep while they wait.

torch shares every operation out among its threads and waits for the last of them. On a core that another process uses
the last one comes when the system lets it, thousands of times in a second of training. By default those that are done
spin meanwhile, and hold the very cores that the last one needs.
"""

import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# Read once by GNU's, Intel's and LLVM's OpenMP when torch is loaded.
SLEEPING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
CHOSEN_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WATCHED_SECONDS = 0.1  # how long other processes are watched where nobody did before


def let_waiting_threads_sleep() -> None:
    """Have OpenMP's threads sleep rather than spin while they wait; to be called before torch is imported.

    What the user has set stays.
    """
    for name, value in SLEEPING.items():
        os.environ.setdefault(name, value)


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

    if wanted is None and any(name in os.environ for name in CHOSEN_BY_USER):
        return _said(torch.get_num_threads(), "as the environment says")
    if wanted is not None:
        chosen, why = wanted, "as asked for"
    else:
        allowed = allowed_threads()
        if since is None:
            since = Moment.now()
            time.sleep(WATCHED_SECONDS)
        others = since.others(Moment.now())
        chosen = spare_threads(allowed, others)
        why = f"of {allowed} processors other processes use {others:.1f}"
    torch.set_num_threads(chosen)
    return _said(chosen, why)


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
