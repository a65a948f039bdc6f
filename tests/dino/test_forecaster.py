"""The forecaster through its public interface, on models trained for a second."""

import numpy as np
import pytest
import torch
import xarray as xr

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig, EvaluationConfig
from dino.data.observations import datetime_of
from dino.errors import DomainError, EmptyDataError, ObservationError, SchemaError
from dino.evaluation.evaluate import evaluate_maps
from dino.model import blending
from dino.model.checkpoint import load_model

DAY = np.timedelta64(1, "D")
SHORT = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=2)


@pytest.fixture(scope="module")
def sea(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def forecaster(sea_run):
    """A short window with few nodes: what is tested does not depend on their number."""
    return dino.Forecaster(*load_model(sea_run), SHORT)


@pytest.fixture(scope="module")
def sparse(sea, scattered):
    return scattered(sea, ["adt"], 300)


@pytest.fixture(scope="module")
def grid(sea):
    return xr.Dataset(coords={name: sea[name] for name in ("latitude", "longitude")})


def points(longitude, latitude) -> xr.Dataset:
    return xr.Dataset({"longitude": ("point", np.asarray(longitude)), "latitude": ("point", np.asarray(latitude))})


def ahead(start, *leads) -> np.ndarray:
    """Times at leads [days] from the last moment of a dataset or from an analysis."""
    now = datetime_of(start.time) if isinstance(start, dino.Analysis) else start["time"].values[-1]
    return now + np.array([round(lead * 86_400_000) for lead in leads], "timedelta64[ms]")


@pytest.fixture(scope="module")
def analyses(forecaster, sea, sparse):
    return {"maps": forecaster.analyse(sea), "points": forecaster.analyse(sparse, smooth=True)}


@pytest.fixture(params=["maps", "points"])
def observed(request, analyses):
    """An analysis of maps and one of points, made once."""
    return analyses[request.param]


def test_points_at_cells_equal_the_grid(forecaster, observed, grid):
    times = ahead(observed, 1, 2.5, 7)
    whole = forecaster.forecast(observed, times, grid)
    mesh = np.meshgrid(grid["longitude"], grid["latitude"])
    single = forecaster.forecast(observed, times, points(mesh[0].ravel(), mesh[1].ravel()))
    assert whole["adt"].dims == whole["adt_std"].dims == ("time", "latitude", "longitude")
    assert single["adt"].dims == ("time", "point")
    for name in ("adt", "adt_std"):
        np.testing.assert_allclose(single[name], whole[name].values.reshape(3, -1), rtol=1e-5, atol=1e-6)


def test_longitudes_count_either_way_round(forecaster, observed):
    times = ahead(observed, 1)
    one = forecaster.forecast(observed, times, points([4.3], [38.0]))
    other = forecaster.forecast(observed, times, points([4.3 - 360], [38.0]))
    np.testing.assert_allclose(one["adt"], other["adt"], rtol=1e-6)
    assert np.isfinite(one["adt"]).all()


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
def test_output_is_cf_and_reads_back(forecaster, observed, grid, tmp_path, suffix):
    made = forecaster.forecast(observed, ahead(observed, 1, 3), grid)
    assert set(made.data_vars) == {"adt", "adt_std"}
    assert made.attrs["Conventions"].startswith("CF-1")
    assert made["adt"].attrs["units"] == made["adt_std"].attrs["units"] == "m"
    assert made["adt_std"].attrs["standard_name"] == f"{made['adt'].attrs['standard_name']} standard_error"
    assert made["longitude"].attrs["standard_name"] == "longitude"
    path = tmp_path / f"forecast.{suffix}"
    if suffix == "nc":
        made.to_netcdf(path)
        back = xr.open_dataset(path)
    else:
        made.to_zarr(path, zarr_format=3, consolidated=False)
        back = xr.open_zarr(path, consolidated=False)
    np.testing.assert_array_equal(back["time"], made["time"])
    np.testing.assert_array_equal(back["forecast_reference_time"], made["forecast_reference_time"])
    xr.testing.assert_allclose(back.load()[["adt", "adt_std"]], made[["adt", "adt_std"]])
    back.close()


def test_land_stays_missing_and_sea_does_not(forecaster, observed, sea, grid):
    made = forecaster.forecast(observed, ahead(observed, 1, 9), grid)
    land = np.isnan(sea["adt"].values).all(0)
    assert land.any()
    for name in ("adt", "adt_std"):
        np.testing.assert_array_equal(np.isnan(made[name].values), np.broadcast_to(land, made[name].shape))
    assert (made["adt_std"].values[:, ~land] > 0).all()


def test_only_land_is_missing_without_complaint(forecaster, observed):
    made = forecaster.forecast(observed, ahead(observed, 1), points([2.2, 2.4], [36.2, 36.4]))
    assert np.isnan(made["adt"]).all()


def test_points_outside_are_missing_and_none_inside_is_an_error(forecaster, observed):
    times = ahead(observed, 1)
    made = forecaster.forecast(observed, times, points([4.0, 100.0, np.nan, 4.0], [38.0, 38.0, 38.0, np.nan]))
    assert np.isfinite(made["adt"].values[0]).tolist() == [True, False, False, False]
    with pytest.raises(DomainError):
        forecaster.forecast(observed, times, points([100.0, 120.0], [38.0, -20.0]))
    with pytest.raises(ObservationError, match="swapped"):
        forecaster.forecast(observed, times, points([38.0], [100.0]))
    with pytest.raises(ObservationError, match="longitude and latitude"):
        forecaster.forecast(observed, times, xr.Dataset())


def test_times_in_any_order_and_repeated(forecaster, observed):
    here = points([4.3, 3.1], [38.0, 37.4])
    sorted_ = forecaster.forecast(observed, ahead(observed, 1, 2, 5), here)
    mixed = forecaster.forecast(observed, ahead(observed, 5, 1, 5, 2), here)
    for name in ("adt", "adt_std"):
        np.testing.assert_allclose(mixed[name], sorted_[name].values[[2, 0, 2, 1]], rtol=1e-5)
    np.testing.assert_array_equal(mixed["time"], ahead(observed, 5, 1, 5, 2))


def test_a_forecast_does_not_depend_on_the_other_leads(forecaster, observed):
    here = points([4.3, 3.1], [38.0, 37.4])
    many = forecaster.forecast(observed, ahead(observed, *range(1, 8)), here)
    one = forecaster.forecast(observed, ahead(observed, 7), here)
    np.testing.assert_allclose(one["adt"].values[0], many["adt"].values[-1], rtol=1e-4, atol=1e-5)


def test_times_inside_the_window_are_served_and_earlier_ones_refused(forecaster, analyses, sea, grid):
    sparse = analyses["points"]
    made = forecaster.forecast(sparse, ahead(sparse, -4, -3.3, 0, 1e-6, 1), grid)
    land = np.isnan(sea["adt"].values).all(0)
    assert np.isfinite(made["adt"].values[:, ~land]).all()
    assert (made["adt_std"].values[:, ~land] > 0).all()
    # The analysis is one moment of the forecast: values and spread go through it without a jump.
    np.testing.assert_allclose(made["adt"].values[2], made["adt"].values[3], atol=1e-4)
    np.testing.assert_allclose(made["adt_std"].values[2], made["adt_std"].values[3], rtol=0.02)
    just_before = forecaster.forecast(sparse, ahead(sparse, -0.001), grid)
    np.testing.assert_allclose(just_before["adt"].values[0], made["adt"].values[2], atol=1e-3)
    with pytest.raises(ObservationError, match="lies before the analysis"):
        forecaster.forecast(sparse, ahead(sparse, -20), grid)


def test_times_before_the_last_map_are_refused(forecaster, sea, grid):
    with pytest.raises(ObservationError, match="lies before the analysis"):
        forecaster.forecast(sea, ahead(sea, -2), grid)


def test_without_spread_the_mean_is_the_same(forecaster, observed, grid):
    times = ahead(observed, 1, 4)
    full, bare = (forecaster.forecast(observed, times, grid, spread=wanted) for wanted in (True, False))
    assert set(bare.data_vars) == {"adt"}
    np.testing.assert_allclose(bare["adt"], full["adt"], rtol=1e-3, atol=1e-4)


def test_nothing_to_start_from_is_an_error(forecaster, sparse, sea):
    with pytest.raises(EmptyDataError):
        forecaster.analyse(sparse, "2010-01-01")
    with pytest.raises(EmptyDataError):
        forecaster.analyse(sea, "2004-01-01")
    for dataset in (sparse, sea, sea.isel(time=slice(0, 2))):
        with pytest.raises(EmptyDataError):
            forecaster.analyse(dataset.assign(adt=dataset["adt"] * np.nan))
        other = dataset["adt"].assign_attrs(standard_name="sea_surface_temperature", units="degC")
        with pytest.raises(SchemaError, match=r"sst \(sea surface temperature\) where adt"):
            forecaster.analyse(dataset.drop_vars("adt").assign(sst=other))


def test_observations_elsewhere_are_an_error(forecaster, sparse, sea):
    with pytest.raises(DomainError):
        forecaster.analyse(sparse.assign_coords(longitude=sparse["longitude"] + 90))
    with pytest.raises(DomainError):
        forecaster.analyse(sea.assign_coords(longitude=sea["longitude"] + 90))


def test_maps_of_a_part_of_the_tiles(forecaster, sea):
    """Tiles that see nothing keep their prior."""
    part = sea.isel(latitude=slice(10, 16), longitude=slice(10, 16))
    made = forecaster.forecast(part, ahead(part, 1), points([5.3], [39.3]))
    assert np.isfinite(made["adt"]).all()
    all_land = sea.assign(adt=sea["adt"].where(sea["longitude"] > 4.5))
    assert np.isfinite(forecaster.forecast(all_land, ahead(sea, 1), points([5.3], [39.3]))["adt"]).all()


def test_observations_in_one_tile_only(forecaster, sparse):
    corner = sparse.isel(obs=np.flatnonzero((sparse["longitude"] > 5.5) & (sparse["latitude"] > 39.5)))
    corner = corner.drop_vars(["day", "day_offset"])
    analysis = forecaster.analyse(corner)
    assert torch.isfinite(analysis.mean).all()
    made = forecaster.forecast(analysis, ahead(corner, 1), points([5.7, 3.2], [39.7, 36.9]))
    assert made["adt_std"].values[0, 0] < made["adt_std"].values[0, 1]


def test_the_day_index_does_not_change_the_analysis(forecaster, sparse):
    moment = sparse["time"].values[-1] - 5 * DAY
    indexed = forecaster.analyse(sparse, moment)
    plain = forecaster.analyse(sparse.drop_vars(["day", "day_offset"]), moment)
    torch.testing.assert_close(indexed.mean, plain.mean)
    assert indexed.time == plain.time


def test_two_maps_are_assimilated_as_points(forecaster, sea, grid):
    """Too few frames to encode a tendency from their changes: the window takes every cell."""
    few = sea.isel(time=slice(0, 2))
    analysis = forecaster.analyse(few)
    assert analysis.maps is None
    assert np.isfinite(forecaster.forecast(analysis, ahead(few, 1), grid)["adt"]).any()


@pytest.mark.parametrize("method", ["window", "filter"])
def test_more_observations_never_raise_the_variance(sea_run, sparse, method):
    latent, ocean = load_model(sea_run)
    # A flow linear in the state: on a nonlinear one the linearisation moves with the observations.
    for parameter in latent.dynamics.network.parameters():
        parameter.requires_grad_(False).zero_()
    forecaster = dino.Forecaster(latent, ocean, AssimilationConfig(method=method, window_days=6.0, node_days=3.0))
    table = dino.Observations.from_dataset(sparse, ("adt",))
    end = float(table.time[-1])
    table = table.window(end - 6.0, end)
    before = None
    for count in (5, 20, len(table)):
        keep = np.linspace(0, len(table) - 1, len(table)).astype(int)
        some = table.select(np.sort(np.random.default_rng(0).permutation(keep)[:count]))
        after = forecaster.analyse_observations(some, end, 6.0).covariance.double()
        if before is not None:
            assert torch.linalg.eigvalsh(before - after).min() > -1e-4 * before.diagonal(dim1=1, dim2=2).max()
        before = after


def test_a_window_of_one_instant(sea_run, sea, grid):
    forecaster = dino.Forecaster(*load_model(sea_run), AssimilationConfig(window_days=0.0))
    few = sea.isel(time=[0])
    analysis = forecaster.analyse(few)
    made = forecaster.forecast(analysis, ahead(few, 0, 1), grid)
    assert np.isfinite(made["adt"].values).any()


def test_evaluation_scores_what_the_public_interface_forecasts(forecaster, sea, grid):
    config = EvaluationConfig(leads_days=[1.0, 3.0], stride=4)
    result = evaluate_maps(forecaster, sea, config, None, lambda *told: None)
    last = max(i for i in range(4, 27, 4) if i + 3 < 30)
    analysis = forecaster.analyse(sea, sea["time"].values[last])
    made = forecaster.forecast(analysis, datetime_of(analysis.time + np.array([1.0, 3.0])), grid)
    np.testing.assert_allclose(result.forecast[:, 0], made["adt"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.spread[:, 0], made["adt_std"], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(result.truth[:, 0], sea["adt"].values[[last + 1, last + 3]])


def test_evaluation_of_maps_with_moving_gaps_is_the_public_forecast(forecaster, sea, grid):
    """Clouds: every map has other gaps, so every start has another error."""
    cloudy = sea["adt"].values.copy()
    chance = np.random.default_rng(5)
    for day in range(30):
        cloudy[day, :, 4 + day // 4 :] = np.where(chance.random((16, 12 - day // 4)) < day / 32, np.nan, 0.4)
    cloudy[:, 8, 8] = 0.4
    clouded = sea.assign(adt=(sea["adt"].dims, cloudy, sea["adt"].attrs))
    config = EvaluationConfig(leads_days=[1.0], end=sea["time"].values[10].astype("datetime64[s]").item())
    result = evaluate_maps(forecaster, clouded, config, None, lambda *told: None)
    analysis = forecaster.analyse(clouded, sea["time"].values[9])
    made = forecaster.forecast(analysis, sea["time"].values[[10]], grid)
    np.testing.assert_allclose(result.forecast[:, 0], made["adt"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.spread[:, 0], made["adt_std"], rtol=1e-3, atol=1e-6)


def test_two_channels(current_run, scattered):
    currents = open_store(current_run.parent / "currents.zarr").load()
    forecaster = dino.Forecaster(*load_model(current_run), SHORT)
    grid = xr.Dataset(coords={name: currents[name] for name in ("latitude", "longitude")})
    for observed in (currents, scattered(currents, ["u", "v"], 200), scattered(currents, ["u"], 200)):
        made = forecaster.forecast(observed, ahead(observed, 1, 2), grid)
        assert set(made.data_vars) == {"u", "u_std", "v", "v_std"}
        assert all(np.isfinite(made[name]).all() for name in made.data_vars)
        assert made["v"].attrs["units"] == "m s-1"
    with pytest.raises(ObservationError, match=r"holds u \(eastward current\) where v"):
        forecaster.forecast(currents[["u"]], ahead(currents, 1), grid)


def test_decoding_goes_block_by_block(forecaster, observed, grid, monkeypatch):
    times = ahead(observed, 1, 3)
    whole = forecaster.forecast(observed, times, grid)
    monkeypatch.setattr(blending, "BLOCK_POINTS", 7)
    sizes, held = [], type(forecaster.ocean.cover).pairs

    def watched(self, longitude, latitude):
        sizes.append(len(longitude))
        return held(self, longitude, latitude)

    monkeypatch.setattr(type(forecaster.ocean.cover), "pairs", watched)
    parts = forecaster.forecast(observed, times, grid)
    asked, *sizes = sizes
    assert asked == 256  # whether any point is inside
    assert max(sizes) == 7
    assert 200 < sum(sizes) <= 256  # land is left out
    for name in ("adt", "adt_std"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-5)


def test_the_same_twice(forecaster, observed, grid):
    times = ahead(observed, 1, 3)
    xr.testing.assert_identical(forecaster.forecast(observed, times, grid), forecaster.forecast(observed, times, grid))


def test_a_periodic_box_wraps(box_run, box_dataset):
    forecaster = dino.load(box_run)
    run = box_dataset().isel(trajectory=0)
    west = float(run["longitude"][0])
    period = float(run["longitude"][-1] - west) * 16 / 15
    made = forecaster.forecast(run, ahead(run, 1), points([west + 0.1, west + 0.1 + period], [38.1, 38.1]))
    np.testing.assert_allclose(made["ssh_std"].values[0, 0], made["ssh_std"].values[0, 1], rtol=1e-4)


def test_offsets_of_sources_beside_the_state_of_every_tile(forecaster, sparse):
    config = SHORT.model_copy(update={"bias_error": 0.05})
    offset = dino.Forecaster(forecaster.latent, forecaster.ocean, config)
    source = np.arange(sparse.sizes["obs"]) % 2
    high = sparse["adt"] + 0.1 * source.astype(np.float32)
    told = sparse.drop_vars("source_name").assign(adt=high, source=("obs", source))
    analysis = offset.analyse(told, smooth=True)
    assert set(analysis.quality.biases) == {"source 0", "source 1"}
    low, up = (analysis.quality.biases[f"source {index}"]["adt"] for index in (0, 1))
    assert 0.05 < up - low < 0.12
    here = points([4.3, 3.1], [38.0, 37.4])
    made = offset.forecast(analysis, ahead(analysis, -1, 0, 1), here)
    assert np.isfinite(made["adt"]).all()
    later = offset.update(analysis, told, ahead(analysis, 2)[0])
    assert later.quality.used == 0
    ahead_of_it = offset.forecast(later, ahead(later, 0), here)
    direct = offset.forecast(analysis, ahead(analysis, 2), here)
    np.testing.assert_allclose(ahead_of_it["adt"], direct["adt"], atol=0.02)
