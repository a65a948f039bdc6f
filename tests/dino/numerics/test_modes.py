"""The numbers do not depend on the mode of autograd that a caller is in, nor on where a model was loaded."""

import contextlib

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from dino.commands.common import transfer_task
from dino.config import AssimilationConfig
from dino.experiments.train import train
from dino.model.checkpoint import load_model, load_run_config
from dino.numerics.modes import with_gradients, without_gradients
from dino.transfer import STRATEGIES

AT = xr.Dataset({"longitude": ("point", [2.8, 3.9]), "latitude": ("point", [37.6, 38.2])})
MODES = {"no_grad": torch.no_grad, "inference": torch.inference_mode}


def whole(run, maps, seen, method, load_mode=contextlib.nullcontext, mode=contextlib.nullcontext):
    """Forecasts from points and maps, an update and a track, as one row of numbers."""
    settings = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=2, method=method, bias_error=0.05)
    with load_mode():
        forecaster = dino.Forecaster(*load_model(run), settings)
    with mode():
        last = forecaster.analyse(seen, smooth=True)
        first = forecaster.analyse(seen, "2005-04-05")
    with mode():
        made = [forecaster.forecast(given, ["2005-04-10"], AT) for given in (last, maps)]
        later = forecaster.update(first, seen)
        time = np.array([last.time - 1.0, last.time + 1.0])
        track = forecaster.along_track(last, time, np.array([2.8, 3.9]), np.array([37.6, 38.2]))
    columns = [field[name].values for field in made for name in ("adt", "adt_std")]
    found = np.concatenate([np.ravel(c) for c in (*columns, later.mean.numpy(), later.covariance.numpy(), *track)])
    assert np.isfinite(found).all()
    return found


@pytest.fixture(scope="module")
def maps(sea_store):
    return open_store(sea_store).load().isel(time=slice(0, 8))


@pytest.fixture(scope="module")
def seen(maps, scattered):
    return scattered(maps, ["adt"], 200)


@pytest.mark.parametrize("method", ["filter", "window"])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("load_mode", [contextlib.nullcontext, torch.inference_mode])
def test_the_numbers_are_those_of_a_plain_call(sea_run, maps, seen, method, mode, load_mode):
    np.testing.assert_array_equal(
        whole(sea_run, maps, seen, method, load_mode, mode), whole(sea_run, maps, seen, method)
    )


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", ["statistics", "modulation", "adversarial"])
def test_transfer_learns_in_every_mode(sea_run, sea_store, maps, scattered, name, mode):
    from dino.data.observations import Observations

    record = Observations.from_dataset(scattered(open_store(sea_store).load(), ["adt"], 300), ("adt",))
    config = load_run_config(sea_run, ["transfer.rounds=1", "transfer.steps=3", "transfer.window_days=5",
                                       "transfer.horizon_days=3", "transfer.stride_days=4"])  # fmt: skip
    found = []
    for around in (contextlib.nullcontext, mode):
        torch.manual_seed(0)
        with around():
            task = transfer_task(dino.Forecaster(*load_model(sea_run), config.assimilation), record, config)
            result = STRATEGIES[name](task, lambda *told: None)
        found.append(result.rounds)
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_training_learns_in_every_mode(sea_config, tmp_path, mode):
    short = sea_config.model_copy(
        update={
            "field": sea_config.field.model_copy(update={"steps": 4}),
            "dynamics": sea_config.dynamics.model_copy(update={"steps": 4}),
        }
    )
    made = []
    for around in (contextlib.nullcontext, mode):
        with around():
            made.append(train(short, tmp_path / around.__name__, lambda *told: None).latent.state_dict())
    for name, value in made[0].items():
        assert torch.equal(value, made[1][name]), name


def test_decorators_set_the_mode_and_put_it_back():
    weight = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        assert with_gradients(lambda: (weight * 2).requires_grad)()
        assert not without_gradients(lambda: torch.ones(1).is_inference())()
        assert torch.is_inference_mode_enabled()
    assert not without_gradients(lambda: (weight * 2).requires_grad)()
    assert torch.is_grad_enabled()
