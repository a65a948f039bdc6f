"""How a record is cut: nothing that is fitted lies in the future of what is held out, and everything lies inside."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig, TransferConfig
from dino.data.observations import Observations
from dino.errors import DomainError, EmptyDataError
from dino.model.checkpoint import load_model
from dino.transfer import Task, strategy
from dino.transfer.plan import UNUSABLE, Verdict, cut, episodes, forecast_codes, held_out_misfit, misfit


def record(days: float, first: float = 20000.0) -> Observations:
    time = np.linspace(first, first + days, 50)
    still = np.zeros(50)
    return Observations(
        time, still, still, np.zeros((50, 1)), np.full((50, 1), 0.01), np.zeros(50, dtype=np.int64), ("ssh",)
    )


@given(
    days=st.floats(0.5, 200.0),
    window=st.floats(0.5, 30.0),
    horizon=st.floats(0.25, 10.0),
    stride=st.floats(0.1, 5.0),
    share=st.floats(0.05, 0.95),
)
def test_a_record_is_split_in_time(days, window, horizon, stride, share):
    settings = TransferConfig(window_days=window, horizon_days=horizon, stride_days=stride, held_share=share)
    made = record(days)
    plan = cut(made, settings, AssimilationConfig(window_days=15.0))
    assert plan.fitted
    assert plan.held
    assert 0 < plan.length <= min(window, 15.0) + 1e-9
    assert 0 < plan.horizon <= horizon + 1e-9
    assert max(plan.fitted) + plan.horizon <= min(plan.held) + 1e-5
    assert min(plan.fitted) - plan.length >= made.time[0] - 1e-5
    assert max(plan.held) + plan.horizon <= made.time[-1] + 1e-5


def test_a_record_of_hours_is_refused():
    with pytest.raises(EmptyDataError, match="half a day"):
        cut(record(0.3), TransferConfig(), AssimilationConfig())


def test_a_long_record_is_cut_as_configured():
    plan = cut(record(60.0), TransferConfig(window_days=10, horizon_days=5, stride_days=2), AssimilationConfig())
    np.testing.assert_allclose(np.diff(plan.fitted), 2.0)
    assert (plan.length, plan.horizon) == (10.0, 5.0)
    assert len(plan.held) == pytest.approx(0.25 * 45 / 2, abs=1)


def test_windows_hold_what_lies_in_them(task):
    given_task = task()
    forecaster, seen = given_task.forecaster, given_task.observations
    plan = cut(seen, given_task.settings, forecaster.assimilation)
    found = list(episodes(forecaster, seen, plan, plan.fitted))
    assert len(found) == len(plan.fitted)
    for end, episode in zip(plan.fitted, found, strict=True):
        inside = (seen.time >= end - plan.length) & (seen.time <= end)
        later = (seen.time > end) & (seen.time <= end + plan.horizon)
        assert (len(episode.seen), len(episode.ahead)) == (inside.sum(), later.sum())
        assert episode.codes(8).shape[1:] == (1, 8)
        codes = episode.ahead.along(forecast_codes(forecaster, episode))
        still, moving = (misfit(forecaster.latent.decoder, episode.ahead, codes, moves) for moves in (False, True))
        assert torch.allclose(still, moving, rtol=1e-3, atol=1e-3)  # an affine decoder: both are the same arithmetic


def away(seen: Observations, where: np.ndarray) -> Observations:
    """The record with some points on the other side of the globe."""
    return replace(seen, longitude=np.where(where, seen.longitude + 180.0, seen.longitude))


def test_gaps_of_a_record_are_passed_over(sea_run, sea_store, scattered):
    """A satellite that was off for days, or observed other seas, leaves windows without observations."""
    fields = open_store(sea_store).load()
    seen = Observations.from_dataset(scattered(fields.assign(adt=0.5 * fields["adt"]), ["adt"], 300), ("adt",))
    gap = np.abs(seen.time - seen.time[0] - 9.0) < 5.0
    short = AssimilationConfig(window_days=2.0, node_days=2.0, iterations=1)
    settings = TransferConfig(rounds=1, steps=5, window_days=2.0, horizon_days=6.0, stride_days=6.0)
    plan = cut(seen, settings, short)
    results = []
    for record in (seen.select(np.flatnonzero(~gap)), away(seen, gap)):
        task = Task(dino.Forecaster(*load_model(sea_run), short), record, settings)
        found = list(episodes(task.forecaster, record, plan, plan.fitted))
        assert 0 < len(found) < len(plan.fitted)
        results.append(strategy("modulation")(task, lambda *step: None))
        assert results[-1].after <= results[-1].before < float("inf")
    assert results[0] == results[1]


def test_a_record_of_another_sea_is_refused(sea_run, sea_store, scattered):
    seen = Observations.from_dataset(scattered(open_store(sea_store).load(), ["adt"], 100), ("adt",))
    task = Task(dino.load(sea_run), away(seen, np.ones(len(seen), bool)), TransferConfig())
    for name in ("none", "statistics"):
        with pytest.raises(DomainError, match="none of the 100 points"):
            strategy(name)(task, lambda *step: None)


def test_a_gain_is_one_when_overflights_agree_on_it():
    points = np.full(20, 50.0)
    before = Verdict(np.linspace(1.0, 3.0, 20), points)
    rng = np.random.default_rng(0)
    assert Verdict(before.misfit - 0.1 + 0.05 * rng.normal(size=20), points).beats(before)
    assert not Verdict(before.misfit - 0.1 + 1.0 * rng.permutation(np.linspace(-1, 1, 20)), points).beats(before)
    assert not before.beats(before)
    assert not UNUSABLE.beats(before)
    assert not Verdict(np.array([0.5]), np.array([9.0])).beats(Verdict(np.array([1.0]), np.array([9.0])))


def test_chance_is_taken_for_a_gain_as_seldom_as_two_standard_errors_say():
    rng, points = np.random.default_rng(1), np.full(30, 20.0)
    before = Verdict(np.ones(30), points)
    accepted = [Verdict(1.0 + rng.normal(size=30), points).beats(before) for _ in range(2000)]
    assert 0.01 < np.mean(accepted) < 0.05


def test_the_points_of_a_pass_are_counted_together(task):
    given_task = task()
    plan = cut(given_task.observations, given_task.settings, given_task.forecaster.assimilation)
    verdict = held_out_misfit(given_task.forecaster, given_task.observations, plan)
    days = {day for day in given_task.observations.time if plan.held[0] < day <= plan.held[-1] + plan.horizon}
    assert len(verdict.misfit) == len(days)  # of a store of daily maps
