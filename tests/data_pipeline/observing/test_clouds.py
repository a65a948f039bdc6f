"""Clouds of a product moved over a field: their share, shape, seams, and what a product must have."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import ConfigError, EmptyDataError, MissingFileError, SchemaError
from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.observing.clouds import CloudConfig, CloudScenes
from data_pipeline.observing.instruments import RandomPoints, TrackInstrument
from data_pipeline.observing.interpolation import Extent, interpolator
from data_pipeline.observing.swaths import SampleConfig, sample

DAY = np.datetime64("2000-01-05")
GLOBE = Extent(np.array([1.0, 0, 0]), 20_000.0, -80.0, 80.0, -180.0, 360.0)


def blobs(shape, seed=0, size=6):
    """Clear and cloudy squares of `size` pixels."""
    rows, columns = (-(-n // size) for n in shape)
    squares = np.random.default_rng(seed).random((rows, columns)) > 0.4
    return np.kron(squares, np.ones((size, size), bool))[: shape[0], : shape[1]]


def product(path, clear, *, step=0.02, curvilinear=False, kelvin=True, standard_name=True, **variables):
    """A file of temperatures: (time, lat, lon) on axes, or (time, nj, ni) with coordinates of every pixel."""
    _, rows, columns = clear.shape
    lat, lon = 30 + step * np.arange(rows), 170 + step * np.arange(columns)
    values = np.where(clear, 290.0 if kelvin else 17.0, np.nan)
    attrs = {"units": "kelvin" if kelvin else "degree Celsius"}
    attrs |= {"standard_name": "sea_surface_skin_temperature"} if standard_name else {}
    dims = ("time", "nj", "ni") if curvilinear else ("time", "lat", "lon")
    if curvilinear:
        x, y = np.meshgrid((lon + 180) % 360 - 180, lat)
        coords = {"lat": (("nj", "ni"), y), "lon": (("nj", "ni"), x)}
    else:
        coords = {"lat": lat, "lon": lon}
    extra = {name: (dims, value) for name, value in variables.items()}
    xr.Dataset({"temperature": (dims, values, attrs), **extra}, coords).to_netcdf(path)
    return path


@pytest.mark.parametrize("curvilinear", [False, True])
def test_a_scene_is_read_as_it_is(tmp_path, curvilinear):
    clear = blobs((40, 50))[None]
    scenes = CloudConfig(path=product(tmp_path / "a.nc", clear, curvilinear=curvilinear)).scenes
    np.testing.assert_array_equal(scenes.clear, clear)
    north = 0.02 * np.pi / 180 * 6371
    assert scenes.spacing_km == pytest.approx((north, north * np.cos(np.deg2rad(30.4))), rel=0.01)


def test_land_is_what_no_scene_shows_and_open_sea_is_taken(tmp_path):
    land = np.zeros((40, 50), bool)
    land[10:20, 10:30] = True
    clear = np.stack([blobs((40, 50), seed) for seed in range(8)])
    clear[0, ~clear.any(0)] = True
    scenes = CloudConfig(path=product(tmp_path / "a.nc", clear & ~land)).scenes
    np.testing.assert_array_equal(scenes.clear, clear[:, 20:])
    # Of a single scene nobody can tell: land is cloud there.
    single = CloudConfig(path=product(tmp_path / "b.nc", (clear & ~land)[:1])).scenes
    assert single.clear.shape == (1, 40, 50)


def test_a_few_unknown_pixels_take_the_state_beside_them(tmp_path):
    clear = np.zeros((8, 300, 300), bool)
    clear[:, :, :150] = True
    clear[0] = True
    clear[:, 100, 100] = clear[:, 100, 250] = False
    scenes = CloudConfig(path=product(tmp_path / "a.nc", clear)).scenes
    assert scenes.clear.shape == (8, 300, 300)
    assert scenes.clear[1, 100, 100]
    assert not scenes.clear[1, 100, 250]


def test_a_window_leaves_out_the_rest(tmp_path):
    clear = np.zeros((1, 40, 50), bool)
    clear[:, :20, 20:] = True
    path = product(tmp_path / "a.nc", clear)
    scenes = CloudConfig(path=path, window=(170.399, 30, -179.001, 30.381)).scenes
    assert scenes.clear.shape == (1, 20, 30)
    assert scenes.clear.all()
    with pytest.raises(EmptyDataError, match="no pixel"):
        CloudConfig(path=path, window=(0, 0, 1, 1)).scenes  # noqa: B018


def test_low_quality_and_impossible_temperatures_are_cloud(tmp_path):
    clear = np.ones((1, 20, 20), bool)
    quality = np.full(clear.shape, 5)
    quality[:, :10] = 2
    path = product(tmp_path / "a.nc", clear, quality_level=quality, standard_name=True)
    assert CloudConfig(path=path).scenes.clear.mean() == 0.5
    assert CloudConfig(path=path, quality=2).scenes.clear.all()
    with xr.load_dataset(path) as ds:
        ds["temperature"][:, :, :5] = 223.0
    ds.to_netcdf(tmp_path / "b.nc")
    assert CloudConfig(path=tmp_path / "b.nc", quality=0).scenes.clear.mean() == 0.75


def test_products_without_a_map_are_refused(tmp_path):
    clear = np.ones((1, 20, 20), bool)
    two = product(tmp_path / "two.nc", clear, standard_name=False, wind=np.ones(clear.shape))
    with pytest.raises(SchemaError, match=r"2 maps.*temperature, wind.*`variable`"):
        CloudConfig(path=two).scenes  # noqa: B018
    assert CloudConfig(path=two, variable="wind").scenes.clear.all()
    with pytest.raises(ConfigError, match="no map 'rain'"):
        CloudConfig(path=two, variable="rain").scenes  # noqa: B018
    xr.Dataset({"sst": (("a", "b"), np.ones((3, 3)), {"units": "K"})}).to_netcdf(tmp_path / "nowhere.nc")
    with pytest.raises(SchemaError, match="no latitude"):
        CloudConfig(path=tmp_path / "nowhere.nc").scenes  # noqa: B018
    with pytest.raises(EmptyDataError, match="clear"):
        CloudConfig(path=product(tmp_path / "dark.nc", ~clear)).scenes  # noqa: B018
    with pytest.raises(MissingFileError):
        CloudConfig(path=tmp_path / "none.nc").scenes  # noqa: B018


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-720, 719), st.integers(-320, 320)), min_size=1, max_size=30),
    st.integers(-3, 3),
    st.integers(0, 5),
)
def test_the_sky_over_a_place_does_not_depend_on_how_its_longitude_is_written(quarters, turns, seed):
    longitude, latitude = 0.25 * np.array(quarters, float).T
    scenes = CloudScenes(blobs((60, 80))[None], (9.0, 11.0))
    here = scenes.over(GLOBE, seed, DAY, longitude, latitude)
    np.testing.assert_array_equal(scenes.over(GLOBE, seed, DAY, longitude + 360 * turns, latitude), here)
    # Nor on which other places are asked for.
    one = scenes.over(GLOBE, seed, DAY, longitude[-1:], latitude[-1:])
    assert one[0] == here[-1]


def test_clouds_keep_their_share_and_their_size_and_change_from_day_to_day():
    clear = np.stack([blobs((300, 300), seed, size=30) for seed in range(3)])
    scenes = CloudScenes(clear, (1.0, 1.0))
    longitude, latitude = (a.ravel() for a in np.meshgrid(np.arange(0, 8, 0.02), np.arange(-4, 4, 0.02)))
    days = [scenes.over(GLOBE, 0, DAY + k, longitude, latitude).reshape(400, 400) for k in range(12)]
    assert np.mean(days) == pytest.approx(clear.mean(), abs=0.05)
    for day in days:  # squares of 30 km: a border about every 27 steps of 0.02 degrees, half of them unchanged
        assert 0.5 * 2.2 / 30 * 0.48 < (day[:, 1:] != day[:, :-1]).mean() < 2 * 2.2 / 30 * 0.48
    assert (days[0] != days[1]).mean() > 0.2
    again = scenes.over(GLOBE, 0, DAY, longitude, latitude).reshape(400, 400)
    np.testing.assert_array_equal(again, days[0])
    assert (scenes.over(GLOBE, 1, DAY, longitude, latitude).reshape(400, 400) != days[0]).mean() > 0.2


@pytest.fixture
def warm_field():
    longitude, latitude = np.arange(-65.0, -54.9, 0.5), np.arange(33.0, 43.1, 0.5)
    sst = np.broadcast_to(15 + 0.1 * longitude + 0.2 * latitude[:, None] + 20, (3, 21, 21))
    time = np.arange("2000-01-05", "2000-01-08", dtype="datetime64[D]")
    return fields_dataset(time, longitude, latitude, {"sst": sst, "ssh": 0 * sst})


def test_a_sampled_store_has_gaps_where_the_clouds_are(tmp_path, warm_field):
    path = product(tmp_path / "a.nc", blobs((200, 200), size=40)[None], step=0.01)
    clouds = CloudConfig(path=path)
    points = RandomPoints(name="r", kind="random", points_per_day=3000, error_std=0.1, clouds=clouds, channels=("sst",))
    free = points.model_copy(update={"clouds": None})
    seen, all_of_it = (sample(warm_field, SampleConfig(instruments=[i])) for i in (points, free))
    assert seen.sizes["obs"] == pytest.approx(clouds.scenes.clear.mean() * all_of_it.sizes["obs"], rel=0.15)
    extent = interpolator(warm_field).extent
    for start, stop, day in zip(seen.day_offset.values[:-1], seen.day_offset.values[1:], seen.day.values, strict=True):
        part = seen.isel(obs=slice(start, stop))
        assert clouds.scenes.over(extent, 0, day, part.longitude.values, part.latitude.values).all()
    # Two instruments under one sky see the same places clear.
    imager = TrackInstrument(name="i", kind="swath", inner_km=0, outer_km=700, spacing_km=20, clouds=clouds)
    both = sample(warm_field, SampleConfig(instruments=[points, imager]))
    imaged = both.isel(obs=np.flatnonzero(both.source == 1))
    assert imaged.sizes["obs"] > 100
    day = imaged.time.values.astype("M8[D]")
    for one in np.unique(day):
        mine = day == one
        assert clouds.scenes.over(extent, 0, one, imaged.longitude.values[mine], imaged.latitude.values[mine]).all()
    assert "a.nc" in both.sources
    assert str(tmp_path) not in str(both.attrs)


@pytest.mark.parametrize(
    ("name", "window", "share"),
    [
        ("avhrr_l3_alboran_2017-05-14_2017-05-24.nc", None, (0.2, 0.6)),
        ("SLSTR_SL_2_WST_NW_med.nc", (3.5, 37.5, 8, 42.5), (0.6, 0.9)),
        ("ghrsst_l2p_modis_terra_2019-08-05.nc", None, (0.3, 0.7)),
    ],
)
def test_real_products_give_scenes(real_data, name, window, share):
    scenes = CloudConfig(path=real_data / "swaths" / name, window=window).scenes
    low, high = share
    assert low < scenes.clear.mean() < high
    assert all(0.8 < step < 2.5 for step in scenes.spacing_km)
