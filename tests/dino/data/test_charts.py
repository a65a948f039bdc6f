"""Maps cut into charts and normalised: every cell at its place, and the domain that a store tells."""

import numpy as np
import pytest
import torch

from data_pipeline.layout.datasets import fields_dataset
from dino.config import DomainConfig, StoreConfig
from dino.data.charts import ChartedCells, cells_in, chart_cut, choose_domain, kept_cells, tile_cut
from dino.data.maps import Maps, open_maps
from dino.data.moments import moments
from dino.data.series import series_of
from dino.errors import ConfigError, DomainError
from dino.space.cover import CONTEXT
from dino.space.domain import PeriodicBox, Region, Sphere

STORE = StoreConfig.model_validate({"path": "a.zarr"})
ALL = slice(None)
AMPLITUDE = CONTEXT.index("log_amplitude")


@pytest.fixture
def sea(sea_dataset):
    """sea(days, west, land): the maps of a small sea."""

    def read(**options) -> Maps:
        return open_maps(sea_dataset(**options), ["adt"]).loaded()

    return read


def tiled(maps: Maps, config: DomainConfig, climatology: str, spread: float) -> ChartedCells:
    """The tiles of maps whose mean over all times is taken off."""
    seen = moments(maps, ALL)
    return tile_cut(maps, STORE, config, seen, seen.grid_map(climatology), np.array([spread]))


def test_domain_follows_the_store(box_dataset, sea):
    box = open_maps(box_dataset(), ["ssh"]).loaded()
    domain = choose_domain(box, DomainConfig())
    assert domain == PeriodicBox(longitude=-60.0, latitude=38.0, length_km=(800.0, 800.0))
    region = choose_domain(sea(), DomainConfig())
    assert isinstance(region, Region)
    np.testing.assert_allclose((region.longitude, region.latitude), (4.0, 38.0))
    with pytest.raises(ConfigError, match="periodic simulation"):
        choose_domain(sea(), DomainConfig(kind="periodic_box"))


def test_a_global_axis_is_left_as_it_is():
    longitude, latitude = np.arange(-180.0, 180.0, 30.0) + 0.1, np.linspace(-60, 60, 5)
    time = np.array(["2014-05-15", "2014-05-16"], "datetime64[ns]")
    maps = open_maps(fields_dataset(time, longitude, latitude, {"adt": np.ones((2, 5, 12))}), ["adt"]).loaded()
    np.testing.assert_array_equal(maps.longitude, longitude)
    assert isinstance(choose_domain(maps, DomainConfig()), Sphere)


def test_a_sea_across_180_degrees_stays_in_one_piece(sea):
    here, there = sea(west=10.0), sea(west=178.0)
    np.testing.assert_allclose(there.longitude - 178.0, here.longitude - 10.0)
    np.testing.assert_array_equal(there.values, here.values)
    domain = choose_domain(there, DomainConfig())
    assert isinstance(domain, Region)
    assert domain.longitude == pytest.approx(180.0) or domain.longitude == pytest.approx(-180.0)
    tiles = DomainConfig(kind="tiles", tile_degrees=2.0)
    both = [series_of(m, tiled(m, tiles, "constant", 1.0)) for m in (here, there)]
    torch.testing.assert_close(both[0].values, both[1].values)
    torch.testing.assert_close(both[0].context, both[1].context)


def test_curvilinear_sea_across_180_degrees_without_coordinates_over_land():
    x, y = np.meshgrid(np.linspace(176.0, 184.0, 9), np.linspace(-2.0, 2.0, 5))
    values = np.broadcast_to(x + y, (3, 5, 9)).copy()
    values[:, 0, 0] = np.nan
    time = np.datetime64("2014-05-15", "ns") + np.arange(3) * np.timedelta64(1, "D")
    dataset = fields_dataset(time, x, y, {"adt": values})
    dataset["longitude"][0, 0] = np.nan
    dataset["latitude"][0, 0] = np.nan
    maps = open_maps(dataset, ["adt"]).loaded()
    np.testing.assert_allclose(maps.longitude[1], x[1])
    background = moments(maps, ALL).grid_map("constant")
    weight = np.cos(np.deg2rad(y[np.isfinite(values[0])]))
    mean = (values[0][np.isfinite(values[0])] * weight).sum() / weight.sum()
    np.testing.assert_allclose(background.values[0, 1, 1], mean)
    domain = choose_domain(maps, DomainConfig())
    assert isinstance(domain, Region)
    series = series_of(maps, chart_cut(maps, domain, background, np.ones(1)))
    assert torch.isfinite(series.coordinates).all()
    assert torch.isfinite(series.values).all()
    assert series.coordinates.abs().max() < 1.1


def test_series_of_a_chart_give_the_maps_back(sea):
    maps = sea()
    background, spread = moments(maps, ALL).grid_map("map"), np.array([0.25])
    domain = choose_domain(maps, DomainConfig())
    cut = chart_cut(maps, domain, background, spread)
    series, cover = series_of(maps, cut), cut.cover
    ocean = np.isfinite(background.values[0])
    assert series.count == 1
    assert series.values.shape == (1, 30, ocean.sum(), 1)
    back = series.values[0, :, :, 0].numpy() * 0.25 + background.values[0][ocean]
    np.testing.assert_allclose(back, maps.values[0, :, 0][:, ocean], atol=1e-6)
    assert float(series.weights.mean()) == pytest.approx(1.0)
    y, x = np.meshgrid(maps.latitude, maps.longitude, indexing="ij")
    np.testing.assert_allclose(series.coordinates, domain.coordinates(x[ocean], y[ocean]), atol=1e-6)
    assert not cover.tiled


def test_series_of_tiles_give_the_maps_back_at_their_places(sea):
    maps = sea()
    background = moments(maps, ALL).grid_map("map")
    config = DomainConfig(kind="tiles", tile_degrees=2.0, overlap=0.5, minimum_valid=0.8)
    cut = tiled(maps, config, "map", 0.25)
    series, cover = series_of(maps, cut), cut.cover
    assert cover.tiled
    assert len(cover.charts) == series.count == 3 * 3 - 1  # the tile in the corner is land
    whole = maps.values[0, :, 0]
    for index, chart in enumerate(cover.charts):
        row = round((chart.latitude - 1.0 - 36.0) / 0.25)
        column = round((chart.longitude - 1.0 - 2.0) / 0.25)
        box = (slice(row, row + 8), slice(column, column + 8))
        mask = np.isfinite(background.values[0][box])
        values = series.values[index].numpy().reshape(30, 8, 8) * cover.amplitude[index] * 0.25
        back = values + background.values[0][box]
        np.testing.assert_allclose(back[:, mask], whole[:, *box][:, mask], atol=1e-6)
        weights = series.weights[index].numpy().reshape(8, 8)
        assert (weights[~mask] == 0).all()
        assert weights[mask].mean() == pytest.approx(1.0)
        y, x = np.meshgrid(maps.latitude[box[0]], maps.longitude[box[1]], indexing="ij")
        np.testing.assert_allclose(chart.coordinates(x.ravel(), y.ravel()), series.coordinates, atol=1e-5)
        inside = values[:, mask] / 0.25
        assert np.sqrt((inside**2).mean()) == pytest.approx(cover.amplitude[index], rel=1e-4)
        assert float(series.context[index, AMPLITUDE]) == pytest.approx(np.log(cover.amplitude[index]), rel=1e-5)


def test_tiles_that_cannot_be_are_refused(sea):
    maps = sea()
    with pytest.raises(ConfigError, match="hold only 2 cells a side"):
        tiled(maps, DomainConfig(tile_degrees=0.5), "map", 1.0)
    with pytest.raises(DomainError, match="no tile"):
        tiled(maps, DomainConfig(tile_degrees=2, maximum_latitude=5), "map", 1.0)


@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_kept_cells_are_a_random_share_that_the_seed_repeats(share):
    kept = kept_cells((20, 30), share, seed=1)
    assert kept.shape == (20, 30)
    assert kept.sum() == max(1, round(share * 600))
    np.testing.assert_array_equal(kept, kept_cells((20, 30), share, seed=1))
    assert share == 1.0 or (kept != kept_cells((20, 30), share, seed=2)).any()


def test_cells_in_boxes_across_180_degrees(sea):
    maps = sea(west=178.0)
    inside = cells_in(maps, [(179.0, 181.0, 36.0, 37.0)])
    y, x = np.meshgrid(maps.latitude, maps.longitude, indexing="ij")
    np.testing.assert_array_equal(inside, (x > 179.0) & (x < 181.0) & (y < 37.0))
    assert inside.sum() == 8 * 4


def test_a_tile_without_variability_is_left_out(sea):
    maps = sea(land=False)
    maps.values[..., 8:, 8:] = 1.0
    config = DomainConfig(kind="tiles", tile_degrees=2.0, overlap=0.0)
    charts = tiled(maps, config, "map", 0.1).cover.charts
    assert len(charts) == 3
    assert not any(chart.latitude > 38.0 and chart.longitude > 4.0 for chart in charts)


def test_tiles_want_axes():
    y, x = np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij")
    time = np.datetime64("2014-05-15", "ns") + np.arange(3) * np.timedelta64(1, "D")
    values = np.random.default_rng(0).normal(size=(3, 8, 8))
    maps = open_maps(fields_dataset(time, x + 0.1 * y, y, {"adt": values}), ["adt"]).loaded()
    with pytest.raises(ConfigError, match="curvilinear"):
        tiled(maps, DomainConfig(kind="tiles"), "map", 1.0)
