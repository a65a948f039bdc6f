from datetime import datetime

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_pipeline.errors import ConfigError, EmptyDataError
from data_pipeline.layout.datasets import channel_names, check_observations, fields_dataset
from data_pipeline.observing.instruments import RandomPoints, TrackInstrument
from data_pipeline.observing.interpolation import interpolator
from data_pipeline.observing.karin import KarinErrors
from data_pipeline.observing.missions import MISSIONS
from data_pipeline.observing.orbits import RepeatOrbit, longitude_latitude
from data_pipeline.observing.swaths import SampleConfig, sample, sample_days

SWATH = TrackInstrument(name="swot", kind="swath", spacing_km=10, error_std=0)
NADIR = TrackInstrument(name="jason", kind="nadir", orbit=MISSIONS["jason"].orbit, error_std=0)
RANDOM = RandomPoints(name="random", kind="random", points_per_day=200, error_std=0)


def plane(longitude, latitude, day):
    return 0.01 * longitude - 0.02 * latitude + 0.03 * day + 0.001 * longitude * day


def days_since_start(ds):
    return (ds.time.values - np.datetime64("2000-01-01")) / np.timedelta64(1, "D")


def linear_field():
    """Seven days of a field that is linear in longitude, latitude and time."""
    time = np.arange("2000-01-01", "2000-01-08", dtype="datetime64[D]")
    longitude, latitude = np.arange(-65.0, -54.9, 0.5), np.arange(33.0, 43.1, 0.5)
    ssh = plane(longitude, latitude[:, None], np.arange(len(time))[:, None, None])
    return fields_dataset(time, longitude, latitude, {"ssh": ssh})


@pytest.fixture
def field():
    return linear_field()


def config(*instruments, **settings):
    return SampleConfig(instruments=instruments, **settings)


@pytest.mark.parametrize("stop", [20000103, "20000103", "2000-01-03", "2000-01-03T02:00+02:00", datetime(2000, 1, 3)])
def test_compact_dates_end_a_sample(field, stop):
    ds = sample(field, config(RANDOM, start="20000102T12", stop=stop))
    assert ds.time.values[0] >= np.datetime64("2000-01-02T12:00")
    assert np.datetime64("2000-01-02T23") < ds.time.values[-1] < np.datetime64("2000-01-03")


@pytest.mark.parametrize("name", ["start", "stop"])
@pytest.mark.parametrize("value", [947030400, 5, 1.5, "soon", "23000101", "2000-02-30"])
def test_what_is_no_date_ends_no_sample(name, value):
    with pytest.raises(ValidationError, match=r"is no time|exist|the years 1678 to 2261"):
        config(RANDOM, **{name: value})


def test_the_epoch_of_an_orbit_is_a_date_too():
    names = ({"epoch": text} for text in (20000104, "2000-01-04", "2000-01-04T00:00Z"))
    made = [TrackInstrument(name="jason", kind="nadir", orbit=MISSIONS["jason"].orbit, **epoch) for epoch in names]
    assert {instrument.epoch for instrument in made} == {datetime(2000, 1, 4)}


@pytest.mark.parametrize("instrument", [SWATH, NADIR, RANDOM], ids=lambda instrument: instrument.kind)
def test_a_linear_field_is_observed_exactly(field, instrument):
    ds = sample(field, config(instrument))
    check_observations(ds)
    assert ds.sizes["obs"] > 100
    exact = plane(ds.longitude.values, ds.latitude.values, days_since_start(ds))
    np.testing.assert_allclose(ds.ssh, exact, atol=2e-6)
    assert float(ds.ssh_error.max()) == 0


def test_a_curvilinear_grid_is_observed_exactly():
    y, x = np.mgrid[0:30, 0:40]
    longitude, latitude = -60 + 0.2 * x + 0.05 * y, 35 + 0.2 * y - 0.04 * x
    longitude[:3, :5] = latitude[:3, :5] = np.nan
    time = np.array(["2000-01-01", "2000-01-03"], "M8[D]")
    ssh = np.stack([plane(longitude, latitude, day) for day in (0, 2)])
    ssh[:, 20:25, 20:25] = np.nan
    ds = sample(fields_dataset(time, longitude, latitude, {"ssh": ssh}), config(SWATH, RANDOM))
    exact = plane(ds.longitude.values, ds.latitude.values, days_since_start(ds))
    # Triangles are straight in the projection, not in degrees.
    np.testing.assert_allclose(ds.ssh, exact, atol=2e-4)
    hole = np.hypot(ds.longitude - longitude[22, 22], ds.latitude - latitude[22, 22])
    assert float(hole.min()) > 0.4
    assert ds.sizes["obs"] > 200


def test_a_curvilinear_grid_is_not_bridged_across_a_hollow():
    y, x = np.mgrid[0:30, 0:30]
    longitude, latitude = -60 + 0.2 * x, 35 + 0.2 * y
    longitude[10:20, 10:] = latitude[10:20, 10:] = np.nan
    ssh = np.where(np.isfinite(longitude), 1.0, np.nan)[None]
    grid = interpolator(fields_dataset(np.array(["2000-01-01"], "M8[D]"), longitude, latitude, {"ssh": ssh}))
    inside, _, _ = grid.weights(np.array([-59.5, -55.0]), np.array([38.0, 38.0]))
    assert inside.tolist() == [True, False]


def test_nodes_are_returned_as_they_are(field):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(21, 21))
    x, y = np.meshgrid(field.longitude.values, field.latitude.values)
    inside, nodes, weights = interpolator(field).weights(x.ravel(), y.ravel())
    assert inside.all()
    np.testing.assert_array_equal((values.ravel()[nodes] * weights).sum(-1), values.ravel())


def test_a_point_beside_a_missing_node_is_dropped(field):
    field.ssh[:, 10, 10] = np.nan
    ds = sample(field, config(RANDOM))
    far = np.maximum(np.abs(ds.longitude + 60), np.abs(ds.latitude - 38))
    assert np.isfinite(ds.ssh).all()
    assert float(far.min()) >= 0.5
    assert float(far.min()) < 0.7


def test_a_periodic_box_is_wrapped():
    size, length = 16, 1000.0
    degrees = np.rad2deg((np.arange(size) / size - 0.5) * length / 6371)
    longitude, latitude = -60 + degrees / np.cos(np.deg2rad(38)), 38 + degrees
    attrs = {"periodic_length_km": [length, length], "reference_longitude": -60.0, "reference_latitude": 38.0}
    ssh = np.zeros((1, size, size))
    ssh[:, 0] = ssh[:, :, 0] = 1.0
    field = fields_dataset(np.array(["2000-01-01"], "M8[D]"), longitude, latitude, {"ssh": ssh}, attrs)
    step = np.diff(degrees)[0]
    east = longitude[-1] + 0.5 * np.diff(longitude)[0]
    grid = interpolator(field)
    inside, nodes, weights = grid.weights(
        np.array([east, -60.0, east + step]), np.array([38.0, latitude[-1] + step / 4, 38])
    )
    assert inside.tolist() == [True, True, False]
    np.testing.assert_allclose((ssh.ravel()[nodes] * weights).sum(-1), [0.5, 0.25])


def test_points_of_a_periodic_box_say_in_which_they_lie():
    axis = np.arange(4.0)
    attrs = {"periodic_length_km": [400.0, 400.0], "reference_longitude": -60.0, "reference_latitude": 38.0}
    times, config = (
        np.array(["2000-01-01", "2000-01-02"], "M8[D]"),
        SampleConfig.model_validate({"instruments": [{"name": "random", "kind": "random", "points_per_day": 5}]}),
    )
    for told in (attrs, {}):
        seen = sample(fields_dataset(times, -60 + axis, 38 + axis, {"ssh": np.ones((2, 4, 4))}, told), config)
        assert {name: seen.attrs[name] for name in attrs if name in seen.attrs} == told


@pytest.mark.parametrize("west", [-180.0, 170.0])
def test_axes_that_meet_or_cross_the_antimeridian_have_no_seam(west):
    step = 2.0
    count = 180 if west == -180 else 10
    longitude = (west + step * np.arange(count) + 180) % 360 - 180
    latitude = np.arange(-10.0, 11.0, 2.0)
    ssh = np.broadcast_to(np.cos(np.deg2rad(longitude)), (1, 11, count))
    field = fields_dataset(np.array(["2000-01-01"], "M8[D]"), longitude, latitude, {"ssh": ssh})
    points = np.array([179.5, -179.5, -180.0, 180.0])
    inside, nodes, weights = interpolator(field).weights(points, np.zeros(4))
    assert inside.all()
    values = (field.ssh.values.ravel()[nodes] * weights).sum(-1)
    np.testing.assert_allclose(values, -1, atol=1e-3)
    ds = sample(field, config(RANDOM, SWATH))
    np.testing.assert_allclose(ds.ssh, np.cos(np.deg2rad(ds.longitude)), atol=1e-3)


def test_errors_have_the_standard_deviation_asked_for(field):
    random = RANDOM.model_copy(update={"error_std": 0.05, "points_per_day": 2000})
    swath = SWATH.model_copy(update={"error_std": {"ssh": 0.01}})
    ds = sample(field, config(random, swath))
    error = ds.ssh.values - plane(ds.longitude.values, ds.latitude.values, days_since_start(ds))
    for index, std in enumerate((0.05, 0.01)):
        mine = ds.source.values == index
        assert error[mine].std() == pytest.approx(std, rel=0.05)
        assert abs(error[mine].mean()) < 4 * std / np.sqrt(mine.sum())
        np.testing.assert_allclose(ds.ssh_error.values[mine], std, rtol=1e-6)
    assert ds.source_name.values.tolist() == ["random", "swot"]


def test_the_same_seed_gives_the_same_observations_whatever_the_period(field):
    noisy = SWATH.model_copy(update={"error_std": 0.05})
    whole = sample(field, config(noisy, RANDOM, seed=3))
    assert whole.identical(sample(field, config(noisy, RANDOM, seed=3)))
    assert not np.array_equal(whole.ssh, sample(field, config(noisy, RANDOM, seed=4)).ssh)
    part = sample(field, config(noisy, RANDOM, seed=3, start="2000-01-03", stop="2000-01-05"))
    days = slice(int(whole.day_offset[2]), int(whole.day_offset[4]))
    np.testing.assert_array_equal(part.ssh, whole.ssh[days])
    np.testing.assert_array_equal(part.time, whole.time[days])


def test_a_swath_sees_about_a_tenth_of_the_cells_a_day():
    time = np.arange("2000-01-01", "2000-01-22", dtype="datetime64[D]")
    longitude, latitude = np.arange(-65, -55, 0.2), np.arange(33.0, 43.0, 0.2)
    field = fields_dataset(time, longitude, latitude, {"ssh": np.zeros((21, 50, 50))})
    ds = sample(field, config(SWATH))
    day = days_since_start(ds).astype(int)
    cells = {
        (d, round(x * 5), round(y * 5)) for d, x, y in zip(day, ds.longitude.values, ds.latitude.values, strict=True)
    }
    assert len(cells) / (20 * 50 * 50) == pytest.approx(0.12, abs=0.04)


def test_one_trajectory_and_one_channel_are_chosen(field):
    attrs = field.attrs
    many = fields_dataset(
        field.time,
        field.longitude,
        field.latitude,
        {n: np.stack([field.ssh, field.ssh + 1]) for n in ("ssh", "sst")},
        attrs,
    )
    ds = sample(many, config(RANDOM, trajectory=1, channels=("sst",)))
    assert "ssh" not in ds
    np.testing.assert_allclose(ds.sst, 1 + plane(ds.longitude, ds.latitude, days_since_start(ds)), atol=2e-6)
    for wrong, why in (
        ({}, "choose one"),
        ({"trajectory": 2}, "0 to 1"),
        ({"trajectory": 0, "channels": ("u",)}, "sst"),
    ):
        with pytest.raises(ConfigError, match=why):
            sample(many, config(RANDOM, **wrong))
    with pytest.raises(ConfigError, match="without trajectories"):
        sample(field, config(RANDOM, trajectory=0))


def test_observations_lie_where_the_orbit_was_since_its_epoch(field):
    orbit = RepeatOrbit(cycle_days=7, revolutions=101)
    instrument = TrackInstrument(name="a", kind="nadir", orbit=orbit, epoch=datetime(1999, 12, 30, 5, 30))
    ds = sample(field, config(instrument))
    seconds = (ds.time.values - np.datetime64("1999-12-30T05:30")) / np.timedelta64(1, "s")
    longitude, latitude = longitude_latitude(orbit.positions(seconds))
    np.testing.assert_allclose(ds.longitude, longitude, atol=1e-6)
    np.testing.assert_allclose(ds.latitude, latitude, atol=1e-6)


def test_fields_finer_in_time_than_a_block_are_read_in_blocks(field, monkeypatch):
    whole = sample(field, config(RANDOM))
    monkeypatch.setattr("data_pipeline.observing.frames.FRAMES_BYTES", 1)
    monkeypatch.setattr("data_pipeline.observing.views.POINTS_AT_ONCE", 50)
    hourly = field.interp(time=np.arange("2000-01-01", "2000-01-07T01", dtype="datetime64[h]").astype("M8[ns]"))
    hourly["ssh"] = hourly.ssh.astype(np.float32).assign_attrs(field.ssh.attrs)
    hourly["time"].attrs = field.time.attrs
    np.testing.assert_allclose(sample(hourly.assign_attrs(field.attrs), config(RANDOM)).ssh, whole.ssh, atol=2e-6)


def test_nothing_seen_and_periods_outside_are_typed_errors(field):
    with pytest.raises(EmptyDataError, match="no instrument saw"):
        sample(field.where(False), config(RANDOM))
    with pytest.raises(ConfigError, match="outside the field"):
        sample(field, config(RANDOM, start="2010-01-01"))
    with pytest.raises(ConfigError, match="error_std"):
        sample(field, config(RANDOM.model_copy(update={"error_std": {"sst": 1.0}})))


@pytest.mark.parametrize(
    "settings",
    [
        {"instruments": []},
        {"instruments": [{"name": "a", "kind": "random"}, {"name": "a", "kind": "random"}]},
        {"instruments": [{"name": "a", "kind": "swath", "inner_km": 20, "outer_km": 10}]},
        {"instruments": [{"name": "a", "kind": "radar"}]},
        {"instruments": [{"name": "a", "kind": "nadir", "orbit": "topex"}]},
        {"instruments": [{"name": "a", "kind": "random", "error_std": -1}]},
        {"instruments": [{"name": "a", "kind": "random"}], "noise": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        SampleConfig.model_validate(settings)


def test_swath_distances_are_symmetric_and_leave_the_gap():
    across = TrackInstrument(name="swot", kind="swath", spacing_km=2).across_km
    assert (across.min(), across.max(), np.abs(across).min(), len(across)) == (-60, 60, 10, 52)
    wide = TrackInstrument(name="wide", kind="swath", inner_km=0, outer_km=4, spacing_km=2)
    np.testing.assert_array_equal(wide.across_km, np.arange(-4, 5, 2))


def test_the_truth_stands_beside_each_value_and_is_no_channel(field):
    noisy = RANDOM.model_copy(update={"error_std": 0.05})
    ds = sample(field, config(noisy))
    exact = plane(ds.longitude.values, ds.latitude.values, days_since_start(ds))
    np.testing.assert_allclose(ds.ssh_truth, exact, atol=2e-6)
    assert float((ds.ssh - ds.ssh_truth).std()) == pytest.approx(0.05, rel=0.1)
    assert not ds.ssh_correlated_error.any()
    assert channel_names(ds) == ["ssh"]


def test_days_are_made_one_at_a_time_and_join_to_the_whole(field):
    noisy = config(SWATH.model_copy(update={"error_std": 0.05}), RANDOM, seed=3)
    days = list(sample_days(field, noisy))
    assert len(days) == 6
    assert all(len(np.unique(day.time.values.astype("M8[D]"))) == 1 for day in days)
    whole = sample(field, noisy)
    np.testing.assert_array_equal(np.concatenate([day.ssh.values for day in days]), whole.ssh)
    assert whole.attrs == days[0].attrs


def test_instruments_see_their_own_channels(field):
    both = fields_dataset(
        field.time, field.longitude, field.latitude, {"ssh": field.ssh.values, "sst": 20 + field.ssh.values}
    )
    altimeter = NADIR.model_copy(update={"channels": ("ssh",), "error_std": {"ssh": 0.02}})
    imager = RANDOM.model_copy(update={"channels": ("sst",), "error_std": {"sst": 0.3}})
    ds = sample(both, config(altimeter, imager))
    for source, (seen, unseen) in enumerate((("ssh", "sst"), ("sst", "ssh"))):
        mine = ds.isel(obs=np.flatnonzero(ds.source == source))
        assert mine.sizes["obs"] > 100
        assert np.isfinite(mine[seen]).all()
        assert np.isfinite(mine[f"{seen}_error"]).all()
        for ending in ("", "_error", "_correlated_error", "_truth"):
            assert np.isnan(mine[f"{unseen}{ending}"]).all()


@pytest.fixture
def tables(tmp_path):
    """KaRIn noise of 2 cm everywhere, and spectra of which only roll, of 100 km waves, is not zero."""
    noise, spectrum = tmp_path / "noise.nc", tmp_path / "spectrum.nc"
    xr.Dataset(
        {"SWH": ("z", [0.0, 8]), "cross_track": ("x", [5.0, 65]), "height_sdt": (("z", "x"), np.full((2, 2), 0.2))}
    ).to_netcdf(noise)
    frequency = np.linspace(0.001, 0.5, 500)
    bump = np.exp(-(((frequency - 0.01) / 0.001) ** 2))
    columns = dict.fromkeys(("gyroPSD", "phasePSD", "dilationPSD", "timingPSD"), 0 * bump) | {"rollPSD": 30 * bump}
    rows = {name: ("nfreq", column) for name, column in columns.items()}
    xr.Dataset({"spatial_frequency": ("nfreq", frequency), **rows}).to_netcdf(spectrum)
    return KarinErrors(noise=noise, spectrum=spectrum)


def test_a_swath_has_correlated_and_white_errors_as_declared(field, tables):
    wide = SWATH.model_copy(update={"spacing_km": 10, "karin": tables})
    values = dict.fromkeys(("adt", "ssh", "sst"), field.ssh.values)
    both = fields_dataset(field.time, field.longitude, field.latitude, values)
    ds = sample(both, config(wide, seed=1))
    error = ds.ssh - ds.ssh_truth
    white = np.sqrt(ds.ssh_error**2 - ds.ssh_correlated_error**2)
    np.testing.assert_allclose(white, 0.02, rtol=1e-3)  # 20 cm of 1 km2 in pixels of 100 km2
    assert float((error / ds.ssh_error).std()) == pytest.approx(1, abs=0.25)  # few independent waves
    assert float(ds.ssh_correlated_error.max()) == pytest.approx(6 * float(ds.ssh_correlated_error.min()), rel=1e-3)
    # One measurement has one error, whatever the height is called; a temperature has none of it.
    np.testing.assert_allclose(ds.adt - ds.adt_truth, error, atol=1e-6)
    assert not (ds.sst - ds.sst_truth).any()
    # The pixels of one line share a roll: take it from one half of the swath and find it in the other.
    lines = ds.time.values
    full = np.flatnonzero(np.unique(lines, return_counts=True)[1] == 12)
    line = np.unique(lines)[full]
    rows = np.flatnonzero(np.isin(lines, line))
    by_line = error.values[rows].reshape(-1, 12)
    assert len(line) > 100
    right, left = by_line[:, 9:].mean(1), by_line[:, :3].mean(1)
    assert np.corrcoef(right, left)[0, 1] < -0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6 * 24), st.integers(1, 48), st.integers(0, 3))
def test_any_window_holds_what_the_whole_holds_there_in_order_of_time(start, hours, seed):
    """Places, times and truth do not depend on the period; errors do not from whole day to whole day."""
    field = linear_field()
    first = np.datetime64("2000-01-01", "s") + np.timedelta64(start, "h")
    last = first + np.timedelta64(hours, "h")
    instruments = (NADIR, RANDOM.model_copy(update={"points_per_day": 40}))
    whole = sample(field, config(*instruments, seed=seed))
    inside = whole.isel(obs=np.flatnonzero((whole.time.values >= first) & (whole.time.values < last)))
    try:
        part = sample(field, config(*instruments, seed=seed, start=str(first), stop=str(last)))
    except (EmptyDataError, ConfigError):
        assert not inside.sizes["obs"]
        return
    assert (np.diff(part.time.values) >= np.timedelta64(0)).all()
    for name in ("time", "longitude", "latitude", "ssh_truth", "source"):
        np.testing.assert_array_equal(part[name], inside[name])
    check_observations(part)


@settings(max_examples=25, deadline=None)
@given(st.floats(-179.9, 179.9), st.integers(0, 5))
def test_a_field_moved_around_the_earth_is_seen_the_same(west, seed):
    """With the orbit moved along, only longitudes change: there is no seam at 180 degrees."""
    west = round(west, 1)
    latitude, across = np.arange(30.0, 41, 1), np.arange(0.0, 12, 1)
    values = np.random.default_rng(seed).normal(size=(2, 11, 12))
    time = np.array(["2000-01-01", "2000-01-03"], "M8[D]")
    seen = []
    for shift in (0.0, west):
        field = fields_dataset(time, (across + shift + 180) % 360 - 180, latitude, {"ssh": values})
        if (np.diff((across + shift + 180) % 360) < 0).any():  # the axis was sorted: so are the values
            order = np.argsort((across + shift + 180) % 360)
            field["ssh"].values[:] = values[..., order]
        orbit = RepeatOrbit(node_longitude=shift)
        ds = sample(field, config(NADIR.model_copy(update={"orbit": orbit})))
        seen.append(((ds.longitude.values - shift + 180) % 360 - 180, ds.ssh.values))
    np.testing.assert_allclose(seen[1][0], seen[0][0], atol=1e-6)
    np.testing.assert_allclose(seen[1][1], seen[0][1], atol=1e-5)
