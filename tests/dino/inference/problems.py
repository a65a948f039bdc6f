"""Small assimilation problems of several charts, and what dense algebra makes of them."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dino.config import DecoderConfig, DynamicsConfig
from dino.dynamics import Dynamics, tangent_flow
from dino.inference.errors import Errors
from dino.inference.filter import Problem
from dino.inference.observed import ObservedValues
from dino.inference.offsets import Layout
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.numerics.gaussian import Gaussian
from dino.space.cover import CONTEXT, Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap

CODE, ORDER = 3, 2
STATE = CODE * ORDER
NODES = np.array([0.0, 0.5, 1.5, 2.0])
COUNTS = (7, 0, 2, 25)  # observations of the charts: some, none, fewer and more than a code has entries


class Coupled(Dynamics):
    """Linear dynamics whose modes all push each other: no propagator serves them mode by mode."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.order, self.code_size, self.context_size, self.is_linear = ORDER, CODE, 0, False
        self.register_buffer("matrix", matrix)
        self.register_buffer("rates", torch.ones(ORDER, dtype=matrix.dtype))

    def derivative(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        return state @ self.matrix.T

    def push(self, bundle: Tensor, context: Tensor | None = None) -> Tensor:
        return self.matrix @ bundle


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers of a shape, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive(*shape: int, seed: int = 0) -> Tensor:
    """Random covariances (..., n, n)."""
    root = numbers(*shape, shape[-1], seed=seed)
    return root @ root.mT / shape[-1] + 0.1 * torch.eye(shape[-1], dtype=torch.float64)


def make_latent(dynamics: str = "modes", decoder: str = "fourier", context: int = 0, noise: float = 0.0) -> LatentModel:
    """A model with dynamics that are linear mode by mode (modes), linear (coupled) or not linear (network)."""
    torch.manual_seed(3)
    depth = 2 if dynamics == "network" else 0
    spec = LatentSpec(
        decoder=DecoderConfig(kind=decoder, code_size=CODE, hidden=8, layers=1, scale=4.0, w0_first=3.0),
        dynamics=DynamicsConfig(order=ORDER, depth=depth, hidden=8, lags=1, step_days=0.25 if depth else 0.05),
        input_size=2,
        channels=2,
        context=CONTEXT[:context],
        interval_days=1.0,
        noise_variance=0.01,
        data_digest="problem",
    )
    latent = LatentModel(spec).double().eval().requires_grad_(False)
    latent.dynamics.rates.copy_(torch.tensor([0.7, 0.4]))
    latent.dynamics.linear.normal_(0, 0.5)
    if dynamics == "network":
        latent.dynamics.network[-1].weight.mul_(40.0)
    if dynamics == "coupled":
        latent.dynamics = Coupled(0.3 * numbers(STATE, STATE, seed=8))
    units = torch.tensor([1.0] * CODE + [2.0] * CODE)
    latent.state_covariance.copy_(positive(STATE, seed=1) * units * units[:, None])
    latent.process_noise.copy_(noise * positive(STATE, seed=2))
    latent.unresolved_variance.fill_(0.02)
    return latent


def make_rows(latent: LatentModel, counts: tuple[int, ...], nodes: np.ndarray, at_nodes: bool) -> ObservedValues:
    """Observations of charts at random places and times, of any values; `at_nodes` puts them on nodes."""
    chart = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    total, generator = len(chart), torch.Generator().manual_seed(5)
    node = torch.randint(0, max(len(nodes) - 1, 1), (total,), generator=generator)
    fraction = torch.rand(total, generator=generator, dtype=torch.float64) * (len(nodes) > 1)
    coordinates = 2 * torch.rand(total, 2, generator=generator, dtype=torch.float64) - 1
    return ObservedValues(
        chart=chart,
        channel=torch.arange(total) % 2,
        coordinates=coordinates,
        value=numbers(total, seed=6),
        variance=0.1 + numbers(total, seed=7).abs(),
        node=node,
        fraction=fraction.round() if at_nodes else fraction,
        observation=torch.arange(total),
    ).formed(latent.decoder)


def make_problem(
    latent: LatentModel,
    counts: tuple[int, ...] = COUNTS,
    nodes: np.ndarray = NODES,
    offsets: int = 0,
    at_nodes: bool = False,
    bound: float = math.inf,
    smooth: bool = True,
) -> Problem:
    """Charts with priors of their own; with `offsets` every chart has that many sources, of other variances."""
    charts = len(counts)
    rows = make_rows(latent, counts, nodes, at_nodes)
    mean, covariance = numbers(charts, STATE, seed=9), positive(charts, STATE, seed=10)
    if offsets:
        whole = torch.zeros(charts, STATE + offsets, STATE + offsets, dtype=torch.float64)
        whole[:, :STATE, :STATE] = covariance
        whole.diagonal(dim1=1, dim2=2)[:, STATE:] = 0.2 + numbers(charts, offsets, seed=11).square()
        mean, covariance = torch.cat([mean, numbers(charts, offsets, seed=12)], dim=1), whole
    layout = Layout(CODE, STATE, offsets)
    context = numbers(charts, len(latent.spec.context), seed=13) if latent.spec.context else mean.new_zeros(1, 0)
    group = torch.arange(len(rows)) % offsets if offsets else None
    prior = layout.augmented(Gaussian(mean, covariance))
    return Problem(latent, context, prior, rows, nodes, layout, group, bound, smooth)


def correlated(problem: Problem) -> Problem:
    """The same charts with rows in pieces of up to nine that share errors, a node, a channel and an offset.

    Two components along the track, one of them across it too, an offset, and sides of a swath that have one each.
    """
    rows, count = problem.rows, len(problem.rows)
    group = torch.zeros(count, dtype=torch.long) if problem.group is None else problem.group
    kind = (rows.chart * 2 + rows.channel) * 8 + group
    piece = torch.zeros(count, dtype=torch.long)
    for number, value in enumerate(kind.unique()):
        mine = torch.nonzero(kind == value).squeeze(-1)
        piece[mine] = 10 * number + torch.arange(len(mine)) // 9
    piece = piece.unique(return_inverse=True)[1]
    first = torch.stack([torch.nonzero(piece == p)[0, 0] for p in piece])
    side = (torch.arange(count) % 2).double()
    share = numbers(count, seed=21)
    factor = torch.stack([0.5 + 0.1 * share, 0.2 + 0 * share, 0.3 * share * side, 0.3 * share * (1 - side)], dim=1)
    errors = Errors(
        white=0.05 + 0.1 * numbers(count, seed=22).square(),
        factor=factor,
        length_km=torch.tensor([50.0, 1e12, 300.0, 300.0], dtype=torch.float64).expand(count, -1),
        along_km=100 * numbers(count, seed=23),
        across_km=40 * numbers(count, seed=24),
    )
    rows = replace(
        rows, node=rows.node[first], fraction=rows.fraction[first], errors=errors, piece=piece, variance=errors.variance
    )
    return replace(problem, rows=rows)


def error_covariance(rows: ObservedValues) -> Tensor:
    """(row, row) of rows' errors, by a loop over pairs."""
    errors = rows.errors
    if errors is None or rows.piece is None:
        return torch.diag(rows.variance)
    made = torch.diag(torch.maximum(errors.white, 1e-4 * errors.factor.square().sum(-1)))
    for one in range(len(rows)):
        for other in range(len(rows)):
            if rows.piece[one] != rows.piece[other]:
                continue
            along = abs(float(errors.along_km[one] - errors.along_km[other]))
            across = abs(float(errors.across_km[one] - errors.across_km[other]))
            for part in range(errors.factor.shape[1]):
                way = along + across * (part == 0)
                decay = math.exp(-way / float(errors.length_km[one, part]))
                made[one, other] += errors.factor[one, part] * errors.factor[other, part] * decay
    return made


def alone(problem: Problem, chart: int) -> Problem:
    """The problem of one chart, put together by hand."""
    which = problem.rows.chart == chart
    rows = problem.rows.select(which)
    return replace(
        problem,
        context=problem.context[chart, None] if problem.context.shape[-1] else problem.context,
        prior=Gaussian(problem.prior.mean[chart, None], problem.prior.covariance[chart, None]),
        rows=replace(rows, chart=torch.zeros_like(rows.chart)),
        group=None if problem.group is None else problem.group[which],
    )


def matrix_of(latent: LatentModel) -> Tensor:
    """(state, state) of linear dynamics."""
    return latent.dynamics.derivative(torch.eye(STATE, dtype=torch.float64)).T


def designs(problem: Problem, places: Tensor) -> Tensor:
    """(row, node, state + offset) what rows see of all nodes, with shares `places` (row, node) of each."""
    form = problem.rows.form
    assert form is not None
    seen = torch.cat([form.operator, form.operator.new_zeros(len(problem.rows), STATE - CODE)], dim=1)
    if problem.group is not None:
        seen = torch.cat([seen, torch.nn.functional.one_hot(problem.group, problem.layout.offsets).double()], dim=1)
    return places[:, :, None] * seen[:, None]


def solver_flow(problem: Problem, elapsed: float) -> Tensor:
    """(state, state) what linear dynamics make of a state in some days, as the solver's steps have it."""
    latent, start = problem.latent, torch.zeros(1, STATE, dtype=torch.float64)
    tangents, between = torch.eye(STATE, dtype=torch.float64)[None], torch.tensor([0.0, elapsed], dtype=torch.float64)
    turned = tangent_flow(latent.dynamics, problem.context, start, tangents, between, latent.method, latent.step_days)
    return turned[1][-1, 0]


def dense(
    problem: Problem, by_nearest: bool, noise: Tensor | None = None, stepped: bool = False
) -> tuple[Tensor, Tensor]:
    """Means (node, chart, state + offset) and covariances given all rows, from the joint Gaussian of all nodes.

    Of linear dynamics by their matrix exponential, or, `stepped`, by the solver. `by_nearest` takes a row at its
    nearest node; otherwise it sees the state between its two nodes.
    """
    rows, count = problem.rows, len(problem.nodes)
    following = (rows.node + 1).clamp_max(count - 1)
    nearest = torch.where(rows.fraction > 0.5, following, rows.node)
    one_hot = lambda node: torch.nn.functional.one_hot(node, count).double()  # noqa: E731
    places = one_hot(nearest)
    if not by_nearest:
        share = rows.fraction[:, None]
        places = (1 - share) * one_hot(rows.node) + share * one_hot(following)
    start, size = problem.layout.parted(problem.prior), STATE + problem.layout.offsets
    found = []
    for chart in range(len(start.mean)):
        mean, joint = [start.mean[chart]], torch.zeros(count, count, size, size, dtype=torch.float64)
        joint[0, 0] = start.covariance[chart]
        for k, elapsed in enumerate(np.diff(problem.nodes), start=1):
            flow = torch.eye(size, dtype=torch.float64)
            exact = torch.linalg.matrix_exp(matrix_of(problem.latent) * elapsed)
            flow[:STATE, :STATE] = solver_flow(problem, elapsed) if stepped else exact
            mean.append(flow @ mean[-1])
            for j in range(k):
                joint[k, j] = flow @ joint[k - 1, j]
                joint[j, k] = joint[k, j].T
            joint[k, k] = flow @ joint[k - 1, k - 1] @ flow.T
            if noise is not None:
                joint[k, k, :STATE, :STATE] += noise * elapsed
        mine = rows.chart == chart
        design = designs(problem, places)[mine].flatten(1)
        prior, whole = torch.cat(mean), joint.permute(0, 2, 1, 3).reshape(count * size, count * size)
        assert rows.form is not None
        surprise = (rows.value - rows.form.offset)[mine] - design @ prior
        gain = whole @ design.T @ torch.linalg.inv(design @ whole @ design.T + error_covariance(rows.select(mine)))
        after = (whole - gain @ design @ whole).reshape(count, size, count, size)
        covariance = torch.stack([after[k, :, k] for k in range(count)])
        found.append(((prior + gain @ surprise).reshape(count, size), covariance))
    means, covariances = zip(*found, strict=True)
    return torch.stack(means, dim=1), torch.stack(covariances, dim=1)


def tiled_ocean(amplitude: float = 1.0) -> Ocean:
    """Five overlapping tiles across 180 degrees, one of them apart, over a mean field with some land."""
    bounds = [(w, w + 6.0, s, s + 6.0) for w in (174.0, 177.0) for s in (30.0, 33.0)] + [(200.0, 206.0, 30.0, 36.0)]
    charts = tuple(Region.from_bounds(*b, isotropic=False) for b in bounds)
    channels = (ChannelSpec(name="u", units="m", spread=0.1), ChannelSpec(name="v", units="m", spread=2.0))
    values = 0.1 * np.random.default_rng(3).normal(size=(2, 6, 20))
    values[:, 1, 1] = np.nan
    cover = Cover(charts, amplitude * np.linspace(0.5, 1.5, 5), tiled=True)
    return Ocean(channels, cover, GridMap(np.linspace(172.0, 207.0, 20), np.linspace(29.0, 40.0, 6), values))


def one_chart(ocean: Ocean, *which: int) -> Ocean:
    """The ocean of some of the charts."""
    return Ocean(ocean.channels, ocean.cover.select(list(which)), ocean.background)
