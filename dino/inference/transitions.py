"""From one frame to the next: what environments' coefficients predict, and how that depends on them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from ..dynamics.exponential import Exponential
from ..dynamics.primitives import Primitives

MOST_VALUES = 2**22  # states that are stepped together
AT_ONCE = 2**18  # of these that a processor's cache holds with what a step makes of them
MOST_STEPS = 64  # of an interval
DIFFERENCE = 1e-6  # of a direction, by which sensitivities are found
FEW = 16  # transitions that are looked at
STEP_ERROR = 1e-5  # of a step, as a share of the change from frame to frame
ROUGH_ERROR = 1e-2  # of a step that is good enough for sensitivities and for a look around
DEGREE = 5  # of the splines through frames
PROMPT_VALUES, FEWEST_PROMPTS = 2**19, 8  # of trajectories by which error bars are calibrated, and so many at least


@dataclass(frozen=True)
class Frames:
    """States of trajectories at equal intervals, the same number in every environment.

    states : (environment, trajectory, frame, block, channel); times : (frame,) from the trajectories' start;
    chosen : (sample,) which transitions between frames count, all when None
    gain : (block, channel) or None, by which frames that something is foretold from are drawn towards zero: what is
    expected of a wave whose observation has an error is less than what was observed (regression calibration)
    """

    states: Tensor
    times: Tensor
    chosen: Tensor | None = None
    gain: Tensor | None = None

    @property
    def calm(self) -> Tensor:
        """States that something is foretold from."""
        return self.states if self.gain is None else self.states * self.gain

    @property
    def interval(self) -> float:
        """Between frames."""
        return float(self.times[-1] - self.times[0]) / (len(self.times) - 1)

    @property
    def before(self) -> Tensor:
        """(environment, sample, block, channel) every frame that has a next one."""
        return self.selected(self.calm[:, :, :-1].flatten(1, 2), 1)

    @property
    def after(self) -> Tensor:
        """(environment, sample, block, channel) the frames after those."""
        return self.selected(self.states[:, :, 1:].flatten(1, 2), 1)

    @property
    def moments(self) -> Tensor:
        """(sample,) times of `before`."""
        return self.selected(self.times[:-1].repeat(self.states.shape[1]), 0)

    @property
    def transitions(self) -> int:
        """How many of each environment count."""
        return self.states.shape[1] * (len(self.times) - 1) if self.chosen is None else len(self.chosen)

    def selected(self, values: Tensor, dim: int) -> Tensor:
        """Values of the chosen transitions along a dimension that has all."""
        return values if self.chosen is None else values.index_select(dim, self.chosen)

    def thinned(self, count: int) -> "Frames":
        """The same with at most `count` transitions, evenly spread."""
        number = self.states.shape[1] * (len(self.times) - 1)
        if number <= count:
            return self
        return replace(self, chosen=torch.linspace(0, number - 1, count).round().long())

    def prompts(self, most: int) -> tuple[Tensor, int]:
        """Which environments (number,), and how many trajectories of each, calibrate error bars: `most` together.

        Of large fields fewer do, each of which has thousands of values, and those of as many environments as may be.
        """
        environments, trajectories = self.states.shape[:2]
        values = self.states[0, 0].numel() * (2 if self.states.is_complex() else 1)
        fewer = max(FEWEST_PROMPTS, PROMPT_VALUES // values)
        if fewer < most:
            most, trajectories = fewer, min(trajectories, max(2, fewer // environments))
        count = min(environments, max(1, most // trajectories))
        return torch.linspace(0, environments - 1, count).round().long(), trajectories

    def part(self, environments: slice) -> "Frames":
        """Some environments."""
        return replace(self, states=self.states[environments])


@torch.no_grad()
def flow(
    primitives: Primitives,
    theta: Tensor,
    before: Tensor,
    time: Tensor,
    interval: float,
    steps: int,
    damping: Tensor | None,
) -> Tensor:
    """States an interval after `before` (environment, sample, block, channel)."""
    count = max(
        1, AT_ONCE // (before.shape[1] * max(before.shape[2], math.prod(primitives.modes.points)) * before.shape[3])
    )
    parts = zip(theta.split(count), before.split(count), strict=True)
    made = [Exponential(primitives, some, interval / steps, damping).advance(own, time, steps) for some, own in parts]
    return made[0] if len(made) == 1 else torch.cat(made)


@torch.no_grad()
def linearised(
    primitives: Primitives,
    theta: Tensor,
    directions: Tensor,
    frames: Frames,
    steps: int,
    damping: Tensor | None = None,
    rough: int = 0,
) -> tuple[Tensor, Tensor]:
    """What coefficients (environment, term) leave of the next frames, and how the prediction changes with them.

    directions : (environment, term, direction) changes of coefficients of about one standard deviation
    rough : steps that are enough for the changes, where they are fewer than the prediction's `steps`; 0 for as many
    Returns residuals (environment, sample, block, channel) and, behind the environment, a direction.
    """
    count, number = len(theta), directions.shape[-1]
    if number and not primitives.modes.dimensions:
        made, changes = with_tangents(primitives, theta, directions, frames, steps)
        return frames.after - made, changes
    tried = torch.cat([theta[:, None], theta[:, None] + DIFFERENCE * directions.mT], dim=1)
    before = frames.before[:, None].expand(-1, number + 1, *[-1] * 3)
    both, few = (tried.flatten(0, 1), before.flatten(0, 1)), rough or steps
    made = flow(primitives, *both, frames.moments, frames.interval, few, damping).unflatten(0, (count, number + 1))
    changes = (made[:, 1:] - made[:, :1]) / DIFFERENCE
    if few == steps:
        return frames.after - made[:, 0], changes
    exact = flow(primitives, theta, frames.before, frames.moments, frames.interval, steps, damping)
    return frames.after - exact, changes


def with_tangents(
    primitives: Primitives, theta: Tensor, directions: Tensor, frames: Frames, steps: int
) -> tuple[Tensor, Tensor]:
    """The next frames of a system without space, and their changes: tangents beside the state, by Runge-Kutta.

    All terms are evaluated once a stage, however many directions there are.
    """
    step = frames.interval / steps
    state = frames.before[:, :, 0]
    tangents = state.new_zeros(*state.shape, directions.shape[-1])
    size = state.abs().amax((0, 1)) * DIFFERENCE + 1e-12
    terms = primitives.pointwise
    weights, ways = terms.rates(theta)[:, None], terms.rates(directions.mT).permute(0, 2, 3, 1).flatten(2)

    def rates(state: Tensor, tangents: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        nudged = torch.cat([state.unsqueeze(2), state.unsqueeze(2) + torch.diag(size)], 2)
        products = terms.products(nudged, time.view(1, -1, 1))
        rate = products @ weights
        slopes = ((rate[:, :, 1:] - rate[:, :, :1]) / size[:, None]).mT
        own = (products[:, :, 0] @ ways).unflatten(-1, (state.shape[-1], -1))
        return rate[:, :, 0], slopes @ tangents + own

    for number in range(steps):
        time = frames.moments + number * step
        first = rates(state, tangents, time)
        second = rates(state + step / 2 * first[0], tangents + step / 2 * first[1], time + step / 2)
        third = rates(state + step / 2 * second[0], tangents + step / 2 * second[1], time + step / 2)
        last = rates(state + step * third[0], tangents + step * third[1], time + step)
        state = state + step / 6 * (first[0] + 2 * second[0] + 2 * third[0] + last[0])
        tangents = tangents + step / 6 * (first[1] + 2 * second[1] + 2 * third[1] + last[1])
    return state.unsqueeze(2), tangents.permute(0, 3, 1, 2).unsqueeze(3)


def blocks(primitives: Primitives, frames: Frames, copies: int) -> Iterator[slice]:
    """Environments that are stepped together, each with `copies` sets of coefficients."""
    points = max(frames.states.shape[-2], math.prod(primitives.modes.points)) * frames.states.shape[-1]
    size = max(1, MOST_VALUES // (copies * points * frames.before.shape[1]))
    return (slice(start, start + size) for start in range(0, len(frames.states), size))


@torch.no_grad()
def weak_form(primitives: Primitives, frames: Frames) -> tuple[Tensor, Tensor]:
    """Increments (environment, sample, block, channel), and the integrals of every term, a term before these dims.

    The path between frames is a spline through all frames of a trajectory: crude where waves turn or decay within an
    interval, and good enough to begin with.
    """
    times = frames.times.numpy()
    degree = min(DEGREE, (len(times) - 1) // 2 * 2 + 1, len(times) - 1)
    whole = make_interp_spline(times, np.eye(len(times)), k=max(1, degree)).antiderivative()(times)
    weights = torch.as_tensor(np.diff(whole, axis=0))
    count, trajectories, number = frames.states.shape[:3]
    moments = frames.times.repeat(trajectories)
    made = primitives.features(frames.calm.flatten(1, 2), moments).unflatten(2, (trajectories, number))
    integrals = torch.einsum("sf,pntfbc->pntsbc", weights.to(made.dtype), made.unflatten(1, (count,)))
    increments = frames.selected((frames.states[:, :, 1:] - frames.states[:, :, :-1]).flatten(1, 2), 1)
    return increments, frames.selected(integrals.flatten(2, 3), 2)


@torch.no_grad()
def enough_steps(
    primitives: Primitives, theta: Tensor, frames: Frames, damping: Tensor | None = None, error: float = STEP_ERROR
) -> int:
    """Steps of an interval whose doubling changes next frames by less than a share of their change, in the median."""
    few = replace(frames.part(slice(4)), states=frames.states[:4, :2], chosen=None).thinned(FEW)
    theta, steps = theta[:4], 1
    size = (few.after - few.before).abs().square().sum((-1, -2)).clamp_min(1e-300)
    made = flow(primitives, theta, few.before, few.moments, few.interval, steps, damping)
    while steps < MOST_STEPS:
        finer = flow(primitives, theta, few.before, few.moments, few.interval, 2 * steps, damping)
        change = ((finer - made).abs().square().sum((-1, -2)) / size).nan_to_num(nan=torch.inf).median()
        if float(change) < error**2:  # of fourth order: the finer of the two is sixteen times better
            return steps
        steps, made = 2 * steps, finer
    return steps
