"""The pace of an ocean, and how long its tendencies last: two numbers that two weeks of points determine.

Tiles of another size hold eddies of another size, and these turn round in another time; an ocean of another
stratification or forcing is slower or faster as a whole. With da/dt = f(a) for the simulation, an ocean of pace s has
da/dt = s f(a): in a latent ODE of any order the units of the state's derivatives are s times as large.

Tendencies of an ocean that is forced otherwise, or mapped otherwise, are forgotten sooner or later than those of the
simulation: the highest derivative of the state decays at another rate.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from ..errors import NonFiniteError
from ..model import LEADS, LatentModel, Start

PACE_STEP, DECAY_STEP = 2**0.5, 0.1  # of the search: a factor, and a rate [1/day]
MOVES = 8  # of a search at most: sixteen times as fast, say
WORTH = 0.02  # share of the misfit that a step has to gain: the two numbers can stand in for each other at great length

Change = Callable[[], None]


@torch.no_grad()
def change_pace(model: LatentModel, factor: float) -> None:
    """Let a model run `factor` times as fast, in place, with all that it knows of its errors.

    Errors after a lead are those of `factor` times that lead before, and noise comes in `factor` times as fast.
    """
    leads = [factor * number * model.spec.interval_days for number in range(LEADS)]
    errors = [model.model_error(lead) for lead in leads]
    factors = [torch.stack([model.calibration(lead, start) for lead in leads]) for start in Start]
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


def fit_pace(model: LatentModel, misfit: Callable[[], float]) -> None:
    """Search for the pace and the decay of tendencies with the lowest misfit, in place.

    Tendencies are only let decay faster: slower, they would grow in most models, which fits anything for a while.
    """
    faster, slower = (partial(change_pace, model, factor) for factor in (PACE_STEP, 1 / PACE_STEP))
    shorter, longer = (partial(model.dynamics.damp, rate) for rate in (DECAY_STEP, -DECAY_STEP))
    search(model, [(slower, faster), (faster, slower), (shorter, longer)], misfit, WORTH)


def search(
    model: nn.Module,
    moves: Sequence[tuple[Change, Change]],
    misfit: Callable[[], float],
    worth: float = 0.0,
    most: int = MOVES,
) -> float:
    """Compass search (Hooke and Jeeves 1961, doi 10.1145/321062.321069): make the change that lowers the misfit most.

    moves : changes of the model, each with its opposite, which is not tried right after it
    Stops where no change lowers the misfit by more than a share `worth` of it, or after `most` changes; returns it.
    """
    best, last = misfit(), None
    for _ in range(most):
        found: list[tuple[float, Change, Change]] = []
        for change, undo in moves:
            if change is not last:
                before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                change()
                found.append((_or_infinite(misfit), change, undo))
                model.load_state_dict(before)  # exactly; tables read at other leads would not come back
        lowest, change, undo = min(found, key=lambda entry: entry[0])
        if not lowest < best - worth * abs(best):
            break
        change()
        best, last = lowest, undo
    return best


def _or_infinite(misfit: Callable[[], float]) -> float:
    try:
        return misfit()
    except NonFiniteError:  # a model that leaves the numbers is one that does not fit
        return float("inf")
