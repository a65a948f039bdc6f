"""Calibration of a model whose spread was made wrong on purpose, on maps and on points, and what it must not touch."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.stores import open_store
from dino.checkpoint import load_model, load_run_config, save_model
from dino.config import AssimilationConfig
from dino.errors import EmptyDataError
from dino.evaluation.tracks import predict_along_track
from dino.model import FROM_MAPS, FROM_POINTS
from dino.training.prepare import prepare
from dino.training.train import held_out_maps
from dino.uncertainty import calibrate_from_maps, calibrate_from_points, segments_of
from dino.uncertainty.maps import Segment, _samples
from dino.uncertainty.samples import Samples, split_variance

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


def ratio(samples: Samples) -> float:
    """Predicted over actual standard deviation, observation noise taken off."""
    predicted = samples.weight @ (samples.explained + samples.unresolved)
    return float(np.sqrt(predicted / (samples.weight @ (samples.squared - samples.noise))).item())


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
    for lead in (1, 2):
        parts = [p for n, s in enumerate(chosen) for p in _samples(forecaster, n, s, [lead])]
        joined = Samples.join(parts)
        model = forecaster.model
        # `_samples` splits by the plain unresolved variance; the whole is what the forecast says.
        factor = model.spread_factor[FROM_MAPS, lead, 0, 1].item() ** 2
        assert factor > 0
        assert ratio(joined) == pytest.approx(1.0, abs=0.1)


def test_calibrating_twice_changes_nothing(forecaster, sea, record):
    """Factors are fitted to the plain spread, not to one already corrected."""
    for calibrate in (
        lambda: calibrate_from_maps(forecaster, segments(forecaster.model, sea)),
        lambda: calibrate_from_points(forecaster, record, held_from=record.time[0], reach_days=4.0, forecasts=4),
    ):
        calibrate()
        once = forecaster.model.spread_factor.clone()
        calibrate()
        torch.testing.assert_close(forecaster.model.spread_factor, once)


def test_a_spread_made_too_large_is_found_out(forecaster, sea):
    """All variances times nine: the factors come out a third."""
    chosen = segments(forecaster.model, sea)
    plain = calibrate_from_maps(forecaster, chosen)
    model = forecaster.model
    model.lead_error.mul_(9.0)
    model.unresolved_error.mul_(9.0)
    model.code_variance.clamp_max_(1e-6)  # an exact analysis, whose spread does not scale along
    model.lead_error.clamp_min_(1e-3)
    large = calibrate_from_maps(forecaster, chosen)
    assert plain is not None
    assert large is not None
    assert (large.factors < plain.factors).all()


def test_points_calibrated_spread_matches_the_errors(forecaster, record):
    model = forecaster.model
    fitted = calibrate_from_points(forecaster, record, held_from=record.time[0], reach_days=4.0, forecasts=5)
    assert (model.spread_factor[FROM_POINTS] != 1).any()
    assert fitted.forecasts.max() >= 4
    end = record.time[0] + 15.0
    analysis = forecaster.analyse_observations(record.window(end - 4.0, end), end, 4.0)
    place = np.full(3, 3.0), np.full(3, 38.0)
    times = end + np.array([0.5, 1.5, 3.5])
    _, deviation = predict_along_track(forecaster, analysis, times, *place)
    model.spread_factor[FROM_POINTS] = 1.0
    _, before = predict_along_track(forecaster, analysis, times, *place)
    expected = fitted.table(1.0).numpy()[:, 0, 0]
    np.testing.assert_allclose(
        deviation[:, 0] / before[:, 0], np.interp([0.5, 1.5, 3.5], np.arange(len(expected)), expected), rtol=1e-3
    )


def test_only_later_points_are_compared_with(forecaster, record):
    """A lie in the part that may have been learned from, about values that no analysis uses, changes nothing."""
    held = float(record.time[0]) + 18.0
    options = {"held_from": held, "reach_days": 4.0, "forecasts": 4}
    calibrate_from_points(forecaster, record, **options)
    honest = forecaster.model.spread_factor.clone()
    lie = record.values.copy()
    lie[record.time < held - 8.1] += 5.0
    calibrate_from_points(forecaster, dino.Observations(**{**vars(record), "values": lie}), **options)
    torch.testing.assert_close(forecaster.model.spread_factor, honest)


def test_a_record_too_short_is_refused_and_leaves_the_model(forecaster, record):
    before = forecaster.model.spread_factor.clone()
    with pytest.raises(EmptyDataError, match="two forecasts"):
        calibrate_from_points(forecaster, record, held_from=record.time[-1], reach_days=4.0)
    assert torch.equal(forecaster.model.spread_factor, before)
    assert calibrate_from_maps(forecaster, []) is None
    assert torch.equal(forecaster.model.spread_factor, before)


def test_factors_scale_the_forecast_and_not_its_mean(forecaster, record, sea, tmp_path):
    """Through a file: what was saved is what is forecast with, each start with its own factors."""
    model, moments = forecaster.model, sea["time"].values[[16, 18]]
    starts = {FROM_MAPS: sea.isel(time=slice(0, 16)), FROM_POINTS: record}
    at = sea[["longitude", "latitude"]]
    model.spread_factor.fill_(1.0)

    def forecast(which, start):
        if which == FROM_MAPS:
            analysis = forecaster_of(model).analyse(start)
        else:
            end = float(record.time[0]) + 15.0
            analysis = forecaster_of(model).analyse_observations(record.window(end - 4, end), end, 4.0)
        return forecaster_of(model).forecast(analysis, moments, at)

    def forecaster_of(model):
        return dino.Forecaster(model, SHORT)

    before = {which: forecast(which, start) for which, start in starts.items()}
    model.spread_factor[FROM_MAPS], model.spread_factor[FROM_POINTS] = 2.0, 0.5
    save_model(model, tmp_path / "run")
    model = load_model(tmp_path / "run")
    for which, factor in ((FROM_MAPS, 2.0), (FROM_POINTS, 0.5)):
        after = forecast(which, starts[which])
        np.testing.assert_allclose(after["adt_std"], factor * before[which]["adt_std"], rtol=1e-4)
        np.testing.assert_allclose(after["adt"], before[which]["adt"], rtol=1e-5, atol=1e-6)


def test_parts_of_the_variance_add_up(forecaster, sea):
    model = forecaster.model
    place = np.array([2.6, 4.0, 5.0]), np.array([38.0, 38.5, 39.0])
    left = model.unresolved_variance.new_full((2, 1), 0.04)
    _, alone = split_variance(model, np.full((2, 3, 1), 1e3), left, *place)
    explained, rest = split_variance(model, np.sqrt(alone + 0.5), left, *place)
    np.testing.assert_allclose(explained, 0.5, rtol=1e-6)
    np.testing.assert_allclose(rest, alone)
    assert (alone > 0).all()
