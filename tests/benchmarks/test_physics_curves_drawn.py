"""Rows of many physics in their JSON, and curves over what is given of an environment."""

import json

import pytest
from physics import kept
from physics_curves import plot_curves, points

from tests.pictures import assert_drawn


def curve(task, along, given, value, seed=0):
    numbers = {"trajectories": 1, "frames": 20} | {along: given}
    return {"task": task, "along": along, "value": value, "seed": seed} | numbers


ROWS = [curve("prey", "trajectories", n, 10.0**-n * (1 + seed), seed) for n in (1, 2) for seed in (0, 2)]
ROWS += [curve("prey", "frames", 3, None), curve("prey", "frames", 5, 1e-3)]


def test_other_libraries_and_seeds_are_kept(tmp_path):
    path = tmp_path / "scores.json"
    rows = [{"task": "t", "library": name, "seed": seed} for name in ("a", "b") for seed in (0, 1)]
    path.write_text(json.dumps({"results": {"rows": rows, "commands": ["one"]}}))
    left = kept(path, [{"task": "t", "library": "a", "seed": 1}])
    assert [(row["library"], row["seed"]) for row in left["rows"]] == [("a", 0), ("b", 0), ("b", 1)]
    assert kept(None, rows)["rows"] == kept(tmp_path / "none", rows)["rows"] == []


def test_points_are_means_and_ranges_of_seeds():
    one, two = points(ROWS, "prey", "trajectories")
    assert one == pytest.approx((1, 0.2, 0.1, 0.3))
    assert two == pytest.approx((2, 0.02, 0.01, 0.03))


def test_a_number_without_a_score_is_left_out():
    assert [number for number, *_ in points(ROWS, "prey", "frames")] == [5]


def test_curves_are_drawn(tmp_path):
    assert_drawn(plot_curves(ROWS, tmp_path / "curves.png"))
