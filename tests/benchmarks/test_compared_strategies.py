"""Strategies compared: what each trial sees, that all are scored alike, and that what is done is not done again."""

import json

import numpy as np
import pytest
from strategies import comparison
from strategies.comparison import Trial, compare, few, in_turn, summary, trials
from strategies.figures import plot_few_shot, plot_strategies
from transfer import main

from data_pipeline.stores.writing import open_store, write_store
from dino.errors import ConfigError, EmptyDataError
from dino.model.checkpoint import load_run_config
from dino.transfer import STRATEGIES
from dino.transfer.base import Transferred
from tests.pictures import assert_drawn


def test_every_strategy_sees_everything_first_and_none_is_asked_once_a_seed():
    made = trials(["none", "modulation", "statistics"], [1, 5], [0.1, 1], [0, 1])
    assert [t.strategy for t in made].count("none") == 2
    assert [(t.days, t.share) for t in made if t.strategy == "statistics" and t.seed == 1] == [(5, 1), (1, 1), (5, 0.1)]
    assert len(made) == len(set(made))


def test_a_trial_sees_its_days_and_its_share(box_observations):
    before = float(box_observations.time[-1])  # the points of that day are scored, not seen
    seen = few(box_observations, before, Trial("statistics", 3.0, 1.0, 0))
    assert (seen.time.min(), seen.time.max()) == (before - 3, before - 1)
    part = few(box_observations, before, Trial("statistics", 3.0, 0.1, 0))
    assert len(part) == round(0.1 * len(seen))
    assert not np.array_equal(part.values, few(box_observations, before, Trial("statistics", 3.0, 0.1, 1)).values)
    assert np.array_equal(part.values, few(box_observations, before, Trial("statistics", 3.0, 0.1, 0)).values)


@pytest.fixture
def compared(task, box_run, box_observations, monkeypatch):
    """compared(todo, **outcomes): the rows of trials whose strategies end so, and what the scored models were.

    An outcome is a refusal, or what the strategy adds to the variance of what the basis leaves out: zero keeps nothing.
    """

    def make(todo, **outcomes):
        scored = []

        def strategy_of(name):
            def adapt(given, progress):
                if isinstance(outcomes[name], Exception):
                    raise outcomes[name]
                given.latent.unresolved_variance += outcomes[name]
                return Transferred(1.0, 0.5 if outcomes[name] else 1.0, [1.0])

            return adapt

        def score(forecaster):
            scored.append(float(forecaster.latent.unresolved_variance.max()))
            return [{"channel": "ssh", "lead_days": 1.0, "rmse": 2.0 + scored[-1] - scored[0], "units": "m"}]

        monkeypatch.setattr(comparison, "strategy", strategy_of)
        made = compare(
            todo, lambda seed: task().forecaster, lambda seed: box_observations, lambda seed: score,
            lambda seed: load_run_config(box_run), float(box_observations.time[-1]),
        )  # fmt: skip
        return [row for trial in made for row in trial], scored

    return make


def test_a_model_that_moved_is_scored_and_one_that_did_not_has_the_score_of_none(compared):
    todo = [Trial(name, 12.0, 1.0, 0) for name in ("none", "moved", "stayed")]
    found, scored = compared(todo, none=0.0, moved=1.0, stayed=0.0)
    assert [(row["strategy"], round(row["rmse"], 5), row["kept"], row["misfit_after"]) for row in found] == [
        ("none", 2.0, False, 1.0),
        ("moved", 3.0, True, 0.5),
        ("stayed", 2.0, False, 1.0),
    ]
    assert len(scored) == 2
    assert len({row["points"] for row in found}) == 1


def test_strategies_in_turn_go_on_from_each_other_and_keep_what_any_kept(compared):
    todo = [Trial(name, 12.0, 1.0, 0) for name in ("moved+more", "stayed+stayed", "stayed+moved")]
    found, scored = compared(todo, moved=1.0, more=0.5, stayed=0.0)
    assert [row["kept"] for row in found] == [True, False, True]
    assert [row["misfit_after"] for row in found] == [0.25, 1.0, 0.5]  # both kept: a half of a half
    assert [len(row["misfit_of_rounds"]) for row in found] == [2, 2, 2]
    assert scored[1] - scored[0] == pytest.approx(1.5)


def test_an_unknown_strategy_in_turn_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="unknown transfer strategy 'flying'"):
        in_turn("statistics+flying")


def test_a_refused_trial_gives_a_row_with_the_reason_and_is_in_no_mean(compared):
    todo = [Trial(name, 12.0, 1.0, 0) for name in ("none", "refusing")]
    found, scored = compared([*todo, Trial("none", 0.5, 1.0, 0)], none=0.0, refusing=EmptyDataError("too few points"))
    assert (found[1]["refused"], found[1]["rmse"]) == ("too few points", None)
    # Maps are a day apart: no point lies in the half day before the scored ones.
    assert "no observation between" in found[2]["refused"]
    assert len(scored) == 1
    assert summary(found, days=12.0) == {"none": {1.0: 1.0}}


def test_every_strategy_has_its_task(task, box_run, box_observations):
    """The real ones: a task holds what each of them needs, settings and the maps of training too."""
    config = load_run_config(box_run)
    brief = {"rounds": 1, "steps": 1, "window_days": 2.0, "horizon_days": 2.0}
    config = config.model_copy(update={"transfer": config.transfer.model_copy(update=brief)})
    names = [name for name in STRATEGIES if name != "numbers"]  # which wants two layers
    made = compare(
        [Trial(name, 12.0, 1.0, 0) for name in names], lambda seed: task().forecaster,
        lambda seed: box_observations, lambda seed: lambda forecaster: [{"rmse": 1.0}], lambda seed: config,
        float(box_observations.time[-1]),
    )  # fmt: skip
    found = [row for trial in made for row in trial]
    assert [row["strategy"] for row in found] == names
    assert [row.get("refused") for row in found] == [None] * len(found)
    assert all(np.isfinite([row["misfit_before"], row["misfit_after"]]).all() for row in found)


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
    found = summary(rows(statistics=0.9, context=1.1), days=5.0)
    assert found["none"] == {1.0: 1.0, 3.0: 1.0}
    assert found["statistics"] == pytest.approx({1.0: 0.9, 3.0: 0.9})
    for draw in (plot_strategies, plot_few_shot):
        assert_drawn(
            draw(rows(statistics=0.9, context=1.1), tmp_path / "figure.png"),
            other=draw(rows(statistics=0.9, context=0.8), tmp_path / "other.png"),
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
