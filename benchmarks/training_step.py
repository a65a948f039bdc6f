"""One decoder training step over 80 maps of 64 x 64: variable projection against the plain step, same network.

The plain step is DINo's (Yin et al., ICLR 2023, and its published code): one learned code a frame, the decoder with its
Fourier filters run for every (frame, point), backward through it, Adam on weights and codes. A second figure
gives it filters that all frames share, which the published code does not do.
"""

from collections.abc import Callable

import torch
from harness import matmul_rate, median_seconds, on_device, parser, prepare, report
from torch import Tensor
from workload import CODE, HIDDEN, LAYERS, RIDGE, coordinates, decoder, smooth_fields, train

from dino.numerics.gaussian import cholesky
from dino.space.decoders import FourierDecoder
from dino.training.variable_projection import project

FRAMES = 80
RATE = 1e-6  # small: timing must not move the weights to where they are no longer typical


def projection_step(network: FourierDecoder, points: Tensor, values: Tensor) -> Callable[[], None]:
    """The field stage's step: basis, projection, backward, clip, Adam."""
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    weights = torch.ones(1, len(points), 1)

    def step() -> None:
        result = project(network.basis(points), values.unsqueeze(0), weights, RIDGE)
        optimiser.zero_grad(set_to_none=True)
        result.objective.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    return step


def plain_step(network: FourierDecoder, points: Tensor, values: Tensor) -> Callable[[], None]:
    """Forward for every frame and point with learned codes, backward, Adam on weights and codes."""
    codes = torch.zeros(len(values), network.code_size, requires_grad=True)
    optimiser = torch.optim.Adam([*network.parameters(), codes], RATE)

    def step() -> None:
        loss = (network(points, codes) - values).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
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


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=5, help="rounds; medians count")
    options.add_argument("--training-steps", type=int, default=20, help="decoder steps before timing")
    on_device(options)
    arguments = options.parse_args()
    prepare(arguments)
    points, network, fields = coordinates(), decoder(), smooth_fields(FRAMES, arguments.seed + 1)
    train(network, points, fields, arguments.training_steps, frames=FRAMES)
    each_frame = points.expand(FRAMES, *points.shape)
    ours = projection_step(network, points, fields)
    rounds: dict[str, Callable[[], object]] = {
        "plain": plain_step(network, each_frame, fields),
        "plain_shared_filters": plain_step(network, points, fields),
        "projection": lambda: [ours() for _ in range(10)],
    }
    taken = median_seconds(rounds, arguments.repeats)
    taken["projection"] /= 10
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
