"""Integration of latent states with torchdiffeq.

Which steps a solver takes is decided on the host, where the times are kept: a state on a device is never waited for.
"""

import itertools
import math

import torch
from torch import Tensor

from ..errors import NonFiniteError
from .base import RightHandSide


def integrate(
    right_hand_side: RightHandSide,
    initial: Tensor,
    times: Tensor,
    method: str = "rk4",
    step: float = 1.0,
) -> Tensor:
    """States (time, ..., state) at `times` [days from the initial state], in any order and with repeats.

    The solver wants strictly increasing times from the start: it is given the sorted union and indexed back. Fixed
    methods take steps of at most `step` days. Give times on the host where nothing is to wait for a device. Raises
    `NonFiniteError` naming the sample and the time.
    """
    moments, position = torch.unique(times.to("cpu", initial.dtype), sorted=True, return_inverse=True)
    if moments[0] < 0:
        raise ValueError("times before the initial state cannot be integrated to; start earlier")
    grid = torch.cat([torch.zeros(1, dtype=moments.dtype), moments[moments > 0]])
    states = _solve(right_hand_side, initial, grid, method, step)
    if moments[0] != 0:
        position = position + 1
    first, count = int(position[0]), len(position)
    if torch.equal(position, torch.arange(first, first + count)):
        return states[first : first + count]
    return states[position.to(initial.device)]


def _solve(right_hand_side: RightHandSide, initial: Tensor, grid: Tensor, method: str, step: float) -> Tensor:
    """States (time, ..., state) at the times `grid` on the host, which ascend from zero."""
    if len(grid) == 1:
        return initial.unsqueeze(0)
    # The solver's own `step_size` interpolates linearly between its steps, an error of second order at every moment
    # that is no multiple of the step: let the steps meet the moments instead. `odeint` would move the times to the
    # state's device and wait for every comparison of two of them.
    from torchdiffeq._impl import fixed_grid  # here, for it loads scipy's integrators, which take half a second

    steps = solver_steps(grid, step)
    solver = {"midpoint": fixed_grid.Midpoint, "rk4": fixed_grid.RK4}[method](
        _Field(right_hand_side), initial, grid_constructor=lambda f, y0, t: steps, atol=0.0
    )
    return solver.integrate(grid)


class _Field:
    """A right-hand side as a solver of torchdiffeq calls it; times come perturbed only where they are jumped over."""

    def __init__(self, right_hand_side: RightHandSide) -> None:
        self.right_hand_side = right_hand_side

    def __call__(self, time: Tensor, state: Tensor, *, perturb: object = None) -> Tensor:
        return self.right_hand_side(time, state)

    def callback_step(self, time: Tensor, state: Tensor, length: Tensor) -> None:
        """Nothing is done between steps."""


def solver_steps(times: Tensor, longest: float) -> Tensor:
    """Ascending times with equal steps of at most `longest` between each two."""
    moments = times.tolist()
    parts = [times[:1]]
    for start, stop in itertools.pairwise(moments):
        count = max(1, math.ceil((stop - start) / longest - 1e-6))
        parts.append(torch.linspace(start, stop, count + 1, dtype=times.dtype, device=times.device)[1:])
    return torch.cat(parts)


def check_finite(states: Tensor, times: Tensor) -> Tensor:
    """Return states (time, sample, state) unchanged, or raise `NonFiniteError` naming the sample and the time."""
    bad = ~torch.isfinite(states).all(-1)
    if bool(bad.any()):
        moment, *sample = torch.nonzero(bad)[0].tolist()
        raise NonFiniteError(
            f"the forecast of sample {sample[0] if sample else 0} is not finite at {float(times[moment]):g} days; "
            "train longer, lower the step, or shorten the lead"
        )
    return states
