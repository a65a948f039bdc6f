"""Coverage in space and time against a count by hand, and the figures and the page that `inspect` makes of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from data_pipeline.figures import draw_store
from data_pipeline.inspection.coverage import coverage, longest_gap
from data_pipeline.inspection.summary import histograms, statistics
from data_pipeline.layout import checks as layout
from data_pipeline.layout.datasets import fields_dataset, observations_dataset

START = np.datetime64("2014-05-15", "us")


def points(days, longitude, latitude, **settings):
    time = START + (np.asarray(days, float) * 86_400e6).astype("m8[us]")
    return observations_dataset(time, longitude, latitude, {"adt": np.zeros(len(time))}, **settings)


def test_counts_and_gaps_of_cells_are_those_counted_by_hand():
    # Two cells of one degree: one seen on days 0, 1 and 4, the other on day 2 alone; the store ends on day 6.
    days = [0.0, 1.0, 4.0, 2.0, 6.0]
    ds = points(days, [10.5, 10.4, 10.6, 12.5, 12.5], [40.5] * 5, source=[0, 0, 1, 1, 1], source_name=["a", "b"])
    covered = coverage(ds, 1.0)
    one = covered.sel(longitude=10.5, latitude=40.5)
    assert float(one.per_day) == pytest.approx(3 / 6)
    assert float(one.longest_gap) == pytest.approx(3.0)
    other = covered.sel(longitude=12.5, latitude=40.5)
    assert float(other.longest_gap) == pytest.approx(4.0)
    assert np.isnan(covered.longest_gap.sel(longitude=11.5, latitude=40.5))
    np.testing.assert_allclose(covered.seen, [0.5, 0.5, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(covered.of_source.sel(source="b"), [0, 0, 1, 0, 1, 0, 1])
    before, after = longest_gap(ds)
    assert (after - before) / np.timedelta64(1, "D") == 2


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 9), st.integers(-720, 719), st.integers(-300, 300)), min_size=1, max_size=60),
    st.sampled_from([3, 17, 10**6]),
)
def test_every_observation_is_counted_once_wherever_it_lies_and_however_it_is_read(rows, size):
    days, east, north = np.array(rows, float).T
    ds = points(days, 0.25 * east, 0.25 * north)
    kept = layout.OBSERVATIONS_PER_BLOCK
    layout.OBSERVATIONS_PER_BLOCK = size
    try:
        covered, (before, after) = coverage(ds, 2.0), longest_gap(ds)
    finally:
        layout.OBSERVATIONS_PER_BLOCK = kept
    span = max(float((ds.time.values[-1] - ds.time.values[0]) / np.timedelta64(1, "D")), 1.0)
    assert float(covered.per_day.sum()) * span == pytest.approx(ds.sizes["obs"])
    assert int(covered.of_source.sum()) == ds.sizes["obs"]
    assert float(covered.seen[-1]) == 1
    steps = np.diff(ds.time.values)
    assert after - before == (steps.max() if steps.size else np.timedelta64(0))
    cells = {(x // 2, y // 2) for x, y in zip(ds.longitude.values, ds.latitude.values, strict=True)}
    assert int((covered.per_day > 0).sum()) == len(cells)


def test_a_store_across_the_antimeridian_is_one_piece():
    covered = coverage(points([0, 1, 2], [179.5, -179.5, 178.5], [0.5, 0.5, 0.5]), 1.0)
    assert covered.sizes["longitude"] < 6
    np.testing.assert_array_equal(covered.longitude[covered.per_day.values.any(0)], [178.5, 179.5, 180.5])


@pytest.mark.parametrize("curvilinear", [False, True])
def test_coverage_of_fields_is_the_share_of_values(curvilinear):
    longitude, latitude = np.arange(4.0), np.arange(3.0)
    if curvilinear:
        longitude, latitude = np.meshgrid(longitude, latitude)
    values = np.zeros((5, 3, 4))
    values[:, 0, 0] = np.nan
    values[0, 1] = np.nan
    ds = fields_dataset(START + np.arange(5) * np.timedelta64(1, "D"), longitude, latitude, {"adt": values})
    covered = coverage(ds)
    np.testing.assert_allclose(covered.share, np.array([[0, 1, 1, 1], [0.8] * 4, [1] * 4]))
    np.testing.assert_allclose(covered.valid, [7 / 12] + [11 / 12] * 4)


def test_statistics_and_histograms_tell_declared_from_drawn_errors():
    rng = np.random.default_rng(0)
    count, error = 20_000, np.repeat([0.02, 0.05], 10_000)
    truth = rng.normal(0, 0.1, count)
    time = START + np.arange(count).astype("m8[s]")
    zero = np.zeros(count)
    ds = observations_dataset(
        time, zero, zero, {"adt": truth + rng.normal(0, error)}, {"adt": error}, truth={"adt": truth}
    )
    numbers = statistics(ds)
    assert numbers["adt_error"]["max"] == pytest.approx(0.05)
    made = histograms(ds, numbers)
    assert set(made) == {"adt", "adt_error", "adt_drawn"}
    assert all(int(np.sum(number)) == count for number, _ in made.values())
    number, edges = made["adt_drawn"]
    middle = 0.5 * (edges[1:] + edges[:-1])
    assert np.sqrt((number * middle**2).sum() / count) == pytest.approx(1, abs=0.03)
    constant = ds.assign(adt_error=ds["adt_error"] * 0 + 0.02)
    assert int(np.sum(histograms(constant, statistics(constant))["adt_error"][0])) == count


@pytest.mark.parametrize("kind", ["fields", "observations"])
def test_figures_are_drawn_of_either_store(tmp_path, toy_fields, toy_observations, kind):
    ds = toy_fields if kind == "fields" else toy_observations
    written = draw_store(ds, tmp_path / "figures", statistics(ds))
    assert [path.name for path in written] == ["coverage.png", "histograms.png"]
    for path in written:
        image = imread(path)
        assert min(image.shape[:2]) > 200
        assert image[..., :3].std() > 0.05  # not blank


def test_figures_of_a_single_observation_and_of_a_curvilinear_grid_with_gaps(tmp_path):
    single = points([0.5], [3.0], [40.0])
    draw_store(single, tmp_path / "a", statistics(single))
    x, y = np.meshgrid(np.arange(5.0), np.arange(4.0))
    x[0, 0] = np.nan
    values = np.where(np.isfinite(x), 1.0, np.nan)[None]
    grid = fields_dataset(np.array([START]), x, y, {"ssh": values})
    draw_store(grid, tmp_path / "b", statistics(grid))
    assert len(list(tmp_path.rglob("*.png"))) == 4
