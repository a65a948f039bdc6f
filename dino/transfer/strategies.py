"""The strategies by name."""

from data_pipeline.system.progress import Progress

from ..config import GONE_STRATEGIES, strategy_is_gone
from ..errors import ConfigError
from ..numerics.modes import with_gradients
from .alignment import translate_codes, transport_codes
from .base import Strategy, Task, Transferred
from .evidence import adapt_modulation, fit_statistics
from .numbers import fit_numbers
from .plan import cut, held_out_misfit
from .statistics import fit_pace_and_energy


def adapt_nothing(task: Task, progress: Progress) -> Transferred:
    """Score the model as it is, the yardstick of every strategy; see `Strategy`."""
    plan = cut(task.observations, task.settings, task.forecaster.assimilation)
    score = held_out_misfit(task.forecaster, task.observations, plan).mean
    progress(1, 1)
    return Transferred(score, score, [score])


_STRATEGIES: dict[str, Strategy] = {
    "statistics": fit_statistics,
    "modulation": adapt_modulation,
    "none": adapt_nothing,
    "pace": fit_pace_and_energy,
    "numbers": fit_numbers,
    "optimal-transport": transport_codes,
    "adversarial": translate_codes,
}
STRATEGIES: dict[str, Strategy] = {name: with_gradients(adapt) for name, adapt in _STRATEGIES.items()}


def strategy(name: str) -> Strategy:
    """The strategy of that name; raises `ConfigError` for one that is unknown or gone."""
    if name in GONE_STRATEGIES:
        raise ConfigError(strategy_is_gone(name))
    if name not in STRATEGIES:
        raise ConfigError(f"unknown transfer strategy {name!r}; known: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
