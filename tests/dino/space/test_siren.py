"""The sine decoder: its batched forward pass is a loop, its linearisation is the derivative."""

import pytest
import torch
from siren_pytorch import Siren

from dino.space.decoders import Decoder, FourierDecoder, SirenDecoder, at_points, decode, values_at_points


def decoder(dtype=torch.float64, seed=0, **sizes) -> SirenDecoder:
    torch.manual_seed(seed)
    made = SirenDecoder(
        **({"input_size": 3, "code_size": 5, "channels": 2, "hidden": 8, "layers": 2, "w0_hidden": 2.0} | sizes)
    )
    with torch.no_grad():
        made.scale_bias.add_(0.2 * torch.randn_like(made.scale_bias))
        made.shift_bias.normal_()
    return made.to(dtype)


def inputs(frames=4, points=6, own=False):
    generator = torch.Generator().manual_seed(5)
    shape = (frames, points, 3) if own else (points, 3)
    x = 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1
    return x, torch.randn(frames, 5, generator=generator, dtype=torch.float64)


def one(network, point, code):
    """The formula for one point (input,) and one code (code,)."""
    z = point
    for layer, (sine, w0) in enumerate(zip(network.sines, network.w0, strict=True)):
        scale = network.scale_bias[layer] + network.scale[layer] @ code
        shift = network.shift_bias[layer] + network.shift[layer] @ code
        z = torch.sin(scale * w0 * (sine.weight @ z + sine.bias) + shift)
    return network.readout.weight @ z + network.readout.bias


def test_both_decoders_keep_the_protocol():
    assert isinstance(decoder(), Decoder)
    assert isinstance(FourierDecoder(3, 5), Decoder)
    assert FourierDecoder(3, 5).is_affine
    assert not decoder().is_affine


@pytest.mark.parametrize("own", [False, True])
def test_batched_forward_is_a_plain_loop(own):
    network, (x, codes) = decoder(), inputs(own=own)
    loop = torch.stack(
        [torch.stack([one(network, p, code) for p in (x[i] if own else x)]) for i, code in enumerate(codes)]
    )
    torch.testing.assert_close(network(x, codes), loop)
    if not own:
        torch.testing.assert_close(decode(network, x, codes.view(2, 2, 5)), loop.unflatten(0, (2, 2)))
        assert decode(network, x, codes[:0]).shape == (0, 6, 2)
        torch.testing.assert_close(network(x, codes[0]), loop[0])


@pytest.mark.parametrize("own", [False, True])
def test_modes_are_the_jacobian_of_autograd(own):
    network, (x, codes) = decoder(), inputs(own=own)
    basis = network.linearise(x, codes)
    assert basis.modes.shape == (4, 6, 2, 5)
    for frame, code in enumerate(codes):
        where = x[frame] if own else x
        jacobian = torch.autograd.functional.jacobian(lambda c, where=where: network(where, c), code)
        torch.testing.assert_close(basis.modes[frame], jacobian)
    value = basis.offset + torch.einsum("fpck,fk->fpc", basis.modes, codes)
    torch.testing.assert_close(value, network(x, codes))


def test_modes_are_the_limit_of_finite_differences():
    network, (x, codes) = decoder(), inputs()
    modes = network.linearise(x, codes).modes
    for k in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[k] = 1e-6
        slope = (network(x, codes + step) - network(x, codes - step)) / 2e-6
        torch.testing.assert_close(modes[..., k], slope, atol=1e-7, rtol=1e-6)


def test_a_code_a_point(randomly):
    network, (x, _) = decoder(), inputs()
    codes = randomly(6, 5)
    basis = at_points(network, x, codes)
    expected = torch.stack([one(network, p, c) for p, c in zip(x, codes, strict=True)])
    torch.testing.assert_close(torch.einsum("pck,pk->pc", basis.modes, codes) + basis.offset, expected)
    torch.testing.assert_close(values_at_points(network, x, codes), expected)
    affine = FourierDecoder(3, 5, 2).double()
    torch.testing.assert_close(values_at_points(affine, x, codes), affine(x[:, None], codes)[:, 0])


def test_gradients_reach_every_weight():
    network, (x, codes) = decoder(), inputs()
    network(x, codes).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_changed_codes_leave_the_field(randomly):
    network, (x, codes) = decoder(), inputs()
    before = network(x, codes)
    transform, origin = randomly(5, 5), randomly(5)
    network.change_codes(transform, origin)
    new = torch.linalg.lstsq(transform, (codes - origin).T).solution.T
    torch.testing.assert_close(network(x, new), before)


def test_layers_start_as_the_package_draws_them_and_the_field_at_zero():
    torch.manual_seed(3)
    network = SirenDecoder(3, 5, 2, hidden=8, layers=1, w0_first=7.0, w0_hidden=2.0)
    torch.manual_seed(3)
    first, second = Siren(3, 8, w0=7.0, is_first=True), Siren(8, 8, w0=2.0)
    assert torch.equal(network.sines[0].weight, first.weight)
    assert torch.equal(network.sines[1].weight[:4], second.weight[:4])
    field = network(torch.rand(9, 3), torch.zeros(1, 5))
    torch.testing.assert_close(field, network.readout.bias.expand(1, 9, 2), atol=1e-5, rtol=0)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even"):
        SirenDecoder(2, 3, hidden=7)
