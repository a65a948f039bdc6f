"""Calibration of a model whose spread was made wrong on purpose, on maps and on points, and what it must not touch."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig
from dino.errors import EmptyDataError
from dino.evaluation.calibrate_maps import Segment, _samples, calibrate_from_maps, segments_of
from dino.evaluation.calibrate_points import calibrate_from_points
from dino.evaluation.samples import Samples, split_variance
from dino.experiments.train import held_out_maps
from dino.forecasts.along_track import predict_along_track
from dino.model.checkpoint import load_model, load_run_config, save_model
from dino.model.latent import FROM_MAPS, FROM_POINTS
from dino.training.prepare import prepare

SHORT = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=1)


@pytest.fixture
def forecaster(sea_run):
    return dino.Forecaster(dino.load(sea_run).model, SHORT)


@pytest.fixture(scope="module")
def sea(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def record(sea, scattered):
    return dino.Observations.from_dataset(scattered(sea, ["adt"], 600), ("adt",))


@pytest.fixture
def drifting(box_run):
    """Of one chart, where analyses of points cost least."""
    return dino.Forecaster(dino.load(box_run).model, SHORT)


@pytest.fixture(scope="module")
def passes(box_dataset, scattered):
    """Points of a trajectory, over thirteen days."""
    return dino.Observations.from_dataset(scattered(box_dataset().isel(trajectory=7), ["ssh"], 400), ("ssh",))


def segments(model, sea) -> list[Segment]:
    return segments_of(model, sea, first=20, kept=None)


def test_training_fits_the_factors_on_what_it_held_out(sea_run):
    """The run's own: not 1 any more for maps, still 1 for points; the same again from its store."""
    model, config = load_model(sea_run), load_run_config(sea_run)
    assert (model.spread_factor[FROM_MAPS] != 1).any()
    assert (model.spread_factor[FROM_POINTS] == 1).all()
    splits, _ = prepare(config)
    kept = model.spread_factor.clone()
    held = held_out_maps(config, model, splits[0])
    first = splits[0].training_frames.stop
    times = open_store(config.data.stores[0].path)["time"].values
    assert all((s.maps["time"].values[s.start + 1 :] >= times[first]).all() for s in held)
    calibrate_from_maps(dino.Forecaster(model), held)
    torch.testing.assert_close(model.spread_factor, kept, rtol=1e-4, atol=1e-5)


def test_the_first_store_may_be_found_by_a_pattern(box_run):
    model, config = load_model(box_run), load_run_config(box_run)
    path = config.data.stores[0].path
    found = config.data.stores[0].model_copy(update={"path": path.with_name(path.name[:-1] + "?")})
    pattern = config.model_copy(update={"data": config.data.model_copy(update={"stores": [found]})})
    splits, _ = prepare(pattern)
    ours, same = held_out_maps(pattern, model, splits[0]), held_out_maps(config, model, splits[0])
    assert len(ours) == len(same) > 0
    assert all(one.maps.identical(other.maps) for one, other in zip(ours, same, strict=True))


def test_trajectories_that_were_trained_on_are_not_used(box_run):
    model, config = load_model(box_run), load_run_config(box_run)
    splits, _ = prepare(config)
    assert splits[0].held == 1
    store = open_store(config.data.stores[0].path)
    last = store["ssh"].isel(trajectory=-1).values
    for segment in held_out_maps(config, model, splits[0]):
        day = int(np.flatnonzero(store["time"].values == segment.maps["time"].values[0])[0])
        np.testing.assert_array_equal(segment.maps["ssh"].values, last[day : day + segment.maps.sizes["time"]])


def test_maps_calibrated_spread_matches_the_errors(forecaster, sea):
    chosen = segments(forecaster.model, sea)
    fitted = calibrate_from_maps(forecaster, chosen)
    assert fitted is not None
    joined = Samples.join([part for n, s in enumerate(chosen) for part in _samples(forecaster, n, s, [2])])
    whole = joined.weight @ (joined.explained + joined.unresolved)
    assert whole == pytest.approx(joined.weight @ joined.squared, rel=0.05)


def test_calibrating_twice_changes_nothing(forecaster, sea):
    """Factors are fitted to the plain spread, not to one already corrected."""
    once = forecaster.model.spread_factor.clone()
    for _ in range(2):
        calibrate_from_maps(forecaster, segments(forecaster.model, sea)[-4:])
        once, before = forecaster.model.spread_factor.clone(), once
    torch.testing.assert_close(once, before)


def test_a_spread_made_too_large_is_found_out(forecaster, sea):
    """The measured errors three times as large and the analysis exact: the factors come out a third."""
    chosen, model = segments(forecaster.model, sea), forecaster.model
    for table in (model.lead_error, model.unresolved_error):
        table.copy_(torch.linspace(0.01, 0.3, len(table))[:, None].expand_as(table))
    exact(model)
    plain = calibrate_from_maps(forecaster, chosen)
    model.lead_error.mul_(9.0)
    model.unresolved_error.mul_(9.0)
    large = calibrate_from_maps(forecaster, chosen)
    assert plain is not None
    assert large is not None
    np.testing.assert_allclose(large.factors, plain.factors / 3.0, rtol=1e-2)


def exact(model) -> None:
    """A prior so narrow that the analysis has no spread of its own."""
    model.code_variance.fill_(1e-12)


def test_points_calibrated_spread_matches_the_errors(drifting, passes):
    model = drifting.model
    fitted = calibrate_from_points(drifting, passes, held_from=passes.time[0], reach_days=4.0, forecasts=2)
    assert (model.spread_factor[FROM_POINTS] != 1).any()
    assert fitted.forecasts.max() == 2
    end = passes.time[0] + 9.0
    analysis = drifting.analyse_observations(passes.window(end - 4.0, end), end, 4.0)
    place = np.full(3, -60.0), np.full(3, 38.0)
    times = end + np.array([0.5, 1.5, 3.5])
    _, deviation = predict_along_track(drifting, analysis, times, *place)
    model.spread_factor[FROM_POINTS] = 1.0
    _, before = predict_along_track(drifting, analysis, times, *place)
    expected = fitted.table(1.0).numpy()[:, 0, 0]
    np.testing.assert_allclose(
        deviation[:, 0] / before[:, 0], np.interp([0.5, 1.5, 3.5], np.arange(len(expected)), expected), rtol=1e-3
    )


def test_only_later_points_are_compared_with(drifting, passes):
    """A lie in the part that may have been learned from, about values that no analysis uses, changes nothing."""
    held = float(passes.time[0]) + 7.8  # a day is met a tenth of the reach later
    options = {"held_from": held, "reach_days": 4.0, "forecasts": 2}
    calibrate_from_points(drifting, passes, **options)
    honest = drifting.model.spread_factor.clone()
    lie = passes.values.copy()
    lie[(passes.time < held) & (passes.time > held - 3.6)] += 5.0
    calibrate_from_points(drifting, dino.Observations(**{**vars(passes), "values": lie}), **options)
    torch.testing.assert_close(drifting.model.spread_factor, honest)


def test_a_record_too_short_is_refused_and_leaves_the_model(drifting, passes):
    before = drifting.model.spread_factor.clone()
    with pytest.raises(EmptyDataError, match="two forecasts"):
        calibrate_from_points(drifting, passes, held_from=passes.time[-1], reach_days=4.0)
    assert torch.equal(drifting.model.spread_factor, before)
    assert calibrate_from_maps(drifting, []) is None
    assert torch.equal(drifting.model.spread_factor, before)


def test_factors_scale_the_forecast_and_not_its_mean(forecaster, record, sea, tmp_path):
    """Through a file: what was saved is what is forecast with, each start with its own factors."""
    model, moments, at = forecaster.model, sea["time"].values[[16, 18]], sea[["longitude", "latitude"]]
    end = float(record.time[0]) + 15.0
    analyses = {
        FROM_MAPS: forecaster.analyse(sea.isel(time=slice(0, 16))),
        FROM_POINTS: forecaster.analyse_observations(record.window(end - 4, end), end, 4.0),
    }
    model.spread_factor.fill_(1.0)
    before = {start: forecaster.forecast(analysis, moments, at) for start, analysis in analyses.items()}
    model.spread_factor[FROM_MAPS], model.spread_factor[FROM_POINTS] = 2.0, 0.5
    save_model(model, tmp_path / "run")
    loaded = dino.Forecaster(load_model(tmp_path / "run"), SHORT)
    for start, factor in ((FROM_MAPS, 2.0), (FROM_POINTS, 0.5)):
        after = loaded.forecast(analyses[start], moments, at)
        np.testing.assert_allclose(after["adt_std"], factor * before[start]["adt_std"], rtol=1e-4)
        np.testing.assert_allclose(after["adt"], before[start]["adt"], rtol=1e-5, atol=1e-6)


def test_parts_of_the_variance_add_up(forecaster, sea):
    model = forecaster.model
    place = np.array([2.6, 4.0, 5.0]), np.array([38.0, 38.5, 39.0])
    left = model.unresolved_variance.new_full((2, 1), 0.04)
    _, alone = split_variance(model, np.full((2, 3, 1), 1e3), left, *place)
    explained, rest = split_variance(model, np.sqrt(alone + 0.5), left, *place)
    np.testing.assert_allclose(explained, 0.5, rtol=1e-6)
    np.testing.assert_allclose(rest, alone)
    assert (alone > 0).all()
