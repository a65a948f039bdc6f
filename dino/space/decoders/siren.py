"""A sine network whose layers are scaled and shifted by the code: a field that is not affine in its code.

    h_0 = x,    h_l = sin((g_l + S_l a) * w0_l (W_l h_{l-1} + b_l) + t_l + T_l a),   l = 1..n + 1
    v(x; a) = W h_{n+1} + d

Sine layers and their initialisation are those of `siren_pytorch` (Sitzmann et al., NeurIPS 2020, arXiv 2006.09661);
scale and shift by a linear map of the code are FiLM (Perez et al. 2018, arXiv 1709.07871). Shifts alone are the
modulation of functa (Dupont et al. 2022, arXiv 2201.12204) and CORAL (Serrano et al. 2023, arXiv 2306.07266).

Modulation acts on the phase in radians, so that a unit of shift means the same in layers of any w0.
"""

import math
from typing import Literal, cast

import torch
from siren_pytorch import Siren
from torch import Tensor, nn

from .base import Basis

# Size of the first readout over that of a plain sine network.
FIRST_READOUT = 10.0


class SirenDecoder(nn.Module):
    """Sine layers with code-dependent scale and shift (FiLM).

    Parameters
    ----------
    input_size, code_size, channels : sizes of coordinates (in [-1, 1]), code and values
    hidden : width (even)
    layers : number of hidden layers n behind the first (n + 1 sine layers)
    w0_first, w0_hidden : factors of the phase in the first and in the other layers; the first sets the frequencies
    """

    is_affine: Literal[False] = False

    def __init__(
        self,
        input_size: int,
        code_size: int,
        channels: int = 1,
        hidden: int = 64,
        layers: int = 3,
        w0_first: float = 10.0,
        w0_hidden: float = 1.0,
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"hidden must be even (pairs of opposite readout), not {hidden}")
        self.input_size, self.code_size, self.channels = input_size, code_size, channels
        self.hidden, self.layers = hidden, layers
        self.w0 = [w0_first] + [w0_hidden] * layers
        sizes = [input_size] + [hidden] * layers
        # The layers give the phase; their own sine would leave no place for scale and shift.
        self.sines = nn.ModuleList(
            Siren(size, hidden, w0=w0, is_first=not index, activation=nn.Identity())
            for index, (size, w0) in enumerate(zip(sizes, self.w0, strict=True))
        )
        self.readout = Siren(hidden, channels, activation=nn.Identity())
        self._start_nearly_affine()
        bound = 1.0 / math.sqrt(code_size)
        self.scale = nn.Parameter((2 * torch.rand(layers + 1, hidden, code_size) - 1) * bound)
        self.shift = nn.Parameter((2 * torch.rand(layers + 1, hidden, code_size) - 1) * bound)
        self.scale_bias = nn.Parameter(torch.ones(layers + 1, hidden))
        self.shift_bias = nn.Parameter(torch.zeros(layers + 1, hidden))

    @torch.no_grad()
    def _start_nearly_affine(self) -> None:
        """Units in pairs of opposite readout, which is large: without a code the field is zero.

        Small changes of phase then make the whole field, which starts nearly affine in its code (lazy training,
        Chizat, Oyallon & Bach 2019, arXiv 1812.07956), so that few Gauss-Newton steps find the codes. Without this
        the first codes are large, the fields far from their linearisation, and training hardly begins.
        """
        half, last = self.hidden // 2, cast(Siren, self.sines[-1])
        assert last.bias is not None
        last.weight[half:] = last.weight[:half]
        last.bias[half:] = last.bias[:half]
        self.readout.weight.mul_(FIRST_READOUT)
        self.readout.weight[:, half:] = -self.readout.weight[:, :half]

    def modulation(self) -> list[Tensor]:
        """The weights through which the code enters (S_l, g_l, T_l, t_l): what transfer fine-tunes by default."""
        return [self.scale, self.scale_bias, self.shift, self.shift_bias]

    def _modulations(self, codes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Factors of the layers' linear parts and shifts of the phase, each (frame, 1, hidden) a layer."""
        size = (self.layers + 1, self.hidden)
        both = torch.cat([self.scale.flatten(0, 1), self.shift.flatten(0, 1)])
        bias = torch.cat([self.scale_bias.flatten(), self.shift_bias.flatten()])
        scale, shift = torch.addmm(bias, codes, both.T).unflatten(-1, (2, *size)).unsqueeze(-2).unbind(1)
        factors = [scale[:, layer] * w0 for layer, w0 in enumerate(self.w0)]
        return factors, list(shift.unbind(1))

    def forward(self, coordinates: Tensor, codes: Tensor) -> Tensor:
        """Values (..., point, channel) of codes (..., code) at coordinates (point, input).

        Coordinates (..., point, input) of their own for every code are taken too.
        """
        frames, points = codes.shape[:-1], coordinates.shape[-2]
        factors, shifts = self._modulations(codes.reshape(-1, self.code_size))
        z = coordinates if coordinates.dim() == 2 else coordinates.flatten(0, -3)
        for layer, factor, shift in zip(self.sines, factors, shifts, strict=True):
            z = torch.addcmul(shift, factor, layer(z)).sin()
        return self.readout(z).reshape(*frames, points, self.channels)

    def linearise(self, coordinates: Tensor, codes: Tensor) -> Basis:
        """Value and exact Jacobian about codes (frame, code): offset (frame, point, channel) and modes (..., code).

        coordinates : (point, input) shared by the frames or (frame, point, input)

        Every point has the code to itself, so one backward recursion a channel gives the derivatives by the phases'
        scales and shifts at every point; the linear maps from the code turn them into modes.
        """
        factors, shifts = self._modulations(codes)
        z, linear, slopes = coordinates, [], []
        for layer, factor, shift in zip(self.sines, factors, shifts, strict=True):
            linear.append(layer(z))
            phase = torch.addcmul(shift, factor, linear[-1])
            z, slope = phase.sin(), phase.cos()
            slopes.append(slope)
        values = self.readout(z)
        modes = torch.stack([self._backward(row, factors, linear, slopes) for row in self.readout.weight], dim=-2)
        offset = values - (modes @ codes.unsqueeze(-2).unsqueeze(-1)).squeeze(-1)
        return Basis(offset, modes)

    def _backward(self, row: Tensor, factors: list[Tensor], linear: list[Tensor], slopes: list[Tensor]) -> Tensor:
        """Derivatives (frame, point, code) of row . h_{n+1} by the code."""
        sensitivity: Tensor = row
        modes = None
        for layer in range(self.layers, -1, -1):
            by_phase = sensitivity * slopes[layer]
            by_scale = by_phase * linear[layer]
            part = by_phase @ self.shift[layer] + by_scale @ (self.scale[layer] * self.w0[layer])
            modes = part if modes is None else modes + part
            if layer:
                sensitivity = (by_phase * factors[layer]) @ cast(Siren, self.sines[layer]).weight
        assert modes is not None
        return modes

    @torch.no_grad()
    def change_codes(self, transform: Tensor, origin: Tensor) -> None:
        """Fold the substitution code = origin + transform @ new_code into the weights; the field stays the same."""
        for weight, bias in ((self.scale, self.scale_bias), (self.shift, self.shift_bias)):
            bias += torch.einsum("lhk,k->lh", weight, origin)
            weight.copy_(torch.einsum("lhk,kj->lhj", weight, transform))
