"""Cycle-consistent adversarial translation between simulated and observed codes (Zhu et al. 2017, arXiv 1703.10593).

Two generators, from simulated to observed codes and back, are trained against two discriminators (least-squares
losses, Mao et al. 2017) with the cycles' errors and the identity's as penalties. The generators are affine: the one
to the observed codes then folds into the decoder, while dynamics and prior stay those of the simulation. Observed
codes are drawn from the posterior of the analyses, not taken at its mean: means alone vary too little, and a
discriminator would see nothing else.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..model.latent import OceanModel
from ..numerics.gaussian import Gaussian
from .base import Analyse, Report, Task, Transferred, improve
from .plan import Window

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


def translate_codes(task: Task, report: Report) -> Transferred:
    """Translate the decoder's codes by adversarial training; see `Strategy`. Reads the run's training stores."""
    model = task.model
    generator = torch.Generator().manual_seed(task.config.seed)
    unit = model.code_variance.sqrt()
    simulated = torch.cat([part.codes.flatten(0, 1) for part in task.simulated()]) / unit
    steps = STEPS * task.settings.steps

    def adapt(analyse: Analyse) -> None:
        observed = posterior_draws(model, analyse(), generator) / unit
        with torch.random.fork_rng():
            torch.manual_seed(task.config.seed)
            forwards = trained_generator(_batches(simulated, generator), _batches(observed, generator), steps)
        matrix = torch.eye(len(unit), device=unit.device) + forwards.change.detach()
        transform = unit[:, None] * matrix / unit
        model.decoder.change_codes(transform, unit * forwards.shift.detach())

    return improve(task, adapt, report)


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
def posterior_draws(model: OceanModel, windows: list[Window], generator: torch.Generator) -> Tensor:
    """Codes (draw, code) drawn from the analyses at the windows' ends, as many for each chart."""
    size = model.dynamics.code_size
    mean = torch.cat([window.analysis.mean[:, :size] for window in windows])
    covariance = torch.cat([window.analysis.covariance[:, :size, :size] for window in windows])
    count = max(1, DRAWS * BATCH // len(mean))
    return Gaussian(mean, covariance).sample(count, generator).flatten(0, 1)


def _batches(codes: Tensor, generator: torch.Generator) -> Callable[[], Tensor]:
    return lambda: codes[torch.randint(len(codes), (BATCH,), generator=generator)]
