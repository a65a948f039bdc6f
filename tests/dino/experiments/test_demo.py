"""The quick demo, the same code as the whole one: from nothing to scores and figures."""

import json
from pathlib import Path

from PIL import Image

from dino.commands.demo import demo

CONFIG = Path(__file__).parents[3] / "configs" / "demo.yaml"


def test_quick_demo_ends_with_scores_and_figures(tmp_path):
    demo(tmp_path, config=CONFIG, quick=True)
    scores = json.loads((tmp_path / "scores.json").read_text())
    rmse = {(row["method"], row["lead_days"]): row["rmse"] for row in scores["scores"]}
    methods = {method for method, _ in rmse}
    assert methods == {"dino", "persistence", "optimal_interpolation_persistence", "mean"}
    assert rmse["dino", 1.0] < 0.5 * rmse["mean", 1.0]
    for name in ("maps.png", "skill.png", "observations.png", "training.png", "forecast.gif"):
        with Image.open(tmp_path / "figures" / name) as figure:
            assert min(figure.size) > 200
    assert (tmp_path / "transferred" / "model.safetensors").is_file()
