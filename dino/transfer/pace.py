"""The pace of an ocean: the same trajectories, run through faster or slower.

Tiles of another size hold eddies of another size, and these turn round in another time; an ocean of another
stratification or forcing is slower or faster as a whole. With da/dt = f(a) for the simulation, an ocean of pace s has
da/dt = s f(a): in a latent ODE of any order the units of the state's derivatives are s times as large. It is one
number, which few observations determine.
"""

from collections.abc import Callable, Sequence

import torch

from ..errors import NonFiniteError
from ..model import LEADS, OceanModel

PACE_STEP = 2**0.5


@torch.no_grad()
def change_pace(model: OceanModel, factor: float) -> None:
    """Let a model run `factor` times as fast, in place, with all that it knows of its errors.

    Errors after a lead are those of `factor` times that lead before, and noise comes in `factor` times as fast.
    """
    leads = [factor * number * model.spec.interval_days for number in range(LEADS)]
    errors = [model.model_error(lead) for lead in leads]
    factors = [torch.stack([model.calibration(lead, start) for lead in leads]) for start in range(2)]
    model.lead_error.copy_(torch.stack([code for code, _ in errors]))
    model.unresolved_error.copy_(torch.stack([left for _, left in errors]))
    model.spread_factor.copy_(torch.stack(factors))
    model.process_noise.mul_(factor)
    for dynamics, initialiser in (
        (model.dynamics, model.initialiser),
        (model.unresolved_dynamics, model.unresolved_initialiser),
    ):
        dynamics.change_pace(factor)
        for derivative, weights in enumerate(initialiser.weights, start=1):
            weights.mul_(factor**-derivative)


def search(change: Callable[[float], None], misfit: Callable[[], float], steps: Sequence[float], most: int) -> None:
    """Apply the first of `steps` while the misfit falls, at most `most` times; the next where it never did."""
    best = misfit()
    for step in steps:
        for number in range(most):
            change(step)
            found = _or_infinite(misfit)
            if not found < best:
                change(1 / step)
                if number:
                    return
                break
            best = found
        else:
            return


def _or_infinite(misfit: Callable[[], float]) -> float:
    try:
        return misfit()
    except NonFiniteError:  # a model that leaves the numbers is one that does not fit
        return float("inf")
