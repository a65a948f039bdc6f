"""Huber's cost: quadratic up to a bound, linear beyond, so that no single observation pulls without limit.

    rho(r) = r^2 / 2 for |r| <= c,    c |r| - c^2 / 2 beyond          (Huber 1964; Tavolato & Isaksen 2015 for 4D-Var)

with r a misfit over the standard deviation of its error. It is minimised by iteratively reweighted least squares: with
the weights rho'(r) / r = min(1, c / |r|) of the present misfits the quadratic cost lies above Huber's and touches it,
so that its minimum is lower (Holland & Welsch 1977). An infinite bound is the plain quadratic cost.
"""

import torch
from torch import Tensor


def huber_cost(scaled: Tensor, bound: float) -> Tensor:
    """rho of misfits (...) in standard deviations."""
    size = scaled.abs()
    return torch.where(size <= bound, 0.5 * scaled.square(), bound * (size - 0.5 * bound))


def huber_weight(scaled: Tensor, bound: float) -> Tensor:
    """Weights (...) in (0, 1] of misfits in standard deviations."""
    return (bound / scaled.abs()).clamp_max(1.0)
