"""The screen against neighbours along the pass: spikes go, eddies, fronts, moorings and swaths stay."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.products import ingest
from data_pipeline.products.neighbours import off_its_pass

COUNT = 200
START = np.datetime64("2020-03-01T00:00", "ns")


def sea(count=COUNT, seconds=1.0, first=START):
    """(time, longitude, latitude, level [m]) of a pass at 6.5 km/s over eddies, a front of 1 m in 60 km, and noise."""
    along = np.arange(count) * 6.5 * seconds
    level = 0.3 * np.sin(along / 40.0) + 0.5 * np.tanh((along - 600.0) / 30.0)
    level += np.random.default_rng(0).normal(0.0, 0.03, count)
    time = first + (np.arange(count) * seconds * 1e9).astype("timedelta64[ns]")
    return time, np.full(count, 179.99) - 360.0 * (np.arange(count) % 2), -20.0 + along / 111.2, level


def test_eddies_and_fronts_are_never_cut():
    for seconds in (0.05, 0.5, 1.0, 2.0):
        assert not off_its_pass(*sea(seconds=seconds)).any()


@pytest.mark.parametrize("spike", [1.2, -3.478, 12.0])
@pytest.mark.parametrize("places", [[0], [50], [50, 51, 52], [199], [90, 110]])
def test_spikes_go_and_nothing_else(spike, places):
    time, longitude, latitude, level = sea()
    level[places] += spike
    np.testing.assert_array_equal(np.flatnonzero(off_its_pass(time, longitude, latitude, level)), places)


@given(st.integers(0, COUNT - 1), st.floats(1.6, 50.0), st.booleans())
def test_any_lone_spike_of_more_than_a_metre_goes(place, size, up):
    time, longitude, latitude, level = sea()
    level[place] += size if up else -size
    np.testing.assert_array_equal(np.flatnonzero(off_its_pass(time, longitude, latitude, level)), [place])


def test_passes_do_not_judge_each_other():
    """Two passes a minute apart at levels a metre apart, both short."""
    parts = [sea(8), sea(8, first=START + np.timedelta64(60, "s"))]
    parts[1] = (*parts[1][:3], parts[1][3] + 1.5)
    assert not off_its_pass(*(np.concatenate(pair) for pair in zip(*parts, strict=True))).any()


def test_few_neighbours_judge_nothing():
    time, longitude, latitude, level = sea(5)
    level[2] = 4.0
    assert not off_its_pass(time, longitude, latitude, level).any()


@pytest.mark.parametrize("speed_km_s", [0.0, 0.0003, 0.2])
def test_moorings_gliders_and_aeroplanes_are_no_pass(speed_km_s):
    time, _, _, level = sea()
    level[50] += 3.0
    latitude = np.arange(COUNT) * speed_km_s / 111.2
    assert not off_its_pass(time, np.zeros(COUNT), latitude, level).any()


def test_what_goes_is_counted_and_can_be_kept(tmp_path):
    time, longitude, latitude, level = sea()
    level[50] += 3.0
    days = (time - np.datetime64("1950-01-01", "ns")) / np.timedelta64(1, "D")
    rows = [f"{x:.6f} {y:.6f} {t:.7f} {z:.3f}" for x, y, t, z in zip(longitude, latitude, days, level, strict=True)]
    path = tmp_path / "track.dat"
    path.write_text("\n".join(rows) + "\n")
    ds = ingest(path)
    (source,) = json.loads(ds.attrs["sources"])
    assert source["counts"]["adt"] == {"read": 200, "kept": 199, "dropped": {"off the neighbours along the pass": 1}}
    np.testing.assert_allclose(ds["adt"], np.delete(level, 50), atol=6e-4)
    assert ingest(path, keep_flagged=True).sizes["obs"] == 200


def test_the_anomaly_speaks_for_the_topography(tmp_path):
    """A step of the mean topography at a coast is no error of the altimeter."""
    time, longitude, latitude, level = sea()
    mean = np.where(np.arange(COUNT) == 100, 1.0, 0.0)
    spiked = np.where(np.arange(COUNT) == 50, 3.0, level)
    along = {
        "sla_unfiltered": ("time", spiked, {"units": "m"}),
        "mdt": ("time", mean, {"units": "m"}),
        "lwe": ("time", np.zeros(COUNT), {"units": "m"}),
    }
    coords = {
        "time": ("time", time),
        "longitude": ("time", longitude, {"units": "degrees_east"}),
        "latitude": ("time", latitude, {"units": "degrees_north"}),
    }
    xr.Dataset(along, coords).to_netcdf(tmp_path / "a.nc")
    ds = ingest(tmp_path / "a.nc")
    np.testing.assert_allclose(ds["sla"], np.delete(level, 50), atol=1e-6)
    np.testing.assert_allclose(ds["adt"], np.delete(level + mean, 50), atol=1e-6)


def test_sentinel_6_in_sea_ice(real_data):
    """114 values beyond 2 m carry good flags; none is left, and the sea free of ice keeps nearly all."""
    path = real_data / "alongtrack" / "s6a_lr_ntc_c114_p099-125_1hz.nc"
    flagged, screened = ingest(path, keep_flagged=True), ingest(path)
    assert abs(screened["sla"]).max() < 1.5
    assert (abs(flagged["sla"]) > 2).sum() > 50
    inside = [np.count_nonzero(abs(ds["latitude"]) < 50) for ds in (flagged, screened)]
    assert inside[1] > 0.995 * inside[0]
