"""The quick demo, the same code as the whole one: from nothing to scores and figures."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import silent
from dino.commands.demo import demo
from dino.experiments.demo import DemoSizes, make_oceans

CONFIG = Path(__file__).parents[3] / "configs" / "demo.yaml"


def test_quick_demo_ends_with_scores_and_figures(tmp_path):
    demo(tmp_path, config=CONFIG, quick=True)
    scores = json.loads((tmp_path / "scores.json").read_text())
    rmse = {(row["method"], row["lead_days"]): row["rmse"] for row in scores["scores"]}
    methods = {method for method, _ in rmse}
    interpolated = {"optimal_interpolation", "customary_interpolation", "optimal_interpolation_persistence"}
    assert methods == {"dino", "persistence", "mean"} | interpolated
    assert scores["interpolation"]["preferred"] in scores["interpolation"]["validation_misfit"]
    assert rmse["dino", 1.0] < 0.5 * rmse["mean", 1.0]
    for name in ("maps.png", "skill.png", "observations.png", "training.png", "forecast.gif"):
        with Image.open(tmp_path / "figures" / name) as figure:
            assert min(figure.size) > 200
    assert (tmp_path / "transferred" / "model.safetensors").is_file()


def test_the_observed_ocean_is_none_of_those_to_learn_from(tmp_path):
    """Observed without looking at the others, with the errors it states; the same again from the same seed."""
    small = {"length_km": 400.0, "spin_up_days": 10, "scored_from": "2000-01-05"}
    sizes = DemoSizes(runs=2, trajectories=4, days=6, grid=16, real_days=12, **small)
    paths = make_oceans(tmp_path / "one", sizes, 3, silent)
    model, real, seen = (open_store(path).load() for path in paths)
    assert (model.sizes["trajectory"], model.sizes["time"], real.sizes["time"]) == (4, 6, 12)
    assert real.sizes["trajectory"] == 1
    for run in model["ssh"].values:
        assert not np.isclose(run, real["ssh"].values[0, :6], rtol=0.1).mean() > 0.5
    assert seen.sizes["obs"] > 100
    assert {str(name) for name in seen["source_name"].values} == {"swath-a", "swath-b", "nadir-10-day", "nadir-27-day"}
    np.testing.assert_allclose(seen["ssh_error"], 0.02, rtol=1e-3)
    assert seen["time"].values.min() >= real["time"].values[0]
    assert seen["time"].values.max() <= real["time"].values[-1] + np.timedelta64(1, "D")
    again = [open_store(path).load() for path in make_oceans(tmp_path / "two", sizes, 3, silent)]
    for one, other in zip((model, real, seen), again, strict=True):
        np.testing.assert_array_equal(one["ssh"], other["ssh"])
    other = open_store(make_oceans(tmp_path / "other", sizes, 4, silent)[1])
    assert not np.allclose(other["ssh"], real["ssh"])
