"""Strategies compared: what each trial sees, that all are scored alike, and that what is done is not done again."""

import json

import numpy as np
import pytest
from strategies.comparison import Trial, compare, few, summary, trials
from strategies.figures import plot_few_shot, plot_strategies
from transfer import main

from data_pipeline.stores.writing import open_store, write_store
from tests.pictures import assert_drawn


def test_every_strategy_sees_everything_first_and_none_is_asked_once_a_seed():
    made = trials(["none", "modulation", "full"], [1, 5], [0.1, 1], [0, 1])
    assert [t.strategy for t in made].count("none") == 2
    assert [(t.days, t.share) for t in made if t.strategy == "full" and t.seed == 1] == [(5, 1), (1, 1), (5, 0.1)]
    assert len(made) == len(set(made))


def test_a_trial_sees_its_days_and_its_share(box_observations):
    before = float(box_observations.time[-1])  # the points of that day are scored, not seen
    seen = few(box_observations, before, Trial("full", 3.0, 1.0, 0))
    assert (seen.time.min(), seen.time.max()) == (before - 3, before - 1)
    part = few(box_observations, before, Trial("full", 3.0, 0.1, 0))
    assert len(part) == round(0.1 * len(seen))
    assert not np.array_equal(part.values, few(box_observations, before, Trial("full", 3.0, 0.1, 1)).values)
    assert np.array_equal(part.values, few(box_observations, before, Trial("full", 3.0, 0.1, 0)).values)


def test_trials_are_scored_alike_and_refusals_are_told(task, box_observations):
    scored = []

    def score(forecaster):
        scored.append(forecaster)
        return [{"channel": "ssh", "lead_days": 1.0, "rmse": 2.0 if len(scored) == 1 else 1.0, "units": "m"}]

    todo = [Trial("none", 12.0, 1.0, 0), Trial("modulation", 12.0, 1.0, 0), Trial("modulation", 12.0, 0.001, 0)]
    config = task().config
    rows = [
        row
        for made in compare(
            todo, lambda seed: task().forecaster, lambda seed: box_observations, lambda seed: score,
            lambda seed: config, float(box_observations.time[-1]),
        )
        for row in made
    ]  # fmt: skip
    assert rows[0]["rmse"] == 2.0
    assert rows[1]["rmse"] == (1.0 if rows[1]["gained"] else 2.0)
    assert rows[2]["rmse"] is None or rows[2]["points"] == 1
    assert all("refused" in row or row["points"] >= 1 for row in rows)


def rows(**ratios):
    return [
        {
            "strategy": name,
            "days": days,
            "share": 1.0,
            "seed": seed,
            "channel": "ssh",
            "lead_days": lead,
            "rmse": 2.0 * r,
        }
        for name, r in {"none": 1.0, **ratios}.items()
        for days in ((5.0,) if name == "none" else (1.0, 5.0))
        for seed in (0, 1)
        for lead in (1.0, 3.0)
    ]


def test_the_summary_is_over_none(tmp_path):
    found = summary(rows(full=0.9, context=1.1), days=5.0)
    assert found["none"] == {1.0: 1.0, 3.0: 1.0}
    assert found["full"] == pytest.approx({1.0: 0.9, 3.0: 0.9})
    for draw in (plot_strategies, plot_few_shot):
        assert_drawn(
            draw(rows(full=0.9, context=1.1), tmp_path / "figure.png"),
            other=draw(rows(full=0.9, context=0.8), tmp_path / "other.png"),
        )


def test_the_script_compares_on_an_ocean_of_the_users(box_store, box_run, scattered, tmp_path, capsys):
    real = open_store(box_store).load().isel(trajectory=7, drop=True)
    truth = write_store(real, tmp_path / "truth.zarr")
    seen = write_store(scattered(real, ["ssh"], 900), tmp_path / "seen.zarr")
    out = tmp_path / "out"
    settings = (
        "evaluation.start=2000-01-12", "evaluation.leads_days=[1]", "transfer.rounds=1", "transfer.steps=3",
        "transfer.window_days=2", "transfer.horizon_days=2", "assimilation.window_days=2", "assimilation.iterations=1",
    )  # fmt: skip
    command = [
        "--work", str(out), "--run", str(box_run), "--observations", str(seen), "--truth", str(truth),
        "--strategies", "none", "modulation", "--days", "3", "8", "--shares", "1",
        "--json", str(out / "report.json"), "--set", *settings,
    ]  # fmt: skip
    written = []
    for _ in range(2):
        main(command)
        written.append((out / "transfer.json").read_bytes())
    assert written[0] == written[1]
    made = json.loads(written[0])["scores"]
    assert [(row["strategy"], row["days"]) for row in made] == [("none", 8.0), ("modulation", 8.0), ("modulation", 3.0)]
    assert "all_days_and_points.none" in capsys.readouterr().out
    results = json.loads((out / "report.json").read_text())["results"]
    assert results["all_days_and_points"]["none"] == {"1.0": 1.0}
    assert list(results["by_days"]) == ["3"]
    assert (out / "figures" / "few_shot.png").exists()


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--strategies", "magic"], None),
        (["--days", "many"], None),
        (["--days", "0"], 1),
        (["--shares", "2"], 1),
        (["--run", "nowhere"], 1),
        (["--run", "nowhere", "--observations", "seen.zarr", "--truth", "maps.zarr"], 1),
    ],
)
def test_what_cannot_be_compared_is_refused(options, lines, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--work", str(tmp_path), *options])
    assert stop.value.code == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert lines is None or len(told) == lines
