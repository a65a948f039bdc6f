"""Scattered observations that were made at few times: a state at each of them, by optimal interpolation."""

import torch
from torch import Tensor

from ..dynamics.primitives import Modes
from ..numerics.gaussian import cholesky
from .scattered import Points, largest
from .transitions import Frames

FEWEST_TIMES, FEWEST_POINTS = 4, 12  # of a trajectory, and at each of them


def instants(modes: Modes, points: Points, centre: Tensor, population: Tensor) -> Frames | None:
    """States of the first trajectory at the times of its observations; None where these are too few at a time.

    centre, population : (channel,) and (block, channel) of fields before anything is seen, see `Family`
    """
    own = points.trajectory == points.trajectory.min()
    times, place, counts = torch.unique(points.time[own], return_inverse=True, return_counts=True)
    if not modes.dimensions or len(times) < FEWEST_TIMES or int(counts.min()) < FEWEST_POINTS:
        return None
    spread = (population / 2).flatten().repeat_interleave(2).sqrt()
    kept = largest(spread)
    rows = modes.at(points.place[own])
    channel, value, error = points.channel[own], points.value[own], points.error[own]
    states = torch.zeros(len(times), *population.shape, dtype=modes.dtype)
    for number in range(len(times)):
        here = torch.nonzero(place == number).flatten()
        basis = torch.zeros(len(here), *population.shape, 2, dtype=torch.float64)
        basis[torch.arange(len(here)), :, channel[here]] = torch.view_as_real(rows[here].conj().resolve_conj())
        design = basis.flatten(1)[:, kept] * spread[kept] / error[here, None]
        left = (value[here] - centre[channel[here]]) / error[here]
        factor = cholesky(design.T @ design + torch.eye(len(kept), dtype=torch.float64))
        found = torch.zeros_like(spread)
        found[kept] = spread[kept] * torch.cholesky_solve((design.T @ left)[:, None], factor)[:, 0]
        states[number] = torch.view_as_complex(found.unflatten(0, (*population.shape, 2)))
        states[number, 0] += centre
    return Frames(states[None, None], times)
