"""A GPU gives what the processor gives, to rounding; skipped where none is visible."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.stores.writing import open_store
from dino.commands.common import transfer_task, use_device
from dino.config import AssimilationConfig, TransferConfig
from dino.errors import ConfigError
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model
from dino.transfer import STRATEGIES, strategy

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
PLACES = (np.array([2.8, 3.9, 4.4]), np.array([37.6, 38.2, 39.1]))


@pytest.fixture(scope="module")
def seen(sea_store, scattered):
    fields = open_store(sea_store).load().isel(time=slice(0, 20))
    return scattered(fields, ["adt"], 800)


def forecast(forecaster, analysis):
    days = analysis.time + np.array([0.0, 2.0, 5.0])
    return forecaster.predict(analysis, days, *PLACES)


@pytest.mark.parametrize("method", ["window", "filter"])
@pytest.mark.parametrize("bias_error", [0.0, 0.05])
def test_points_are_analysed_alike(sea_run, seen, method, bias_error):
    settings = AssimilationConfig(method=method, window_days=6, bias_error=bias_error, bound=1.5)
    made = []
    for device in ("cpu", "cuda"):
        forecaster = Forecaster(*load_model(sea_run, device), settings)
        analysis = forecaster.analyse(seen)
        made.append((forecast(forecaster, analysis), analysis.quality))
    (here, told), (there, told_there) = made
    np.testing.assert_allclose(there[0], here[0], atol=2e-4)
    np.testing.assert_allclose(there[1], here[1], rtol=5e-3, atol=2e-4)
    assert told.used == told_there.used


def test_an_analysis_goes_on(sea_run, sea_store, scattered):
    fields = open_store(sea_store).load()
    first, later = (scattered(fields.isel(time=part), ["adt"], 400) for part in (slice(0, 10), slice(10, 14)))
    made = []
    for device in ("cpu", "cuda"):
        forecaster = Forecaster(*load_model(sea_run, device), AssimilationConfig(window_days=6))
        made.append(forecast(forecaster, forecaster.update(forecaster.analyse(first), later)))
    np.testing.assert_allclose(made[1][0], made[0][0], atol=2e-4)


def test_maps_are_forecast_alike(sea_run, sea_store):
    fields = open_store(sea_store).load()
    made = [forecast(f, f.analyse(fields)) for f in (dino.load(sea_run, device) for device in ("cpu", "cuda"))]
    np.testing.assert_allclose(made[1][0], made[0][0], atol=2e-4)


@pytest.mark.parametrize("name", ["box", "sea"])
def test_training_is_the_same(name, request, tmp_path):
    config = request.getfixturevalue(f"{name}_config")
    here = dino.load(request.getfixturevalue(f"{name}_run")).latent
    there = train(config.model_copy(update={"device": "cuda"}), tmp_path / "run", lambda *told: None).latent
    assert there.code_variance.is_cuda
    torch.testing.assert_close(there.code_variance.cpu(), here.code_variance, rtol=2e-2, atol=1e-4)
    # Rounding decides single entries after a dozen steps, not how good the model is.
    assert float(there.lead_error.sum()) == pytest.approx(float(here.lead_error.sum()), rel=0.2)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_strategies_do_the_same(name, box_run, box_config, box_store, scattered):
    fields = open_store(box_store).load().isel(trajectory=7, drop=True)
    changed = fields.assign(ssh=0.5 * fields["ssh"] + 0.05)
    observations = dino.Observations.from_dataset(scattered(changed, ["ssh"], 1200), ("ssh",))
    short = AssimilationConfig(window_days=2.0, node_days=1.0, iterations=1)
    settings = TransferConfig(rounds=1, steps=8, window_days=2.0, horizon_days=3.0, stride_days=3.0)
    config = box_config.model_copy(update={"transfer": settings, "seed": 3})
    told = []
    for device in ("cpu", "cuda"):
        task = transfer_task(Forecaster(*load_model(box_run, device), short), observations, config)
        told.append(strategy(name)(task, lambda *told: None))
    assert told[1].before == pytest.approx(told[0].before, rel=1e-3)
    assert told[1].rounds == pytest.approx(told[0].rounds, rel=2e-2)


def test_a_gpu_that_is_not_there_is_refused(sea_config):
    with pytest.raises(ConfigError, match="numbered from 0"):
        use_device("cuda:99")
