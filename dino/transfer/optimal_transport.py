"""Optimal transport from simulated to observed codes, along its dynamical path (de Bezenac et al. 2021).

Of all maps that take the simulated distribution of codes to the observed one, the one that moves them least. Both are
Gaussian here (the codes' prior and the second moments of analyses), for which the map is linear and known in closed
form (Bures & Wasserstein; McCann 1997 for the path), and a linear map of codes folds into an affine decoder: what
used to be the field of code a becomes that of the code that a is sent to. Dynamics and prior stay those of the
simulation.

The moments of the observed codes are those that expectation-maximisation would take: of posterior means and
covariances together, so that what the observations leave open does not count as a small amplitude. Every round goes a
part of the way.
"""

import torch
from torch import Tensor

from ..model.latent import OceanModel
from ..numerics.gaussian import cholesky
from .base import Analyse, Report, Task, Transferred, improve
from .plan import Window


def transport_codes(task: Task, report: Report) -> Transferred:
    """Move the decoder's codes to the observed distribution by optimal transport; see `Strategy`."""
    model, rounds = task.model, iter(range(task.settings.rounds, 0, -1))

    def adapt(analyse: Analyse) -> None:
        mean, covariance = observed_moments(model, analyse())
        move = monge_map(model.code_prior.covariance.double(), covariance)
        # Of what is left to go: a third, a half, all of it, so that the path is walked in equal parts.
        share = 1.0 / next(rounds)
        identity = torch.eye(len(move), dtype=move.dtype, device=move.device)
        step = (1 - share) * identity + share * move
        model.decoder.change_codes(step.to(model.code_variance), (share * mean).to(model.code_variance))

    return improve(task, adapt, report)


def observed_moments(model: OceanModel, windows: list[Window]) -> tuple[Tensor, Tensor]:
    """Mean (code,) and covariance (code, code) of the codes at the ends of windows, over all charts, in float64."""
    size = model.dynamics.code_size
    means = torch.cat([window.analysis.mean[:, :size] for window in windows]).double()
    open_part = torch.cat([window.analysis.covariance[:, :size, :size] for window in windows]).double()
    centre = means.mean(0)
    spread = means - centre
    return centre, open_part.mean(0) + spread.T @ spread / len(means)


def monge_map(source: Tensor, target: Tensor) -> Tensor:
    """The symmetric matrix T that sends N(0, source) to N(0, target) at least cost: T source T = target."""
    root = cholesky(source)
    # T = L^-T (L' target L)^(1/2) L^-1 with source = L L'; any square root of the source will do.
    middle = root.T @ target @ root
    values, vectors = torch.linalg.eigh((middle + middle.T) / 2)
    half = vectors * values.clamp_min(0).sqrt() @ vectors.T
    left = torch.linalg.solve_triangular(root.T, half, upper=True)
    return torch.linalg.solve_triangular(root.T, left.T, upper=True).T
