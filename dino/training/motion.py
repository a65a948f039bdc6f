"""Linear dynamics from the smoothed states of a record: expectation-maximisation with the filter and its smoother.

Shumway & Stoffer (1982, Journal of Time Series Analysis 3). The E step is the posterior of all charts' states in the
windows of a record given all their values: sums of second moments of neighbouring states. The M step is in closed
form: in units of the population, states a node apart follow x' = A x + noise, and of A there is a Gaussian prior about
the codes that relax, which counts as much as `ridge` intervals of unit variance,

    A = (sum E[x' x'_before] + ridge A_0) (sum E[x_before x_before'] + ridge)^-1.

The population is kept: noise is what A leaves of it, which wants the symmetric part of A's generator to be negative.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..config import ErrorsConfig
from ..data.duplicates import without_duplicates
from ..data.observations import Observations
from ..dynamics import CoupledODE, RelaxingODE
from ..inference.filter import Moments, Problem, filtered
from ..inference.observed import observed_values
from ..inference.offsets import Layout
from ..model import LatentModel, Ocean
from ..numerics.gaussian import Gaussian, cholesky
from ..numerics.parallel import ALONE, Group

MOST_POINTS = 2**14  # of a window; of more, a part at random
SLOWEST_DAYS = 1e4  # in which every code forgets at least
HALVINGS = 12  # of a step that has no generator

Window = Callable[[float, float], Observations | None]


@dataclass(frozen=True)
class Scene:
    """What states are smoothed in: an ocean, its record by periods, errors, and days between nodes."""

    ocean: Ocean
    window: Window
    errors: ErrorsConfig
    node_days: float

    def problem(
        self, latent: LatentModel, start: float, end: float, seen: Observations, moments: bool = False
    ) -> Problem:
        """The filter's problem of the charts that hold any of the points `seen` between two days."""
        # Back from the end, for intervals must be those that the M step takes them for.
        count = max(2, math.ceil((end - start) / self.node_days - 1e-9) + 1)
        nodes = end - self.node_days * np.arange(count - 1, -1, -1, dtype=np.float64)
        rows = observed_values(latent, self.ocean, seen, nodes, self.errors)
        which, chart = torch.unique(rows.chart, return_inverse=True)
        population, count = latent.state_prior, len(which)
        layout = Layout(latent.dynamics.code_size, latent.dynamics.state_size)
        mean, covariance = population.mean.expand(count, -1), population.covariance.expand(count, -1, -1)
        prior = layout.augmented(Gaussian(mean, covariance))
        context = latent.context(self.ocean)[which]
        return Problem(latent, context, prior, replace(rows, chart=chart), nodes - nodes[0], layout, moments=moments)

    def points(self, start: float, end: float) -> Observations | None:
        """The points of a period that lie in charts, at most `MOST_POINTS`; None where there is none."""
        seen = self.window(start, end)
        if seen is None:
            return None
        seen, _ = without_duplicates(seen.select(self.ocean.cover.holds(seen.longitude, seen.latitude)))
        if len(seen) > MOST_POINTS:
            chance = np.random.default_rng(int(1e3 * end))
            seen = seen.select(np.sort(chance.choice(len(seen), MOST_POINTS, replace=False)))
        return seen if len(seen) else None


@torch.no_grad()
def smoothed_moments(
    latent: LatentModel, scene: Scene, first: float, last: float, days: float, group: Group = ALONE
) -> tuple[Moments, Tensor]:
    """The E step: moments of states in windows of about `days`, a record from `first` to `last`, and its evidence.

    In memory is a window. Processes that train together share the windows out.
    """
    size = latent.dynamics.state_size
    total = torch.zeros(3 * size * size + 2, dtype=torch.float64)
    edges = np.linspace(first, last, max(1, round((last - first) / days)) + 1)
    for number, (start, end) in enumerate(pairwise(edges)):
        if number % group.size != group.rank:
            continue
        seen = scene.points(start, end)
        if seen is not None:
            made = filtered(scene.problem(latent, start, end, seen, moments=True))
            assert made.moments is not None
            assert made.evidence is not None
            sums = [part.flatten() for part in made.moments[:3]]
            total += torch.cat([*sums, torch.stack([torch.tensor(float(made.moments.count)), made.evidence.sum()])])
    group.sum_([total])
    later, lagged, earlier = total[:-2].unflatten(0, (3, size, size))
    return Moments(later, lagged, earlier, round(float(total[-2]))), total[-1]


def maximised(moments: Moments, relaxed: Tensor, ridge: float, node_days: float) -> Tensor:
    """The M step: the generator (code, code) per day of scaled codes, whose population is the identity.

    relaxed : (code, code) what codes that relax become after an interval
    """
    identity = torch.eye(len(relaxed), dtype=relaxed.dtype)
    normal = moments.earlier + ridge * identity
    step = torch.cholesky_solve((moments.lagged + ridge * relaxed).mT, cholesky(normal)).mT
    made = _generator(relaxed, node_days)
    assert made is not None
    for halving in range(HALVINGS):
        found = _generator(relaxed + 0.5**halving * (step - relaxed), node_days)
        if found is not None:
            made = found
            break
    values, vectors = torch.linalg.eigh(0.5 * (made + made.mT))
    slowest = values.clamp_max(-1.0 / SLOWEST_DAYS)
    return 0.5 * (made - made.mT) + (vectors * slowest) @ vectors.mT


def _generator(step: Tensor, days: float) -> Tensor | None:
    """The real logarithm of a matrix per day; None where it has none, or none that rounding leaves."""
    values, vectors = torch.linalg.eig(step)
    if bool(((values.imag == 0) & (values.real <= 0)).any()):
        return None
    made = torch.linalg.solve(vectors.mT, (vectors * values.log()).mT).mT.real
    right = torch.linalg.matrix_exp(made) - step
    return made / days if bool(right.abs().max() < 1e-6) else None


def relaxed_step(latent: LatentModel, days: float) -> Tensor:
    """(code, code) what the scaled codes of a relaxing model become after some days."""
    assert isinstance(latent.dynamics, RelaxingODE)
    return torch.diag(torch.exp(-days / latent.dynamics.days.double()))


@torch.no_grad()
def moving(latent: LatentModel, generator: Tensor) -> LatentModel:
    """A relaxing model with a generator (code, code) of scaled codes in place of its time scales."""
    with torch.random.fork_rng(devices=[]):
        made = LatentModel(latent.spec.model_copy(update={"coupled": True}))
    made = made.to(latent.code_variance).eval()
    kept = {name: value for name, value in latent.state_dict().items() if not name.startswith("dynamics.")}
    made.load_state_dict(kept | {f"dynamics.{n}": v for n, v in made.dynamics.state_dict().items()})
    scale = latent.code_variance.double().sqrt()
    assert isinstance(made.dynamics, CoupledODE)
    made.dynamics.generator.copy_(scale[:, None] * generator / scale)
    flow = made.dynamics.flows(torch.ones(1))[0]
    population = torch.diag(latent.code_variance.double())
    made.process_noise.copy_(population - flow @ population @ flow.mT)
    return made
