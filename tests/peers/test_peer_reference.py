"""The path to the authors' checkout, on a stand-in that has the published signature and parameter names."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.peers.reference import (
    CheckoutError,
    ReferenceForward,
    compare,
    decoder_with,
    load_reference,
    reference_with,
)
from dino.space.decoders import FourierDecoder

STAND_IN = """
import torch
from torch import nn
from stand_in_helper import QUARTER


class Waves(nn.Module):
    def __init__(self, inputs, outputs, weight_scale):
        super().__init__()
        self.weight, self.weight_scale = nn.Parameter(torch.rand(outputs, inputs) - 0.5), weight_scale

    def forward(self, x):
        angles = x @ (self.weight_scale * self.weight).T
        return torch.cat([angles.sin(), (angles + QUARTER).sin()], -1)


class Mix(nn.Module):
    def __init__(self, inputs, code, outputs):
        super().__init__()
        self.A, self.B = nn.Parameter(torch.randn(outputs, code)), nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, z, code):
        return z @ self.B.T + (code @ self.A.T)[:, :, None, None] + self.bias


class FourierNet(nn.Module):
    def __init__(self, in_size, hidden_size, code_size, out_size, n_layers=3, input_scale=256.0, **kwargs):
        super().__init__()
        scale = input_scale / (n_layers + 1) ** 0.5
        self.filters = nn.ModuleList(Waves(in_size, hidden_size // 2, scale) for _ in range(n_layers + 1))
        sizes = [in_size] + n_layers * [hidden_size]
        self.bilinear = nn.ModuleList(Mix(size, code_size, hidden_size) for size in sizes)
        self.output_bilinear = nn.Linear(hidden_size, out_size)

    def forward(self, x, code):
        z = 0 * x
        for waves, mix in zip(self.filters, self.bilinear):
            z = waves(x) * mix(z, code)
        z = self.output_bilinear(z)
        return (z.squeeze(-1) if z.shape[-1] == 1 else z), x
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "network.py").write_text(STAND_IN)
    (tmp_path / "stand_in_helper.py").write_text("import math\nQUARTER = math.pi / 2\n")
    return tmp_path


def test_loading_leaves_no_trace(checkout):
    path = list(sys.path)
    load_reference(checkout)
    assert sys.path == path
    assert "stand_in_helper" not in sys.modules


def test_weights_go_both_ways(checkout, coordinates):
    decoder = FourierDecoder(4, 5, hidden=12, layers=2)
    network = reference_with(decoder, load_reference(checkout))
    codes = torch.randn(3, 5)
    ours = decoder(coordinates, codes)
    theirs = ReferenceForward(network, coordinates, (16, 16))(codes)
    assert torch.allclose(theirs, ours, rtol=1e-5, atol=1e-5)
    back = decoder_with(network)
    assert (back.hidden, back.layers, back.code_size, back.scale) == (12, 2, 5, pytest.approx(decoder.scale))
    assert torch.allclose(back(coordinates, codes), ours, rtol=1e-5, atol=1e-5)


def test_comparison_is_ready_for_json(checkout, coordinates, truth):
    decoder = FourierDecoder(4, 8, hidden=16, layers=2)
    made = compare(checkout, decoder, coordinates, (16, 16), truth[0, :3], truth[1], adam_steps=5, repeats=1)
    json.dumps(made)
    assert made["relative_difference"] < 1e-5
    assert made["encode_dino_mse"] < made["encode_reference_mse"]
    assert (made["frames"], made["training_frames"], made["adam_steps"]) == (3, 20, 5)
    assert min(value for name, value in made.items() if name.endswith("seconds")) > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no network.py"),
        ("import a_module_that_is_not_there", "cannot be loaded"),
        ("FourierLayer = 1", "has no FourierNet"),
    ],
    ids=["absent", "broken", "other"],
)
def test_refusals(tmp_path, content, message):
    if content is not None:
        (tmp_path / "network.py").write_text(content)
    with pytest.raises(CheckoutError, match=message):
        load_reference(tmp_path)


def test_a_different_network_is_refused(checkout, coordinates, truth):
    source = checkout / "network.py"
    source.write_text(source.read_text().replace("angles.sin(), (angles", "angles.cos(), (angles"))
    with pytest.raises(CheckoutError, match="differs from ours"):
        compare(checkout, FourierDecoder(4, 8, hidden=16), coordinates, (16, 16), truth[0, :2], truth[1])
