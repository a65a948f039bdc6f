"""What the published code does where dino solves: codes by Adam through a network, and training by plain descent."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

CODE_RATE = 1e-2
STEP_RATE = 1e-6  # small: timing must not move the weights to where they are no longer typical


def encode_by_descent(forward: Callable[[Tensor], Tensor], code_size: int, values: Tensor, steps: int) -> Tensor:
    """Codes (frame, code) found by Adam through the network; the best ones seen, as the published code keeps them.

    forward : values (frame, point, channel) of codes (frame, code)
    """
    codes = torch.zeros(len(values), code_size, requires_grad=True)
    optimiser = torch.optim.Adam([codes], CODE_RATE)
    best, lowest = codes.detach().clone(), float("inf")
    for _ in range(steps):
        loss = (forward(codes) - values).square().mean()
        if float(loss.detach()) < lowest:
            best, lowest = codes.detach().clone(), float(loss.detach())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return best


def plain_step(
    forward: Callable[[Tensor], Tensor], parameters: Iterable[Tensor], code_size: int, values: Tensor
) -> Callable[[], None]:
    """One training step: forward for every frame and point with learned codes, backward, Adam on weights and codes."""
    codes = torch.zeros(len(values), code_size, requires_grad=True)
    optimiser = torch.optim.Adam([*parameters, codes], STEP_RATE)

    def step() -> None:
        loss = (forward(codes) - values).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step
