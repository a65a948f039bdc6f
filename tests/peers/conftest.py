"""A toy task, sines that travel over a periodic box of 16 x 16 points, and a stand-in for the authors' checkout."""

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.peers import Task, base

GRID, FRAMES = 16, 10
LOOKS_A_SECOND = 250

# The published signature, shapes and parameter names; written for the tests, not taken from the authors.
STAND_IN = """
import torch
from torch import nn
from stand_in_helper import QUARTER


class Waves(nn.Module):
    def __init__(self, inputs, outputs, weight_scale):
        super().__init__()
        self.weight, self.weight_scale = nn.Parameter(torch.rand(outputs, inputs) - 0.5), weight_scale

    def forward(self, x):
        angles = x @ (self.weight_scale * self.weight).T
        return torch.cat([angles.sin(), (angles + QUARTER).sin()], -1)


class Mix(nn.Module):
    def __init__(self, inputs, code, outputs):
        super().__init__()
        self.A, self.B = nn.Parameter(torch.randn(outputs, code)), nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, z, code):
        return z @ self.B.T + (code @ self.A.T)[:, :, None, None] + self.bias


class FourierNet(nn.Module):
    def __init__(self, in_size, hidden_size, code_size, out_size, n_layers=3, input_scale=256.0, **kwargs):
        super().__init__()
        scale = input_scale / (n_layers + 1) ** 0.5
        self.filters = nn.ModuleList(Waves(in_size, hidden_size // 2, scale) for _ in range(n_layers + 1))
        sizes = [in_size] + n_layers * [hidden_size]
        self.bilinear = nn.ModuleList(Mix(size, code_size, hidden_size) for size in sizes)
        self.output_bilinear = nn.Linear(hidden_size, out_size)

    def forward(self, x, code):
        z = 0 * x
        for waves, mix in zip(self.filters, self.bilinear):
            z = waves(x) * mix(z, code)
        z = self.output_bilinear(z)
        return (z.squeeze(-1) if z.shape[-1] == 1 else z), x
"""


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout of the authors' code."""
    (tmp_path / "network.py").write_text(STAND_IN)
    (tmp_path / "stand_in_helper.py").write_text("import math\nQUARTER = math.pi / 2\n")
    return tmp_path
