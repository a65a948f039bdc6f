"""Training of a latent ODE on given codes by multiple shooting, within a wall-clock budget."""

import copy

import torch
from torch import Tensor

from dino.dynamics import LatentODE, integrate

from .base import Budget, one_cycle, set_rates

HORIZONS = (2, 4, 6, 9)
CHECKS = 12
WEIGHT_DECAY = 1e-4


def train_latent_ode(
    ode: LatentODE,
    codes: Tensor,
    interval: float,
    budget: Budget,
    *,
    learning_rate: float,
    frames_per_step: int,
    seed: int,
) -> None:
    """Train an ODE of order one on codes (sequence, frame, code) as dino's own dynamics stage does.

    Random segments of all sequences, integrated in one batch, with horizons that lengthen up to the training length;
    AdamW, one cycle, the gradient clipped at norm one. A sixteenth of the sequences is held out, and the best weights
    on them are kept.
    """
    generator = torch.Generator().manual_seed(seed)
    held = len(codes) // 16
    validation, codes = codes[:held], codes[held:]
    optimiser = _optimiser(ode, learning_rate)
    change = float((codes[:, 1:] - codes[:, :-1]).square().mean())
    best, lowest, checked = None, float("inf"), 0
    while not budget.is_spent:
        share = budget.share
        set_rates(optimiser, one_cycle(share))
        horizon = min(HORIZONS[int(share * len(HORIZONS))], codes.shape[1] - 1)
        segments = max(1, frames_per_step // horizon)
        loss = segment_loss(ode, codes, horizon, segments, interval, generator) / change
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(ode.parameters(), 1.0)
        optimiser.step()
        if held and budget.share * CHECKS >= checked + 1:
            checked = int(budget.share * CHECKS)
            error = forecast_error(ode, validation, interval)
            if error < lowest:
                best, lowest = copy.deepcopy(ode.state_dict()), error
    if best is not None:
        ode.load_state_dict(best)


def segment_loss(
    ode: LatentODE, codes: Tensor, horizon: int, count: int, interval: float, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the codes 1..horizon frames after `count` random starts."""
    sequence = torch.randint(len(codes), (count,), generator=generator)
    start = torch.randint(codes.shape[1] - horizon, (count,), generator=generator)
    frames = start[:, None] + torch.arange(1, horizon + 1)
    times = torch.arange(1.0, horizon + 1) * interval
    made = integrate(ode.bind(), codes[sequence, start], times, "rk4", interval).movedim(0, 1)
    return (made - codes[sequence[:, None], frames]).square().mean()


@torch.no_grad()
def forecast_error(ode: LatentODE, codes: Tensor, interval: float) -> float:
    """Mean squared error of whole sequences forecast from their first frame; infinite where it diverges."""
    times = torch.arange(1.0, codes.shape[1]) * interval
    made = integrate(ode.bind(), codes[:, 0], times, "rk4", interval).movedim(0, 1)
    error = float((made - codes[:, 1:]).square().mean())
    return error if error < float("inf") else float("inf")


def _optimiser(ode: LatentODE, learning_rate: float) -> torch.optim.Optimizer:
    """The network decays; the few linear coefficients do not and learn ten times as fast."""
    network = list(ode.network.parameters()) if ode.network is not None else []
    return torch.optim.AdamW(
        [
            {"params": network, "peak": learning_rate, "weight_decay": WEIGHT_DECAY},
            {"params": [ode.linear], "peak": 10 * learning_rate, "weight_decay": 0.0},
        ]
    )
