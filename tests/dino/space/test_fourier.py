"""The Fourier decoder: its affine form is the network, and changes of codes leave the field alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.space.decoders import Basis, Decoder, FourierDecoder


def decoder(dtype=torch.float64, seed=0, **sizes) -> FourierDecoder:
    torch.manual_seed(seed)
    made = FourierDecoder(**({"input_size": 3, "code_size": 7, "channels": 2, "hidden": 16, "layers": 3} | sizes))
    with torch.no_grad():
        made.readout_bias.normal_()
    return made.to(dtype)


@settings(max_examples=30, deadline=None)
@given(
    input_size=st.integers(1, 4),
    code_size=st.integers(1, 9),
    channels=st.integers(1, 3),
    half=st.integers(1, 8),
    layers=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_affine_form_is_the_network(input_size, code_size, channels, half, layers, seed):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        sizes = {"input_size": input_size, "code_size": code_size, "channels": channels}
        network = decoder(dtype, seed, hidden=2 * half, layers=layers, **sizes)
        points, codes = torch.rand(11, input_size, dtype=dtype), torch.randn(4, code_size, dtype=dtype)
        basis = network.basis(points)
        assert basis.offset.shape == (11, channels)
        assert basis.modes.shape == (11, channels, code_size)
        torch.testing.assert_close(basis.decode(codes), network(points, codes), atol=tolerance, rtol=tolerance)


def test_network_is_the_formula_of_the_paper():
    network = decoder()
    point, code = torch.rand(3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)

    def filters(layer):
        angles = network.frequencies[layer].T @ point
        return torch.cat([angles.sin(), angles.cos()])

    z = filters(0) * (network.shift[0] @ code + network.shift_bias[0])
    for layer in range(1, 4):
        shift = network.shift[layer] @ code + network.shift_bias[layer]
        z = filters(layer) * (network.mixing[layer - 1] @ z + shift)
    value = network.readout @ z + network.readout_bias
    torch.testing.assert_close(network(point[None], code)[0], value, atol=1e-12, rtol=1e-12)


def test_points_of_their_own_for_every_frame():
    network = decoder()
    points, codes = torch.rand(5, 11, 3, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    basis = network.basis(points)
    assert basis.modes.shape == (5, 11, 2, 7)
    values = torch.einsum("fpck,fk->fpc", basis.modes, codes) + basis.offset
    for frame in range(5):
        torch.testing.assert_close(values[frame], network(points[frame], codes[frame]), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(network(points, codes), values, atol=1e-12, rtol=1e-12)


def test_gradient_of_the_affine_form_is_the_networks():
    network, points = decoder(), torch.rand(9, 3, dtype=torch.float64)
    codes, push = torch.randn(4, 7, dtype=torch.float64), torch.randn(4, 9, 2, dtype=torch.float64)
    by_network = torch.autograd.grad((network(points, codes) * push).sum(), list(network.parameters()))
    by_basis = torch.autograd.grad((network.basis(points).decode(codes) * push).sum(), list(network.parameters()))
    for one, other in zip(by_network, by_basis, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)


def test_decode_takes_any_batch_of_codes():
    basis, codes = decoder().basis(torch.rand(6, 3, dtype=torch.float64)), torch.randn(2, 3, 7, dtype=torch.float64)
    values = basis.decode(codes)
    assert values.shape == (2, 3, 6, 2)
    torch.testing.assert_close(values[1, 2], basis.decode(codes[1, 2]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from([7, 4]))
def test_change_of_codes_leaves_the_field(seed, kept):
    network, points = decoder(seed=seed), torch.rand(13, 3, dtype=torch.float64)
    transform, origin = torch.randn(7, 7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    new = torch.randn(5, 7, dtype=torch.float64)
    new[:, kept:] = 0
    before = network(points, origin + new @ transform.T)
    network.change_codes(transform, origin)
    torch.testing.assert_close(network(points, new), before, atol=1e-10, rtol=1e-10)
    assert not torch.allclose(network(points, new + 1), before)


def test_modulation_is_where_the_code_enters():
    network, points = decoder(), torch.rand(5, 3, dtype=torch.float64)
    shift, bias = network.modulation()
    with torch.no_grad():
        shift.zero_()
    assert (network.basis(points).modes == 0).all()
    with torch.no_grad():
        bias.zero_()
    torch.testing.assert_close(network.basis(points).offset, network.readout_bias.expand(5, 2))


def test_odd_width_is_refused_and_the_protocol_is_met():
    with pytest.raises(ValueError, match="even"):
        FourierDecoder(2, 3, hidden=7)
    assert isinstance(decoder(), Decoder)
    assert not isinstance(Basis(torch.zeros(1), torch.zeros(1)), Decoder)


def test_filter_frequencies_stay_within_their_scale():
    network = decoder(scale=10.0, layers=3)
    assert network.frequencies.abs().max() <= 5.0  # 10 / sqrt(3 + 1)
    assert network.frequencies.abs().max() > 4.0
