"""A toy task: sines that travel over a periodic box of 16 x 16 points."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.peers import Task, base

GRID, FRAMES = 16, 10
LOOKS_A_SECOND = 250


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def travelling_sines(count: int, frames: int, seed: int) -> Tensor:
    """(sequence, frame, point, 1): two waves of random amplitude and phase, each with a speed of its own."""
    random = np.random.default_rng(seed)
    axis = 2 * np.pi * np.arange(GRID) / GRID
    y, x = np.meshgrid(axis, axis, indexing="ij")
    amplitude = random.uniform(0.5, 1.5, (2, count, 1, 1))
    phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    time = np.arange(frames)[:, None]
    field = amplitude[0] * np.sin(x.ravel() - 0.4 * time + phase[0])
    field = field + amplitude[1] * np.cos(2 * y.ravel() + 0.3 * time + phase[1])
    return torch.as_tensor(field, dtype=torch.float32).unsqueeze(-1)


@pytest.fixture
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that peers' budgets see move by the same step at every look, so that a busy machine trains as long."""
    looks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(looks) / LOOKS_A_SECOND)
    monkeypatch.setattr(base, "time", clock)


@pytest.fixture
def coordinates() -> Tensor:
    """(point, 4) of the grid, as `PeriodicBox` makes them."""
    axis = 2 * np.pi * np.arange(GRID) / GRID
    y, x = (part.ravel() for part in np.meshgrid(axis, axis, indexing="ij"))
    return torch.as_tensor(np.stack([np.cos(x), np.sin(x), np.cos(y), np.sin(y)], -1), dtype=torch.float32)


@pytest.fixture
def make_task(coordinates: Tensor) -> Callable[..., Task]:
    """A task of 24 sequences: `make_task(seconds, keep)`."""

    def make(seconds: float = 1.0, keep: float = 1.0) -> Task:
        kept = torch.zeros(GRID * GRID, dtype=torch.bool)
        order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(1))
        kept[order[: round(keep * len(kept))]] = True
        return Task(coordinates, (GRID, GRID), kept, 0.5, travelling_sines(24, FRAMES, 0), 0, seconds)

    return make


@pytest.fixture
def truth() -> Tensor:
    """Four unseen sequences (sequence, 20 frames, point, 1)."""
    return travelling_sines(4, 2 * FRAMES, 1)
