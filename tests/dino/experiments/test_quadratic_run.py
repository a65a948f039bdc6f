"""Runs with the quadratic form, kept cells and symmetric copies: what training sees, learns and resumes."""

import json
import signal

import numpy as np
import pytest
import torch

from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.data.charts import kept_cells
from dino.dynamics import QuadraticODE
from dino.errors import ConfigError, NonFiniteError
from dino.experiments import train as module
from dino.experiments.train import train
from dino.model.checkpoint import load_model
from dino.space.domain import PeriodicBox
from dino.training.loop import Interrupted
from dino.training.prepare import prepare

SLIDES = [{"slide": (1, 0)}, {"slide": (0, 1)}]
KEPT = kept_cells((16, 16), 0.4, seed=5)


@pytest.fixture(scope="module")
def store(box_dataset, tmp_path_factory):
    """Ten trajectories of waves that any shift of the plane takes to others."""
    dataset = box_dataset(trajectories=10, days=12)
    dataset.attrs["symmetries"] = json.dumps(SLIDES)
    return write_store(dataset, tmp_path_factory.mktemp("stores") / "waves.zarr")


@pytest.fixture(scope="module")
def settings(box_config, store):
    made = box_config.model_dump(mode="json")
    made["data"] |= {"stores": [{"path": str(store)}], "keep": 0.4, "keep_seed": 5, "symmetries": 3}
    made["decoder"] |= {"code_size": 12, "hidden": 32, "scale": 4.0}
    made["field"] |= {"steps": 60, "learning_rate": 0.02, "frames_per_step": 32}
    made["dynamics"] |= {"form": "quadratic", "order": 1, "rounds": 3, "horizons": [5], "descent_steps": 13}
    return made


def changed(settings, **sections):
    return Config.model_validate(settings | {name: settings[name] | values for name, values in sections.items()})


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "quadratic"
    train(Config.model_validate(settings), folder, silent)
    return folder


def test_a_quadratic_run_learns_and_is_read_back(finished, settings):
    records = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    errors = [r["validation"] for r in records if r["stage"] == "dynamics"]
    assert len(errors) >= 4 + 2 + 2  # penalties in the first round, two more rounds, penalties in the last
    assert min(errors) < 0.5  # of persistence, over leads of one to five days
    assert all(r["train"] is None for r in records if r["stage"] == "dynamics")
    model, _ = load_model(finished)
    assert isinstance(model.dynamics, QuadraticODE)
    assert torch.isfinite(model.dynamics.extent).all()
    assert model.dynamics.pull == 1.0
    assert model.dynamics.coefficients.abs().max() > 0
    assert (model.lead_error[1:] > 0).all()


def test_only_kept_cells_are_seen(settings, box_dataset):
    splits, _, ocean = prepare(Config.model_validate(settings))
    series = splits[0].series
    assert series.values.shape[2] == KEPT.sum() == round(0.4 * 256)
    dataset = box_dataset(trajectories=10, days=12)
    values = dataset["ssh"].values.astype(float)
    rows = np.broadcast_to(np.cos(np.deg2rad(dataset["latitude"].values))[:, None], (16, 16))
    learned = values[splits[0].training_rows][..., KEPT]  # held-out trajectories are in no statistics
    mean = np.average(learned, weights=np.broadcast_to(rows[KEPT], learned.shape))
    spread = np.sqrt(np.square(learned - mean).mean())
    assert ocean.spread == pytest.approx([spread], rel=1e-5)
    assert spread != pytest.approx(np.sqrt(np.square(values - values.mean()).mean()), rel=1e-3)
    np.testing.assert_allclose(ocean.background.values, mean, atol=1e-6)
    expected = (values[..., KEPT] - mean) / spread
    np.testing.assert_allclose(series.values[..., 0], expected, atol=1e-4)


def test_what_is_not_kept_does_not_matter(settings, box_dataset, tmp_path):
    dataset = box_dataset(trajectories=10, days=12)
    dataset.attrs["symmetries"] = json.dumps(SLIDES)
    dataset["ssh"] = dataset["ssh"].where(KEPT, 1e3)
    path = write_store(dataset, tmp_path / "loud.zarr")
    (split,), *_ = prepare(Config.model_validate(settings))
    (other,), *_ = prepare(changed(settings, data={"stores": [{"path": str(path)}]}))
    assert torch.equal(split.series.values, other.series.values)
    assert torch.equal(split.copies[1].coordinates, other.copies[1].coordinates)


def test_copies_are_the_training_part_at_other_places(settings):
    (split,), _, ocean = prepare(Config.model_validate(settings))
    assert len(split.copies) == 2
    assert isinstance(ocean.cover.charts[0], PeriodicBox)
    for copy in split.copies:
        assert torch.equal(copy.values, split.training.values)
        assert copy.count == 9
        assert (copy.coordinates - split.series.coordinates).norm(dim=-1).min() > 1e-3
        near, original = ((c[:, None] - c[None]).norm(dim=-1) for c in (copy.coordinates, split.series.coordinates))
        torch.testing.assert_close(near, original, rtol=0, atol=1e-4)
    one, two = (copy.coordinates for copy in split.copies)
    assert (one - two).norm(dim=-1).min() > 1e-3
    (again,), *_ = prepare(Config.model_validate(settings))
    assert torch.equal(again.copies[0].coordinates, one)
    (other,), *_ = prepare(Config.model_validate(settings | {"seed": 1}))
    assert not torch.equal(other.copies[0].coordinates, one)


def test_copies_want_a_store_that_declares_its_symmetries(settings, box_store):
    with pytest.raises(ConfigError, match=r"data\.symmetries"):
        prepare(changed(settings, data={"stores": [{"path": str(box_store)}]}))


def assert_same_run(one, other):
    for name in ("model.safetensors", "model.json", "metrics.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("where", ["fit_quadratic", "measure_model_error"])
def test_resume_after_a_crash_in_the_dynamics_equals_not_having_stopped(
    where, finished, settings, tmp_path, monkeypatch
):
    config = Config.model_validate(settings)
    with monkeypatch.context() as patch:

        def failing(*arguments):
            raise KeyError("power cut")

        patch.setattr(module, where, failing)
        with pytest.raises(KeyError, match="power cut"):
            train(config, tmp_path, silent)
    assert not (tmp_path / "model.json").exists()
    torch.rand(3)  # the state of the global generator must not matter
    train(config, tmp_path, silent, resume=True)
    assert_same_run(finished, tmp_path)


@pytest.mark.parametrize(("stage", "when"), [("field", (17, 60)), ("descent", (5, 13))])
def test_resume_after_an_interruption_of_a_stage(stage, when, finished, settings, tmp_path):
    config = Config.model_validate(settings)

    def interrupt(done, total, note=""):
        if (done, total) == when:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"step {when[0]} of the {stage} stage"):
        train(config, tmp_path, interrupt)
    train(config, tmp_path, silent, resume=True)
    assert_same_run(finished, tmp_path)


def test_held_out_codes_that_no_fit_follows_are_told(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("dino.training.collocation.forecast_errors", lambda *_: (torch.full((5,), torch.nan), 1.0))
    with pytest.raises(NonFiniteError, match=r"raise dynamics\.ridge"):
        train(changed(settings, field={"steps": 2}), tmp_path, silent)
