"""Models laid over another sea: of maps, of point observations alone, of a box."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_pipeline.layout.datasets import observations_dataset
from data_pipeline.stores.writing import write_store
from dino.commands.app import main
from dino.config import DomainConfig, StoreConfig
from dino.data.observations import Observations, datetime_of, day_of
from dino.errors import ConfigError, DomainError, EmptyDataError
from dino.forecaster import Forecaster
from dino.model import ChannelSpec, Ocean
from dino.model.checkpoint import load_model, load_run_config
from dino.model.laying import FEWEST, POOLED
from dino.space.boxes import points_in
from dino.space.cover import Cover
from dino.space.domain import Region, wrap_longitude
from dino.space.gridmap import GridMap
from dino.space.land import is_land, land_fraction

LEVEL = "sea_surface_height_above_sea_level"
PACIFIC = (172.0, 188.0, 26.0, 36.0)  # across 180 degrees, no land but an atoll
TILES = DomainConfig(kind="tiles", tile_degrees=4.0)


def like(*names: str, spread: float = 0.2, standard_name: str | None = LEVEL, tiled: bool = True) -> Ocean:
    """An ocean whose channels are those of a model; where it lies does not matter."""
    charts = (Region.from_bounds(0.0, 4.0, 30.0, 34.0, isotropic=False),)
    channels = tuple(ChannelSpec(name=n, units="m", standard_name=standard_name, spread=spread) for n in names)
    return Ocean(
        channels, Cover(charts, np.ones(1), tiled), GridMap(np.zeros(1), np.zeros(1), np.zeros((len(names), 1, 1)))
    )


def observed(longitude, latitude, values, error: float = 0.0, channels: tuple[str, ...] = ("sla",)) -> Observations:
    values = np.asarray(values, float).reshape(len(longitude), -1)
    time = 20000.0 + np.linspace(0.0, 10.0, len(longitude))
    place = wrap_longitude(longitude), np.asarray(latitude, float)
    source = np.zeros(len(longitude), np.int64)
    return Observations(time, *place, values, np.full_like(values, error), source, channels)


def scattered_over(box, count: int, seed: int = 0) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, rng.uniform(box[0], box[1], count), rng.uniform(box[2], box[3], count)


# --- from observations alone -----------------------------------------------------------------------------------------


def test_amplitudes_are_those_that_made_the_points():
    """Anomalies of one strength in the west and of three times that in the east, with errors they state."""
    rng, longitude, latitude = scattered_over(PACIFIC, 40_000)
    strength = np.where(longitude < 180.0, 0.5, 1.5)
    values = 0.2 * strength * rng.normal(size=40_000) + 0.1 * rng.normal(size=40_000)
    ocean = Ocean.over(observed(longitude, latitude, values, 0.1), like("sla"), TILES)
    for chart, amplitude in zip(ocean.cover.charts, ocean.cover.amplitude, strict=True):
        west = wrap_longitude(chart.longitude - 180.0) + np.array([-1, 1]) * chart.extent_degrees[0]
        share = float(np.clip(-west[0] / (west[1] - west[0]), 0.0, 1.0))
        # A few tens of a common mean beside a thousand points, and the scatter of these.
        assert amplitude == pytest.approx(np.sqrt(share * 0.25 + (1 - share) * 2.25), rel=0.15)
    truth = [0.5 if wrap_longitude(c.longitude - 180.0) < -2 else 1.5 for c in ocean.cover.charts]
    pure = [abs(float(wrap_longitude(c.longitude - 180.0))) >= 2 for c in ocean.cover.charts]
    ratio = (ocean.cover.amplitude / truth)[pure]
    assert abs(ratio.mean() - 1) < 0.03


def test_amplitudes_are_the_formula_with_gaps_and_several_channels():
    rng, longitude, latitude = scattered_over(PACIFIC, 300, seed=1)
    values = np.stack([0.4 * rng.normal(size=300), 3.0 + rng.normal(size=300)], axis=-1)
    values[:40, 0] = values[100:120, 1] = np.nan
    values[200] = np.nan
    seen = observed(longitude, latitude, values, channels=("sla", "sst"))
    seen.error[:, 1] = np.nan
    seen.error[:, 0] = 0.1
    model = like("sla", "sst", standard_name=None)
    ocean = Ocean.over(seen, model, TILES)
    mean = np.nanmean(values, axis=0)
    power = np.stack([(values[:, 0] - mean[0]) ** 2 - 0.01, (values[:, 1] - mean[1]) ** 2], axis=-1) / 0.04
    told = [np.nanmean(row) for row in power[np.isfinite(power).any(1)]]
    for chart, amplitude in zip(ocean.cover.charts, ocean.cover.amplitude, strict=True):
        inside = chart.contains(seen.longitude, seen.latitude) & np.isfinite(power).any(1)
        own = [np.nanmean(row) for row in power[inside]]
        variance = (sum(own) + POOLED * np.mean(told)) / (len(own) + POOLED)
        assert amplitude == pytest.approx(np.sqrt(variance))
    np.testing.assert_allclose(ocean.background.at(np.array([180.0]), np.array([30.0]))[0], mean)


def test_points_that_are_nothing_but_their_errors_leave_a_small_amplitude():
    rng, longitude, latitude = scattered_over(PACIFIC, 2000)
    quiet = Ocean.over(observed(longitude, latitude, 0.1 * rng.normal(size=2000), 0.11), like("sla"), TILES)
    assert np.isfinite(quiet.cover.amplitude).all()
    assert (quiet.cover.amplitude > 0).all()
    assert quiet.cover.amplitude.max() < 0.2


def test_a_tile_without_points_takes_the_common_amplitude():
    rng, longitude, latitude = scattered_over((172.0, 176.0, 26.0, 30.0), 500)
    ocean = Ocean.over(observed(longitude, latitude, 0.6 * rng.normal(size=500)), like("sla"), TILES, box=PACIFIC)
    held = np.isin(np.arange(ocean.charts), ocean.cover.pairs(longitude, latitude).chart)
    assert 0 < held.sum() < ocean.charts
    common = np.sqrt(np.mean((ocean.cover.amplitude[~held]) ** 2))
    np.testing.assert_allclose(ocean.cover.amplitude[~held], common)
    assert common == pytest.approx(3.0, rel=0.1)


def test_twice_the_anomaly_is_twice_the_amplitude_and_weights_are_left_alone():
    rng, longitude, latitude = scattered_over(PACIFIC, 400)
    values = rng.normal(size=400)
    one, two = (Ocean.over(observed(longitude, latitude, s * values), like("sla"), TILES) for s in (1.0, 2.0))
    np.testing.assert_allclose(two.cover.amplitude, 2 * one.cover.amplitude)
    assert two.cover.charts == one.cover.charts


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-180, 180), st.floats(0, 40), st.floats(-58, -50), st.floats(0, 12), st.floats(1, 9), st.floats(0, 0.8)
)
def test_tiles_cover_the_box_around_the_points_evenly(west, width, south, height, size, overlap):
    """Anywhere around the Southern Ocean, where some land may lie: tiles are dropped for land alone."""
    rng, longitude, latitude = scattered_over((west, west + width, south, south + height), 50)
    domain = DomainConfig(kind="tiles", tile_degrees=size, overlap=overlap, minimum_valid=1e-9)
    assume(not is_land(longitude, latitude).all())  # within Patagonia there is no sea to lay tiles over
    ocean = Ocean.over(observed(longitude, latitude, rng.normal(size=50)), like("sla"), domain)
    assert (ocean.cover.holds(longitude, latitude) | is_land(longitude, latitude)).all()
    for chart in ocean.cover.charts:
        np.testing.assert_allclose(chart.extent_degrees, size / 2)
    # As much to the west as to the east of the points, as much to the south as to the north.
    if not land_fraction(west - 9, west + width + 9, south - 9, min(south + height + 9, 0)):
        east = wrap_longitude(np.array([c.longitude for c in ocean.cover.charts]) - longitude.mean())
        middle = float((longitude.min() + longitude.max()) / 2 - longitude.mean())
        assert (east.min() + east.max()) / 2 == pytest.approx(middle, abs=1e-6)


@pytest.mark.parametrize("south", [-66.4, -70.0, -66.0])
@pytest.mark.parametrize(("size", "overlap"), [(4.0, 0.5), (8.0, 0.5), (5.0, 0.0)])
def test_tiles_reach_up_to_the_highest_latitude(south, size, overlap):
    """Altimeters see a little beyond 66 degrees: what lies beyond must not cost what lies before."""
    rng, longitude, latitude = scattered_over((-160.0, -120.0, south, -50.0), 2000)
    domain = DomainConfig(kind="tiles", tile_degrees=size, overlap=overlap)
    ocean = Ocean.over(observed(longitude, latitude, rng.normal(size=2000)), like("sla"), domain)
    assert ocean.cover.holds(longitude, latitude)[latitude > -66.0].all()
    assert max(abs(c.latitude) + c.extent_degrees[1] for c in ocean.cover.charts) <= 66.0 + 1e-6


def test_tiles_go_round_the_globe_once():
    rng, longitude, latitude = scattered_over((-180.0, 180.0, -56.0, -44.0), 5000)
    ocean = Ocean.over(observed(longitude, latitude, rng.normal(size=5000)), like("sla"), TILES)
    assert (ocean.cover.holds(longitude, latitude) | is_land(longitude, latitude)).all()
    rows = {round(c.latitude, 6) for c in ocean.cover.charts}
    for row in rows:
        centres = np.sort([c.longitude for c in ocean.cover.charts if abs(c.latitude - row) < 1e-6])
        assert len(centres) <= 180  # every two degrees, and some of them land
        assert np.diff(centres).min() == pytest.approx(2.0)
    # The mean field closes on itself.
    grid = ocean.background
    assert grid.longitude[-1] - grid.longitude[0] < 360.0
    assert grid.longitude[-1] - grid.longitude[0] + 1.5 * np.diff(grid.longitude).max() >= 360.0


def test_the_box_around_points_lies_across_180_degrees_where_the_gap_is_elsewhere():
    rng, longitude, latitude = scattered_over(PACIFIC, 400)
    ocean = Ocean.over(observed(longitude, latitude, rng.normal(size=400)), like("sla"), TILES)
    away = np.abs([wrap_longitude(c.longitude - 180.0) for c in ocean.cover.charts])
    assert away.max() < 10.0
    there = Ocean.over(observed(longitude - 25.0, latitude, rng.normal(size=400)), like("sla"), TILES)
    moved = wrap_longitude([c.longitude - 25.0 for c in ocean.cover.charts])
    np.testing.assert_allclose([c.longitude for c in there.cover.charts], moved, atol=1e-9)


def test_land_is_dropped_by_the_shipped_mask_and_missing_in_the_mean_field():
    rng, longitude, latitude = scattered_over((-6.0, 12.0, 36.0, 44.0), 3000)
    sea = ~is_land(longitude, latitude)
    seen = observed(longitude[sea], latitude[sea], rng.normal(size=sea.sum()))
    for share in (0.2, 0.6):
        domain = DomainConfig(kind="tiles", tile_degrees=2.0, minimum_valid=share)
        ocean = Ocean.over(seen, like("sla"), domain)
        whole = Ocean.over(seen, like("sla"), domain.model_copy(update={"minimum_valid": 1e-9}))
        for chart in whole.cover.charts:
            west, south = chart.longitude - 1.0, chart.latitude - 1.0
            water = 1 - land_fraction(west, west + 2.0, south, south + 2.0)
            if abs(water - share) > 0.03:
                assert (chart in ocean.cover.charts) == (water > share)
        assert 0 < ocean.charts < whole.charts
    grid = ocean.background
    x, y = np.meshgrid(grid.longitude, grid.latitude)
    np.testing.assert_array_equal(np.isnan(grid.values[0]), is_land(x, y))
    places = np.array([2.35, 5.0, 9.0]), np.array([43.6, 40.5, 40.0])  # Languedoc, the sea, Sardinia
    assert grid.is_ocean(*places).tolist() == [False, True, False]
    # It reaches as far as the tiles do.
    for chart in ocean.cover.charts:
        assert grid.longitude[0] - 0.1 < chart.longitude - 1.0
        assert chart.longitude + 1.0 < grid.longitude[-1] + 0.1
        assert grid.latitude[0] - 0.1 < chart.latitude - 1.0
        assert chart.latitude + 1.0 < grid.latitude[-1] + 0.1


@pytest.mark.parametrize(
    ("standard_name", "expected"),
    [(LEVEL, 0.0), ("sea_water_temperature_anomaly", 0.0), ("sea_surface_temperature", 17.0), (None, 17.0)],
)
def test_the_mean_field_of_anomalies_is_zero_and_of_others_that_of_the_points(standard_name, expected):
    rng, longitude, latitude = scattered_over(PACIFIC, 4000)
    seen = observed(longitude, latitude, 17.0 + 0.1 * rng.normal(size=4000))
    ocean = Ocean.over(seen, like("sla", standard_name=standard_name), TILES)
    read = ocean.background.at(np.array([175.0, -175.0]), np.array([30.0, 34.0]))
    np.testing.assert_allclose(read, expected, atol=0.01)


def test_names_size_and_box_may_be_given():
    rng, longitude, latitude = scattered_over(PACIFIC, 400)
    seen = observed(longitude, latitude, rng.normal(size=400), channels=("height",))
    given = {"names": ["height"], "tile_degrees": 2.5, "box": (175.0, 185.0, 28.0, 34.0)}
    ocean = Ocean.over(seen, like("sla"), TILES, **given)
    assert ocean.names == ("height",)
    assert ocean.spread.tolist() == [0.2]
    np.testing.assert_allclose([c.extent_degrees for c in ocean.cover.charts], 1.25)
    assert points_in(*np.transpose([(c.longitude, c.latitude) for c in ocean.cover.charts]), [given["box"]]).all()
    x, y = np.meshgrid(np.linspace(175.0, 185.0, 50), np.linspace(28.0, 34.0, 50))
    assert ocean.cover.holds(x.ravel(), y.ravel()).all()


def test_a_dataset_of_points_is_as_good_as_its_observations_and_tiles_are_of_eight_degrees():
    rng, longitude, latitude = scattered_over(PACIFIC, 400)
    time = np.datetime64("2020-01-01", "ns") + np.arange(400) * np.timedelta64(1, "h")
    values, errors = rng.normal(size=400), np.full(400, 0.1)
    table = observations_dataset(time, wrap_longitude(longitude), latitude, {"sla": values}, {"sla": errors})
    made = Ocean.over(table, like("sla"))
    np.testing.assert_allclose([c.extent_degrees for c in made.cover.charts], 4.0)
    seen = Observations.from_dataset(table, ("sla",))
    again = Ocean.over(seen, like("sla"), DomainConfig(kind="tiles", tile_degrees=8.0))
    assert again.cover.charts == made.cover.charts
    np.testing.assert_array_equal(again.cover.amplitude, made.cover.amplitude)
    renamed = Ocean.over(table.rename(sla="height", sla_error="height_error"), like("sla"), names=["height"])
    np.testing.assert_array_equal(renamed.cover.amplitude, made.cover.amplitude)


def test_points_on_one_meridian_and_of_one_place_have_a_tile():
    for longitude, latitude in (
        (np.full(30, 180.0), np.linspace(26.0, 36.0, 30)),
        (np.full(30, -179.0), np.full(30, 30.0)),
    ):
        ocean = Ocean.over(observed(longitude, latitude, np.linspace(-1, 1, 30)), like("sla"), TILES)
        assert ocean.cover.holds(longitude, latitude).all()


def test_what_observations_cannot_tell_is_refused():
    rng, longitude, latitude = scattered_over(PACIFIC, FEWEST)
    seen = observed(longitude, latitude, rng.normal(size=FEWEST))
    assert Ocean.over(seen, like("sla"), TILES).charts
    with pytest.raises(EmptyDataError, match=f"{FEWEST - 1} observations tell no amplitude"):
        Ocean.over(seen.select(np.arange(FEWEST - 1)), like("sla"), TILES)
    with pytest.raises(DomainError, match="no observation lies in one of"):
        Ocean.over(seen, like("sla"), TILES, box=(0.0, 10.0, -30.0, -20.0))
    desert = observed(np.linspace(5.0, 15.0, 50), np.linspace(20.0, 30.0, 50), rng.normal(size=50))
    with pytest.raises(DomainError, match="has 40 % ocean"):
        Ocean.over(desert, like("sla"), TILES)
    with pytest.raises(ConfigError, match=r"domain\.kind=tiles"):
        Ocean.over(seen, like("sla", tiled=False), TILES)
    with pytest.raises(ConfigError, match="name as many channels"):
        Ocean.over(seen, like("sla"), TILES, names=["sla", "sst"])
    with pytest.raises(DomainError, match="no tile"):
        Ocean.over(replace(seen, latitude=seen.latitude + 50.0), like("sla"), TILES)


def tracks(sea: xr.Dataset, count: int, west: float) -> xr.Dataset:
    """Points of a sea's anomalies, moved so that it begins at longitude `west`."""
    rng = np.random.default_rng(0)
    values = sea["adt"].values - 0.4
    time, row, column = (rng.integers(0, size, count) for size in values.shape)
    time = np.sort(time)
    x = west + sea["longitude"].values[column] - float(sea["longitude"][0])
    told = {"adt": values[time, row, column]}
    return observations_dataset(
        sea["time"].values[time], x, sea["latitude"].values[row], told, {"adt": np.full(count, 0.01)}
    )


def test_a_sea_is_forecast_from_its_points_alone(sea_run, sea_dataset):
    """Anomalies of the sea that taught the model, moved across 180 degrees where no map of it is."""
    sea = sea_dataset(land=False)
    latent, before = load_model(sea_run)
    seen = tracks(sea, 3000, 178.0)
    table = Observations.from_dataset(seen, before.names)
    ocean = Ocean.over(table, before, load_run_config(sea_run).domain)
    forecaster = Forecaster(latent, ocean)
    end = seen["time"].values[-1]
    at = xr.Dataset(coords={"longitude": 178.125 + 0.25 * np.arange(16), "latitude": sea["latitude"].values})
    made = forecaster.forecast(seen, np.array([end]), at)
    assert np.isfinite(made["adt"].values).all()
    known = ocean.background.at(np.array([180.0]), np.array([37.0]))[0, 0]
    truth = sea["adt"].values[-1] - 0.4
    error = np.sqrt(((made["adt"].values[0] - known - truth) ** 2).mean())
    assert error < 0.7 * truth.std()


# --- from maps -------------------------------------------------------------------------------------------------------


def moved(run, dataset, until=None, channels=None) -> Ocean:
    config, (_, before) = load_run_config(run), load_model(run)
    return Ocean.over(dataset, before, config.domain, store=StoreConfig(path=run, channels=channels), until=until)


def maps_until(sea_config, dataset):
    """The day of the last map that the run was trained on."""
    return day_of(dataset.time.values[-1]) - sea_config.data.validation_days


def forecast(run, ocean, dataset, channel="adt"):
    times = dataset.time.values[-1] + np.array([1, 3]).astype("timedelta64[D]")
    forecaster = Forecaster(load_model(run)[0], ocean)
    return forecaster.forecast(dataset, times, dataset[["longitude", "latitude"]])[channel].values


def test_on_its_own_sea_a_run_stays_what_it_was(sea_run, sea_config, sea_dataset):
    sea, original = sea_dataset(), load_model(sea_run)[1]
    ocean = moved(sea_run, sea, maps_until(sea_config, sea))
    assert ocean.cover.charts == original.cover.charts
    assert ocean.channels == original.channels
    np.testing.assert_allclose(ocean.cover.amplitude, original.cover.amplitude, rtol=1e-12)
    np.testing.assert_allclose(forecast(sea_run, ocean, sea), forecast(sea_run, original, sea), rtol=1e-6)


def test_a_sea_moved_east_is_forecast_alike(sea_run, sea_config, sea_dataset):
    """Same latitudes and values at other longitudes, across 180 degrees."""
    here, there = sea_dataset(), sea_dataset(west=178.0)
    until = maps_until(sea_config, here)
    made = [forecast(sea_run, moved(sea_run, sea, until), sea) for sea in (here, there)]
    from_west = np.argsort((there.longitude.values - 178.0) % 360)  # stores are ordered by the wrapped longitude
    np.testing.assert_allclose(made[1][..., from_west], made[0], rtol=1e-4, atol=1e-5)


def test_maps_after_the_last_known_one_are_not_looked_at(sea_run, sea_config, sea_dataset):
    sea = sea_dataset()
    until = maps_until(sea_config, sea)
    known = sea.time.values <= np.datetime64("2005-04-24")
    other = sea.assign(adt=sea.adt.where(known[:, None, None], 3.0 * sea.adt))
    one, two = moved(sea_run, sea, until), moved(sea_run, other, until)
    np.testing.assert_array_equal(one.cover.amplitude, two.cover.amplitude)
    np.testing.assert_array_equal(one.background.values, two.background.values)
    assert not np.array_equal(moved(sea_run, other).cover.amplitude, one.cover.amplitude)


def test_amplitudes_follow_the_new_sea(sea_run, sea_dataset):
    sea = sea_dataset()
    mean = float(sea.adt.mean())
    strong = sea.assign(adt=mean + 2 * (sea.adt - mean))
    one, two = moved(sea_run, sea), moved(sea_run, strong)
    np.testing.assert_allclose(two.cover.amplitude, 2 * one.cover.amplitude, rtol=1e-6)
    np.testing.assert_array_equal(two.spread, one.spread)


def test_amplitudes_of_maps_are_the_spread_of_their_tiles(sea_run, sea_dataset):
    sea = sea_dataset()
    ocean = moved(sea_run, sea)
    x, y = np.meshgrid(sea.longitude, sea.latitude)
    anomaly = sea.adt.values - ocean.background.at(x.ravel(), y.ravel())[:, 0].reshape(x.shape)
    for chart, amplitude in zip(ocean.cover.charts, ocean.cover.amplitude, strict=True):
        inside = chart.contains(x, y) & np.isfinite(anomaly[0])
        assert amplitude == pytest.approx(np.sqrt((anomaly[:, inside] ** 2).mean()) / ocean.spread[0], rel=1e-4)


def test_points_of_all_cells_tell_what_maps_tell(sea_run, sea_dataset):
    """A sea without land, seen at every cell: amplitudes from points are those from maps."""
    sea = sea_dataset(west=-40.0, land=False)
    ocean = moved(sea_run, sea)
    seen = Observations.from_dataset(sea, ocean.names)
    assert load_model(sea_run)[1].channels[0].standard_name == "sea_surface_height_above_geoid"
    again = Ocean.over(seen, ocean, load_run_config(sea_run).domain)
    held = again.cover.pairs(seen.longitude, seen.latitude)
    for chart, amplitude in zip(again.cover.charts, again.cover.amplitude, strict=True):
        inside = chart.contains(seen.longitude, seen.latitude)
        own = np.sqrt(((seen.values[inside] - np.nanmean(seen.values)) ** 2).mean()) / ocean.spread[0]
        assert amplitude == pytest.approx(own, rel=0.05)
    assert len(np.unique(held.point)) == len(seen)
    np.testing.assert_allclose(again.cover.amplitude.mean(), ocean.cover.amplitude.mean(), rtol=0.1)


def test_refusals(box_run, sea_run, sea_dataset, box_dataset):
    with pytest.raises(ConfigError, match=r"domain\.kind=tiles"):
        moved(box_run, box_dataset())
    with pytest.raises(ConfigError, match="name as many channels"):
        moved(sea_run, sea_dataset(), channels=["adt", "sst"])


# --- the command -----------------------------------------------------------------------------------------------------


def relocate(*arguments) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ("relocate", *arguments)])
    assert not stop.value.code


def test_the_command_writes_a_run_that_forecasts(sea_run, sea_dataset, tmp_path):
    sea = sea_dataset(west=-20.0).rename(adt="sla")
    sea["sla"].attrs |= {"standard_name": "sea_surface_height_above_mean_sea_level"}
    store, out = write_store(sea, tmp_path / "there.zarr"), tmp_path / "run"
    relocate(sea_run, store, "--out", out, "--until", "2005-04-24", "--channels", "sla")
    config = load_run_config(out)
    assert config.data.stores[0].path == store
    assert config.data.channels == ["sla"]
    # With its period: what it was not trained on must not be taken for what taught it.
    assert config.data.simulated == load_run_config(sea_run).data
    assert np.isfinite(forecast(out, load_model(out)[1], sea, "sla")).any()


def test_the_command_takes_a_store_of_observations_and_says_what_it_saw(sea_run, sea_dataset, tmp_path, capsys):
    seen = tracks(sea_dataset(land=False), 500, 178.0)
    store, out = write_store(seen, tmp_path / "tracks.zarr"), tmp_path / "run"
    relocate(sea_run, store, "--out", out, "--until", "2005-04-20")
    told = " ".join(capsys.readouterr().out.split())
    ocean, before = load_model(out)[1], load_model(sea_run)[1]
    count = int((seen["time"] <= np.datetime64("2005-04-20")).sum())
    assert f"{ocean.charts} tiles" in told
    assert f"{count:,} observations of" in told
    # What came later is not looked at.
    known = Observations.from_dataset(seen, before.names).between(0.0, day_of("2005-04-20"))
    assert len(known) == count
    expected = Ocean.over(known, before, load_run_config(sea_run).domain)
    np.testing.assert_allclose(ocean.cover.amplitude, expected.cover.amplitude)
    assert datetime_of(known.time[-1]) <= np.datetime64("2005-04-20")


def test_tiles_may_have_another_size(sea_run, sea_dataset, tmp_path, capsys):
    store = write_store(sea_dataset(), tmp_path / "there.zarr")
    counts = []
    for size in ("4", "2.5"):
        out = tmp_path / f"run{size}"
        relocate(sea_run, store, "--out", out, "--tile-degrees", size)
        counts.append(load_model(out)[1].charts)
    assert counts[0] < counts[1]
    with pytest.raises(SystemExit):
        main([str(a) for a in ("relocate", sea_run, store, "--out", tmp_path / "no", "--tile-degrees", "0")])
    assert "--tile-degrees 0 is no size" in capsys.readouterr().err
