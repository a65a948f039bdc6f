"""What every transfer strategy is given and gives back, and the loop that all of them share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from data_pipeline.system.progress import Progress

from ..config import TransferConfig
from ..data.codes import CodeSeries
from ..data.observations import Observations
from ..errors import EmptyDataError, NonFiniteError
from ..forecaster import Forecaster
from ..model import LatentModel
from .plan import UNUSABLE, Episode, cut, episodes, held_out_misfit


@dataclass(frozen=True)
class Task:
    """Adapt the model of `forecaster`, in place, to `observations`.

    simulated : gives the codes of the maps that the run was trained on, one entry a store, for strategies that compare
    with them
    """

    forecaster: Forecaster
    observations: Observations
    settings: TransferConfig
    seed: int = 0
    simulated: Callable[[], list[CodeSeries]] = list

    @property
    def latent(self) -> LatentModel:
        """The model that is adapted."""
        return self.forecaster.latent


@dataclass(frozen=True)
class Transferred:
    """What a strategy did: mean squared innovation over its variance on held-out observations, by round.

    `after` is that of the weights that were kept, `before` again where no round beat it by more than chance.
    """

    before: float
    after: float
    rounds: list[float]

    @property
    def kept(self) -> bool:
        """Whether a round was better than the model as it came."""
        return self.after < self.before


class Strategy(Protocol):
    """Adapts the model of a task in place to its observations."""

    def __call__(self, task: Task, progress: Progress) -> Transferred:
        """Adapt `task.latent`; the best round on held-out observations is kept, or nothing is changed.

        Raises `EmptyDataError` for a record that leaves nothing to fit or to hold out.
        """
        ...


Analyse = Callable[[], list[Episode]]


def improve(task: Task, adapt: Callable[[Analyse], None], progress: Progress) -> Transferred:
    """Rounds of analysis with the present model and adaptation, in the manner of expectation-maximisation.

    adapt : moves the weights of the model; it is given a function that analyses the windows to be fitted
    The weights of the round that forecasts held-out observations best are kept, if it does so by more than chance
    (`Verdict.beats`), else those before the first.
    """
    model, rounds, forecaster, record = task.latent, task.settings.rounds, task.forecaster, task.observations
    plan = cut(record, task.settings, forecaster.assimilation)
    unresolved = model.unresolved_variance.clone()
    origin = held_out_misfit(forecaster, record, plan)
    scores, kept, best = [origin.mean], _weights(model), origin.mean

    def analyse() -> list[Episode]:
        found = list(episodes(forecaster, record, plan, plan.fitted))
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
        progress(turn + 1, rounds)
        if not math.isfinite(scores[-1]):
            break
    model.load_state_dict(kept)
    return Transferred(scores[0], best, scores)


def _weights(model: LatentModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
