"""Fields and their spread from latent forecasts, against the formula and derivatives by autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig
from dino.forecasts.decode import decode_points
from dino.forecasts.latent import LatentForecast
from dino.model import LatentModel
from dino.space.gridmap import GridMap

CODE, TIMES = 6, 3
LONGITUDE, LATITUDE = np.array([0.5, 3.3, 9.4, 6.6]), np.array([39.0, 31.1, 36.5, 33.3])


@pytest.fixture(params=["fourier", "siren"])
def twin(request, make_twin):
    """A twin with either decoder, over a sea with a mean field and two charts' worth of amplitude."""
    twin = make_twin(CODE)
    if request.param == "siren":
        torch.manual_seed(2)
        decoder = DecoderConfig(kind="siren", code_size=CODE, hidden=16, layers=2, w0_first=6.0)
        twin.latent = LatentModel(twin.latent.spec.model_copy(update={"decoder": decoder})).double().eval()
    axis = np.linspace(0.0, 10.0, 4)
    cover = replace(twin.ocean.cover, amplitude=np.array([1.7]))
    background = GridMap(axis, 30.0 + axis, np.full((1, 4, 4), 0.3))
    twin.ocean = replace(twin.ocean, cover=cover, background=background)
    return twin


@pytest.fixture
def ahead(randomly):
    return LatentForecast(
        codes=0.5 * randomly(TIMES, 1, CODE),
        factor=0.1 * randomly(TIMES, 1, CODE, 9),
        model_error=0.02 * randomly(TIMES, CODE).square(),
        unresolved=0.1 * randomly(TIMES, 1).square(),
        calibration=1.0 + randomly(TIMES, 1, 2).square(),
        scale=1.0 + randomly(TIMES, 1).square(),
    )


def coordinates(twin):
    return torch.as_tensor(twin.ocean.cover.charts[0].coordinates(LONGITUDE, LATITUDE))


def decoded(twin, ahead, **options):
    return decode_points(twin.latent, twin.ocean, ahead, LONGITUDE, LATITUDE, **options)


def test_fields_and_their_spread_are_the_formula(twin, ahead):
    mean, deviation = decoded(twin, ahead)
    decoder, where, unit = twin.latent.decoder, coordinates(twin), 1.7 * twin.spread
    for time in range(TIMES):
        code = ahead.codes[time, 0]
        field = decoder(where, code)[:, 0]
        np.testing.assert_allclose(mean[time, :, 0], 0.3 + unit * field.detach(), rtol=1e-5)
        modes = torch.autograd.functional.jacobian(lambda c: decoder(where, c)[:, 0], code)
        covariance = ahead.factor[time, 0] @ ahead.factor[time, 0].T + torch.diag(ahead.model_error[time])
        explained, left = ahead.calibration[time, 0]
        variance = explained**2 * (modes @ covariance @ modes.T).diagonal() + left**2 * ahead.unresolved[time, 0]
        expected = unit * ahead.scale[time, 0] * variance.sqrt()
        np.testing.assert_allclose(deviation[time, :, 0], expected, rtol=1e-5)


def test_without_a_spread_the_field_is_the_same(twin, ahead):
    mean, deviation = decoded(twin, ahead)
    bare, nothing = decoded(twin, ahead, spread=False)
    assert nothing is None
    assert deviation is not None
    np.testing.assert_allclose(bare, mean, rtol=1e-5)


def test_what_is_known_exactly_has_the_spread_of_what_the_basis_leaves_out(twin, ahead):
    known = replace(ahead, factor=ahead.factor[..., :0], model_error=torch.zeros_like(ahead.model_error))
    _, deviation = decoded(twin, known)
    expected = 1.7 * twin.spread * known.scale * known.calibrated_unresolved.sqrt()
    np.testing.assert_allclose(deviation, expected[:, None].expand(-1, 4, -1), rtol=1e-5)
