"""Scores of protocols of many physics: what is asked, how errors are counted, and a task from nothing to its rows."""

import numpy as np
import pytest

from data_pipeline.simulators.environments import simulate
from dino.errors import ConfigError
from dino.experiments.physics_protocols import CONVERGED, Data, Library, Split, Task, without
from dino.experiments.physics_scores import asked, error, one_trajectory, others, score_task, together
from dino.experiments.physics_table import PROTOCOLS, averaged, published, score_protocol, table_of
from dino.physics import from_array

PREY = Data("lotka-volterra", "coda", "train", few={"trajectories": 2})


def numbered(kind: str, prompt: int = 1) -> Task:
    return Task("toy", kind, "mse", (), (), (), prompt=prompt)  # pyright: ignore


@pytest.fixture(scope="module")
def waves():
    values = np.arange(4 * 6 * 1 * 8, dtype=float).reshape(4, 6, 1, 8)
    return from_array(values, np.arange(6.0), (1.0,), environments=[0, 0, 1, 1])


def test_a_prompt_is_an_environment_of_its_own(waves):
    known, initial, truth = asked(numbered("prompt", 4), waves, None)
    assert known["environment"].values.tolist() == [0, 1, 2, 3]
    assert float(initial["time"][-1]) == 3.0
    assert truth["time"].values.tolist() == [4.0, 5.0]


def test_one_shot_keeps_the_context_out_of_the_score(waves):
    known, initial, truth = asked(numbered("one-shot"), waves, None)
    assert known["u"].values[:, 0, 0].tolist() == waves["u"].values[[0, 2], 0, 0].tolist()
    assert truth["u"].values[:, 0, 0].tolist() == waves["u"].values[[1, 3], 1, 0].tolist()
    assert initial.sizes["time"] == 1


def test_adaptation_takes_one_trajectory_of_each_environment(waves):
    known, _, truth = asked(numbered("adaptation"), waves, waves)
    assert known.sizes["trajectory"] == 2
    assert truth.sizes == waves.sizes


def test_first_and_other_trajectories_are_all(waves):
    assert one_trajectory(waves).sizes["trajectory"] + others(waves).sizes["trajectory"] == 4


def test_errors_are_those_of_the_definition(waves):
    made = waves.copy(deep=True)
    made["u"] = 1.1 * waves["u"]
    assert error(made, waves, "nrmse") == pytest.approx(np.full(4, 0.1))
    assert error(made, waves, "relative mse", 2) == pytest.approx(np.full(4, 0.01))
    mean_square = 0.01 * (waves["u"].values[:, :3] ** 2).mean((1, 2))
    assert error(made, waves, "mse", 3) == pytest.approx(mean_square)


def test_environments_of_several_presets_are_numbered_on(waves):
    assert together([waves, waves])["environment"].values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_seeds_but_the_first_take_other_initial_states():
    config, other = PREY.config(0), PREY.config(1)
    assert (config.seeding, other.seeding) == ("index", "streams")
    first, second = simulate(config), simulate(other)
    assert not np.allclose(first["prey"][:, 0], second["prey"][:, 0])
    assert first["parameter_beta"].values.tolist() == second["parameter_beta"].values.tolist()


def test_a_task_from_nothing_to_its_rows(tmp_path):
    task = Task(
        "prey",
        "adaptation",
        "mse",
        (PREY,),
        (
            Split(
                "new",
                Data("lotka-volterra", "coda", "adaptation-test", few={"trajectories": 2}),
                Data("lotka-volterra", "coda", "adaptation"),
            ),
        ),
        (Library("library", "products", {"degree": 2}), Library("linear", "none", {"degree": 1})),
    )
    rows = list(score_task(task, tmp_path, 0))
    again = list(score_task(task, tmp_path, 0))
    assert [row["value"] for row in rows] == pytest.approx([row["value"] for row in again], rel=1e-3)
    found = {(row["library"], row["iterations"]): row["value"] for row in rows}
    assert found["library", CONVERGED] < 1e-5 < found["linear", CONVERGED]
    assert found["library", 1] < 1e-4
    assert len(rows[0]["by_environment"]) == 4


def test_a_library_that_fits_nothing_says_so(tmp_path):
    wrong = Library("wrong", "a size of a term that is none", {"degree": 1, "candidates": ["prey: nothing"]})
    (row,) = score_task(Task("prey", "adaptation", "mse", (PREY,), (), (wrong,)), tmp_path, 0)
    assert "nothing" in row["failed"]


def test_averages_have_the_range_of_seeds():
    same = {"task": "t", "split": "s", "library": "l", "knows": "k", "iterations": 1, "frames": 5, "metric": "mse"}
    rows = [same | {"seed": seed, "value": value, "floor": 0.0} for seed, value in enumerate((1.0, 3.0))]
    (row,) = averaged(rows)
    assert (row["value"], row["range"], row["seeds"]) == (2.0, [1.0, 3.0], [0, 1])


def test_averages_of_a_seed_without_a_score_are_none():
    same = {"task": "t", "split": "s", "library": "l", "knows": "k", "iterations": 1, "frames": 5, "metric": "mse"}
    (row,) = averaged([same | {"seed": 0, "value": 1.0}, same | {"seed": 1, "value": None}])
    assert row["value"] is None


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_protocols_name_presets_that_exist(name):
    for task in PROTOCOLS[name].tasks:
        for data in (*task.train, *(split.data for split in task.splits)):
            assert data.config(1).part == data.part
            data.config(0, full=True)
        for library in task.libraries:
            library.config(0)


def test_published_numbers_stand_in_the_table():
    row = {"task": "Combined", "split": "b, g", "library": "true terms", "knows": "k", "iterations": 1, "frames": 50}
    row |= {"metric": "nrmse", "value": 1e-3, "floor": 0.0, "untrusted": 0.0, "adapt_seconds": 0.01, "seed": 0}
    table = table_of(PROTOCOLS["ttg"], [row, row | {"split": None, "failed": "no"}])
    assert "0.007 TTG beam [P]" in str(list(table.columns[-1].cells))
    assert published(PROTOCOLS["ttg"], "Combined", "none") == ()


def test_stores_of_other_counts_have_other_names():
    few, more, whole = (Data("heat", "zebra", "train", few) for few in ({"draws": 4}, {"draws": 8}, {}))
    assert len({few.name(0, False), more.name(0, False), whole.name(0, False)}) == 3
    assert few.name(0, True) == more.name(0, True)


def test_a_task_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Lotka-Volterra"):
        score_protocol(PROTOCOLS["coda"], tmp_path, only=["heat"])


def test_without_leaves_out():
    assert without(["u: dx(u)", "u: dxxx(u)"], "dxxx(") == ["u: dx(u)"]
