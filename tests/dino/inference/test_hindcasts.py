"""Forecasts from earlier maps against those that a forecaster makes of the same maps, and the products of changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import make_latent, one_chart, tiled_ocean

from data_pipeline.layout.datasets import fields_dataset
from dino.data.observations import datetime_of
from dino.forecaster import Forecaster
from dino.inference.hindcasts import hindcasts
from dino.inference.maps import CELLS, encode_maps

FRAMES = 12


def make_maps(ocean, seed: int = 0) -> xr.Dataset:
    """Twelve days of two channels on a grid of as many cells as are compared, inside the chart."""
    chart = ocean.cover.charts[0]
    longitude, latitude = chart.longitude + np.linspace(-1, 1, 8), chart.latitude + np.linspace(-1, 1, 6)
    assert len(longitude) * len(latitude) == CELLS
    rng, days = np.random.default_rng(seed), np.arange(FRAMES)[:, None, None]
    slow = np.sin(longitude + 0.3 * days) * np.cos(latitude[:, None])
    values = {name: 0.1 * (slow + 0.1 * rng.normal(size=(FRAMES, 6, 8))) for name in ocean.names}
    return fields_dataset(datetime_of(20000.0 + np.arange(FRAMES)), longitude, latitude, values)


@pytest.mark.parametrize("dynamics", ["modes", "network"])
def test_hindcasts_are_the_forecasts_of_their_days(dynamics):
    latent, ocean = make_latent(dynamics), one_chart(tiled_ocean(), 4)
    maps = make_maps(ocean)
    whole = encode_maps(latent, ocean, maps)
    found = hindcasts(latent, ocean, whole)
    assert found is not None
    forecaster, first = Forecaster(latent, ocean), 4  # five maps for the trend
    times, grid = maps["time"].values, maps[["latitude", "longitude"]]
    values = np.stack([maps[name].values.reshape(FRAMES, -1) for name in ocean.names], axis=-1)
    unit = ocean.spread * ocean.cover.amplitude[0]
    steps = np.arange(5.0) - 2
    for knot, lead in enumerate(found.leads.int().tolist()):
        starts = range(first, FRAMES - lead)
        assert found.count[knot] == len(starts)
        total = np.zeros((3, 3))
        for start in starts:
            then = replace(forecaster.analyse_maps(whole.frames(slice(start - 1, start + 1))), hindcasts=None)
            ahead = forecaster.forecast(then, times[[start + lead]], grid, spread=False)
            made = np.stack([ahead[name].values.reshape(-1) for name in ocean.names], axis=-1)
            trend = np.tensordot(steps, values[start - 4 : start + 1], 1) / (steps @ steps)
            changes = [values[start + lead] - values[start], made - values[start], 0.5 * lead * trend]
            stacked = np.stack([change / unit for change in changes])
            total += np.einsum("apc,bpc->ab", stacked, stacked) / (values[0].size * len(starts))
        if dynamics == "modes":
            np.testing.assert_allclose(found.products[knot, 0], total, rtol=2e-3, atol=1e-6)
        else:  # the mean of an ensemble there
            np.testing.assert_allclose(found.products[knot, 0], total, rtol=0.1, atol=1e-3)
        apart = (values[lead:] - values[:-lead]) / unit
        np.testing.assert_allclose(found.changed[knot, 0], (apart**2).mean(), rtol=1e-5)


def test_hindcasts_know_nothing_of_later_maps():
    latent, ocean = make_latent(), one_chart(tiled_ocean(), 4)
    whole, part = encode_maps(latent, ocean, make_maps(ocean)), make_maps(ocean).isel(time=slice(0, 9))
    known, alone = whole.frames(slice(7, 9)), encode_maps(latent, ocean, part)
    for one, other in zip(*(hindcasts(latent, ocean, maps) or () for maps in (known, alone)), strict=True):
        torch.testing.assert_close(one, other)


def test_maps_too_few_or_far_apart_have_none():
    latent, ocean = make_latent(), one_chart(tiled_ocean(), 4)
    maps = make_maps(ocean)
    assert hindcasts(latent, ocean, encode_maps(latent, ocean, maps.isel(time=slice(0, 5)))) is None
    some = hindcasts(latent, ocean, encode_maps(latent, ocean, maps.isel(time=slice(0, 6))))
    assert some is not None
    assert some.count.tolist() == [1.0] + [0.0] * (len(some.count) - 1)
    # A day is missing: what lies before it is not used.
    gap = encode_maps(latent, ocean, maps.isel(time=[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]))
    assert hindcasts(latent, ocean, gap) is None
    assert hindcasts(latent, ocean, replace(encode_maps(latent, ocean, maps), record=None)) is None


def test_cells_that_are_missing_once_are_left_out():
    latent, ocean = make_latent(), one_chart(tiled_ocean(), 4)
    maps = make_maps(ocean)
    holes = maps.copy(deep=True)
    for name in ocean.names:
        holes[name][:, :3] = np.nan
    found = hindcasts(latent, ocean, encode_maps(latent, ocean, holes))
    assert found is not None
    assert all(torch.isfinite(part).all() for part in found)
    for name in ocean.names:
        holes[name][:] = np.nan
        holes[name][:, -1, -1] = 0.0  # a single cell, which never changes
    still = hindcasts(latent, ocean, encode_maps(latent, ocean, holes))
    assert still is not None
    assert (still.products[:, :, 0, 0] == 0).all()
