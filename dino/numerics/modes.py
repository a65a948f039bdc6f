"""Modes of autograd: the same numbers in whatever mode a caller is.

Inside `torch.inference_mode()` tensors are made that gradients, changes in place and saved graphs refuse later, and
inside `torch.no_grad()` nothing can be learned. What computes a result or learns says itself what it needs.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def without_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """A function that records no gradients and makes ordinary tensors, in any mode of its caller."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False), torch.no_grad():
            return function(*args, **kwargs)

    return run


def with_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """A function that learns: gradients are recorded in any mode of its caller."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **kwargs)

    return run
