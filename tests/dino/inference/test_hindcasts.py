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
from dino.forecasts.combination import combination
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


@pytest.mark.parametrize("rate", [6.0, 60.0])
def test_dynamics_that_blow_up_are_far_off_and_spoil_nothing(rate):
    """In single precision, by squares that it does not hold or by states that it does not."""
    latent, ocean = make_latent().float(), one_chart(tiled_ocean(), 4)
    latent.dynamics.linear.fill_(rate)
    latent.lead_error.fill_(0.1)
    found = hindcasts(latent, ocean, encode_maps(latent, ocean, make_maps(ocean)))
    assert found is not None
    assert torch.isfinite(found.products).all()
    last = found.products[found.count > 0][-1, 0]
    assert 100.0 < last[1, 1] <= 900.0
    made = combination(found, found.leads)
    assert (made.dynamics[found.count > 0][-1] < 0.1).all()
    assert all(torch.isfinite(part).all() for part in made)


def test_a_day_without_values_says_nothing_of_the_trend():
    """Of a chart alone or of the whole sea: the line goes through the other days."""
    latent, ocean = make_latent(), tiled_ocean()
    maps = make_maps(one_chart(ocean, 4))
    elsewhere = make_maps(one_chart(ocean, 0))  # some of the sea has values on all days
    there = fields_dataset(
        maps["time"].values,
        np.concatenate([elsewhere["longitude"], maps["longitude"]]),
        maps["latitude"].values,
        {name: np.concatenate([elsewhere[name], maps[name]], axis=-1) for name in ocean.names},
    )
    full = encode_maps(latent, ocean, there)
    holed = there.copy(deep=True)
    for name in ocean.names:
        holed[name][-4, :, there["longitude"].values % 360 > 190] = np.nan
    some, whole = (hindcasts(latent, ocean, maps) for maps in (encode_maps(latent, ocean, holed), full))
    assert some is not None
    assert whole is not None
    days, codes = np.array([0.0, 2.0, 3.0, 4.0]), full.codes[[-5, -3, -2, -1], 4]
    np.testing.assert_allclose(some.trend[4], np.polyfit(days, codes, 1)[0], rtol=1e-6)
    torch.testing.assert_close(some.trend[:4], whole.trend[:4])
    # A day of which nothing is known anywhere is the same to the chart.
    alone = one_chart(ocean, 4)
    blank = maps.copy(deep=True)
    for name in ocean.names:
        blank[name][-4] = np.nan
    one = hindcasts(latent, alone, encode_maps(latent, alone, blank, latent.lags + 1))
    assert one is not None
    for part, other in (
        ("products", some.products[:, 4:]),
        ("trend", some.trend[4:]),
        ("changed", some.changed[:, 4:]),
    ):
        torch.testing.assert_close(getattr(one, part), other, rtol=1e-5, atol=1e-9)
