"""Stores larger than memory: the same maps, codes and statistics as in memory, from a few blocks at a time."""

import signal
import weakref

import numpy as np
import pytest
import torch

from data_pipeline.stores import writing as stores
from data_pipeline.stores.writing import write_store
from data_pipeline.system.progress import silent
from dino.config import Config, FieldConfig
from dino.data.moments import moments
from dino.data.series import Series
from dino.data.streamed import StreamedSeries
from dino.errors import ConfigError
from dino.experiments.train import _codes, train
from dino.numerics.parallel import ALONE, Group
from dino.training.code_statistics import _some
from dino.training.field_stage import draw_frames
from dino.training.loop import Interrupted
from dino.training.prepare import prepare

MAP = 16 * 16 * 4


@pytest.fixture
def chunked(box_dataset, tmp_path, monkeypatch):
    """A store of 12 trajectories and 10 days whose chunks hold 2 trajectories."""
    monkeypatch.setattr(stores, "CHUNK_BYTES", 20 * MAP)
    return write_store(box_dataset(trajectories=12, days=10), tmp_path / "box.zarr")


@pytest.fixture
def long(sea_dataset, tmp_path, monkeypatch):
    """A store of 40 days of a sea with land whose chunks hold 3 days."""
    monkeypatch.setattr(stores, "CHUNK_BYTES", 3 * MAP)
    return write_store(sea_dataset(days=40), tmp_path / "sea.zarr")


def configured(store, small, **changes) -> Config:
    """A small run on a store, of which `gigabytes` are held in memory."""
    content = small.model_dump()
    data = content["data"] | {"stores": [{"path": str(store)}], "memory_gb": changes.pop("gigabytes", 1.0)}
    return Config.model_validate(content | {"data": data | changes.pop("data", {})} | changes)


def both(store, small, maps: float, **changes):
    """The split of a store in memory and streamed with as little memory as `maps` maps take."""
    whole, *_ = prepare(configured(store, small, **changes))
    streamed, model, _ = prepare(configured(store, small, gigabytes=maps * MAP / 1e9, **changes))
    assert isinstance(whole[0].series, Series)
    assert isinstance(streamed[0].series, StreamedSeries)
    return whole[0], streamed[0], model


TILES = {"domain": {"kind": "tiles", "tile_degrees": 2.0, "overlap": 0.5, "minimum_valid": 0.8}}


@pytest.fixture(params=["trajectories", "tiles in time"])
def pair(request, chunked, long, box_config, sea_config):
    if request.param == "trajectories":
        return both(chunked, box_config, 64.0)
    return both(long, sea_config, 16.0, **TILES)


def test_the_parts_are_the_whole(pair):
    whole, streamed, _ = pair
    for one, other in ((whole.series, streamed.series), (whole.training, streamed.training)):
        values = torch.full_like(one.values, torch.nan)
        for rows, times, part in other.parts():
            assert torch.isnan(values[rows, times]).all()  # no block comes twice
            values[rows, times] = part.values
            assert torch.equal(part.weights, one.weights[rows])
            np.testing.assert_array_equal(part.times, one.times[times])
        assert torch.equal(values, one.values)
        assert torch.equal(other.weights, one.weights)
        assert torch.equal(other.context, one.context)
        assert torch.equal(other.coordinates, one.coordinates)
        assert (other.count, other.alike) == (one.count, one.alike)
        np.testing.assert_array_equal(other.times, one.times)


def test_the_pool_passes_once_through_the_training_maps(pair):
    """Every training map is there at some step, no other one at any, and few are there at a time."""
    whole, streamed, _ = pair
    training, charts = streamed.training, streamed.series.charts
    wanted = whole.training.values.unflatten(0, (charts, -1)).flatten(1, 2)
    seen, most = torch.zeros(wanted.shape[1], dtype=torch.bool), 0
    for step in range(training.steps + 1):
        pool = training.at(step).values
        most = max(most, pool.shape[1])
        same = (pool[:, :, None] == wanted[:, None]).flatten(3).all(-1).all(0)
        assert same.any(1).all()
        seen |= same.any(0)
    assert seen.all()
    assert most < wanted.shape[1] / 2


def test_the_pool_is_a_function_of_the_step(pair):
    _, streamed, _ = pair
    last = streamed.training.steps
    one, other = streamed.training, streamed.training
    walked = [one.at(step).values.clone() for step in range(last + 1)]
    for step in (last, 3, last // 2, 0):
        assert torch.equal(other.at(step).values, walked[step])


def test_the_pool_goes_with_its_series(pair):
    """At once, without waiting for the collector of cycles: it holds a good part of the memory that is allowed."""
    _, streamed, _ = pair
    training = streamed.training
    held = weakref.ref(training.at(0).values)
    del training
    assert held() is None


def test_steps_draw_maps_with_the_weights_of_their_chart(pair):
    whole, streamed, _ = pair
    charts, training = streamed.series.charts, streamed.training
    config = FieldConfig(frames_per_step=16, groups_per_step=4)
    values, weights = draw_frames(training.at(0), training.alike, config, torch.Generator().manual_seed(0))
    known = whole.training.values.unflatten(0, (charts, -1)).flatten(1, 2)
    for group, weight in zip(values, weights, strict=True):
        alike = [torch.equal(weight, own) for own in streamed.series.cut.weights]
        for drawn in group:
            assert (known[torch.tensor(alike)] == drawn).flatten(2).all(-1).any()


def test_statistics_of_a_decoder_that_is_not_affine_see_the_whole_pool(pair):
    _, streamed, model = pair
    pool = streamed.training.at(0)
    some, _, frames = _some(pool, model.code_prior, at_once=False, frames=1)
    assert some.values[:, frames].shape[:2] == pool.values.shape[:2]


def test_validation_maps_are_the_held_out_ones(pair):
    whole, streamed, _ = pair
    held = streamed.validation
    assert 0 < held.values.numel() <= whole.validation.values.numel()
    kept = whole.validation.values[: held.values.shape[0], : held.values.shape[1]]
    assert torch.equal(held.values, kept)


def test_codes_and_moments_are_those_of_memory(pair):
    whole, streamed, model = pair
    for name in ("codes", "metric", "unresolved", "persistence", "context"):
        one, other = (getattr(_codes(model, split.series, ALONE), name) for split in (whole, streamed))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    stored = streamed.series.maps
    for name in ("mean", "square"):
        one, other = (getattr(moments(maps, slice(0, 5)), name) for maps in (stored, stored.loaded()))
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_processes_share_out_the_blocks(pair):
    _, streamed, _ = pair
    whole = [(str(rows), times) for rows, times, _ in streamed.series.parts()]
    shared = [
        (str(rows), times) for rank in range(3) for rows, times, _ in streamed.series.parts(Group(rank=rank, size=3))
    ]
    assert sorted(shared, key=str) == sorted(whole, key=str)


def test_points_of_a_process(pair):
    _, streamed, _ = pair
    part, every = streamed.training.points(slice(10, 30)), streamed.training
    assert torch.equal(part.at(2).values, every.at(2).values[:, :, 10:30])
    assert torch.equal(part.coordinates, every.coordinates[10:30])
    assert torch.equal(part.at(2).weights, every.at(2).weights[:, 10:30])


def test_a_streamed_run_goes_on_where_it_stopped(chunked, box_config, tmp_path):
    config = configured(chunked, box_config, gigabytes=64 * MAP / 1e9)
    whole = train(config, tmp_path / "whole", silent)

    def stop(done, total, note):
        if done == 7:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped", stop)
    resumed = train(config, tmp_path / "stopped", silent, resume=True)
    for name, weight in whole.latent.state_dict().items():
        assert torch.equal(weight, resumed.latent.state_dict()[name]), name


def test_copies_of_a_streamed_store_are_refused(chunked, box_config):
    config = configured(chunked, box_config, gigabytes=64 * MAP / 1e9, data={"translations": 2})
    with pytest.raises(ConfigError, match=r"want the store in memory: it holds 0\.0 GB and data\.memory_gb is 6"):
        prepare(config)
