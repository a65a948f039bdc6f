"""A coarse solver of Burgers' equations in two dimensions and a residual that learns in its loop (Um et al. 2020).

    u_t + (u . grad) u = viscosity laplacian u + force(x, t),   u of two components, on a periodic square of side 32

Fine simulations have 128 x 128 cells, viscosity .1, 20 sine waves as force, steps of .1; the first 30 are left out, 200
follow. Seeds 0 to 9 train, 100 to 104 test (Um et al., NeurIPS 2020, arXiv 2007.00016; what is not in the paper is
assumed: Galerkin's method on waves for their scheme, forces on whole waves of the square). The coarse solver has the
same primitives on the waves of 32 x 32 cells, and is compared with the fine one on these. Of the fine one's waves two
thirds are kept, so that its products lie on its own points.

The residual is a sum of images of the coarse field, each in shells of wave numbers: linear in its numbers. These are
fitted by Gauss-Newton through rollouts of the solver with the residual in its loop, shorter ones first.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser, prepare, report
from torch import Tensor

from dino.numerics.gaussian import cholesky
from dino.space.harmonics import Harmonics

SIDE, FINE, COARSE = 32.0, 128, 32
VISCOSITY, STEP, SKIPPED, STEPS = 0.1, 0.1, 30, 200
FORCES, AMPLITUDE, WAVE, TURN = 20, 0.15, (0.8, 1.6), 0.4
TRAIN, TEST = tuple(range(10)), tuple(range(100, 105))
SHELLS = 5
HORIZONS, WINDOWS, ITERATIONS, RIDGE = (1, 4, 16), 24, 2, 1e-6


@dataclass(frozen=True)
class Force:
    """Sine waves of seeds: wave (seed, force, 2) indices along x, y; turn, phase (seed, force); size (seed, force,
    2)."""

    wave: Tensor
    turn: Tensor
    phase: Tensor
    size: Tensor

    @classmethod
    def of(cls, seeds: tuple[int, ...]) -> "Force":
        """Drawn for seeds."""
        rows = []
        for seed in seeds:
            chance = np.random.default_rng(seed)
            length, angle = chance.uniform(*WAVE, FORCES), chance.uniform(0, 2 * np.pi, FORCES)
            wave = np.round(np.stack([length * np.cos(angle), length * np.sin(angle)], 1) * SIDE / (2 * np.pi))
            turn, phase = chance.uniform(-TURN, TURN, FORCES), chance.uniform(0, 2 * np.pi, FORCES)
            rows.append((wave, turn, phase, chance.uniform(-AMPLITUDE, AMPLITUDE, (FORCES, 2))))
        return cls(*(torch.tensor(np.stack(each)) for each in zip(*rows, strict=True)))

    def part(self, rows: Tensor) -> "Force":
        """Some of the seeds."""
        return Force(self.wave[rows], self.turn[rows], self.phase[rows], self.size[rows])

    def spectra(self, waves: Harmonics, time: Tensor) -> Tensor:
        """(seed, component, block) at times (seed,)."""
        down, across = waves.indices
        x, y = self.wave[..., 0, None], self.wave[..., 1, None]
        angle = self.turn * time[:, None] + self.phase
        one = (-0.5j * torch.exp(1j * angle))[..., None] * ((across == x) & (down == y))
        other = (0.5j * torch.exp(-1j * angle))[..., None] * ((across == -x) & (down == -y))
        return torch.einsum("sfb,sfc->scb", one + other, self.size.to(torch.complex128))


class Solver:
    """Steps of the primitives on the waves of a grid: diffusion exactly, the rest by fourth-order Runge-Kutta."""

    def __init__(self, size: int) -> None:
        self.waves = Harmonics(("u", "v"), (SIDE, SIDE), (size, size), 2)
        self.dx, self.dy = self.waves.symbol("dx"), self.waves.symbol("dy")
        self.half = torch.exp(-0.5 * STEP * VISCOSITY * self.waves.squared)
        self.derivatives = torch.stack([torch.ones_like(self.dx), self.dx, self.dy])
        length = self.waves.squared.sqrt()
        place = (length / length.max() * (SHELLS - 1)).clamp(0, SHELLS - 1)
        self.shells = torch.stack([(1 - (place - k).abs()).clamp_min(0) for k in range(SHELLS)])  # hats that add to one

    def advection(self, state: Tensor) -> Tensor:
        """-(u . grad) u of states (..., component, block)."""
        fields = self.waves.at_points(state.unsqueeze(-2) * self.derivatives)
        along, across = fields[..., 0, 0, :, :].unsqueeze(-3), fields[..., 1, 0, :, :].unsqueeze(-3)
        return -self.waves.from_points(along * fields[..., 1, :, :] + across * fields[..., 2, :, :])

    def step(self, state: Tensor, now: Tensor, force: Force) -> Tensor:
        """States (seed, component, block) a step after `now` (seed,)."""
        begin, middle, end = (force.spectra(self.waves, now + part * STEP) for part in (0, 0.5, 1))
        half = self.half
        first = self.advection(state) + begin
        second = self.advection(half * (state + STEP / 2 * first)) + middle
        third = self.advection(half * state + STEP / 2 * second) + middle
        last = self.advection(half * (half * state + STEP * third)) + end
        return half * (half * (state + STEP / 6 * first) + STEP / 3 * (second + third)) + STEP / 6 * last

    def images(self, state: Tensor) -> Tensor:
        """(image, ..., component, block): what the residual is a sum of, in shells each."""
        dx, dy, squared = self.dx, self.dy, self.waves.squared
        symbols = torch.stack([torch.ones_like(dx), dx, dy, dx * dx, dx * dy, dy * dy])
        u, x, y, xx, xy, yy = self.waves.at_points(state.unsqueeze(-2) * symbols).unbind(-3)
        of = [each.unbind(-3) for each in (u, x, y)]
        (u0, u1), (x0, x1), (y0, y1) = of
        advected = u0.unsqueeze(-3) * x + u1.unsqueeze(-3) * y
        # What a filter of the grid's width leaves of a product, to first order (Clark et al. 1979).
        clark = x0.unsqueeze(-3) * xx + (x1 + y0).unsqueeze(-3) * xy + y1.unsqueeze(-3) * yy
        strain = (x0**2 + x1**2 + y0**2 + y1**2).sqrt().unsqueeze(-3) * (xx + yy)
        gather = (x0 + y1).unsqueeze(-3) * u
        back = self.waves.from_points(torch.stack([advected, clark, strain, gather]))
        made = torch.cat([torch.stack([state, -squared * state]), back])
        return (made.unsqueeze(1) * self.shells.view(1, SHELLS, *[1] * (state.dim() - 1), -1)).flatten(0, 1)


def simulated(seeds: tuple[int, ...], folder: Path) -> tuple[Tensor, Force]:
    """Spectra (seed, frame, component, block) of fine simulations on the coarse waves, and their forces."""
    force, path = Force.of(seeds), folder / f"burgers_{seeds[0]}_{seeds[-1]}.pt"
    if not path.exists():
        fine, coarse = Solver(FINE * 2 // 3), Solver(COARSE).waves
        state = torch.zeros(len(seeds), 2, fine.waves.blocks, dtype=torch.complex128)
        frames = []
        for number in range(SKIPPED + STEPS + 1):
            if number >= SKIPPED:
                frames.append(coarse.encode(fine.waves.decode(state.mT)).mT)
            state = fine.step(state, torch.full((len(seeds),), number * STEP), force)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack(frames, 1), path)
    return torch.load(path, weights_only=True), force


def rolled(solver: Solver, start: Tensor, now: Tensor, force: Force, count: int, numbers: Tensor | None) -> Tensor:
    """States (seed, step, component, block) of `count` steps; numbers (image,) of the residual or (seed, image)."""
    state, made = start, []
    for step in range(count):
        state = solver.step(state, now + step * STEP, force)
        if numbers is not None:
            images = solver.images(state)
            own = numbers.expand(len(state), -1).T.reshape(len(images), -1, 1, 1)
            state = state + STEP * (own * images).sum(0)
        made.append(state)
    return torch.stack(made, 1)


def fitted(solver: Solver, truth: Tensor, force: Force, seed: int) -> Tensor:
    """Numbers of the residual (image,), by Gauss-Newton through rollouts from random frames."""
    chance = np.random.default_rng(seed)
    images = solver.images(truth[:1, 0])
    numbers = torch.zeros(len(images), dtype=torch.float64)
    size = (truth[:, 1:] - truth[:, :-1]).abs().square().sum().sqrt() / STEP
    size = size / solver.images(truth[:, 1:].flatten(0, 1)[::20]).abs().square().sum((1, 2, 3)).sqrt().clamp_min(1e-12)
    for horizon in HORIZONS:
        for _ in range(ITERATIONS):
            rows = torch.from_numpy(chance.integers(0, len(truth), WINDOWS))
            first = torch.from_numpy(chance.integers(0, STEPS - horizon, WINDOWS))
            start, own = truth[rows, first], force.part(rows)
            now = (SKIPPED + first) * STEP
            wanted = torch.stack([truth[rows, first + step] for step in range(1, horizon + 1)], 1)
            base = rolled(solver, start, now, own, horizon, numbers)
            slopes = []
            for number in range(len(numbers)):
                moved = numbers.clone()
                moved[number] += 1e-5 * size[number]
                slopes.append(((rolled(solver, start, now, own, horizon, moved) - base) / 1e-5).flatten())
            flat, left = torch.stack(slopes), (wanted - base).flatten()
            normal, side = (flat.conj() @ flat.T).real, (flat.conj() @ left).real
            normal += RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
            numbers = numbers + size * torch.cholesky_solve(side[:, None], cholesky(normal))[:, 0]
            print("horizon", horizon, "left", float(left.abs().square().sum().sqrt() / wanted.norm()), flush=True)
    return numbers


def scored(solver: Solver, truth: Tensor, force: Force, numbers: Tensor | None) -> tuple[float, list[float], float]:
    """Relative error over all steps, by step, and seconds of processor time."""
    began = time.process_time()
    now = torch.full((len(truth),), SKIPPED * STEP, dtype=torch.float64)
    made = rolled(solver, truth[:, 0], now, force, STEPS, numbers)
    spent = time.process_time() - began
    weights = solver.waves.weights
    missed = ((made - truth[:, 1:]).abs().square() * weights).sum((0, 2, 3))
    whole = (truth[:, 1:].abs().square() * weights).sum((0, 2, 3))
    return math.sqrt(float(missed.sum() / whole.sum())), (missed / whole).sqrt().tolist(), spent


def main() -> None:
    """Simulate, fit and score."""
    options = parser(__doc__ or "")
    options.add_argument("--work", type=Path, required=True, help="folder of simulations, kept for next time")
    arguments: argparse.Namespace = options.parse_args()
    prepare(arguments)
    (learned, pushes), (truth, force) = simulated(TRAIN, arguments.work), simulated(TEST, arguments.work)
    solver, results = Solver(COARSE), dict[str, Any]()
    began = time.process_time()
    with torch.no_grad():
        numbers = fitted(solver, learned, pushes, arguments.seed)
        results["training_seconds"] = time.process_time() - began
        for name, own in (("uncorrected", None), ("corrected", numbers)):
            error, steps, spent = scored(solver, truth, force, own)
            results[name] = {
                "error": error,
                "at_50_100_150_200": [steps[n] for n in (49, 99, 149, 199)],
                "seconds": spent,
            }
    results["ratio"] = results["uncorrected"]["error"] / results["corrected"]["error"]
    results["cost"] = results["corrected"]["seconds"] / results["uncorrected"]["seconds"]
    results["numbers"] = numbers.tolist()
    report(arguments, results)


if __name__ == "__main__":
    main()
