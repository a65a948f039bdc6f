"""Shares of the way that transfer closes, and the figure of the demo's errors."""

import demo
import pytest
from strategies.way import closed

from tests.pictures import assert_drawn


def test_a_strategy_that_is_half_way_has_closed_a_half():
    came, own = {"0": 4.0, "5": 10.0}, {"0": 2.0, "5": 6.0}
    made = {"none": came, "pace": {"0": 3.0, "5": 11.0}, "statistics": own, "own_simulation": own}
    shares = closed(made, ["none", "pace", "statistics"])
    assert shares["pace"] == pytest.approx({"0": 0.5, "5": -0.25})
    assert shares["statistics"] == pytest.approx({"0": 1.0, "5": 1.0})
    assert "none" not in shares


def test_the_demos_errors_are_drawn_with_analyses_at_zero(tmp_path):
    def runs(factor):
        rmse = {name: {"1": factor * n, "5": factor * 2 * n, "10": 9.0} for n, name in enumerate(demo.DRAWN, 1)}
        analysis = {name: 1.0 for name in demo.DRAWN if name != "persistence"}
        return {f"seed_{seed}": {"rmse_cm": rmse, "analysis_rmse_cm": analysis} for seed in (4, 5)}

    drawn = demo.draw(runs(1.0), tmp_path / "figure.png")
    assert_drawn(drawn, other=demo.draw(runs(1.5), tmp_path / "other.png"))
