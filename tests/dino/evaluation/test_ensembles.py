"""The reference ensembles against brute force."""

import numpy as np
import pytest

from dino.evaluation.ensembles import MEMBERS, References

LEADS = np.array([1.0, 2.0, 5.0])


def walks(runs: int = 30, days: int = 20, points: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Random walks (time, channel, point) of several runs, a gap of 1000 days between these."""
    chance = np.random.default_rng(0)
    steps = chance.normal(size=(runs, days, 1, points))
    times = np.arange(days) + 1000.0 * np.arange(runs)[:, None]
    return np.cumsum(steps, axis=1).reshape(-1, 1, points), times.ravel()


def test_references_are_the_moments_and_changes_of_the_training_maps():
    values, times = walks()
    found = References.of(values, times, LEADS)
    np.testing.assert_allclose(found.mean, values.mean(0))
    np.testing.assert_allclose(found.std, values.std(0, ddof=1))
    # A walk's change over a lead has the variance lead; none may reach from one run into the next.
    for row, lead in enumerate(LEADS):
        changes = {tuple(np.round(c, 6)) for c in found.changes[row][:, 0]}
        within = [times[int(lead) :] - times[: -int(lead)] == lead]
        possible = (values[int(lead) :] - values[: -int(lead)])[within[0], 0]
        assert changes <= {tuple(np.round(c, 6)) for c in possible}
        assert len(changes) == 39
        assert found.changes[row].std() == pytest.approx(np.sqrt(lead), rel=0.15)


def test_a_lead_without_pairs_has_no_persistence_ensemble():
    values, times = walks(days=4)
    assert np.isnan(References.of(values, times, LEADS).changes[2]).all()


def test_a_point_seen_once_has_no_climatological_spread():
    values, times = walks(runs=2)
    values[1:, 0, 3] = np.nan
    values[:, 0, 4] = np.nan
    found = References.of(values, times, LEADS)
    assert np.isnan(found.std[0, [3, 4]]).all()
    assert found.mean[0, 3] == values[0, 0, 3]
    assert np.isnan(found.mean[0, 4])
    assert np.isfinite(found.std[0, :3]).all()


def test_persistence_adds_past_changes_to_the_last_map():
    values, times = walks()
    found, last = References.of(values, times, LEADS, members=7), values[-1]
    members = found.persistence(last, 1)
    assert members.shape == (7, 1, 25)
    np.testing.assert_allclose(members - last, found.changes[1])
    assert References.of(values, times, LEADS).changes.shape[1] == MEMBERS


def test_few_pairs_come_repeatedly():
    values, times = walks(runs=1, days=4)
    found = References.of(values, times, LEADS[:1])
    changes = {tuple(np.round(c, 6)) for c in found.changes[0][:, 0]}
    assert changes == {tuple(np.round(c, 6)) for c in np.diff(values, axis=0)[:, 0]}
