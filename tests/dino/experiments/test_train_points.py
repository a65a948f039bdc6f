"""Training from points alone: the Gaussian limit on a field of known covariance, resumption, moving gaps, refusals."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.data.observations import Observations
from dino.errors import ConfigError, DinoError, EmptyDataError, SchemaError
from dino.experiments import points_layers
from dino.experiments import train_points as module
from dino.experiments.points_held_out import withheld
from dino.experiments.points_record import holds_points
from dino.experiments.train import train
from dino.training.held_out import HeldOut
from dino.training.loop import Loop
from dino.training.points_stage import EvidenceStage

LENGTH_KM, TIME_DAYS, STD, ERROR = 110.0, 6.0, 0.2, 0.03
START = np.datetime64("2010-01-01", "ns")


def covariance_of(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of a field at places and times (n, 3) of kilometres east, north and days."""
    apart = np.linalg.norm(one[:, None, :2] - other[None, :, :2], axis=-1)
    lag = np.abs(one[:, None, 2] - other[None, :, 2])
    return STD**2 * np.exp(-0.5 * (apart / LENGTH_KM) ** 2 - lag / TIME_DAYS)


def draw(days: int, each: int, seed: int) -> xr.Dataset:
    """Points of a Gaussian field at places that differ at every moment, one a moment, with white errors."""
    chance = np.random.default_rng(seed)
    time = np.sort(chance.random(days * each) * days)
    longitude, latitude = -60 + 4 * chance.random(time.size), 30 + 4 * chance.random(time.size)
    places = kilometres(longitude, latitude, time)
    root = np.linalg.cholesky(covariance_of(places, places) + 1e-8 * np.eye(time.size))
    values = root @ chance.standard_normal(time.size) + ERROR * chance.standard_normal(time.size)
    moments = START + (time * 86_400_000_000_000).astype("timedelta64[ns]")
    return observations_dataset(moments, longitude, latitude, {"sla": values}, {"sla": np.full(time.size, ERROR)})


def kilometres(longitude, latitude, time):
    east = np.deg2rad(longitude + 58) * 6371.0 * np.cos(np.deg2rad(32.0))
    return np.stack([east, np.deg2rad(latitude - 32) * 6371.0, time], axis=-1)


def settings(store, **sections) -> dict:
    made = {
        "data": {"stores": [{"path": str(store)}], "channels": ["sla"], "validation_days": 8},
        "decoder": {"code_size": 24, "hidden": 32, "layers": 2},
        "field": {"steps": 80, "frames_per_step": 32, "prior_rounds": 1},
        "dynamics": {"horizons": [1, 3]},
        "assimilation": {"window_days": 8},
        "points": {"steps": 12},
    }
    for name, section in sections.items():
        made[name] = made.get(name, {}) | section
    return made


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(draw(days=40, each=24, seed=1), tmp_path_factory.mktemp("points") / "seen.zarr")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "points"
    torch.set_num_threads(1)
    train(Config.model_validate(settings(store)), folder, silent)
    return folder


def test_withheld_points_are_predicted_nearly_as_well_as_by_the_covariance_that_drew_them(run, store):
    forecaster = dino.load(run)
    seen = Observations.from_dataset(open_store(store).load(), ("sla",))
    end = float(seen.time[-1])
    window = seen.between(end - 8.0, end)
    hidden = withheld(window, 0)
    shown, asked = window.select(~hidden), window.select(hidden)
    analysis = forecaster.analyse_observations(shown, end, 8.0, smooth=True)
    made, _ = forecaster.along_track(analysis, asked.time, asked.longitude, asked.latitude)
    there, here = (kilometres(part.longitude, part.latitude, part.time) for part in (shown, asked))
    known = covariance_of(there, there) + ERROR**2 * np.eye(len(there))
    best = covariance_of(here, there) @ np.linalg.solve(known, shown.values[:, 0])
    anomaly = asked.values[:, 0]
    own, limit = (np.mean((field - anomaly) ** 2) for field in (made[:, 0], best))
    assert limit < 0.6 * np.mean(anomaly**2)  # there is something to predict
    assert own < 1.3 * limit


def test_it_says_what_it_can_do_and_forecasts_as_any_run(run):
    told = HeldOut.read(run)
    assert told.of == "points"
    assert 0.2 < told.explained < 1.0
    assert "held-out points" in told.lines()[0]
    forecaster = dino.load(run)
    seen = draw(days=40, each=24, seed=1)
    at = xr.Dataset({"longitude": ("point", [-59.0, -57.0]), "latitude": ("point", [31.0, 33.0])})
    made = forecaster.forecast(seen, [seen["time"].values[-1] + np.timedelta64(2, "D")], at)
    assert np.isfinite(made["sla"]).all()
    assert (made["sla_std"] > 0).all()


@pytest.mark.parametrize(("kind", "index"), [("field", 33), ("evidence", 7), ("motion", 7)])
def test_a_run_that_was_stopped_goes_on_to_the_bit(kind, index, run, store, tmp_path, monkeypatch):
    config = Config.model_validate(settings(store))
    monkeypatch.setattr(module, "Loop", functools.partial(Loop, save_every=5))
    stage = {"field": module.FieldStage, "evidence": EvidenceStage, "motion": module.MotionStage}[kind]
    step = stage.step
    with monkeypatch.context() as patch:

        def failing(self, number):
            if number == index:
                raise KeyError("power cut")
            return step(self, number)

        patch.setattr(stage, "step", failing)
        with pytest.raises(KeyError, match="power cut"):
            train(config, tmp_path, silent)
    torch.rand(3)  # the state of the global generator must not matter
    train(config, tmp_path, silent, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert (tmp_path / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()


def test_two_processes_train_the_run_of_one_but_for_rounding(run, store, tmp_path):
    config = tmp_path / "points.yaml"
    config.write_text(Config.model_validate(settings(store)).to_yaml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*torchrun, "dino", "train", str(config), "--out", str(tmp_path / "both"), "--threads", "1"]
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert made.returncode == 0, made.stderr[-2000:]
    one, both = ((folder / "metrics.jsonl").read_text().splitlines() for folder in (run, tmp_path / "both"))
    assert len(one) == len(both)
    for a, b in zip(map(json.loads, one), map(json.loads, both), strict=True):
        assert b["validation"] == pytest.approx(a["validation"], rel=2e-3, abs=2e-3)
        assert b["train"] == pytest.approx(a["train"], rel=2e-3, abs=2e-3)


def cloudy(days: int = 12, cells: int = 20) -> xr.Dataset:
    """Maps of which most cells are under clouds that move."""
    chance = np.random.default_rng(0)
    y, x = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
    maps = [np.cos(2 * np.pi * (x - 0.3 * day) / 14) + np.sin(2 * np.pi * y / 16) for day in range(days)]
    gaps = [(np.cos((x + 5 * day) / 3) + np.sin((y - 3 * day) / 2) + 0.4 * chance.random()) > 0 for day in range(days)]
    values = np.where(gaps, np.nan, 15 + np.array(maps))
    time = START + np.arange(days) * np.timedelta64(1, "D")
    axis = np.arange(cells) * 0.1
    return fields_dataset(time, -40 + axis, 36 + axis, {"sst": values})


def test_maps_of_which_no_cell_is_always_there_are_trained_on(tmp_path):
    path = write_store(cloudy(), tmp_path / "clouds.zarr")
    made = settings(path, data={"channels": ["sst"], "stores": [{"path": str(path)}], "validation_days": 3})
    config = Config.model_validate(made)
    assert holds_points(config)
    forecaster = train(config, tmp_path / "run", silent)
    assert HeldOut.read(tmp_path / "run").explained > 0.5
    assert forecaster.ocean.names == ("sst",)


def test_complete_maps_are_trained_on_as_ever(sea_config):
    assert not holds_points(sea_config)


@pytest.mark.parametrize(("gaps", "points"), [("moving", True), ("coast", False), ("ice", False), ("few left", True)])
def test_maps_are_points_where_gaps_move_over_most_cells(gaps, points, tmp_path):
    maps = cloudy().fillna(15.0)
    row, day = maps["latitude"] - 36, xr.DataArray(np.arange(12), dims="time")
    kept = {
        "moving": cloudy()["sst"].notnull(),
        "coast": (row > 0.5) | (day < 0),
        "ice": row + 0.05 * day > 0.6,  # an edge that moves over a third of the cells
        "few left": (row < 0.15) | (np.cos(2.0 * day + row) > 0),
    }[gaps]
    path = write_store(
        maps.where(kept.transpose(*[d for d in maps["sst"].dims if d in kept.dims])), tmp_path / "m.zarr"
    )
    made = settings(path, data={"channels": ["sst"], "stores": [{"path": str(path)}]})
    assert holds_points(Config.model_validate(made)) is points


@pytest.mark.parametrize(
    ("sections", "error", "words"),
    [
        ({"decoder": {"kind": "siren"}}, ConfigError, "decoder.kind=fourier"),
        ({"dynamics": {"form": "quadratic", "order": 1}}, ConfigError, "from points codes relax"),
        ({"domain": {"kind": "sphere"}}, ConfigError, "domain.kind=tiles"),
        ({"domain": {"kind": "periodic_box"}}, ConfigError, "periodic simulation"),
        ({"data": {"symmetries": 2}}, ConfigError, "data.symmetries is for complete maps"),
        ({"data": {"channels": ["sst"]}}, DinoError, "sst"),
        ({"data": {"train_end": "2009-01-01"}}, EmptyDataError, "between data.train_start and data.train_end"),
        (
            {
                "dynamics": {"form": "layers", "order": 1},
                "data": {"hidden": ["lower"]},
                "domain": {"kind": "periodic_box"},
            },
            ConfigError,
            "square periodic box",
        ),
    ],
)
def test_what_points_cannot_be_trained_with_is_refused_before_a_folder_is_made(sections, error, words, store, tmp_path):
    made = settings(store)
    for name, section in sections.items():
        made[name] = made.get(name, {}) | section
    with pytest.raises(error, match=words):
        train(Config.model_validate(made), tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()


def test_points_that_do_not_vary_or_are_too_few_are_refused(tmp_path):
    seen = draw(days=10, each=10, seed=2)
    still = write_store(seen.assign(sla=0.0 * seen["sla"]), tmp_path / "still.zarr")
    with pytest.raises(EmptyDataError, match="sla does not vary"):
        train(Config.model_validate(settings(still)), tmp_path / "run", silent)
    few = write_store(draw(days=4, each=2, seed=2), tmp_path / "few.zarr")
    with pytest.raises(EmptyDataError, match="give a longer record"):
        train(Config.model_validate(settings(few)), tmp_path / "run", silent)


def test_trajectories_beside_points_are_refused(store, box_store, tmp_path):
    made = settings(store)
    made["data"]["stores"] = [{"path": str(store)}, {"path": str(box_store), "channels": ["ssh"]}]
    with pytest.raises(SchemaError, match="trajectories beside points"):
        train(Config.model_validate(made), tmp_path / "run", silent)


def test_two_layers_are_trained_from_points_of_a_box(tmp_path, monkeypatch):
    for name, value in {"FIRST_DAYS": 8.0, "LAST_DAYS": 8.0, "FIRST_SEARCH": 1, "LAST_SEARCH": 1}.items():
        monkeypatch.setattr(points_layers, name, value)
    box = {"length_km": 500, "grid": 24, "shear_m_s": 0.13}
    truth = simulate(QuasiGeostrophicConfig(trajectories=1, days=20, seed=5, **box))
    looks = {"seed": 0, "instruments": [{"name": "nadir", "kind": "nadir", "orbit": "jason", "error_std": 0.02}]}
    path = write_store(sample(truth, SampleConfig.model_validate(looks)), tmp_path / "seen.zarr")
    made = {
        "data": {"stores": [{"path": str(path)}], "channels": ["ssh"], "hidden": ["lower_layer"], "validation_days": 4},
        "domain": {"kind": "periodic_box"},
        "decoder": {"code_size": 16, "hidden": 24, "layers": 2},
        "field": {"steps": 20, "frames_per_step": 16},
        "dynamics": {"form": "layers", "order": 1, "points": 16, "horizons": [1, 2]},
        "assimilation": {"window_days": 6},
        "points": {"rounds": 2, "runs": 8, "oceans": 8, "days": 8},
    }
    config = Config.model_validate(made)
    forecaster = train(config, tmp_path / "run", silent)
    assert forecaster.ocean.names == ("ssh",)
    assert HeldOut.read(tmp_path / "run").of == "points"
    again = train(config, tmp_path / "run", silent, resume=True)
    for name, tensor in forecaster.latent.state_dict().items():
        torch.testing.assert_close(again.latent.state_dict()[name], tensor, msg=name)
