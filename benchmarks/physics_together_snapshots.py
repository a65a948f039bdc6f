"""A learned decoder taught by single frames against one taught by sequences: what forecasts lose.

The field stage draws single maps, so that it never sees a sequence; what may differ is which frames there are.
Sequences are whole trajectories; snapshots are as many frames at random times of twice as many trajectories, in random
order. The dynamics, a ridge regression from code to code, always learn from the same sequences.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from physics_together_flow import flow
from torch import Tensor

from dino.space.decoders import FourierDecoder
from dino.space.decoders.base import Basis
from dino.training.variable_projection import project

SEQUENCES, TESTED, CODE, HIDDEN, SCALE = 24, 10, 64, 96, 6.0
STEPS, BATCH, RATE, RIDGE = 400, 96, 0.01, 1e-4
RIDGES, VALIDATED = (1e-3, 1e-2, 0.1, 1.0, 10.0), 4  # of the codes' variance; sequences by which one is chosen


def snapshots(folder: Path, seed: int) -> dict[str, Any]:
    """Errors of reconstruction and of forecasts by lead, and what snapshots lose."""
    values = flow(folder, seed)["u"].values
    values = torch.from_numpy(values / values.std()).float().flatten(2)
    learned, held = values[:-TESTED], values[-TESTED:]
    sequences = learned[:SEQUENCES]
    chance = np.random.default_rng([seed, 9])
    frames = values.shape[1]
    rows = np.repeat(np.arange(2 * SEQUENCES), frames // 2)
    moments = np.concatenate([chance.choice(frames, frames // 2, replace=False) for _ in range(2 * SEQUENCES)])
    order = chance.permutation(len(rows))
    sets = {"sequences": sequences.flatten(0, 1), "snapshots": learned[rows[order], moments[order]]}
    made: dict[str, Any] = {}
    for name, given in sets.items():
        made[name] = scored(taught(given, seed), sequences, held)
        made[f"{name}_principal"] = scored(principal(given), sequences, held)
        print(seed, name, made[name], made[f"{name}_principal"], flush=True)
    for kind in ("", "_principal"):
        ratio = made[f"snapshots{kind}"]["forecast"] / made[f"sequences{kind}"]["forecast"]
        made[f"loss_percent{kind}"] = 100 * (ratio - 1)
    return made


def taught(frames: Tensor, seed: int) -> Basis:
    """The modes of a Fourier decoder after Adam on the variable projection of frames (frame, point)."""
    torch.manual_seed(seed)
    side = int(frames.shape[1] ** 0.5)
    angle = 2 * torch.pi * torch.arange(side) / side
    y, x = (each.flatten() for each in torch.meshgrid(angle, angle, indexing="ij"))
    places = torch.stack([x.cos(), x.sin(), y.cos(), y.sin()], 1)
    decoder = FourierDecoder(4, CODE, 1, HIDDEN, 3, SCALE)
    optimiser = torch.optim.Adam(decoder.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS + 1)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(1, frames.shape[1], 1)
    for _ in range(STEPS):
        chosen = frames[torch.randint(len(frames), (BATCH,), generator=generator)]
        objective = project(decoder.basis(places), chosen[None, :, :, None], weights, RIDGE).objective
        optimiser.zero_grad(set_to_none=True)
        objective.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return decoder.basis(places)


def principal(frames: Tensor) -> Basis:
    """The best affine basis of as many modes."""
    mean = frames.mean(0)
    _, _, modes = torch.linalg.svd(frames - mean, full_matrices=False)
    return Basis(mean[:, None], modes[:CODE].T[:, None])


def scored(basis: Basis, sequences: Tensor, held: Tensor) -> dict[str, float]:
    """Relative errors of held-out trajectories (trajectory, frame, point): as they are encoded, and as forecast.

    The ridge is the best of `RIDGES` on the last sequences when the others teach the dynamics.
    """
    modes, offset = torch.linalg.qr(basis.modes[:, 0].double()).Q, basis.offset[:, 0].double()
    codes, truth = (sequences - offset) @ modes, (held - offset) @ modes
    part = len(codes) - VALIDATED
    ridge = min(RIDGES, key=lambda tried: float((ahead(codes[:part], codes[part:], tried) - codes[part:]).norm()))
    made = ahead(codes, truth, ridge) @ modes.T + offset
    error = (made[:, 1:] - held[:, 1:]).norm() / held[:, 1:].double().norm()
    kept = (truth @ modes.T + offset - held).norm() / held.double().norm()
    return {"reconstruction": float(kept), "forecast": float(error), "ridge": ridge}


def ahead(codes: Tensor, truth: Tensor, ridge: float) -> Tensor:
    """Codes (trajectory, frame, code) from the first of `truth`, by what `codes` teach from frame to frame."""
    before, after = codes[:, :-1].flatten(0, 1), codes[:, 1:].flatten(0, 1)
    centre, shift = before.mean(0), (after - before).mean(0)
    normal = (before - centre).T @ (before - centre)
    normal += ridge * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
    step = torch.linalg.solve(normal, (before - centre).T @ (after - before))
    states = [truth[:, 0]]
    for _ in range(truth.shape[1] - 1):
        states.append(states[-1] + shift + (states[-1] - centre) @ step)
    return torch.stack(states, 1)
