"""Mean, spread and gaps of every cell, of what training sees and of nothing else."""

import numpy as np
import pytest

from dino.data.maps import open_maps
from dino.data.moments import moments
from dino.errors import EmptyDataError

ALL = slice(None)


def test_background_is_the_training_mean_and_land_stays_missing(sea_dataset):
    maps = open_maps(sea_dataset(days=6), ["adt"]).loaded()
    background = moments(maps, slice(0, 4)).grid_map("map")
    np.testing.assert_allclose(background.values[0], maps.values[0, :4, 0].mean(0), rtol=1e-5)
    assert np.isnan(background.values[0, :4, :4]).all()
    constant = moments(maps, slice(0, 4)).grid_map("constant").values[0]
    area = np.cos(np.deg2rad(maps.latitude))[:, None] * np.isfinite(constant)
    expected = np.nansum(np.nan_to_num(background.values[0]) * area) / area.sum()
    np.testing.assert_allclose(constant[np.isfinite(constant)], expected, rtol=1e-6)


def test_moving_gaps_are_refused(sea_dataset):
    dataset = sea_dataset(days=16, land=False)
    for day in range(16):
        dataset["adt"][day, day] = np.nan
    with pytest.raises(EmptyDataError, match="no cell of the store is valid at all times"):
        moments(open_maps(dataset, ["adt"]).loaded(), ALL)


def test_held_out_trajectories_enter_neither_mean_nor_spread(box_dataset):
    dataset = box_dataset(trajectories=3, days=4)
    seen = moments(open_maps(dataset, ["ssh"]).loaded(), ALL, slice(0, 2))
    dataset["ssh"][2] = 1000.0
    again = moments(open_maps(dataset, ["ssh"]).loaded(), ALL, slice(0, 2))
    np.testing.assert_array_equal(seen.mean, again.mean)
    np.testing.assert_array_equal(seen.square, again.square)
    np.testing.assert_allclose(seen.mean[0], dataset["ssh"][:2].mean(("trajectory", "time")), rtol=1e-6, atol=1e-7)


def test_moments_about_a_background_are_those_of_the_departures(sea_dataset):
    """Of the mean field itself and of a constant: mean squares of differences, summed in another order."""
    maps = open_maps(sea_dataset(days=8), ["adt"]).loaded()
    seen = moments(maps, ALL)
    for kind in ("map", "constant"):
        background = seen.grid_map(kind)
        departure = maps.values[0].astype(np.float64) - background.values
        np.testing.assert_allclose(seen.about(background), np.square(departure).mean(0), atol=1e-9)
        expected = np.sqrt(np.nanmean(np.square(departure)))
        np.testing.assert_allclose(seen.spread(background), [expected], rtol=1e-6)
    kept = np.arange(256).reshape(16, 16) % 3 == 0
    some = np.sqrt(np.nanmean(np.square(departure[..., kept])))
    np.testing.assert_allclose(seen.spread(background, kept), [some], rtol=1e-6)


def test_a_channel_that_does_not_vary_is_refused(sea_dataset):
    dataset = sea_dataset(days=4)
    seen = moments(open_maps(dataset.assign(adt=0 * dataset["adt"] + 1.0), ["adt"]).loaded(), ALL)
    with pytest.raises(EmptyDataError, match="does not vary"):
        seen.spread(seen.grid_map("map"))
