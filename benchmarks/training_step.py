"""One decoder training step over 80 maps of 64 x 64: variable projection against the plain step, same network.

The plain step is DINo's (Yin et al., ICLR 2023, and its published code): one learned code a frame, the decoder with its
Fourier filters run for every (frame, point), backward through it, Adam on weights and codes. A second figure
gives it filters that all frames share, which the published code does not do. `--reference DIR` adds the published code
itself, with the same weights.
"""

from collections.abc import Callable, Sequence

import torch
from harness import matmul_rate, median_seconds, on_device, parser, prepare, report
from peers.descent import STEP_RATE, plain_step
from peers.reference import add_option, check_option, reference_forward
from torch import Tensor
from workload import CODE, GRID, HIDDEN, LAYERS, RIDGE, coordinates, decoder, smooth_fields, train

from dino.numerics.gaussian import cholesky
from dino.space.decoders import FourierDecoder
from dino.training.variable_projection import project

FRAMES = 80


def projection_step(network: FourierDecoder, points: Tensor, values: Tensor) -> Callable[[], None]:
    """The field stage's step: basis, projection, backward, clip, Adam."""
    optimiser = torch.optim.Adam(network.parameters(), STEP_RATE)
    weights = torch.ones(1, len(points), 1)

    def step() -> None:
        result = project(network.basis(points), values.unsqueeze(0), weights, RIDGE)
        optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    return step


def parts(network: FourierDecoder, points: Tensor, values: Tensor) -> dict[str, Callable[[], object]]:
    """The pieces of a projection step, each by itself (the gradient of the basis from a given one of its output)."""
    values, weights = values.squeeze(-1), torch.ones(1, len(points), 1)
    kept = network.basis(points)
    modes = kept.modes.detach().squeeze(1)
    push = torch.randn_like(kept.modes)
    identity = RIDGE * torch.eye(CODE)
    codes = values @ modes

    def gram_and_cholesky() -> Tensor:
        return cholesky(modes.T @ modes + identity)

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(kept.modes, list(network.parameters()), push, retain_graph=True, allow_unused=True)

    return {
        "basis": lambda: network.basis(points),
        "gram_and_cholesky": gram_and_cholesky,
        "products": lambda: (values @ modes, codes @ modes.T, values.T @ codes),
        "basis_backward": backward,
        "basis_and_projection": lambda: project(network.basis(points), values[None, ..., None], weights, RIDGE),
    }


def operations(points: int) -> dict[str, float]:
    """Floating-point operations of the matrix products by formula [GFLOP]; filters and sums come on top."""
    mixing, shift = 2e-9 * points * HIDDEN * HIDDEN * LAYERS, 2e-9 * points * HIDDEN * CODE * (LAYERS + 1)
    frames = 2e-9 * FRAMES * points * CODE
    gram = 2e-9 * points * CODE * CODE
    projection = 3 * (mixing + shift) + gram + 3 * frames  # right-hand sides, fit, and the gradient of the modes
    return {"projection": projection, "plain": 3 * FRAMES * mixing}


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=5, help="rounds; medians count")
    options.add_argument("--training-steps", type=int, default=20, help="decoder steps before timing")
    add_option(options)
    on_device(options)
    arguments = options.parse_args(given)
    check_option(options, arguments)
    prepare(arguments)
    points, network, fields = coordinates(), decoder(), smooth_fields(FRAMES, arguments.seed + 1)
    train(network, points, fields, arguments.training_steps, frames=FRAMES)
    each_frame = points.expand(FRAMES, *points.shape)
    ours = projection_step(network, points, fields)
    rounds: dict[str, Callable[[], object]] = {
        "plain": plain_step(lambda c: network(each_frame, c), network.parameters(), CODE, fields),
        "plain_shared_filters": plain_step(lambda c: network(points, c), network.parameters(), CODE, fields),
        "projection": lambda: [ours() for _ in range(10)],
    }
    extra = {}
    if arguments.reference is not None:
        reference, extra["reference_relative_difference"] = reference_forward(
            arguments.reference, network, points, (GRID, GRID)
        )
        rounds["reference"] = plain_step(reference, reference.network.parameters(), CODE, fields)
    taken = median_seconds(rounds, arguments.repeats)
    taken["projection"] /= 10
    if "reference" in taken:
        extra["reference_seconds"] = taken["reference"]
        extra["ratio_reference"] = taken["reference"] / taken["projection"]
    pieces = median_seconds(parts(network, points, fields), 4 * arguments.repeats)
    rate, work = matmul_rate(), operations(len(points))
    report(
        arguments,
        {
            "frames": FRAMES,
            "points": len(points),
            "projection_seconds": taken["projection"],
            "plain_seconds": taken["plain"],
            "plain_shared_filters_seconds": taken["plain_shared_filters"],
            "ratio": taken["plain"] / taken["projection"],
            "ratio_shared_filters": taken["plain_shared_filters"] / taken["projection"],
            **extra,
            **{f"{name}_seconds": value for name, value in pieces.items()},
            "projection_gflop": work["projection"],
            "plain_gflop": work["plain"],
            "projection_gflop_per_second": work["projection"] / taken["projection"],
            "plain_gflop_per_second": work["plain"] / taken["plain"],
            "matmul_gflop_per_second": rate,
        },
    )


if __name__ == "__main__":
    main()
