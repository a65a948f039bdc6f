"""The authors' own code, where the user has a checkout of it: https://github.com/mkirchmeyer/DINo.

Nothing of it is part of this project. Its `network.py` is loaded from the folder the user names, its `FourierNet` gets
the weights of a `FourierDecoder`, and both are timed side by side on the same weights. Its interface, as published:
FourierNet(in_size, hidden_size, code_size, out_size, n_layers, input_scale), called with coordinates
(batch, time, row, column, channel, input) and codes (batch, time, channel, code), answers with the values and the
coordinates; its parameters are `filters[l].weight` (times `weight_scale`), `bilinear[l].A`, `.B` and `.bias`, and
`output_bilinear`. The values' last axis is dropped where `out_size` is one.

Its authors give every channel a code and run a network of one output for each. A decoder of several channels and one
code is compared with their network of as many outputs, which is cheaper for them than their own way.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from dino.inference import encode
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import FourierDecoder
from dino.training.variable_projection import project

from .descent import STEP_RATE, encode_by_descent, plain_step

MODULE = "dino_reference_network"
NOISE_VARIANCE, RIDGE = 1e-3, 1e-2
AGREEMENT = 1e-5


class CheckoutError(ValueError):
    """The folder is no checkout of the reference code, or its network differs from the published one."""


def load_reference(folder: Path) -> ModuleType:
    """The checkout's `network` module; what it imports from its own folder is forgotten afterwards."""
    source = folder / "network.py"
    if not source.is_file():
        raise CheckoutError(
            f"{folder} has no network.py; give a checkout of https://github.com/mkirchmeyer/DINo to --reference"
        )
    spec = importlib.util.spec_from_file_location(MODULE, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # foreign code may raise anything
        raise CheckoutError(f"{source} cannot be loaded ({type(error).__name__}: {error})") from error
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            found = getattr(sys.modules[name], "__file__", None)
            if found and Path(found).resolve().is_relative_to(folder.resolve()):
                del sys.modules[name]
    if not hasattr(module, "FourierNet"):
        raise CheckoutError(f"{source} has no FourierNet; give an unchanged checkout to --reference")
    return module


def reference_with(decoder: FourierDecoder, module: ModuleType) -> nn.Module:
    """The reference's network with the weights of a decoder."""
    network = module.FourierNet(
        decoder.input_size, decoder.hidden, decoder.code_size, decoder.channels, decoder.layers, decoder.scale
    )
    with torch.no_grad():
        for theirs, ours in _pairs(network, decoder):
            if theirs.shape != ours.shape:
                raise CheckoutError(
                    f"the reference's weights have shape {tuple(theirs.shape)}, not {tuple(ours.shape)}"
                )
            theirs.copy_(ours)
        for layer, filters in enumerate(network.filters):
            filters.weight.copy_(decoder.frequencies[layer].T / float(filters.weight_scale))
    return network


def decoder_with(network: nn.Module) -> FourierDecoder:
    """A decoder with the weights of the reference's network, for example of its published checkpoints."""
    filters: Any = network.filters
    bilinear: Any = network.bilinear
    readout: Any = network.output_bilinear
    half, inputs = filters[0].weight.shape
    layers = len(filters) - 1
    scale = float(filters[0].weight_scale) * (layers + 1) ** 0.5
    decoder = FourierDecoder(inputs, bilinear[0].A.shape[1], len(readout.weight), 2 * half, layers, scale)
    with torch.no_grad():
        for theirs, ours in _pairs(network, decoder):
            ours.copy_(theirs)
        for layer, made in enumerate(filters):
            decoder.frequencies[layer] = made.weight.T * float(made.weight_scale)
    return decoder


def _pairs(network: Any, decoder: FourierDecoder) -> Sequence[tuple[Tensor, Tensor]]:
    """(theirs, ours) of every weight that is the same number in both; the filters differ by a factor."""
    pairs = [(network.output_bilinear.weight, decoder.readout), (network.output_bilinear.bias, decoder.readout_bias)]
    for layer, theirs in enumerate(network.bilinear):
        pairs += [(theirs.A, decoder.shift[layer]), (theirs.bias, decoder.shift_bias[layer])]
        if layer:  # the first layer's B multiplies nothing
            pairs.append((theirs.B, decoder.mixing[layer - 1]))
    return pairs


class ReferenceForward:
    """The reference's network with the decoder's calling convention, on one grid.

    kept : (point,) bool; the network runs on the whole grid, as its authors do, and these points are returned
    """

    def __init__(
        self, network: nn.Module, coordinates: Tensor, shape: tuple[int, int], kept: Tensor | None = None
    ) -> None:
        self.network, self.kept = network, kept
        self.grid = coordinates.view(1, 1, *shape, 1, -1)

    def __call__(self, codes: Tensor) -> Tensor:
        """Values (frame, point, channel) of codes (frame, code); every frame has its own coordinates, as theirs."""
        places = self.grid.expand(1, len(codes), -1, -1, -1, -1)
        values, _ = self.network(places, codes.view(1, len(codes), 1, -1))
        values = values.reshape(len(codes), self.grid.shape[2] * self.grid.shape[3], -1)
        return values if self.kept is None else values[:, self.kept]


def reference_forward(
    folder: Path, decoder: nn.Module, coordinates: Tensor, shape: tuple[int, int], kept: Tensor | None = None
) -> tuple[ReferenceForward, float]:
    """The reference's network with a decoder's weights on a grid, and the relative difference of their values.

    Raises CheckoutError where it cannot be run or differs from ours.
    """
    if not isinstance(decoder, FourierDecoder):
        raise CheckoutError(f"the reference's network is a Fourier one and the decoder a {type(decoder).__name__}")
    network = reference_with(decoder, load_reference(folder))
    forward = ReferenceForward(network, coordinates, shape, kept)
    codes = torch.randn(2, decoder.code_size)
    with torch.no_grad():
        ours = decoder(coordinates if kept is None else coordinates[kept], codes)
        try:
            theirs = forward(codes)
        except Exception as error:  # foreign code may raise anything
            raise CheckoutError(f"the reference's network fails ({type(error).__name__}: {error})") from error
        if theirs.shape != ours.shape:
            raise CheckoutError(f"the reference's values have shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")
        difference = float((ours - theirs).abs().max() / ours.abs().max())
    if not difference <= AGREEMENT:
        raise CheckoutError(f"the reference's network differs from ours by {difference:.1e} with the same weights")
    return forward, difference


def add_option(options: argparse.ArgumentParser) -> None:
    """`--reference DIR` of a benchmark that can put the authors' code beside ours."""
    options.add_argument("--reference", type=Path, help="a checkout of the authors' code to measure beside ours")


def check_option(options: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Leave with a usage error, before anything is trained, where `--reference` names no usable checkout."""
    if arguments.reference is None:
        return
    try:
        for channels in (1, 2):
            reference_forward(arguments.reference, FourierDecoder(2, 3, channels, 4, 1), torch.rand(6, 2), (2, 3))
    except CheckoutError as error:
        options.error(f"--reference: {error}")


def compare(
    folder: Path,
    decoder: nn.Module,
    coordinates: Tensor,
    shape: tuple[int, int],
    frames: Tensor,
    training: Tensor,
    *,
    kept: Tensor | None = None,
    adam_steps: int = 300,
    repeats: int = 3,
) -> dict[str, Any]:
    """Both implementations with the same weights: agreement, encoding and one training step, in seconds.

    decoder : a trained one; frames (frame, point, channel) are encoded, training (frame, point, channel) makes up
    one training step; coordinates (point, input) lie on a grid of `shape`. Where `kept` (point,) is given, the values
    are those of the kept points alone; dino evaluates no others, the reference drops them from the whole grid.
    """
    forward, difference = reference_forward(folder, decoder, coordinates, shape, kept)
    assert isinstance(decoder, FourierDecoder)
    points = coordinates if kept is None else coordinates[kept]
    results: dict[str, Any] = {"relative_difference": difference, "frames": len(frames), "adam_steps": adam_steps}
    results |= _encoding(decoder, points, frames, forward, adam_steps)
    results |= _training_step(decoder, points, training, forward, repeats)
    return results


def _encoding(
    decoder: FourierDecoder, points: Tensor, frames: Tensor, forward: ReferenceForward, steps: int
) -> dict[str, float]:
    def solve() -> Tensor:
        basis = decoder.basis(points)
        power = basis.modes.square().mean(dim=(0, 1)).clamp_min(1e-20)
        prior = Gaussian(torch.zeros_like(power), torch.diag(10.0 / power))
        return encode(basis, frames, NOISE_VARIANCE, prior).mean

    with torch.no_grad():
        solve()  # the first call pays for the library's work space
        exact, exact_seconds = _timed(solve)
    asked = [weight.requires_grad for weight in forward.network.parameters()]
    forward.network.requires_grad_(False)
    descended, descent_seconds = _timed(lambda: encode_by_descent(forward, decoder.code_size, frames, steps))
    for weight, was in zip(forward.network.parameters(), asked, strict=True):
        weight.requires_grad_(was)
    with torch.no_grad():
        error = {name: float((forward(c) - frames).square().mean()) for name, c in (("e", exact), ("d", descended))}
    return {
        "encode_reference_seconds": descent_seconds,
        "encode_reference_mse": error["d"],
        "encode_dino_seconds": exact_seconds,
        "encode_dino_mse": error["e"],
        "encode_ratio": descent_seconds / exact_seconds,
    }


def _training_step(
    decoder: FourierDecoder, points: Tensor, training: Tensor, forward: ReferenceForward, repeats: int
) -> dict[str, float]:
    optimiser = torch.optim.Adam(decoder.parameters(), STEP_RATE)
    weights = torch.ones(1, *training.shape[1:])

    def projected() -> None:
        optimiser.zero_grad(set_to_none=True)
        project(decoder.basis(points), training[None], weights, RIDGE).objective.backward()
        optimiser.step()

    plain = plain_step(forward, forward.network.parameters(), decoder.code_size, training)
    taken: dict[str, list[float]] = {"plain": [], "projected": []}
    for _ in range(repeats + 1):  # the first round warms up
        taken["plain"].append(_timed(plain)[1])
        taken["projected"].append(_timed(projected)[1])
    reference, dino = (sorted(taken[name][1:])[repeats // 2] for name in ("plain", "projected"))
    return {
        "training_frames": len(training),
        "step_reference_seconds": reference,
        "step_dino_seconds": dino,
        "step_ratio": reference / dino,
    }


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = function()
    return made, time.perf_counter() - start
