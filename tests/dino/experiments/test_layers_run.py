"""A run that learns the layer below the surface: what it shows, what it keeps, and that it forecasts."""

import numpy as np
import pytest
import torch

from data_pipeline.simulators.layer_settings import QuasiGeostrophicConfig
from data_pipeline.simulators.quasi_geostrophic import simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import silent
from dino.config import Config
from dino.dynamics import LayeredODE
from dino.experiments.train import latent_trajectories, train
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_run_config
from dino.training.held_out import HeldOut


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    config = QuasiGeostrophicConfig(
        trajectories=24, days=12, spin_up_days=80, grid=16, length_km=640.0, lower_layer=True, seed=1
    )
    return write_store(simulate(config), tmp_path_factory.mktemp("oceans") / "model.zarr")


@pytest.fixture(scope="module")
def settings(store):
    return Config.model_validate(
        {
            "data": {
                "stores": [{"path": str(store)}],
                "channels": ["ssh"],
                "hidden": ["lower_layer"],
                "translations": 2,
            },
            "domain": {"kind": "periodic_box"},
            "decoder": {"code_size": 120, "hidden": 96, "layers": 3},
            "field": {"steps": 200, "noise_std": 0.05},
            "dynamics": {"form": "layers", "order": 1, "points": 14, "horizons": [2, 5]},
        }
    )


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(settings, folder, silent)
    return folder


def test_the_run_shows_sea_level_and_forecasts_with_both_layers(run):
    forecaster = Forecaster.load(run)
    assert forecaster.ocean.names == ("ssh",)
    assert forecaster.latent.spec.channels == 1
    dynamics = forecaster.latent.dynamics
    assert isinstance(dynamics, LayeredODE)
    upper, lower = dynamics.numbers[:2].tolist()
    assert 1 / np.sqrt(upper + lower) == pytest.approx(40.0, rel=0.15)  # km, where the search begins with 30
    assert max(HeldOut.read(run).error_over_persistence) < 0.7


def test_maps_of_sea_level_alone_are_forecast(run, store):
    forecaster, maps = Forecaster.load(run), open_store(store)["ssh"].isel(trajectory=-1).load()
    ahead = forecaster.forecast(maps.isel(time=slice(0, 4)).to_dataset(), maps.time.values[4:6], maps.to_dataset())
    error = np.abs(ahead.ssh.values - maps.values[4:6]).mean((1, 2))
    change = np.abs(maps.values[3] - maps.values[4:6]).mean((1, 2))
    assert (error < 1.2 * change).all()
    assert np.isfinite(ahead.ssh_std.values).all()


def test_what_it_learned_from_can_be_seen_in_its_codes(run):
    forecaster, config = Forecaster.load(run), load_run_config(run)
    (codes,) = latent_trajectories(config, forecaster.latent)
    assert codes.codes.shape[-1] == 120
    assert torch.isfinite(codes.codes).all()


def test_a_finished_run_that_is_resumed_stays_what_it_is(run, settings):
    before = Forecaster.load(run).latent.state_dict()
    train(settings, run, silent, resume=True)
    after = Forecaster.load(run).latent.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, msg=name)
