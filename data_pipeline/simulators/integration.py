"""Many states of ordinary differential equations advanced together, to a tight tolerance."""

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from data_pipeline.errors import SimulationError


def integrate(
    tendency: Callable[[float, np.ndarray], np.ndarray],
    states: np.ndarray,
    times: np.ndarray,
    relative: float = 1e-10,
    absolute: float = 1e-10,
) -> np.ndarray:
    """States (n, time, ...) at `times` of d(states)/dt = tendency(time, states), from states (n, ...) at time 0.

    One step size for all, by DOP853: the tolerances hold for the root mean square over all states. Raises
    SimulationError where no step is small enough.
    """
    shape = states.shape

    def flat(time: float, values: np.ndarray) -> np.ndarray:
        return tendency(time, values.reshape(shape)).ravel()

    span = (0.0, float(times[-1]))
    solution = solve_ivp(flat, span, states.ravel(), "DOP853", times, rtol=relative, atol=absolute)
    if not solution.success:
        raise SimulationError(f"the equations could not be solved beyond time {solution.t[-1]:g}: {solution.message}")
    return np.ascontiguousarray(np.moveaxis(solution.y.reshape(*shape, len(times)), -1, 1))
