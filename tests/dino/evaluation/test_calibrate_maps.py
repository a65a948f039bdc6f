"""Calibration on maps of a model whose spread was made wrong on purpose, and what it must not touch."""

import numpy as np
import pytest
import torch

import dino
from data_pipeline.stores.writing import open_store
from dino.config import AssimilationConfig
from dino.evaluation.calibrate_maps import Segment, _samples, calibrate_from_maps, segments_of
from dino.evaluation.samples import Samples
from dino.experiments.train import held_out_maps
from dino.model import Start
from dino.model.checkpoint import load_model, load_run_config, save_model
from dino.training.prepare import prepare

SHORT = AssimilationConfig(window_days=4.0, node_days=2.0, iterations=1)


@pytest.fixture
def forecaster(sea_run):
    return dino.Forecaster(*load_model(sea_run), SHORT)


@pytest.fixture(scope="module")
def sea(sea_store):
    return open_store(sea_store).load()


@pytest.fixture(scope="module")
def record(sea, scattered):
    return dino.Observations.from_dataset(scattered(sea, ["adt"], 600), ("adt",))


def segments(forecaster, sea) -> list[Segment]:
    return segments_of(forecaster, sea, first=20, kept=None)


def held_of(run):
    """The forecaster of a run, its configuration, its first store's split and the maps that are held out."""
    forecaster, config = dino.Forecaster(*load_model(run)), load_run_config(run)
    splits, *_ = prepare(config)
    return forecaster, config, splits[0], held_out_maps(config, forecaster, splits[0])


def test_training_fits_the_factors_on_what_it_held_out(sea_run):
    """The run's own: not 1 any more for maps, still 1 for points; the same again from its store."""
    forecaster, config, split, held = held_of(sea_run)
    factor = forecaster.latent.spread_factor
    assert (factor[Start.MAPS] != 1).any()
    assert (factor[Start.POINTS] == 1).all()
    kept, first = factor.clone(), split.training_frames.stop
    times = open_store(config.data.stores[0].path)["time"].values
    assert len(held) > 0
    assert all((s.maps["time"].values[s.start + 1 :] >= times[first]).all() for s in held)
    calibrate_from_maps(forecaster, held)
    torch.testing.assert_close(factor, kept, rtol=1e-4, atol=1e-5)


def test_the_first_store_may_be_found_by_a_pattern(box_run):
    forecaster, config, split, same = held_of(box_run)
    path = config.data.stores[0].path
    found = config.data.stores[0].model_copy(update={"path": path.with_name(path.name[:-1] + "?")})
    pattern = config.model_copy(update={"data": config.data.model_copy(update={"stores": [found]})})
    ours = held_out_maps(pattern, forecaster, split)
    assert len(ours) == len(same) > 0
    assert all(one.maps.identical(other.maps) for one, other in zip(ours, same, strict=True))


def test_trajectories_that_were_trained_on_are_not_used(box_run):
    _, config, split, held = held_of(box_run)
    assert split.held == 1
    store = open_store(config.data.stores[0].path)
    last = store["ssh"].isel(trajectory=-1).values
    assert len(held) > 0
    for segment in held:
        day = int(np.flatnonzero(store["time"].values == segment.maps["time"].values[0])[0])
        np.testing.assert_array_equal(segment.maps["ssh"].values, last[day : day + segment.maps.sizes["time"]])


def test_maps_that_cannot_be_forecast_from_give_no_segment(forecaster, sea):
    late = sea["time"].values + np.where(np.arange(30) < 22, 0, 3600 * 10**9).astype("timedelta64[ns]")
    uneven = sea.assign_coords(time=late)
    whole = len(segments(forecaster, sea))
    assert 0 < len(segments(forecaster, uneven)) < whole
    blank = sea.copy(deep=True)
    blank["adt"][25] = np.nan
    assert len(segments(forecaster, blank)) < whole
    assert segments_of(forecaster, sea.isel(time=slice(0, 3)), first=0, kept=None) == []
    y, x = np.meshgrid(sea["latitude"], sea["longitude"], indexing="ij")
    plane = sea.drop_vars(["latitude", "longitude"]).assign_coords(
        latitude=(("latitude", "longitude"), y), longitude=(("latitude", "longitude"), x)
    )
    assert segments(forecaster, plane) == []


def test_maps_calibrated_spread_matches_the_errors(forecaster, sea):
    chosen = segments(forecaster, sea)
    fitted = calibrate_from_maps(forecaster, chosen)
    assert fitted is not None
    joined = Samples.join([part for n, s in enumerate(chosen) for part in _samples(forecaster, n, s, [2])])
    whole = joined.weight @ (joined.explained + joined.unresolved)
    assert whole == pytest.approx(joined.weight @ joined.squared, rel=0.05)


def test_calibrating_twice_changes_nothing(forecaster, sea):
    """Factors are fitted to the plain spread, not to one already corrected."""
    once = forecaster.latent.spread_factor.clone()
    for _ in range(2):
        calibrate_from_maps(forecaster, segments(forecaster, sea)[-4:])
        once, before = forecaster.latent.spread_factor.clone(), once
    torch.testing.assert_close(once, before)


def test_a_spread_made_too_large_is_found_out(forecaster, sea):
    """The measured errors three times as large and the analysis exact: the factors come out a third.

    Without maps before the lags, from which hindcasts would have found it out.
    """
    model = forecaster.latent
    whole = segments(forecaster, sea)
    chosen = [Segment(s.maps.isel(time=slice(s.start - model.lags, None)), model.lags) for s in whole]
    for table in (model.lead_error, model.unresolved_error):
        table.copy_(torch.linspace(0.01, 0.3, len(table))[:, None].expand_as(table))
    model.code_variance.fill_(1e-12)  # a prior so narrow that the analysis has no spread of its own
    plain = calibrate_from_maps(forecaster, chosen)
    model.lead_error.mul_(9.0)
    model.unresolved_error.mul_(9.0)
    large, told = (calibrate_from_maps(forecaster, some) for some in (chosen, whole))
    assert plain is not None
    assert large is not None
    assert told is not None
    np.testing.assert_allclose(large.factors, plain.factors / 3.0, rtol=1e-2)
    assert (told.factors > large.factors).all()


def test_without_a_segment_the_model_stays(forecaster):
    before = forecaster.latent.spread_factor.clone()
    assert calibrate_from_maps(forecaster, []) is None
    assert torch.equal(forecaster.latent.spread_factor, before)


def test_factors_scale_the_forecast_and_not_its_mean(forecaster, record, sea, tmp_path):
    """Through a file: what was saved is what is forecast with, each start with its own factors."""
    model, moments, at = forecaster.latent, sea["time"].values[[16, 18]], sea[["longitude", "latitude"]]
    end = float(record.time[0]) + 15.0
    analyses = {
        Start.MAPS: forecaster.analyse(sea.isel(time=slice(0, 16))),
        Start.POINTS: forecaster.analyse_observations(record.window(end - 4, end), end, 4.0),
    }
    model.spread_factor.fill_(1.0)
    before = {start: forecaster.forecast(analysis, moments, at) for start, analysis in analyses.items()}
    model.spread_factor[Start.MAPS], model.spread_factor[Start.POINTS] = 2.0, 0.5
    save_model(model, forecaster.ocean, tmp_path / "run")
    loaded = dino.Forecaster(*load_model(tmp_path / "run"), SHORT)
    for start, factor in ((Start.MAPS, 2.0), (Start.POINTS, 0.5)):
        after = loaded.forecast(analyses[start], moments, at)
        np.testing.assert_allclose(after["adt_std"], factor * before[start]["adt_std"], rtol=1e-4)
        np.testing.assert_allclose(after["adt"], before[start]["adt"], rtol=1e-5, atol=1e-6)
