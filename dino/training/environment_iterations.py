"""How many iterations of adaptation are enough: measured on the environments of training, each from one trajectory."""

from dataclasses import replace

import torch
from torch import Tensor

from ..dynamics.exponential import Exponential
from ..inference.environments import adapt
from ..inference.family import Family
from ..inference.own_noise import left_by
from ..inference.prompts import MOST_ITERATIONS
from ..inference.transitions import Frames

TRIED = (0, 1, 2, 3, MOST_ITERATIONS)  # iterations, the last of them until nothing moves
GAIN = 1.1  # of the mean square error of forecasts, for which more iterations are worth their time
ENOUGH = 1e-8  # of the mean square of the fields: a smaller error is not worth more
UNLIKE = 10.0  # times the largest share of change that is left in training: such an environment wants all iterations


@torch.no_grad()
def with_iterations(family: Family, frames: Frames) -> Family:
    """The family with the fewest iterations whose forecasts more of them do not better.

    The first trajectory of every environment is its prompt. The others are forecast from their first frames, or the
    same one where it is alone.
    """
    prompts, tests = replace(frames, states=frames.states[:, :1]), frames.states[:, 1:]
    if tests.shape[1] == 0:
        tests = frames.states
    chosen, least, left = 0, float("inf"), 0.0
    for count in TRIED:
        theta = adapt(family, prompts, count).mean
        error = float(forecast_error(family, theta, tests, frames).mean())
        if least <= GAIN * error:
            break
        chosen, least, left = count, error, float(left_by(family, theta, prompts).share.max())
        if error <= ENOUGH:
            break
    return replace(family, iterations=chosen, leaves=UNLIKE * left)


def forecast_error(family: Family, theta: Tensor, states: Tensor, frames: Frames) -> Tensor:
    """(environment,) mean square error of forecasts of all frames from the first, of the fields' and at most one.

    states : (environment, trajectory, frame, block, channel)
    """
    step = Exponential(family.primitives, theta, frames.interval / family.steps, family.damping)
    weights, miss = family.primitives.modes.weights[:, None], []
    path = step.path(states[:, :, 0], frames.times[:1].expand(states.shape[1]), states.shape[2] - 1, family.steps)
    for number, made in enumerate(path, 1):
        miss.append(((made - states[:, :, number]).abs().square() * weights).sum((-1, -2)))
    size = (states[:, :, 1:].abs().square() * weights).sum((-1, -2)).sum(2).clamp_min(1e-300)
    return (torch.stack(miss, 2).sum(2) / size).nan_to_num(nan=1.0, posinf=1.0).clamp_max(1.0).mean(1)
