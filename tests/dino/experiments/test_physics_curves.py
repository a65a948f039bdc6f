"""Curves over what is known of a new environment: how much is given, and what it is worth."""

from dataclasses import replace

import numpy as np
import pytest

from dino.errors import ConfigError
from dino.experiments.physics_coda import CODA
from dino.experiments.physics_curves import first_of_each, score_curves
from dino.experiments.physics_protocols import CONVERGED, Data, Library
from dino.experiments.physics_scores import score_task
from dino.physics import from_array

PREY = CODA.tasks[0]


@pytest.fixture(scope="module")
def few():
    """Two training and two test trajectories of each of CoDA's environments of prey and predators."""
    train = tuple(replace(data, few={"trajectories": 2}) for data in PREY.train)
    split = replace(PREY.splits[-1], data=replace(PREY.splits[-1].data, few={"trajectories": 2}))
    return replace(PREY, train=train, splits=(split,))


def test_first_trajectories_of_every_environment():
    values = np.arange(5 * 3, dtype=float).reshape(5, 3, 1)
    ds = from_array(values, np.arange(3.0), environments=[0, 0, 1, 0, 1])
    assert first_of_each(ds, 2)["trajectory"].size == 4
    assert first_of_each(ds, 1)["environment"].values.tolist() == [0, 1]
    assert first_of_each(ds, 9).sizes["trajectory"] == 5


def test_three_frames_of_one_trajectory_are_enough_for_equations_of_four_terms(few, tmp_path):
    rows = list(score_curves(few, PREY.libraries[1], tmp_path, 0, trajectories=(1, 3), frames=(3, 5, 99)))
    assert [(row["along"], row["trajectories"], row["frames"]) for row in rows] == [
        ("trajectories", 1, 20),
        ("trajectories", 3, 20),
        ("frames", 1, 3),
        ("frames", 1, 5),
    ]
    one, three, short, longer = (row["value"] for row in rows)
    assert max(one, three, short, longer) < 1e-6


def test_one_trajectory_of_all_frames_is_the_protocol_itself(few, tmp_path):
    task = replace(few, libraries=(PREY.libraries[0],), iterations=(CONVERGED,))
    (row,) = score_task(task, tmp_path, 0)
    (curve,) = score_curves(few, PREY.libraries[0], tmp_path, 0, trajectories=(1,), frames=())
    assert curve["value"] == pytest.approx(row["value"], rel=1e-6)


def test_a_task_without_a_context_is_refused(few, tmp_path):
    split = replace(few.splits[0], context=None)
    with pytest.raises(ConfigError, match="context"):
        list(score_curves(replace(few, splits=(split,)), Library("l", "k"), tmp_path, 0))


def test_the_context_is_a_preset_of_its_own():
    assert all(isinstance(task.splits[-1].context, Data) for task in CODA.tasks)
