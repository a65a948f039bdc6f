"""No adaptation: what the simulated model makes of the observations, the yardstick of every strategy."""

from .base import Report, Task, Transferred
from .plan import cut, held_out_misfit


def adapt_nothing(task: Task, report: Report) -> Transferred:
    """Score the model as it is; see `Strategy`."""
    plan = cut(task.observations, task.settings, task.forecaster.assimilation)
    score = held_out_misfit(task.forecaster, task.observations, plan).mean
    report(1, 1)
    return Transferred(score, score, [score])
