"""`dino reproduce`: stores, settings, every test of the paper, and the command, on waves of 16 x 16 cells."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import dino
from data_pipeline.simulators.wave import WaveConfig
from data_pipeline.stores.writing import open_store
from dino.commands.app import main
from dino.config import load_config
from dino.data.charts import kept_cells
from dino.experiments.reproduce import EXPERIMENTS, PROTOCOLS, QUICK_SETTINGS, filled, score, simulate, store_path
from dino.experiments.sequences import score_sequences
from dino.model.checkpoint import load_run_config

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "wave.yaml"
SMALL = ["decoder.code_size=16", "decoder.hidden=16", "field.steps=60", "data.symmetries=4", "dynamics.rounds=2"]
SPANS = {"in_t", "out_t"}
INSIDE = {span + part for span in SPANS for part in ("_in_s", "_out_s")}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The quick preset, smaller still."""
    sizes = {"grid": 16, "frames": 40}
    presets = {("quick", "train"): {"trajectories": 8, **sizes}, ("quick", "test"): {"trajectories": 1, **sizes}}
    monkeypatch.setattr(WaveConfig, "PRESETS", presets)
    wave = dataclasses.replace(EXPERIMENTS["wave"], finer_in_space={"grid": 32})
    monkeypatch.setitem(EXPERIMENTS, "wave", wave)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shared by the tests: stores are used again."""
    return tmp_path_factory.mktemp("reproduce") / "wave"


def stores(folder, calls=None, protocol="dino", seed=0):
    def report(done, total, note=""):
        if calls is not None:
            calls.append((done, total))

    return lambda name: simulate("wave", folder, "quick", protocol, seed, name, report)


def run(folder, *arguments) -> int:
    command = ["reproduce", "wave", "--preset", "quick", "--out", str(folder), "--config", str(CONFIG)]
    settings = [part for override in SMALL for part in ("--set", override)]
    with pytest.raises(SystemExit) as stop:
        main([*command, *settings, *arguments])
    return int(stop.value.code or 0)


def test_stores_are_made_once(folder):
    calls = []
    store = stores(folder, calls)
    shapes = {name: tuple(store(name).sizes[dim] for dim in ("trajectory", "time", "latitude")) for name in
              ("train", "test", "fine-grid", "fine-time")}  # fmt: skip
    assert shapes == {"train": (16, 20, 16), "test": (2, 20, 16), "fine-grid": (2, 20, 32), "fine-time": (2, 80, 16)}
    made, again = len(calls), store("train")
    assert made > 0
    assert len(calls) == made
    assert again.sizes["trajectory"] == 16
    assert store_path(folder, "quick", "dino", 0, "train").exists()


def test_finer_stores_show_the_same_trajectories(folder):
    store = stores(folder)
    test, grid, times = (store(name)["displacement"].values for name in ("test", "fine-grid", "fine-time"))
    np.testing.assert_allclose(grid[..., ::2, ::2], test, atol=1e-5)
    np.testing.assert_allclose(times[:, ::4], test, atol=1e-5)


def test_seeds_and_parts_are_other_data(folder):
    test, train = (stores(folder)(name)["displacement"].values for name in ("test", "train"))
    other = stores(folder, seed=1)("test")["displacement"].values
    assert not np.isclose(test, other).all()
    assert not np.isclose(test, train[:2]).all()


@pytest.mark.parametrize(
    ("protocol", "keep", "share"), [("dino", None, 1.0), ("successors", None, 0.2), ("dino", 0.1, 0.1)]
)
def test_the_experiment_fills_in_its_settings(folder, protocol, keep, share):
    dataset = stores(folder, protocol=protocol)("train")
    path = store_path(folder, "quick", protocol, 0, "train")
    config = filled(load_config(CONFIG, QUICK_SETTINGS), path, dataset, protocol, 7, keep)
    assert (config.seed, config.data.keep, config.data.keep_seed) == (7, share, 7)
    assert config.data.stores[0].path == path
    trained = PROTOCOLS[protocol].trained
    assert dataset.sizes["time"] == PROTOCOLS[protocol].frames
    assert (dataset["time"].values <= np.datetime64(config.data.train_end)).sum() == trained
    assert config.decoder.code_size == 64
    assert load_config(CONFIG).decoder.code_size != 64  # which the quick settings have replaced


def test_the_command_trains_scores_and_draws(folder, capsys):
    assert run(folder, "--keep", "0.25", "--seed", "0") == 0
    out = capsys.readouterr().out
    assert "wave, 25 % of the cells, first 10 frames trained on" in out
    assert "Out-t Out-s" in out
    assert "finer times" in out
    case = folder / "quick-dino-0" / "run-25"
    for name in ("training.png", "error.png"):
        assert (case / "figures" / name).stat().st_size > 1000
    made = json.loads((case / "scores.json").read_text())
    assert (made["system"], made["protocol"], made["keep"], made["seed"]) == ("wave", "dino", 0.25, 0)
    assert made["training_seconds"] > 0
    assert made["training_cpu_seconds"] > 0
    rows = {(row["test"], row["channel"]): row for row in made["scores"]}
    tests = ("same points", "new points", "finer grid", "finer times")
    assert set(rows) == {(test, name) for test in tests for name in ("displacement", "displacement_rate")}
    for (test, _), row in rows.items():
        spans = SPANS if test == "finer grid" else SPANS | INSIDE
        assert set(row) == {"test", "channel", "variance"} | spans
        assert all(np.isfinite(row[span]) for span in spans)
        assert 0 < row["in_t"] < row["variance"]
    assert f"{rows['finer grid', 'displacement']['out_t']:.2e}" in out
    curve = made["by_frame"]["finer times"]
    np.testing.assert_allclose(curve["lead_days"], np.arange(4 * 19 + 1) / 16, atol=1e-9)  # to the same last lead
    means = np.mean([error[0] for error in curve["mse"][: 4 * 9 + 1]])
    assert rows["finer times", "displacement"]["in_t"] == pytest.approx(means)
    assert yaml.safe_load((case / "config.yaml").read_text())["decoder"]["code_size"] == 16


def test_the_command_is_not_run_over_itself(folder, capsys):
    case = folder / "quick-dino-0" / "run-25"
    if not (case / "model.json").exists():
        run(folder, "--keep", "0.25")
    before = (case / "model.safetensors").read_bytes()
    assert run(folder, "--keep", "0.25") == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert "holds a finished run already" in message
    assert run(folder, "--keep", "0.25", "--resume") == 0  # nothing is left to train, and it is scored again
    assert (case / "model.safetensors").read_bytes() == before


def test_what_is_scored_is_what_the_cells_showed(folder):
    case = folder / "quick-dino-0" / "run-25"
    if not (case / "model.json").exists():
        run(folder, "--keep", "0.25")
    forecaster, config, test = dino.load(case), load_run_config(case), stores(folder)("test")
    made = score(forecaster, config, stores(folder), "dino")
    seen = kept_cells((16, 16), 0.25, 0)
    by_hand = score_sequences(forecaster, test, seen, trained_days=9 * 0.25)
    np.testing.assert_allclose(made["same points"].by_frame, by_hand.by_frame)
    assert not np.allclose(made["new points"].by_frame, by_hand.by_frame)
    coarse = score_sequences(forecaster, stores(folder)("fine-grid"), seen, 9 * 0.25, initial=test)
    np.testing.assert_allclose(made["finer grid"].by_frame, coarse.by_frame)
    assert made["finer times"].leads[-1] == pytest.approx(made["same points"].leads[-1])


def test_the_protocol_of_the_successors(tmp_path):
    assert run(tmp_path, "--protocol", "successors", "--seed", "2", "--set", "field.steps=5") == 0
    case = tmp_path / "quick-successors-2"
    made = json.loads((case / "run-20" / "scores.json").read_text())
    assert (made["protocol"], made["keep"], made["seed"]) == ("successors", 0.2, 2)
    assert len(made["by_frame"]["same points"]["mse"]) == 40
    assert open_store(case / "train.zarr").sizes["trajectory"] == 8
    assert {row["test"] for row in made["scores"]} == {"same points", "new points", "finer grid", "finer times"}


def test_all_cells_need_no_new_points(folder):
    assert run(folder, "--set", "field.steps=5") == 0
    made = json.loads((folder / "quick-dino-0" / "run-100" / "scores.json").read_text())
    assert {row["test"] for row in made["scores"]} == {"same points", "finer grid", "finer times"}
    assert not INSIDE & set(made["scores"][0])


def test_a_setting_that_is_not_there_is_told_first(tmp_path, capsys):
    assert run(tmp_path, "--set", "decoder.sizes=3") == 2
    assert "known keys" in capsys.readouterr().err
    assert not tmp_path.joinpath("quick-dino-0").exists()  # before anything is simulated
