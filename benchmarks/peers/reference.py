"""The authors' own code, where the user has a checkout of it: https://github.com/mkirchmeyer/DINo.

Nothing of it is part of this project. Its `network.py` is loaded from the folder the user names, its `FourierNet` gets
the weights of a `FourierDecoder`, and both are timed side by side on the same weights. Its interface, as published:
FourierNet(in_size, hidden_size, code_size, out_size, n_layers, input_scale), called with coordinates
(batch, time, row, column, channel, input) and codes (batch, time, channel, code), answers with the values and the
coordinates; its parameters are `filters[l].weight` (times `weight_scale`), `bilinear[l].A`, `.B` and `.bias`, and
`output_bilinear`.
"""

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

MODULE = "dino_reference_network"
CODE_RATE, DECODER_RATE = 1e-2, 1e-6  # the decoder's small one: timing must not move the weights
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
    """The reference's network with the decoder's calling convention, on one grid."""

    def __init__(self, network: nn.Module, coordinates: Tensor, shape: tuple[int, int]) -> None:
        self.network, self.shape = network, shape
        self.grid = coordinates.view(1, 1, *shape, 1, -1)

    def __call__(self, codes: Tensor) -> Tensor:
        """Values (frame, point, 1) of codes (frame, code); coordinates are expanded for every frame, as it does."""
        places = self.grid.expand(1, len(codes), -1, -1, -1, -1)
        values, _ = self.network(places, codes.view(1, len(codes), 1, -1))
        return values.reshape(len(codes), self.shape[0] * self.shape[1], 1)


def compare(
    folder: Path,
    decoder: FourierDecoder,
    coordinates: Tensor,
    shape: tuple[int, int],
    frames: Tensor,
    training: Tensor,
    *,
    adam_steps: int = 300,
    repeats: int = 3,
) -> dict[str, Any]:
    """Both implementations with the same weights: agreement, encoding and one training step, in seconds.

    decoder : a trained one of one channel; frames (frame, point, 1) are encoded, training (frame, point, 1) makes up
    one training step; coordinates (point, input) lie on a grid of `shape`
    """
    network = reference_with(decoder, load_reference(folder))
    forward = ReferenceForward(network, coordinates, shape)
    codes = torch.randn(2, decoder.code_size)
    with torch.no_grad():
        ours, theirs = decoder(coordinates, codes), forward(codes)
        difference = float((ours - theirs).abs().max() / ours.abs().max())
    if difference > AGREEMENT:
        raise CheckoutError(f"the reference's network differs from ours by {difference:.1e} with the same weights")
    results: dict[str, Any] = {"relative_difference": difference, "frames": len(frames), "adam_steps": adam_steps}
    results |= _encoding(decoder, coordinates, frames, forward, adam_steps)
    results |= _training_step(decoder, coordinates, training, forward, repeats)
    return results


def _encoding(
    decoder: FourierDecoder, coordinates: Tensor, frames: Tensor, forward: ReferenceForward, steps: int
) -> dict[str, float]:
    def descend() -> Tensor:
        codes = torch.zeros(len(frames), decoder.code_size, requires_grad=True)
        optimiser = torch.optim.Adam([codes], CODE_RATE)
        best, lowest = codes.detach().clone(), float("inf")
        for _ in range(steps):
            loss = (forward(codes) - frames).square().mean()
            if float(loss.detach()) < lowest:
                best, lowest = codes.detach().clone(), float(loss.detach())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return best

    def solve() -> Tensor:
        basis = decoder.basis(coordinates)
        power = basis.modes.square().mean(dim=(0, 1)).clamp_min(1e-20)
        prior = Gaussian(torch.zeros_like(power), torch.diag(10.0 / power))
        return encode(basis, frames, NOISE_VARIANCE, prior).mean

    with torch.no_grad():
        solve()  # the first call pays for the library's work space
        exact, exact_seconds = _timed(solve)
    asked = [weight.requires_grad for weight in forward.network.parameters()]
    forward.network.requires_grad_(False)
    descended, descent_seconds = _timed(descend)
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
    decoder: FourierDecoder, coordinates: Tensor, training: Tensor, forward: ReferenceForward, repeats: int
) -> dict[str, float]:
    codes = torch.zeros(len(training), decoder.code_size, requires_grad=True)
    theirs = torch.optim.Adam([*forward.network.parameters(), codes], DECODER_RATE)
    mine = torch.optim.Adam(decoder.parameters(), DECODER_RATE)
    weights = torch.ones(1, len(coordinates), 1)

    def step(optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    plain = lambda: step(theirs, lambda: (forward(codes) - training).square().mean())  # noqa: E731
    projected = lambda: step(  # noqa: E731
        mine, lambda: project(decoder.basis(coordinates), training[None], weights, RIDGE).objective
    )
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
