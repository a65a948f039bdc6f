"""Tasks from stores, and scores against hand computation."""

import numpy as np
import pytest
import torch
import xarray as xr

from benchmarks.peers import UnsuitableTaskError, experiment_from_stores, score
from dino.space.domain import PeriodicBox


def field_store(sequences: int, frames: int, seed: int, **attrs) -> xr.Dataset:
    """Random fields on a 4 x 6 box, six hours apart, in the layout of a field store."""
    degrees = np.rad2deg(100.0 / 6371.0)
    values = 3.0 + 2.0 * np.random.default_rng(seed).normal(size=(sequences, frames, 4, 6)).astype(np.float32)
    time = np.datetime64("2000-01-01", "ns") + np.arange(frames) * np.timedelta64(6, "h")
    return xr.Dataset(
        {"ssh": (("trajectory", "time", "latitude", "longitude"), values)},
        {"time": time, "latitude": np.arange(4) * degrees, "longitude": np.arange(6) * degrees},
        attrs or {"periodic_length_km": [600.0, 400.0], "reference_longitude": 0.0, "reference_latitude": 0.0},
    )


def test_experiment_from_stores():
    train, test = field_store(5, 20, 0), field_store(3, 20, 1)
    made = experiment_from_stores(train, test, keep=0.25, mask_seed=3, seconds=7.0)
    task = made.task
    assert task.training.shape == (5, 10, 24, 1)
    assert (task.shape, task.interval, task.seconds, int(task.kept.sum())) == ((4, 6), 0.25, 7.0, 6)
    assert task.seen.mean().abs() < 1e-5
    assert task.seen.std() == pytest.approx(1.0, abs=1e-4)
    assert made.truth.shape == (3, 20, 24, 1)
    assert np.allclose(made.physical(task.training)[2, 3, :, 0], train["ssh"].values[2, 3].ravel(), atol=1e-5)
    assert torch.allclose(made.physical(made.first), made.truth[:, 0, task.kept], atol=1e-5)
    x, y = np.meshgrid(train["longitude"], train["latitude"])
    expected = PeriodicBox(length_km=(600.0, 400.0)).coordinates(x.ravel(), y.ravel())
    assert np.allclose(task.coordinates, expected, atol=1e-6)
    again = experiment_from_stores(train, test, keep=0.25, mask_seed=3)
    assert torch.equal(again.task.kept, task.kept)


def test_a_globe_has_the_sphere_s_coordinates():
    stores = [field_store(2, 20, seed, product="toy") for seed in (0, 1)]
    around = [s.assign_coords(longitude=np.arange(6) * 60.0, latitude=[-60.0, -20.0, 20.0, 60.0]) for s in stores]
    assert experiment_from_stores(*around).task.coordinates.shape == (24, 3)


@pytest.mark.parametrize(
    ("change", "keep", "message"),
    [
        (lambda s: s.rename(latitude="y"), 1.0, "same variables"),
        (lambda s: s.isel(time=slice(0, 5)), 1.0, "frames of each sequence"),
        (lambda s: s.where(s["latitude"] > 0.1), 1.0, "missing values"),
        (lambda s: s.assign_attrs(periodic_length_km=None).drop_attrs(), 1.0, "neither a periodic box"),
        (lambda s: s.isel(time=[0, 1, 3, *range(4, 20), 2]), 1.0, "equally spaced"),
        (lambda s: s, 0.0, "share of kept points"),
    ],
    ids=["dims", "short", "land", "domain", "times", "share"],
)
def test_refusals(change, keep, message):
    store = change(field_store(2, 20, 0))
    with pytest.raises(UnsuitableTaskError, match=message):
        experiment_from_stores(store, store, keep=keep)


def test_scores_by_hand():
    truth = torch.zeros(2, 4, 3, 2)
    forecast = truth.clone()
    forecast[:, 1, 0, 0] = 1.0  # in time, at a kept point
    forecast[:, 3, 2, 1] = 2.0  # after, beside the kept points
    kept = torch.tensor([True, True, False])
    made = score(forecast, truth, kept, 0.5, training_frames=2)
    assert made["in_t"] == {"all": 1 / 12, "in_s": 1 / 8, "out_s": 0.0}
    assert made["out_t"] == {"all": 4 / 12, "in_s": 0.0, "out_s": 4 / 4}
    assert made["by_channel"] == [{"in_t": 1 / 6, "out_t": 0.0}, {"in_t": 0.0, "out_t": 4 / 6}]
    assert made["by_frame"] == {"lead_days": [0.0, 0.5, 1.0, 1.5], "mse": [0.0, 1 / 6, 0.0, 4 / 6]}
    assert score(truth, truth, torch.ones(3, dtype=torch.bool), 1.0)["in_t"]["out_s"] is None
    with pytest.raises(ValueError, match="cannot be scored"):
        score(truth[:, :2], truth, kept, 1.0)
