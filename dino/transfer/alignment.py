"""Translations of codes from the literature, by optimal transport and by adversarial training.

Both move the decoder's codes to the distribution of observed ones and keep dynamics and prior. Neither is better than
`statistics` on real observations (docs/transfer.md); they are kept for comparison.

Optimal transport (de Bezenac et al. 2021): of all maps that take the simulated distribution of codes to the observed
one, the one that moves them least. Both are Gaussian here, for which the map is linear and known in closed form (Bures
& Wasserstein; McCann 1997 for the path). The moments of the observed codes are of posterior means and covariances
together, so that what observations leave open does not count as a small amplitude. Every round goes a part of the way.

Cycle-consistent adversarial translation (Zhu et al. 2017, arXiv 1703.10593): two affine generators are trained against
two discriminators (least-squares losses, Mao et al. 2017) with the cycles' errors and the identity's as penalties.
Observed codes are drawn from the posterior of the analyses: means alone vary too little, and a discriminator would see
nothing else.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from data_pipeline.system.progress import Progress

from ..model import LatentModel
from ..numerics.gaussian import Gaussian, cholesky
from .base import Analyse, Task, Transferred, improve
from .plan import Episode

BATCH, DRAWS = 256, 64
CYCLE, IDENTITY = 10.0, 0.1  # a larger identity would forbid what is looked for, a shift of the mean
STEPS = 5  # of generators and discriminators for one that other strategies would take: theirs are cheap
RATE = 5e-3


class Affine(nn.Module):
    """a -> a + c + D a, the identity at first; codes in units of their standard deviation."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.change, self.shift = nn.Parameter(torch.zeros(size, size)), nn.Parameter(torch.zeros(size))

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (..., code) translated."""
        return codes + codes @ self.change.T + self.shift


def translate_codes(task: Task, progress: Progress) -> Transferred:
    """Translate the decoder's codes by adversarial training; see `Strategy`. Reads the run's training stores."""
    model = task.latent
    generator = torch.Generator().manual_seed(task.seed)
    unit = model.code_variance.sqrt()
    simulated = torch.cat([part.codes.flatten(0, 1) for part in task.simulated()]) / unit
    steps = STEPS * task.settings.steps

    def adapt(analyse: Analyse) -> None:
        observed = posterior_draws(model, analyse(), generator) / unit
        with torch.random.fork_rng():
            torch.manual_seed(task.seed)
            forwards = trained_generator(_batches(simulated, generator), _batches(observed, generator), steps)
        matrix = torch.eye(len(unit), device=unit.device) + forwards.change.detach()
        transform = unit[:, None] * matrix / unit
        model.decoder.change_codes(transform, unit * forwards.shift.detach())

    return improve(task, adapt, progress)


def trained_generator(simulated: Callable[[], Tensor], observed: Callable[[], Tensor], steps: int) -> Affine:
    """The generator from simulated to observed codes; both arguments draw a batch (draw, code)."""
    like = simulated()
    size = like.shape[-1]
    forwards, backwards = Affine(size).to(like), Affine(size).to(like)
    judges = [nn.Sequential(nn.Linear(size, 64), nn.SiLU(), nn.Linear(64, 1)).to(like) for _ in range(2)]
    makers = torch.optim.Adam([*forwards.parameters(), *backwards.parameters()], RATE, betas=(0.5, 0.999))
    critics = torch.optim.Adam([p for judge in judges for p in judge.parameters()], RATE, betas=(0.5, 0.999))
    for _ in range(steps):
        here, there = simulated(), observed()
        to_there, to_here = forwards(here), backwards(there)
        cycle = (backwards(to_there) - here).square().mean() + (forwards(to_here) - there).square().mean()
        identity = (forwards(there) - there).square().mean() + (backwards(here) - here).square().mean()
        fooled = (judges[0](to_there) - 1).square().mean() + (judges[1](to_here) - 1).square().mean()
        makers.zero_grad(set_to_none=True)
        (fooled + CYCLE * cycle + IDENTITY * identity).backward()
        makers.step()
        told = (judges[0](there) - 1).square().mean() + judges[0](to_there.detach()).square().mean()
        told = told + (judges[1](here) - 1).square().mean() + judges[1](to_here.detach()).square().mean()
        critics.zero_grad(set_to_none=True)
        told.backward()
        critics.step()
    return forwards


@torch.no_grad()
def posterior_draws(model: LatentModel, episodes: list[Episode], generator: torch.Generator) -> Tensor:
    """Codes (draw, code) drawn from the analyses at the windows' ends, as many for each chart."""
    size = model.dynamics.code_size
    mean = torch.cat([episode.analysis.mean[:, :size] for episode in episodes])
    covariance = torch.cat([episode.analysis.covariance[:, :size, :size] for episode in episodes])
    count = max(1, DRAWS * BATCH // len(mean))
    return Gaussian(mean, covariance).sample(count, generator).flatten(0, 1)


def _batches(codes: Tensor, generator: torch.Generator) -> Callable[[], Tensor]:
    return lambda: codes[torch.randint(len(codes), (BATCH,), generator=generator)]


def transport_codes(task: Task, progress: Progress) -> Transferred:
    """Move the decoder's codes to the observed distribution by optimal transport; see `Strategy`."""
    model, rounds = task.latent, iter(range(task.settings.rounds, 0, -1))

    def adapt(analyse: Analyse) -> None:
        mean, covariance = observed_moments(model, analyse())
        move = monge_map(model.code_prior.covariance.double(), covariance)
        # Of what is left to go: a third, a half, all of it, so that the path is walked in equal parts.
        share = 1.0 / next(rounds)
        identity = torch.eye(len(move), dtype=move.dtype, device=move.device)
        step = (1 - share) * identity + share * move
        model.decoder.change_codes(step.to(model.code_variance), (share * mean).to(model.code_variance))

    return improve(task, adapt, progress)


def observed_moments(model: LatentModel, episodes: list[Episode]) -> tuple[Tensor, Tensor]:
    """Mean (code,) and covariance (code, code) of the codes at the ends of windows, over all charts, in float64."""
    size = model.dynamics.code_size
    means = torch.cat([episode.analysis.mean[:, :size] for episode in episodes]).double()
    open_part = torch.cat([episode.analysis.covariance[:, :size, :size] for episode in episodes]).double()
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
