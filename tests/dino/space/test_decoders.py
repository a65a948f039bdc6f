"""The one door to both kinds of decoders: what it gives is the decoder itself, chart by chart and point by point."""

import pytest
import torch

from dino.space.decoders import Decoder, FourierDecoder, SirenDecoder, at_points, bases, fields, relinearised

CODE = 5


@pytest.fixture(params=["fourier", "siren"])
def decoder(request) -> Decoder:
    torch.manual_seed(0)
    if request.param == "fourier":
        return FourierDecoder(2, CODE, 2, hidden=8, layers=2).double().requires_grad_(False)
    made = SirenDecoder(2, CODE, 2, hidden=8, layers=2, w0_hidden=2.0).double().requires_grad_(False)
    made.shift_bias.normal_()
    return made


def test_fields_of_charts_at_their_own_points(decoder, randomly):
    coordinates, codes = randomly(4, 7, 2), randomly(3, 4, CODE)
    made = fields(decoder, coordinates, codes)
    assert made.shape == (3, 4, 7, 2)
    for time in range(3):
        for chart in range(4):
            torch.testing.assert_close(made[time, chart], decoder(coordinates[chart], codes[time, chart]))


def test_bases_serve_every_time_once_and_are_the_derivative(decoder, randomly):
    coordinates, codes = randomly(4, 7, 2), randomly(3, 4, CODE)
    served = []
    for times, basis in bases(decoder, coordinates, codes):
        assert basis.modes.shape == (4, 7, 2, CODE)
        for time in range(*times.indices(3)):
            served.append(time)
            value = torch.einsum("cpvk,ck->cpv", basis.modes, codes[time]) + basis.offset
            torch.testing.assert_close(value, fields(decoder, coordinates, codes)[time])
            for chart in range(4):
                where = coordinates[chart]
                jacobian = torch.func.jacrev(lambda c, where=where: decoder(where, c))(codes[time, chart])
                torch.testing.assert_close(basis.modes[chart], jacobian)
    assert served == [0, 1, 2]


def test_a_form_about_other_codes_is_made_only_where_it_differs(decoder, randomly):
    points, codes = randomly(6, 2), randomly(6, CODE)
    other = relinearised(decoder, points, codes)
    if decoder.is_affine:
        assert other is None
    else:
        expected = at_points(decoder, points, codes)
        torch.testing.assert_close(other.modes, expected.modes)
        torch.testing.assert_close(other.offset, expected.offset)
    basis = at_points(decoder, points, codes)
    for point in range(6):
        torch.testing.assert_close(
            basis.offset[point] + basis.modes[point] @ codes[point], decoder(points[point, None], codes[point])[0]
        )
