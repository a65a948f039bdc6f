"""Integration of latent states with torchdiffeq."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchdiffeq import odeint

from ..errors import NonFiniteError

METHODS = ("euler", "midpoint", "rk4", "dopri5")


def integrate(
    right_hand_side: Callable[[Tensor, Tensor], Tensor],
    initial: Tensor,
    times: Tensor,
    method: str = "rk4",
    step: float = 1.0,
) -> Tensor:
    """States (time, ..., state) at `times` [days from the initial state], in any order and with repeats.

    The solver wants strictly increasing times from the start: it is given the sorted union and indexed back. Fixed
    methods take steps of at most `step` days. Raises `NonFiniteError` naming the sample and the time.
    """
    moments, position = torch.unique(times.to(initial.dtype), sorted=True, return_inverse=True)
    forward = moments[moments > 0]
    if bool((moments < 0).any()):
        raise ValueError("times before the initial state cannot be integrated to; start earlier")
    grid = torch.cat([torch.zeros(1, dtype=initial.dtype, device=initial.device), forward])
    if len(grid) == 1:
        states = initial.unsqueeze(0)
    else:
        # The solver's own `step_size` interpolates linearly between its steps, an error of second order at every
        # moment that is no multiple of the step: let the steps meet the moments instead.
        options = {} if method == "dopri5" else {"grid_constructor": lambda f, y0, t: solver_steps(t, step)}
        try:
            states = odeint(right_hand_side, initial, grid, method=method, options=options)
        except AssertionError as error:  # torchdiffeq reports a non-finite derivative as "underflow in dt"
            raise NonFiniteError(f"the adaptive solver stopped ({error}); use a fixed method such as rk4") from error
        assert isinstance(states, Tensor)
    if moments[0] != 0:
        position = position + 1
    return states[position]


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
