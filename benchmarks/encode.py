"""Encode 16 full maps of 64 x 64: the exact solve against 300 steps of Adam through the network, same weights.

The plain method is DINo's (Yin et al., ICLR 2023, and its published code): the decoder with its Fourier filters is run
for every (frame, point), and codes start at zero and follow Adam at 1e-2 for 300 steps. A second figure gives
it filters that all frames share, which the published code does not do. `--reference DIR` adds the published code
itself, with the same weights.
"""

from collections.abc import Callable, Sequence

import torch
from harness import median_seconds, on_device, parser, prepare, report, seconds
from peers.descent import encode_by_descent
from peers.reference import add_option, check_option, reference_forward
from torch import Tensor
from workload import GRID, coordinates, decoder, smooth_fields, train

from dino.inference import encode
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import FourierDecoder

FRAMES, TRAINING_FRAMES = 16, 512
NOISE_VARIANCE = 1e-3


def code_prior(network: FourierDecoder, points: Tensor) -> Gaussian:
    """A wide population of codes; a trained run has learned its own and loads it with the weights."""
    power = network.basis(points).modes.square().mean(dim=(0, 1)).clamp_min(1e-20)
    return Gaussian(torch.zeros_like(power), torch.diag(10.0 / power))


def encode_exactly(network: FourierDecoder, points: Tensor, values: Tensor, prior: Gaussian) -> Tensor:
    """Posterior mean codes (frame, code): basis, Gram matrix, one Cholesky factorisation, all frames at once."""
    return encode(network.basis(points), values, NOISE_VARIANCE, prior).mean


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--steps", type=int, default=300, help="Adam steps of the plain method")
    options.add_argument("--training-steps", type=int, default=60, help="decoder steps before encoding")
    options.add_argument("--repeats", type=int, default=21, help="timings of the exact solve; the median counts")
    add_option(options)
    on_device(options)
    arguments = options.parse_args(given)
    check_option(options, arguments)
    prepare(arguments)
    points, network = coordinates(), decoder()
    train(network, points, smooth_fields(TRAINING_FRAMES, arguments.seed + 1), arguments.training_steps)
    network.requires_grad_(False)
    values = smooth_fields(FRAMES, arguments.seed + 2)
    each_frame = points.expand(FRAMES, *points.shape)

    codes: dict[str, Tensor] = {}
    prior = code_prior(network, points)
    exact = lambda: codes.update(exact=encode_exactly(network, points, values, prior))  # noqa: E731
    before = median_seconds({"exact": exact}, arguments.repeats)["exact"]
    taken, extra = {}, {}
    forwards: dict[str, Callable[[Tensor], Tensor]] = {
        "plain": lambda c: network(each_frame, c),
        "shared_filters": lambda c: network(points, c),
    }
    if arguments.reference is not None:
        reference, extra["reference_relative_difference"] = reference_forward(
            arguments.reference, network, points, (GRID, GRID)
        )
        reference.network.requires_grad_(False)
        forwards["reference"] = reference
    for name, forward in forwards.items():
        taken[name] = seconds(
            lambda name=name, forward=forward: codes.update(
                {name: encode_by_descent(forward, network.code_size, values, arguments.steps)}
            )
        )
    after = median_seconds({"exact": exact}, arguments.repeats)["exact"]
    # Before and after the long runs, so that a change of the machine's load in between shows.
    taken["exact"] = (before + after) / 2

    error = {name: float((network(points, c) - values).square().mean()) for name, c in codes.items()}
    if "reference" in taken:
        extra["reference_seconds"], extra["reference_mse"] = taken["reference"], error["reference"]
        extra["ratio_reference"] = taken["reference"] / taken["exact"]
    report(
        arguments,
        {
            "frames": FRAMES,
            "points": len(points),
            "code": network.code_size,
            "adam_steps": arguments.steps,
            "field_variance": float(values.var()),
            "exact_seconds": taken["exact"],
            "exact_seconds_before": before,
            "exact_seconds_after": after,
            "exact_mse": error["exact"],
            "plain_seconds": taken["plain"],
            "plain_mse": error["plain"],
            "plain_shared_filters_seconds": taken["shared_filters"],
            "plain_shared_filters_mse": error["shared_filters"],
            "ratio": taken["plain"] / taken["exact"],
            "ratio_shared_filters": taken["shared_filters"] / taken["exact"],
            **extra,
        },
    )


if __name__ == "__main__":
    main()
