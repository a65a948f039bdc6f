"""How a training step and an encode grow with code size, points and frames, and what compiling and bfloat16 change.

Times are fitted by a power of each size over its upper range; the orders that the formulas say are in the docstring of
`ORDERS`. The matrix-product rate of the machine is beside them: what arithmetic alone could reach.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import matmul_rate, median_seconds, parser, prepare, report
from torch import Tensor

from dino.inference import encode
from dino.numerics.gaussian import Gaussian
from dino.space.decoders import FourierDecoder
from dino.training.variable_projection import project

HIDDEN, LAYERS, INPUTS, RIDGE = 64, 3, 4, 1e-2
BASE = {"code": 100, "points": 4096, "frames": 80}
SIZES = {
    "code": (25, 50, 100, 200, 400),
    "points": (1024, 2048, 4096, 8192, 16384),
    "frames": (80, 160, 320, 640, 1280),
}
# Leading terms for points N, code K, frames F, width H, layers n: a step does 6 n N H^2 + 6 (n + 1) N H K of the basis,
# 2 N K^2 of the Gram matrix and 6 N K F of the projection; linear in N and F, between linear and quadratic in K.
ORDERS = {"code": "1 to 2", "points": "1", "frames": "1 where N K F leads, less before"}


def operations(code: int, points: int, frames: int) -> float:
    """Floating-point operations of a step's matrix products [GFLOP]."""
    basis = 6 * points * HIDDEN * (LAYERS * HIDDEN + (LAYERS + 1) * code)
    return 1e-9 * (basis + 2 * points * code * code + 6 * points * code * frames)


def step(code: int, points: int, frames: int) -> Callable[[], None]:
    """A projection step with its gradient: basis, Gram, Cholesky, projection, backward."""
    network = FourierDecoder(INPUTS, code, channels=1, hidden=HIDDEN, layers=LAYERS)
    coordinates, values = torch.randn(points, INPUTS), torch.randn(1, frames, points, 1)
    weights = torch.ones(1, points, 1)

    def run() -> None:
        network.zero_grad(set_to_none=True)
        project(network.basis(coordinates), values, weights, RIDGE).objective.backward()

    return run


def encoding(code: int, points: int, frames: int) -> Callable[[], Tensor]:
    """The exact codes of all frames, basis included."""
    network = FourierDecoder(INPUTS, code, channels=1, hidden=HIDDEN, layers=LAYERS)
    coordinates, values = torch.randn(points, INPUTS), torch.randn(frames, points, 1)
    prior = Gaussian(torch.zeros(code), torch.eye(code))

    def run() -> Tensor:
        with torch.no_grad():
            return encode(network.basis(coordinates), values, 0.01, prior).mean

    return run


def growth(make: Callable[..., Callable[[], Any]], name: str, repeats: int) -> dict[str, Any]:
    """Seconds at every size of one quantity, and the power of it between the last two and over all."""
    sizes = SIZES[name]
    taken = [median_seconds({"it": make(**(BASE | {name: size}))}, repeats)["it"] for size in sizes]
    powers = np.diff(np.log(taken)) / np.diff(np.log(sizes))
    return {"sizes": list(sizes), "seconds": taken, "last_power": float(powers[-1]), "mean_power": float(powers.mean())}


def variants(repeats: int) -> dict[str, Any]:
    """The step as it is, with a compiled basis and with a bfloat16 basis: seconds, and how far the gradient moves."""
    network = FourierDecoder(INPUTS, BASE["code"], channels=1, hidden=HIDDEN, layers=LAYERS)
    half = copy.deepcopy(network).bfloat16()
    coordinates = torch.randn(BASE["points"], INPUTS)
    values, weights = torch.randn(1, BASE["frames"], BASE["points"], 1), torch.ones(1, BASE["points"], 1)
    compiled = torch.compile(network.basis)

    def run(owner: FourierDecoder, basis: Callable[[Tensor], Any]) -> Tensor:
        owner.zero_grad(set_to_none=True)
        made = basis(coordinates.to(owner.shift.dtype))
        made = type(made)(made.offset.float(), made.modes.float())
        project(made, values, weights, RIDGE).objective.backward()
        assert owner.shift.grad is not None
        return owner.shift.grad.float()

    ways = {"eager": (network, network.basis), "compiled": (network, compiled), "bfloat16": (half, half.basis)}
    exact = run(network, network.basis).clone()
    error = {name: float((run(*way) - exact).norm() / exact.norm()) for name, way in ways.items()}
    taken = median_seconds({name: partial(run, *way) for name, way in ways.items()}, repeats)
    return {"seconds": taken, "relative_gradient_error": error}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=5)
    arguments = options.parse_args()
    prepare(arguments)
    rate = matmul_rate()
    seconds = median_seconds({"it": step(**BASE)}, 4 * arguments.repeats)["it"]
    report(
        arguments,
        {
            "matmul_gflop_per_second": rate,
            "step_gflop_per_second": operations(**BASE) / seconds,
            "step_share_of_matmul_rate": operations(**BASE) / seconds / rate,
            "step": {name: growth(step, name, arguments.repeats) for name in SIZES},
            "encode": {name: growth(encoding, name, arguments.repeats) for name in SIZES},
            "variants": variants(arguments.repeats),
        },
    )


if __name__ == "__main__":
    main()
