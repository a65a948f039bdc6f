"""A context of a few numbers, fitted to few observations (CoDA).

Kirchmeyer et al. 2022, arXiv 2202.01889: the weights of the dynamics of an environment are those common to all plus a
context of few numbers times fixed directions, w + W xi. Directions are taken from the environments of the simulation:
the principal ones of the gradients of their forecast errors by the weights, the subspace in which environments ask
for change. Only xi is fitted to observations, so that a handful of them is enough.
"""

import itertools

import torch
from torch import Tensor, nn

from data_pipeline.system.progress import Progress

from ..data.codes import CodeSeries
from ..model import LatentModel
from ..model.segments import segment_errors
from .base import Analyse, Task, Transferred, improve
from .losses import future_misfit

ENVIRONMENTS = 16  # parts of a single store that stand for environments
SEGMENTS, HORIZON = 256, 5
REACH = 0.05  # a context of one changes the weights by this share of their size
RATE = 10.0  # times the learning rate of weights: contexts are numbers of order one


def adapt_context(task: Task, progress: Progress) -> Transferred:
    """Fit a context of the dynamics; see `Strategy`. Reads the run's training stores."""
    model, settings = task.latent, task.settings
    weights = [p for p in model.dynamics.parameters() if p.numel()]
    generator = torch.Generator().manual_seed(task.seed)
    directions = environment_directions(model, weights, task.simulated(), settings.context_size, generator)
    origin = nn.utils.parameters_to_vector(weights).detach().clone()
    context = origin.new_zeros(len(directions), requires_grad=True)
    optimiser = torch.optim.Adam([context], RATE * settings.learning_rate)

    def adapt(analyse: Analyse) -> None:
        loss = future_misfit(task, analyse(), generator)
        for _ in range(settings.steps):
            gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss(), weights, materialize_grads=True)])
            context.grad = directions @ gradient + 2 * settings.pull * context.detach() / len(context)
            optimiser.step()
            with torch.no_grad():
                nn.utils.vector_to_parameters(origin + context @ directions, weights)

    return improve(task, adapt, progress)


def environment_directions(
    model: LatentModel, weights: list[nn.Parameter], simulated: list[CodeSeries], count: int, generator: torch.Generator
) -> Tensor:
    """(direction, weight) principal directions of the environments' gradients, `REACH` of the weights' size long."""
    gradients = []
    for environment in environments(simulated):
        horizon = min(HORIZON, environment.codes.shape[1] - model.lags - 1)
        shape = (SEGMENTS,)
        series = torch.randint(environment.codes.shape[0], shape, generator=generator)
        start = torch.randint(model.lags, environment.codes.shape[1] - horizon, shape, generator=generator)
        loss = segment_errors(model, environment, series, start, horizon).mean()
        parts = torch.autograd.grad(loss, weights, materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in parts]))
    stacked = torch.stack(gradients)
    # What all ask for is no difference between environments: it is what training has left undone.
    _, _, directions = torch.linalg.svd(stacked - stacked.mean(0), full_matrices=False)
    size = nn.utils.parameters_to_vector(weights).detach().norm()
    return REACH * size * directions[: min(count, len(gradients) - 1)]


def environments(simulated: list[CodeSeries]) -> list[CodeSeries]:
    """Stores, where there are several; else groups of neighbouring trajectories or tiles of the one there is."""
    if len(simulated) > 2:
        return simulated
    only = simulated[0]
    number = min(ENVIRONMENTS, len(only.codes))
    edges = torch.linspace(0, len(only.codes), number + 1).long().tolist()
    return [only.subset(slice(first, last)) for first, last in itertools.pairwise(edges)]
