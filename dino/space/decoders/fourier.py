"""The multiplicative filter network of DINo (Yin et al., ICLR 2023, arXiv 2209.14855; Fathony et al., ICLR 2021).

    z_0 = g_0(x) * (A_0 a + c_0)
    z_l = g_l(x) * (B_l z_{l-1} + A_l a + c_l),   l = 1..n
    v(x) = W z_n + d,        g_l(x) = [sin(w_l x), cos(w_l x)]

The filters g_l do not depend on the code a, and every step is affine in it, so for fixed x the field is
v(x; a) = b(x) + Phi(x) a. `forward` is the network as published; `basis` evaluates b and Phi by one backward
recursion, which turns decoding into a matrix product and encoding into linear least squares.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from .base import Basis


class FourierDecoder(nn.Module):
    """A Fourier multiplicative filter network with an additive code shift in every layer.

    Parameters
    ----------
    input_size, code_size, channels : sizes of coordinates, code and values
    hidden : width (even): half of it sines, half cosines
    layers : number of multiplicative layers n (n + 1 filters)
    scale : spread of the filter frequencies, shared out as scale / sqrt(n + 1)
    """

    is_affine: Literal[True] = True

    def __init__(
        self, input_size: int, code_size: int, channels: int = 1, hidden: int = 64, layers: int = 3, scale: float = 8.0
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"hidden must be even (sines and cosines), not {hidden}")
        self.input_size, self.code_size, self.channels = input_size, code_size, channels
        self.hidden, self.layers, self.scale = hidden, layers, scale
        spread = scale / math.sqrt(layers + 1)
        bound = 1.0 / math.sqrt(hidden)
        self.frequencies = nn.Parameter((2 * torch.rand(layers + 1, input_size, hidden // 2) - 1) * spread)
        self.mixing = nn.Parameter((2 * torch.rand(layers, hidden, hidden) - 1) * bound)
        self.shift = nn.Parameter((2 * torch.rand(layers + 1, hidden, code_size) - 1) / math.sqrt(code_size))
        self.shift_bias = nn.Parameter((2 * torch.rand(layers + 1, hidden) - 1) * bound)
        self.readout = nn.Parameter((2 * torch.rand(channels, hidden) - 1) * bound)
        self.readout_bias = nn.Parameter(torch.zeros(channels))

    def modulation(self) -> list[Tensor]:
        """The weights through which the code enters, (A_l, c_l): what transfer fine-tunes by default."""
        return [self.shift, self.shift_bias]

    def _filter(self, coordinates: Tensor, layer: int) -> Tensor:
        """g_l at coordinates (..., input): (..., hidden), half sines and half cosines.

        Cosines are sines a quarter turn on: one pass over the memory, which is what this costs, instead of three.
        """
        frequencies = self.frequencies[layer].repeat(1, 2)
        phase = frequencies.new_zeros(self.hidden)
        phase[self.hidden // 2 :] = math.pi / 2
        angles = torch.addmm(phase, coordinates.flatten(0, -2), frequencies)
        return angles.sin().unflatten(0, coordinates.shape[:-1])

    def forward(self, coordinates: Tensor, codes: Tensor) -> Tensor:
        """The network as published: values (..., point, channel) of codes (..., code) at coordinates (point, input).

        Coordinates (..., point, input) of their own for every code are taken too.
        """
        shifts = torch.einsum("...k,lhk->l...h", codes, self.shift)
        shifts = shifts + self.shift_bias.view(self.layers + 1, *[1] * (codes.dim() - 1), self.hidden)
        z = self._filter(coordinates, 0) * shifts[0].unsqueeze(-2)
        for layer in range(1, self.layers + 1):
            z = self._filter(coordinates, layer) * (z @ self.mixing[layer - 1].T + shifts[layer].unsqueeze(-2))
        return z @ self.readout.T + self.readout_bias

    def basis(self, coordinates: Tensor) -> Basis:
        """Offset (..., channel) and modes (..., channel, code) at coordinates (..., input)."""
        shape = (*coordinates.shape[:-1], self.channels)
        # One row for every point and channel: plain matrices, which the fused products below want.
        u = (self._filter(coordinates, self.layers).unsqueeze(-2) * self.readout).flatten(0, -2)
        modes, offset = u @ self.shift[-1], u @ self.shift_bias[-1]
        for layer in range(self.layers - 1, -1, -1):
            g = self._filter(coordinates, layer).unsqueeze(-2)
            u = ((u @ self.mixing[layer]).view(*shape, self.hidden) * g).flatten(0, -2)
            modes.addmm_(u, self.shift[layer])
            offset.addmv_(u, self.shift_bias[layer])
        return Basis(offset.view(shape) + self.readout_bias, modes.view(*shape, self.code_size))

    def jets(self, coordinates: Tensor, paths: Tensor) -> Basis:
        """`basis` with its slopes and curvatures along two directions: offset (5, ..., channel), modes beside it.

        coordinates : (..., input); paths : (..., input, 4) slopes of the coordinates along both, then curvatures
        The recursion is that of `basis`, every product by the product rule.
        """

        def filters(layer: int) -> Tensor:
            """(5, ..., 1, hidden) the filter g_l with its derivatives."""
            frequencies = self.frequencies[layer].repeat(1, 2)
            phase = frequencies.new_zeros(self.hidden)
            phase[self.hidden // 2 :] = math.pi / 2
            angle = coordinates @ frequencies + phase
            turned = torch.einsum("...id,ih->d...h", paths, frequencies)
            sine, cosine = angle.sin(), angle.cos()
            bent = [cosine * turned[2 + axis] - sine * turned[axis].square() for axis in (0, 1)]
            return torch.stack([sine, cosine * turned[0], cosine * turned[1], *bent]).unsqueeze(-2)

        u = filters(self.layers) * self.readout
        modes, offset = u @ self.shift[-1], u @ self.shift_bias[-1]
        for layer in range(self.layers - 1, -1, -1):
            u = product_of_jets(u @ self.mixing[layer], filters(layer))
            modes, offset = modes + u @ self.shift[layer], offset + u @ self.shift_bias[layer]
        offset[0] += self.readout_bias
        return Basis(offset, modes)

    def linearise(self, coordinates: Tensor, codes: Tensor) -> Basis:
        """`basis`, whatever the codes: the field is affine in them."""
        return self.basis(coordinates)

    @torch.no_grad()
    def change_codes(self, transform: Tensor, origin: Tensor) -> None:
        """Fold the substitution code = origin + transform @ new_code into the weights; the field stays the same."""
        self.shift_bias += torch.einsum("lhk,k->lh", self.shift, origin)
        self.shift.copy_(torch.einsum("lhk,kj->lhj", self.shift, transform))


def product_of_jets(a: Tensor, b: Tensor) -> Tensor:
    """The jet (5, ...) of a product: value, two slopes, two curvatures."""
    slopes = [a[0] * b[i] + a[i] * b[0] for i in (1, 2)]
    curvatures = [a[0] * b[i] + 2.0 * a[i - 2] * b[i - 2] + a[i] * b[0] for i in (3, 4)]
    return torch.stack([a[0] * b[0], *slopes, *curvatures])
