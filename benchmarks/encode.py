"""Encode 16 full maps of 64 x 64: the exact solve against 300 steps of Adam through the network, same weights.

The plain method is DINo's (Yin et al., ICLR 2023, and its published code): the decoder with its Fourier filters is run
for every (frame, point), and codes start at zero and follow Adam at 1e-2 for 300 steps. A second figure gives
it filters that all frames share, which the published code does not do.
"""

from collections.abc import Callable

import torch
from harness import median_seconds, on_device, parser, prepare, report, seconds
from torch import Tensor
from workload import coordinates, decoder, smooth_fields, train

from dino.inference import encode
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import FourierDecoder

FRAMES, TRAINING_FRAMES = 16, 512
LEARNING_RATE = 1e-2
NOISE_VARIANCE = 1e-3


def code_prior(network: FourierDecoder, points: Tensor) -> Gaussian:
    """A wide population of codes; a trained run has learned its own and loads it with the weights."""
    power = network.basis(points).modes.square().mean(dim=(0, 1)).clamp_min(1e-20)
    return Gaussian(torch.zeros_like(power), torch.diag(10.0 / power))


def encode_exactly(network: FourierDecoder, points: Tensor, values: Tensor, prior: Gaussian) -> Tensor:
    """Posterior mean codes (frame, code): basis, Gram matrix, one Cholesky factorisation, all frames at once."""
    return encode(network.basis(points), values, NOISE_VARIANCE, prior).mean


def encode_by_descent(forward: Callable[[Tensor], Tensor], code_size: int, values: Tensor, steps: int) -> Tensor:
    """Codes (frame, code) found by Adam through the network; the best ones seen, as the published code keeps them."""
    codes = torch.zeros(len(values), code_size, requires_grad=True)
    optimiser = torch.optim.Adam([codes], LEARNING_RATE)
    best, lowest = codes.detach().clone(), float("inf")
    for _ in range(steps):
        loss = (forward(codes) - values).square().mean()
        if float(loss.detach()) < lowest:
            best, lowest = codes.detach().clone(), float(loss.detach())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return best


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--steps", type=int, default=300, help="Adam steps of the plain method")
    options.add_argument("--training-steps", type=int, default=60, help="decoder steps before encoding")
    options.add_argument("--repeats", type=int, default=21, help="timings of the exact solve; the median counts")
    on_device(options)
    arguments = options.parse_args()
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
    taken = {}
    for name, where in (("plain", each_frame), ("shared_filters", points)):
        forward = lambda c, where=where: network(where, c)  # noqa: E731
        taken[name] = seconds(
            lambda name=name, forward=forward: codes.update(
                {name: encode_by_descent(forward, network.code_size, values, arguments.steps)}
            )
        )
    after = median_seconds({"exact": exact}, arguments.repeats)["exact"]
    # Before and after the long runs, so that a change of the machine's load in between shows.
    taken["exact"] = (before + after) / 2

    error = {name: float((network(points, c) - values).square().mean()) for name, c in codes.items()}
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
        },
    )


if __name__ == "__main__":
    main()
