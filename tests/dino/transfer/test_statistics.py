"""That models are compared with one variance for all, and that the statistics of a window's start move."""

from dino.transfer.plan import cut, held_out_misfit


def test_who_expects_more_error_is_not_forgiven_more(task):
    given = task()
    plan = cut(given.observations, given.settings, given.forecaster.assimilation)
    before = given.latent.unresolved_variance.clone()
    fair = held_out_misfit(given.forecaster, given.observations, plan)
    given.latent.unresolved_variance.mul_(100.0)
    lenient = held_out_misfit(given.forecaster, given.observations, plan)
    same = held_out_misfit(given.forecaster, given.observations, plan, before)
    assert lenient.mean < 0.5 * fair.mean
    assert same.mean > 0.8 * fair.mean
