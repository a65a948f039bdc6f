"""Series in memory: parts of them are parts of the arrays, of every chart alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.config import DomainConfig
from dino.data.charts import chart_cut, choose_domain
from dino.data.maps import open_maps
from dino.data.moments import moments
from dino.data.series import Series, rows_of, series_of
from dino.numerics.parallel import Group

ALL = slice(None)


@pytest.fixture
def series() -> Series:
    """Two charts, of each of which three trajectories follow one another, with gaps in the second."""
    values = torch.arange(2 * 3 * 5 * 4 * 1.0).view(6, 5, 4, 1)
    weights = torch.ones(6, 4, 1)
    weights[3:, 2] = 0.0
    coordinates, context = torch.rand(4, 2), torch.arange(6.0)[:, None]
    return Series(coordinates, weights, values, np.arange(5.0), context, charts=2)


def test_frames_and_subset_agree_with_the_arrays(box_dataset):
    maps = open_maps(box_dataset(trajectories=3, days=5), ["ssh"]).loaded()
    domain = choose_domain(maps, DomainConfig())
    series = series_of(maps, chart_cut(maps, domain, moments(maps, ALL).grid_map("constant"), np.ones(1)))
    part = series.subset(torch.tensor([2, 0])).frames(slice(1, 4))
    assert torch.equal(part.values, series.values[[2, 0]][:, 1:4])
    np.testing.assert_array_equal(part.times, series.times[1:4])
    assert part.weights.shape[0] == part.context.shape[0] == 2


def test_trajectories_are_those_of_every_chart(series):
    part = series.trajectories(slice(1, None))
    assert torch.equal(part.context[:, 0], torch.tensor([1.0, 2.0, 4.0, 5.0]))
    assert torch.equal(part.values, series.values[[1, 2, 4, 5]])
    assert not series.alike
    assert series.subset(slice(0, 3)).alike
    assert rows_of(6, 1, slice(-2, None), "cpu") == slice(4, 6, 1)


def test_points_are_views(series):
    part = series.points(slice(1, 3))
    assert torch.equal(part.values, series.values[:, :, 1:3])
    assert torch.equal(part.weights, series.weights[:, 1:3])
    assert torch.equal(part.coordinates, series.coordinates[1:3])
    assert part.values.untyped_storage().data_ptr() == series.values.untyped_storage().data_ptr()


def test_processes_share_out_the_series(series):
    rows = []
    for rank in range(4):
        ((mine, times, part),) = series.parts(Group(rank=rank, size=4))
        assert times == slice(0, 5)
        assert torch.equal(part.values, series.values[mine])
        rows += range(6)[mine]
    assert rows == list(range(6))


def test_what_does_not_move_stays(series):
    assert series.at(3) is series
    assert series.loaded() is series
    moved = replace(series, values=series.values.double()).to("meta")
    assert {getattr(moved, name).device.type for name in ("values", "weights", "coordinates", "context")} == {"meta"}
