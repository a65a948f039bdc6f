"""Gaussian states in code space and the algebra of a linear observation (Cholesky throughout, never LU)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import NonFiniteError

JITTERS = (10.0, 100.0, 1000.0, 10000.0)  # tried in turn, times the rounding unit of the mean diagonal


@dataclass(frozen=True)
class Gaussian:
    """A batch of Gaussian states: mean (..., code), covariance (..., code, code) or a shared (code, code)."""

    mean: Tensor
    covariance: Tensor

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws (count, ..., code), of noise from where the generator is: the same on every device."""
        factor, device = cholesky(self.covariance), self.mean.device if generator is None else generator.device
        noise = torch.randn((count, *self.mean.shape), generator=generator, dtype=self.mean.dtype, device=device)
        return self.mean + torch.einsum("...ij,n...j->n...i", factor, noise.to(self.mean))


def cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factors of symmetric positive matrices (..., n, n), with the least jitter that succeeds.

    Rounding makes nearly singular matrices indefinite; jitter is added relative to the mean diagonal, from none up to
    a thousand times the rounding unit. Raises `NonFiniteError` when that does not help.
    """
    factor, info = torch.linalg.cholesky_ex(matrix)
    if not bool((info > 0).any()):
        return factor
    size = matrix.shape[-1]
    scale = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.finfo(matrix.dtype).eps
    identity = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    for jitter in JITTERS:
        factor, info = torch.linalg.cholesky_ex(matrix + jitter * scale * identity)
        if not bool((info > 0).any()):
            return factor
    bad = torch.nonzero(info.reshape(-1) > 0)[0].item()
    raise NonFiniteError(
        f"the normal matrix of sample {bad} ({size} x {size}) is not positive definite; "
        "look for non-finite observations or give the code a proper prior"
    )


def cholesky_unwatched(matrix: Tensor) -> Tensor:
    """`cholesky` that never waits for the device: where no jitter helps the factors are NaN and nothing is raised.

    All jitters are tried at once, for small matrices in a loop of steps that is not to stop. On the host, where there
    is nothing to wait for, it is `cholesky`.
    """
    return cholesky(matrix) if matrix.device.type == "cpu" else _least_jitter(matrix)


def _least_jitter(matrix: Tensor) -> Tensor:
    """Lower factors (..., n, n) with the least of all jitters that suits the whole batch, chosen on the device."""
    scale = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None] * torch.finfo(matrix.dtype).eps
    tries = torch.stack([matrix] * (1 + len(JITTERS)))
    for index, jitter in enumerate(JITTERS):
        tries[1 + index].diagonal(dim1=-2, dim2=-1).add_(jitter * scale)
    factors, info = torch.linalg.cholesky_ex(tries)
    failed = (info > 0).flatten(1).any(1) if info.dim() > 1 else info > 0
    first = failed.long().cumprod(0).sum()  # how many failed before the first that did not
    factor = factors.index_select(0, first.clamp_max(len(JITTERS)).view(1)).squeeze(0)
    return torch.where(first <= len(JITTERS), factor, torch.nan)


def precision_of(covariance: Tensor) -> Tensor:
    """The inverse of symmetric positive matrices (..., n, n)."""
    return torch.cholesky_inverse(cholesky(covariance))


def condition(
    operator: Tensor, innovation: Tensor, precision: Tensor, prior_mean: Tensor, prior_precision: Tensor
) -> Gaussian:
    """The exact posterior of code ~ N(prior_mean, prior_precision^-1) given innovation = operator @ code + noise.

    operator (..., n, code); innovation (..., m?, n) is y - b with n values; precision (..., n) is 1 / R (0 = missing).
    When `operator` and `precision` have no batch dimension one factorisation serves all innovations (..., n).
    """
    weighted = operator * precision[..., None]
    normal = weighted.mT @ operator + prior_precision
    factor = cholesky(normal)
    right = (innovation.unsqueeze(-2) @ weighted).squeeze(-2) if weighted.dim() > 2 else innovation @ weighted
    right = right + prior_mean @ prior_precision
    if normal.dim() == 2:
        mean = torch.cholesky_solve(right.reshape(-1, right.shape[-1]).T, factor).T.reshape(right.shape)
    else:
        mean = torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    return Gaussian(mean, torch.cholesky_inverse(factor))
