"""The spread judged beside the reference ensembles, and the report of it."""

import numpy as np
import pytest
from PIL import Image

from data_pipeline.errors import EmptyDataError
from dino.evaluation.ensembles import References
from dino.evaluation.report import spread_table
from dino.evaluation.spread import add_honesty, judge
from dino.plotting import plot_spread

LEADS = np.array([1.0, 2.0, 5.0])


def walks(runs: int = 30, days: int = 20, points: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Random walks (time, channel, point) of several runs, a gap of 1000 days between these."""
    chance = np.random.default_rng(0)
    steps = chance.normal(size=(runs, days, 1, points))
    times = np.arange(days) + 1000.0 * np.arange(runs)[:, None]
    return np.cumsum(steps, axis=1).reshape(-1, 1, points), times.ravel()


@pytest.fixture(scope="module")
def judged():
    """Forecasts of random walks whose spread is right, and a row of each method as reports have them."""
    values, times = walks()
    references = References.of(values, times, LEADS)
    chance = np.random.default_rng(1)
    last = chance.normal(size=(40, 1, 25))
    truth = last[:, None] + np.sqrt(LEADS)[:, None, None] * chance.normal(size=(40, 3, 1, 25))
    mean = np.repeat(last[:, None], 3, 1)
    spread = np.broadcast_to(np.sqrt(LEADS)[:, None, None], truth.shape)
    honesty = judge(truth, mean, spread, last, references, np.ones(25), np.ones(truth.shape, bool))
    rows = [
        {"channel": "ssh", "method": method, "lead_days": float(lead), "rmse": 1.0, "units": "m"}
        for method in ("dino", "persistence", "half_trend", "mean")
        for lead in LEADS
    ]
    add_honesty(rows, honesty, ["ssh"], LEADS)
    return rows, honesty


def test_a_reliable_forecast_is_found_reliable(judged):
    rows, honesty = judged
    assert set(honesty) == {"dino", "persistence", "mean"}
    for name in ("dino", "persistence"):
        np.testing.assert_allclose(honesty[name].spread_skill_ratio, 1.0, atol=0.12)
        np.testing.assert_allclose(honesty[name].covered[..., 1], 0.9, atol=0.03)
    # CRPS of N(0, s) at its own truth is s / sqrt(pi); the climate knows less.
    np.testing.assert_allclose(honesty["dino"].crps[:, 0], np.sqrt(LEADS / np.pi), rtol=0.06)
    assert (honesty["mean"].crps > honesty["dino"].crps).all()
    ours = {row["lead_days"]: row for row in rows if row["method"] == "dino"}
    assert ours[5.0]["crps"] == pytest.approx(honesty["dino"].crps[2, 0])
    assert ours[5.0]["coverage_90"] == pytest.approx(honesty["dino"].covered[2, 0, 1])
    assert all("crps" not in row for row in rows if row["method"] == "half_trend")


def test_the_mask_leaves_pairs_out(judged):
    values, times = walks()
    references = References.of(values, times, LEADS)
    truth, mask = np.zeros((2, 3, 1, 25)), np.ones((2, 3, 1, 25), bool)
    truth[0], mask[0] = 1e6, False
    honesty = judge(
        truth, np.zeros_like(truth), np.ones_like(truth), np.zeros((2, 1, 25)), references, np.ones(25), mask
    )
    assert (honesty["dino"].crps < 1.0).all()


def test_table_and_figure_show_every_method(judged, tmp_path):
    rows, honesty = judged
    table = spread_table(rows, "ssh")
    assert table.row_count == 3
    assert len(table.columns) == 1 + 3 + 3
    shapes = {method: found.shape(0) for method, found in honesty.items()}
    with Image.open(plot_spread(rows, shapes, "ssh", tmp_path / "spread.png")) as figure:
        assert min(figure.size) > 500
    with pytest.raises(EmptyDataError):
        plot_spread([row for row in rows if row["method"] == "half_trend"], shapes, "ssh", tmp_path / "none.png")
