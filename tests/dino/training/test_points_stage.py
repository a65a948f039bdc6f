"""The evidence as a stage: shares of processes add up, saved states come back, what tells nothing is refused."""

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig, ErrorsConfig
from dino.data.observations import Observations
from dino.errors import EmptyDataError
from dino.inference.evidence_record import record_of
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.numerics.parallel import Group
from dino.space.cover import CONTEXT, Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap
from dino.training import points_stage as module
from dino.training.points_stage import EvidenceStage, Evident, density

CHARTS = tuple(Region.from_bounds(west, west + 2, 30, 32, isotropic=False) for west in (-60, -59, -58))


def make_model() -> LatentModel:
    torch.manual_seed(0)
    spec = LatentSpec(
        decoder=DecoderConfig(code_size=6, hidden=8, layers=1), dynamics=DynamicsConfig(order=1, depth=0), input_size=2,
        channels=1, context=CONTEXT, interval_days=1.0, noise_variance=0.01, data_digest="", relaxing=True,
    )  # fmt: skip
    return LatentModel(spec).double()


def make_ocean() -> Ocean:
    field = GridMap(np.array([-60.0, -56.0]), np.array([30.0, 32.0]), np.zeros((1, 2, 2)))
    channel = ChannelSpec(name="sla", units="m", spread=0.1)
    return Ocean((channel,), Cover(CHARTS, np.ones(3), tiled=True), field)


def make_points(count: int = 300, days: float = 20.0, seed: int = 0) -> Observations:
    chance = np.random.default_rng(seed)
    one = np.ones((count, 1))
    return Observations(
        np.sort(chance.random(count) * days), -60 + 4 * chance.random(count), 30 + 2 * chance.random(count),
        0.1 * chance.standard_normal((count, 1)), 0.02 * one, np.zeros(count, np.int64), ("sla",),
    )  # fmt: skip


def make_stage(points: Observations, span=(0.0, 15.0, 20.0), steps: int = 6) -> EvidenceStage:
    def window(start, end):
        found = points.between(start, end)
        return found if len(found) else None

    generator = torch.Generator().manual_seed(0)
    return EvidenceStage(Evident(make_model()), make_ocean(), window, ErrorsConfig(), span, 5.0, 300, steps, generator)


def test_the_shares_of_two_processes_are_the_density_of_one(monkeypatch):
    monkeypatch.setattr(module, "PLACES", 64)
    evident, points = Evident(make_model()), make_points()
    record = record_of(evident.latent, make_ocean(), [points.between(0, 5)], ErrorsConfig())
    assert len(list(record.batches(64))) > 1
    whole = density(evident.covariance, record)
    shares = [density(evident.covariance, record, Group(rank=rank, size=2)) for rank in (0, 1)]
    torch.testing.assert_close(sum(shares), whole)
    assert all(float(share.detach()) != 0.0 for share in shares)


@pytest.mark.parametrize("passages", [4, 10**6])
def test_the_density_of_late_values_is_that_given_the_early_ones(passages, monkeypatch):
    monkeypatch.setattr(module, "FEWEST_PASSAGES", passages)
    evident, points = Evident(make_model()), make_points()
    record = record_of(evident.latent, make_ocean(), [points.between(0, 5)], ErrorsConfig())
    late = density(evident.covariance, record, since=3.0)
    early = density(evident.covariance, record.select(record.days < 3.0))
    torch.testing.assert_close(late + early, density(evident.covariance, record))
    torch.testing.assert_close(density(evident.covariance, record, since=-1.0), late + early)


def test_a_step_lowers_the_loss_of_its_own_values_and_weights_wait_for_the_numbers():
    stage = make_stage(make_points(), steps=20)
    before = [weight.detach().clone() for weight in stage.model.weights]
    stage.step(0)
    assert all(torch.equal(a, b) for a, b in zip(before, stage.model.weights, strict=True))
    losses = [float(stage.step(index)) for index in range(1, 20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert not all(torch.equal(a, b) for a, b in zip(before, stage.model.weights, strict=True))


def test_a_saved_state_brings_back_numbers_weights_and_what_they_are_measured_from():
    stage = make_stage(make_points())
    for index in range(6):
        stage.step(index)
    again = Evident(make_model())
    with torch.no_grad():
        for tensor in again.state_dict().values():
            tensor.zero_()
    again.load_state_dict(stage.model.state_dict())
    record = stage._held[0]
    torch.testing.assert_close(density(again.covariance, record), density(stage.model.covariance, record))
    torch.testing.assert_close(again.covariance.prior(), stage.model.covariance.prior())


def test_the_last_days_are_never_drawn():
    asked = []
    stage = make_stage(make_points())
    inner = stage.window
    stage.window = lambda start, end: asked.append(end) or inner(start, end)
    for index in range(6):
        stage.step(index)
    assert max(asked) <= 15.0
    assert min(asked) >= 5.0


def test_held_out_days_without_a_value_are_refused():
    with pytest.raises(EmptyDataError, match="validation"):
        make_stage(make_points(days=10.0))


def test_charts_without_values_are_told():
    points = make_points()
    away = make_stage(points)
    away.window = lambda start, end: None
    with pytest.raises(EmptyDataError, match="no value lies in the charts"):
        away.step(0)
