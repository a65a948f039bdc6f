"""What the tests of transfer share: a run on the periodic box, and sparse observations of a box unlike it."""

import pytest

import dino
from data_pipeline.stores.writing import open_store
from dino.commands.common import transfer_task
from dino.config import AssimilationConfig, TransferConfig
from dino.model.checkpoint import load_model, load_run_config
from dino.transfer import strategy

SETTINGS = TransferConfig(rounds=2, steps=8, window_days=2.0, horizon_days=3.0, stride_days=3.0)
SHORT = AssimilationConfig(window_days=2.0, node_days=1.0, iterations=1)


@pytest.fixture(scope="session")
def box_observations(box_store, scattered):
    """Half as strong and moved upwards: 1,200 points of fourteen days."""
    fields = open_store(box_store).load().isel(trajectory=7, drop=True)
    changed = fields.assign(ssh=0.5 * fields["ssh"] + 0.05)
    return dino.Observations.from_dataset(scattered(changed, ["ssh"], 1200), ("ssh",))


@pytest.fixture(scope="session")
def task(box_run, box_observations):
    """task(**settings): a fresh copy of the run with the observations; run=, observations= stand for others."""

    def make(run=box_run, observations=box_observations, **settings):
        config = load_run_config(run).model_copy(update={"transfer": SETTINGS.model_copy(update=settings), "seed": 3})
        return transfer_task(dino.Forecaster(*load_model(run), SHORT), observations, config)

    return make


@pytest.fixture(scope="session")
def adapted(task):
    """adapted(name, **settings): the task after a strategy, what it tells, and the progress it reported."""

    def make(name, **settings):
        given, calls = task(**settings), []
        result = strategy(name)(given, lambda *step: calls.append(step))
        return given, result, calls

    return make
