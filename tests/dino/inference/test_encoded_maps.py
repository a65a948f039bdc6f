"""Maps encoded chart by chart, against a loop over charts, and what the basis leaves of them."""

import numpy as np
import pytest
import torch
import xarray as xr
from problems import CODE, make_latent, numbers, one_chart, tiled_ocean

from data_pipeline.layout.datasets import fields_dataset
from dino.errors import DomainError, EmptyDataError, ObservationError
from dino.inference import encode_frames
from dino.inference.maps import blended_field, encode_maps, is_maps, recent_maps
from dino.model import Ocean
from dino.space.decoders import decode

TIMES = np.datetime64("2010-01-01", "ns") + np.arange(4) * np.timedelta64(1, "D")


def make_maps(moving: bool) -> xr.Dataset:
    """Two channels over the tiles and beyond, with gaps that stay, or some that move."""
    rng = np.random.default_rng(1)
    longitude, latitude = 173.25 + np.arange(24) * 0.5, 29.25 + np.arange(22) * 0.5
    values = {"u": 0.1 * rng.normal(size=(4, 22, 24)), "v": 2.0 * rng.normal(size=(4, 22, 24))}
    for field in values.values():
        field[:, 4:8, 4:9] = np.nan
    if moving:
        values["u"][1, 10:, :6] = np.nan
        values["v"][2, :, 15:] = np.nan
    return fields_dataset(TIMES, longitude, latitude, values)


@pytest.mark.parametrize("decoder", ["fourier", "siren"])
@pytest.mark.parametrize("moving", [False, True])
def test_maps_are_encoded_as_each_chart_alone(decoder, moving):
    latent, ocean, maps = make_latent(decoder=decoder), tiled_ocean(), make_maps(moving)
    made = encode_maps(latent, ocean, maps)
    assert made.codes.shape == (4, 5, CODE)
    shared = decoder == "fourier" and not moving
    assert made.covariance.shape == (1 if shared else 4, 5, CODE, CODE)
    x, y = (a.ravel() for a in np.meshgrid(maps["longitude"], maps["latitude"]))
    order = np.lexsort((made.longitude % 360, made.latitude)), np.lexsort((x % 360, y))
    np.testing.assert_allclose(made.longitude[order[0]] % 360, x[order[1]] % 360)
    values = np.stack([maps[name].values.reshape(4, -1) for name in ("u", "v")], axis=-1)
    anomaly = (values - ocean.background.at(x, y)) / ocean.spread
    for chart, (domain, amplitude) in enumerate(zip(ocean.cover.charts, ocean.cover.amplitude, strict=True)):
        inside = domain.contains(x, y)
        if not inside.any():
            torch.testing.assert_close(made.codes[:, chart], torch.zeros(4, CODE).double())
            torch.testing.assert_close(made.covariance[0, chart], latent.code_prior.covariance)
            continue
        coordinates = torch.as_tensor(domain.coordinates(x[inside], y[inside]))
        seen = torch.as_tensor(anomaly[:, inside] / amplitude)
        one = encode_frames(latent.decoder, coordinates, seen, latent.spec.noise_variance, latent.code_prior)
        torch.testing.assert_close(made.codes[:, chart], one.mean, rtol=1e-7, atol=1e-8)
        expected = one.covariance.expand(4, -1, -1)
        torch.testing.assert_close(made.covariance[:, chart].expand(4, -1, -1), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("decoder", ["fourier", "siren"])
def test_the_residual_is_what_the_blended_field_leaves(decoder):
    latent, ocean, maps = make_latent(decoder=decoder), tiled_ocean(), make_maps(True)
    made = encode_maps(latent, ocean, maps)
    assert made.residual.shape == (4, 2, 22 * 24)
    # Tile by tile: what they say of a point, each with its weight.
    pairs = ocean.cover.pairs(made.longitude, made.latitude)
    total, field = np.zeros(len(made.longitude)), np.zeros((4, len(made.longitude), 2))
    for chart in range(5):
        mine = pairs.chart == chart
        coordinates, weight = torch.as_tensor(pairs.coordinates[mine]), pairs.weight[mine]
        said = decode(latent.decoder, coordinates, made.codes[:, chart]).numpy() * ocean.cover.amplitude[chart]
        field[:, pairs.point[mine]] += weight[:, None] * said
        total[pairs.point[mine]] += weight
    outside = (total == 0) | ~ocean.background.is_ocean(made.longitude, made.latitude)
    fitted = np.where(outside[:, None], np.nan, field / np.maximum(total, 1e-12)[:, None])
    np.testing.assert_allclose(
        blended_field(latent, ocean, made.codes, made.longitude, made.latitude), fitted, atol=1e-9
    )
    table = xr.Dataset({n: maps[n].stack(cell=("latitude", "longitude")) for n in "uv"})
    values = np.stack([table[n].values for n in "uv"], axis=-1)
    anomaly = (values - ocean.background.at(made.longitude, made.latitude)) / ocean.spread
    expected = np.nan_to_num(np.moveaxis(anomaly - fitted, 2, 1))
    np.testing.assert_allclose(made.residual, expected, atol=1e-9)
    assert (made.residual[:, :, outside] == 0).all()


def test_maps_made_of_codes_leave_nothing():
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(False)
    ocean = one_chart(ocean, 0)
    codes = numbers(4, 1, CODE)
    x, y = (a.ravel() for a in np.meshgrid(maps["longitude"], maps["latitude"]))
    field = blended_field(latent, ocean, codes, x, y) * ocean.spread + ocean.background.at(x, y)
    for number, name in enumerate("uv"):
        maps[name].values[:] = field[..., number].reshape(4, 22, 24)
    latent.spec = latent.spec.model_copy(update={"noise_variance": 1e-9})
    made = encode_maps(latent, ocean, maps)
    torch.testing.assert_close(made.codes, codes, rtol=1e-5, atol=1e-5)
    assert made.residual.abs().max() < 1e-4


def test_batches_of_charts_change_nothing(monkeypatch):
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(True)
    whole = encode_maps(latent, ocean, maps)
    monkeypatch.setattr("dino.inference.maps.BATCH_PLACES", 1)
    made = encode_maps(latent, ocean, maps)
    torch.testing.assert_close(made.codes, whole.codes)
    torch.testing.assert_close(made.covariance, whole.covariance)


def test_part_of_the_frames():
    latent, ocean = make_latent(), tiled_ocean()
    for moving in (False, True):
        made = encode_maps(latent, ocean, make_maps(moving))
        part, alone = made.frames(slice(1, 3)), encode_maps(latent, ocean, make_maps(moving).isel(time=slice(1, 3)))
        torch.testing.assert_close(part.codes, alone.codes)
        torch.testing.assert_close(part.residual, alone.residual)
        torch.testing.assert_close(part.covariance, alone.covariance)
        np.testing.assert_array_equal(part.times, alone.times)


def test_axes_in_another_order_are_encoded_alike():
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(True)
    whole = encode_maps(latent, ocean, maps)
    for other in (maps.isel(latitude=slice(None, None, -1)), maps.transpose("longitude", "time", "latitude")):
        made = encode_maps(latent, ocean, other)
        torch.testing.assert_close(made.codes, whole.codes)
        cell = np.lexsort((made.longitude, made.latitude)), np.lexsort((whole.longitude, whole.latitude))
        torch.testing.assert_close(made.residual[..., cell[0]], whole.residual[..., cell[1]])


def test_recent_maps_are_those_spaced_as_in_training():
    maps = make_maps(False)
    assert is_maps(maps)
    assert recent_maps(maps, 3, 1.0, None).sizes["time"] == 3
    shuffled = maps.isel(time=[2, 0, 3, 1])
    np.testing.assert_array_equal(recent_maps(shuffled, 3, 1.0, None)["time"], TIMES[1:])
    assert recent_maps(maps, 5, 1.0, None) is None
    assert recent_maps(maps, 2, 2.0, None) is None
    assert recent_maps(maps.isel(time=[0, 2, 3]), 3, 1.0, None) is None
    day = float((TIMES[2] - np.datetime64("1950-01-01")) / np.timedelta64(1, "D"))
    np.testing.assert_array_equal(recent_maps(maps, 2, 1.0, day + 0.5)["time"], TIMES[1:3])


def test_maps_that_do_not_fit_are_refused():
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(False)
    with pytest.raises(ObservationError, match="where v"):
        encode_maps(latent, ocean, maps.drop_vars("v"))
    blank = maps.copy(deep=True)
    for name in "uv":
        blank[name].values[2] = np.nan
    with pytest.raises(EmptyDataError, match="1 of 4 maps hold no value at all, the first that of 2010-01-03"):
        encode_maps(latent, ocean, blank)
    far: Ocean = one_chart(ocean, 4)
    with pytest.raises(DomainError, match="none of the 528 points"):
        encode_maps(latent, far, maps)


def test_the_state_at_the_last_frame_has_its_tendency_from_the_changes_before():
    latent, ocean = make_latent(), tiled_ocean()
    made = encode_maps(latent, ocean, make_maps(True))
    mean, covariance = made.state(latent)
    for chart in range(5):
        torch.testing.assert_close(mean[chart], latent.initialiser(made.codes[-2:, chart]))
        expected = 1e-8 * torch.eye(2 * CODE).double()
        expected[:CODE, :CODE] += made.covariance[-1, chart]
        torch.testing.assert_close(covariance[chart], expected)


def test_earlier_maps_are_for_hindcasts_alone():
    """Of more maps than are wanted the last are encoded as ever; earlier ones are in the record."""
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(False)
    whole = encode_maps(latent, ocean, maps)
    made = encode_maps(latent, ocean, maps, 2)
    torch.testing.assert_close(made.codes, whole.codes[2:])
    torch.testing.assert_close(made.residual, whole.residual[2:])
    np.testing.assert_array_equal(made.times, whole.times[2:])
    torch.testing.assert_close(made.record.codes, whole.codes)
    part = whole.frames(slice(2, 4))
    np.testing.assert_array_equal(part.record.times, made.record.times)
    torch.testing.assert_close(part.record.codes, made.record.codes)
    torch.testing.assert_close(whole.frames(slice(1, 4)).frames(slice(1, 2)).record.codes, whole.codes[:3])
    blank = maps.where(maps["time"] != TIMES[1])
    left = encode_maps(latent, ocean, blank, 2)
    np.testing.assert_array_equal(left.record.times, whole.times)
    torch.testing.assert_close(left.record.codes[[0, 2, 3]], whole.codes[[0, 2, 3]])
    assert (left.record.codes[1] == latent.code_prior.mean).all()
    assert torch.isnan(left.record.values[1]).all()
    for part in (made.codes, made.covariance):  # an analysis keeps the last frames, not memory of all of them
        assert part.untyped_storage().nbytes() == part.nbytes
    torch.testing.assert_close(left.codes, whole.codes[2:])


@pytest.mark.parametrize("moving", [False, True])
def test_the_record_has_cells_of_every_chart(moving):
    latent, ocean, maps = make_latent(), tiled_ocean(), make_maps(moving)
    made = encode_maps(latent, ocean, maps).record
    x, y = (a.ravel() for a in np.meshgrid(maps["longitude"], maps["latitude"]))
    values = np.stack([maps[name].values.reshape(4, -1) for name in ("u", "v")], axis=-1)
    anomaly = (values - ocean.background.at(x, y)) / ocean.spread
    for chart, (domain, amplitude) in enumerate(zip(ocean.cover.charts, ocean.cover.amplitude, strict=True)):
        inside = domain.contains(x, y)
        if not inside.any():
            assert torch.isnan(made.values[:, chart]).all()
            continue
        places = domain.coordinates(x[inside], y[inside])
        nearest = np.abs(made.coordinates[chart].numpy()[:, None] - places).sum(-1)
        assert nearest.min(1).max() < 1e-9
        mine = anomaly[:, inside][:, nearest.argmin(1)] / amplitude
        np.testing.assert_allclose(made.values[:, chart], mine, rtol=1e-9, atol=1e-12)
        assert len(np.unique(nearest.argmin(1))) == min(48, inside.sum())


def test_recent_maps_come_with_their_history():
    maps = make_maps(False)
    assert recent_maps(maps, 2, 1.0, None, 60.0).sizes["time"] == 4
    assert recent_maps(maps, 2, 1.0, None, 2.0).sizes["time"] == 3
    # Earlier ones may be spaced in any way.
    np.testing.assert_array_equal(recent_maps(maps.isel(time=[3, 0, 2]), 2, 1.0, None, 9.0)["time"], TIMES[[0, 2, 3]])
