"""What every transfer strategy is given and gives back, and the loop that all of them share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..config import Config, TransferConfig
from ..data.observations import Observations
from ..errors import EmptyDataError, NonFiniteError
from ..experiments.train import latent_trajectories
from ..forecaster import Forecaster
from ..model.latent import OceanModel
from ..training.dynamics_stage import Codes
from .plan import UNUSABLE, Window, cut, held_out_misfit, windows

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """Adapt the model of `forecaster`, in place, to `observations`.

    config : the run's, whose stores hold the simulated ocean and whose `transfer` section the settings
    """

    forecaster: Forecaster
    observations: Observations
    config: Config

    @property
    def model(self) -> OceanModel:
        """The model that is adapted."""
        return self.forecaster.model

    def simulated(self) -> list[Codes]:
        """The codes of the maps that the run was trained on, one entry a store; read anew every time."""
        # A relocated run learned nothing from the store of its new sea, which may not be long enough to.
        learned = self.config.data.simulated or self.config.data
        return latent_trajectories(self.config.model_copy(update={"data": learned}), self.model)

    @property
    def settings(self) -> TransferConfig:
        """The settings of the strategies."""
        return self.config.transfer


@dataclass(frozen=True)
class Transferred:
    """What a strategy did: mean squared innovation over its variance on held-out observations, by round.

    `after` is that of the weights that were kept, `before` again where no round beat it by more than chance.
    """

    before: float
    after: float
    rounds: list[float]

    @property
    def gained(self) -> bool:
        """Whether a round was better than the model as it came."""
        return self.after < self.before


class Strategy(Protocol):
    """Adapts the model of a task in place to its observations."""

    def __call__(self, task: Task, report: Report) -> Transferred:
        """Adapt `task.model`; the best round on held-out observations is kept, or nothing is changed.

        Raises `EmptyDataError` for a record that leaves nothing to fit or to hold out.
        """
        ...


Analyse = Callable[[], list[Window]]


def improve(task: Task, adapt: Callable[[Analyse], None], report: Report) -> Transferred:
    """Rounds of analysis with the present model and adaptation, in the manner of expectation-maximisation.

    adapt : moves the weights of the model; it is given a function that analyses the windows to be fitted
    The weights of the round that forecasts held-out observations best are kept, if it does so by more than chance
    (`Verdict.beats`), else those before the first.
    """
    model, rounds, forecaster, record = task.model, task.settings.rounds, task.forecaster, task.observations
    plan = cut(record, task.settings, forecaster.assimilation)
    unresolved = model.unresolved_variance.clone()
    origin = held_out_misfit(forecaster, record, plan)
    scores, kept, best = [origin.mean], _weights(model), origin.mean

    def analyse() -> list[Window]:
        found = list(windows(forecaster, record, plan, plan.fitted))
        if not found:
            raise EmptyDataError(
                f"{record.span()}: in no window of {plan.length:g} days and the {plan.horizon:g} days after it does "
                "the model's domain hold points; nothing can be transferred, give a longer record or another run"
            )
        return found

    for turn in range(rounds):
        try:
            adapt(analyse)
            verdict = held_out_misfit(forecaster, record, plan, unresolved)
        except NonFiniteError:
            # Steps were too long for this ocean: a round that made things worse, and the last one.
            verdict = UNUSABLE
        scores.append(verdict.mean)
        if verdict.mean < best and verdict.beats(origin):
            best, kept = verdict.mean, _weights(model)
        report(turn + 1, rounds)
        if not math.isfinite(scores[-1]):
            break
    model.load_state_dict(kept)
    return Transferred(scores[0], best, scores)


def descend(
    model: OceanModel, parameters: Sequence[Tensor], loss: Callable[[], Tensor], steps: int, learning_rate: float
) -> None:
    """Adam on some of the weights, the others held; gradients of norm one at most."""
    learned = {id(parameter) for parameter in parameters}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in learned)
    optimiser = torch.optim.Adam(list(parameters), learning_rate)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def _weights(model: OceanModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
