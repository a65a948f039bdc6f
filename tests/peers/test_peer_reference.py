"""The path to the authors' checkout, on a stand-in that has the published signature and parameter names."""

import argparse
import json
import sys

import pytest
import torch

from benchmarks.peers.reference import (
    CheckoutError,
    ReferenceForward,
    add_option,
    check_option,
    compare,
    decoder_with,
    load_reference,
    reference_with,
)
from dino.space.decoders import FourierDecoder, SirenDecoder


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


@pytest.mark.parametrize("channels", [1, 2])
def test_comparison_of_channels_on_the_kept_points(checkout, coordinates, truth, channels):
    """Two channels as the wave has, and a mask: the network runs on the whole grid, kept points alone are compared."""
    decoder = FourierDecoder(4, 8, channels, hidden=16, layers=2)
    values = torch.cat([truth, 2 * truth.roll(1, 2)][:channels], -1)
    for kept in (None, torch.arange(256) % 4 == 0):
        seen = values if kept is None else values[:, :, kept]
        made = compare(
            checkout, decoder, coordinates, (16, 16), seen[0, :3], seen[1], kept=kept, adam_steps=5, repeats=1
        )
        assert made["relative_difference"] < 1e-5
        assert made["encode_dino_mse"] < made["encode_reference_mse"]
        assert made["step_ratio"] > 0


def test_values_of_two_channels_keep_their_places(checkout, coordinates):
    decoder = FourierDecoder(4, 5, 2, hidden=12, layers=2)
    network = reference_with(decoder, load_reference(checkout))
    codes = torch.randn(3, 5)
    theirs = ReferenceForward(network, coordinates, (16, 16))(codes)
    assert theirs.shape == (3, 256, 2)
    assert torch.allclose(theirs, decoder(coordinates, codes), rtol=1e-5, atol=1e-5)


def test_another_decoder_is_refused(checkout, coordinates, truth):
    with pytest.raises(CheckoutError, match="a SirenDecoder"):
        compare(checkout, SirenDecoder(4, 8, hidden=16), coordinates, (16, 16), truth[0, :2], truth[1])


@pytest.fixture
def options():
    """The command line of a benchmark that takes --reference."""
    made = argparse.ArgumentParser()
    add_option(made)
    return made


def test_a_usable_checkout_passes_the_check(options, checkout):
    check_option(options, options.parse_args(["--reference", str(checkout)]))
    check_option(options, options.parse_args([]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "has no network.py"),
        (("nn.Linear(hidden_size, out_size)", "nn.Linear(hidden_size, 3)"), "weights have shape"),
        (("return (z.squeeze(-1) if z.shape[-1] == 1 else z), x", "return z[..., :1], x"), "values have shape"),
        (("z = 0 * x\n", "raise OSError('no')\n"), "network fails"),
        (("angles.sin(), (angles", "angles.cos(), (angles"), "differs from ours"),
    ],
    ids=["absent", "other outputs", "lost channel", "raises", "other"],
)
def test_the_check_refuses_before_anything_is_trained(options, checkout, capsys, change, message):
    source = checkout / "network.py"
    if change is None:
        source.unlink()
    else:
        assert change[0] in source.read_text()
        source.write_text(source.read_text().replace(*change))
    with pytest.raises(SystemExit) as stop:
        check_option(options, options.parse_args(["--reference", str(checkout)]))
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


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
